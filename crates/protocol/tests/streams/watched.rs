//! Streams that pass as they come, looked at.

use bytes::Bytes;
use fingerpost_protocol::{ErrorBody, ErrorKind, Finish, Format, Format::*, StreamWatch, broken_stream};

use crate::fixtures::*;

pub(crate) fn watched(format: Format, hide: bool, pieces: &[&[u8]]) -> (Vec<u8>, StreamWatch, bool) {
    let mut watch = if hide {
        StreamWatch::hiding_usage(format)
    } else {
        StreamWatch::new(format)
    };
    let mut out = Vec::new();
    let fed = pieces.iter().all(|piece| {
        watch
            .feed(&Bytes::copy_from_slice(piece), |b| out.extend_from_slice(&b))
            .is_ok()
    });
    let whole = fed && watch.finish(|b| out.extend_from_slice(&b)).is_ok();
    (out, watch, whole)
}

#[test]
fn a_watched_stream_that_turns_into_garbage_keeps_what_stood_before() {
    let good = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (format, hide) in [(Chat, false), (Chat, true), (Responses, false), (Messages, false)] {
        let mut watch = if hide {
            StreamWatch::hiding_usage(format)
        } else {
            StreamWatch::new(format)
        };
        let mut out = Vec::new();
        let stream = Bytes::from(format!("{good}data: <html>oops\n\n{good}"));
        let bad = watch.feed(&stream, |b| out.extend_from_slice(&b)).unwrap_err();
        assert!(bad.reason.contains("not JSON"), "{}", bad.reason);
        assert_eq!(String::from_utf8(out).unwrap(), good);
    }
}

#[test]
fn half_an_event_waits_for_its_other_half() {
    let mut watch = StreamWatch::new(Chat);
    let mut out = Vec::new();
    for (piece, so_far) in [
        ("data: {\"choi", ""),
        ("ces\":[]}\n", ""),
        ("\n", "data: {\"choices\":[]}\n\n"),
    ] {
        let piece = Bytes::from_static(piece.as_bytes());
        watch.feed(&piece, |b| out.extend_from_slice(&b)).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), so_far);
    }
}

#[test]
fn a_watched_answer_names_the_stored_one_that_it_goes_on_from() {
    let stream = "event: response.created\ndata: {\"type\":\"response.created\",\ndata: \"response\":{\"id\":\"r2\",\"previous_response_id\":null,\"new\":1.50}}\n\n\
                  event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n";
    let mut watch = StreamWatch::new(Responses).going_on_from("r1");
    let mut out = Vec::new();
    watch
        .feed(&Bytes::from_static(stream.as_bytes()), |b| {
            out.extend_from_slice(&b);
        })
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r2\",\"new\":1.50,\"previous_response_id\":\"r1\"}}\n\n\
         event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n"
    );
}

#[test]
fn a_watched_stream_passes_untouched() {
    for format in Format::ALL {
        let stream = fixture(format).as_bytes();
        let (out, watch, whole) = watched(format, false, &[stream]);
        assert_eq!(out, stream);
        let seen = watch.seen();
        assert!(
            whole && watch.is_done() && seen.content && seen.complete,
            "{format}"
        );
        assert_eq!(
            (seen.finish, seen.usage),
            (Some(Finish::ToolCalls), Some(USAGE)),
            "{format}"
        );
        let broken = &stream[..fixture(format).find("call_b").unwrap()];
        let (out, watch, whole) = watched(format, false, &[broken]);
        let whole_events = broken.windows(2).rposition(|w| w == b"\n\n").unwrap() + 2;
        assert_eq!(out, broken[..whole_events]);
        assert!(
            !whole && !watch.seen().complete && watch.seen().content,
            "{format}"
        );
        let error = ErrorBody::new(ErrorKind::Upstream, "broke off");
        let tail = String::from_utf8(broken_stream(format, &error)).unwrap();
        assert!(
            tail.contains("broke off") && tail.ends_with("\n\n") && !marked_whole(format, tail.as_bytes())
        );
    }
}

#[test]
fn only_the_usage_chunk_is_hidden() {
    let (out, watch, whole) = watched(Chat, true, &[CHAT.as_bytes()]);
    let at = CHAT.find("data: {\"choices\":[],\"usage\"").unwrap();
    let end = CHAT.find("data: [DONE]").unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("{}{}", &CHAT[..at], &CHAT[end..])
    );
    assert!(whole);
    assert_eq!(watch.seen().usage, Some(USAGE));
}

#[test]
fn words_in_the_text_do_not_mislead_the_watch() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\" \\\"usage\\\":{ \\\"error\\\": [DONE]\"},\"finish_reason\":null}]}\n\n";
    let (_, watch, whole) = watched(Chat, true, &[stream.as_bytes()]);
    assert!(!whole);
    assert_eq!(
        (
            watch.seen().finish,
            watch.seen().usage,
            watch.seen().error.as_ref()
        ),
        (None, None, None)
    );
}
