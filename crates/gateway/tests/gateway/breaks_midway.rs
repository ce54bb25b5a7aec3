//! Half an answer is never passed off as a whole one.

use fingerpost_testkit::{Behavior, Garbage, How, Point, Script, Upstream};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// An OpenAI-compatible upstream as `o`, one with Responses as `r`, an Anthropic one as `a`.
fn three(behavior: Behavior) -> (Vec<Upstream>, Bed) {
    let ups: Vec<Upstream> = (0..3)
        .map(|_| upstream(Script::new().always(behavior.clone())))
        .collect();
    let bed = Setup::new()
        .openai("o", &ups[0])
        .openai_responses("r", &ups[1])
        .anthropic("a", &ups[2])
        .model("o", &["o"])
        .model("r", &["r"])
        .model("a", &["a"])
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    (ups, bed)
}

#[test]
fn a_stream_that_breaks_after_its_first_token_ends_with_an_error_and_no_mark_of_completion() {
    for how in [How::Reset, How::Eof, How::CleanEof, How::ErrorEvent] {
        let broken = Behavior {
            text: Some("one two three four five six".into()),
            ..Behavior::fault(Point::Events(6), how)
        };
        let (_ups, bed) = three(broken);
        for speak in ALL {
            for model in ["o", "r", "a"] {
                let events = bed.stream(speak.path(), &speak.ask_stream(model, "hi"));
                assert!(
                    speak.streamed(&events).starts_with("one "),
                    "{speak:?} {model} {how:?} {events:?}"
                );
                assert!(
                    !speak.is_complete(&events),
                    "{speak:?} {model} {how:?} {events:?}"
                );
                let error = speak.stream_error(&events);
                assert!(
                    error.is_some_and(|e| !e.is_empty()),
                    "{speak:?} {model} {how:?} {events:?}"
                );
                let errors = events.iter().filter(|e| e.data.contains("\"error\"")).count();
                assert!(
                    errors <= 1 || speak == Speak::Responses,
                    "told once: {speak:?} {model} {how:?} {events:?}"
                );
            }
        }
    }
}

#[test]
fn a_stream_that_breaks_midway_is_not_sent_to_another_model() {
    let broken = upstream(Script::new().always(Behavior {
        text: Some("a b c d e".into()),
        ..Behavior::fault(Point::Events(4), How::Eof)
    }));
    let other = upstream(Script::new());
    let bed = Setup::new()
        .openai("broken", &broken)
        .openai("other", &other)
        .model("first", &["broken"])
        .model("second", &["other"])
        .decision("all", &["first", "second"], json!("static"))
        .start();
    let events = bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("auto", "hi"));
    assert!(Speak::Chat.stream_error(&events).is_some());
    assert_eq!(other.counters().requests, 0);
}

#[test]
fn the_breaker_counts_streams_that_break() {
    let broken = Behavior {
        text: Some("a b c d e".into()),
        ..Behavior::fault(Point::Events(4), How::Reset)
    };
    let up = upstream(Script::new().always(broken));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 3, "open_for": "1m"}),
        )
        .start();
    for _ in 0..3 {
        bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    }
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
        503
    );
    assert_eq!(up.counters().requests, 3);
    assert!(
        bed.counts("fingerpost_errors_total", &[r#"reason="broken""#], 3.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_whole_answer_that_is_none_is_502_with_the_reason_in_every_format() {
    let wrongs = [
        Behavior::garbage(Garbage::TruncatedJson),
        Behavior::garbage(Garbage::NotJson),
        Behavior::garbage(Garbage::WrongJson),
        Behavior::garbage(Garbage::Empty),
        Behavior::garbage(Garbage::NotHttp),
        Behavior::fault(Point::Events(1), How::Eof),
        Behavior::fault(Point::Events(1), How::Reset),
    ];
    for wrong in wrongs {
        let (_ups, bed) = three(wrong.clone());
        for speak in ALL {
            for model in ["o", "r", "a"] {
                let answer = bed.post(speak.path(), &speak.ask(model, "hi"));
                assert_eq!(
                    answer.status,
                    502,
                    "{speak:?} {model} {wrong:?} {}",
                    answer.text()
                );
                let told = speak.error(&answer);
                assert!(told.message.len() > 10, "{speak:?} {model} {wrong:?} {told:?}");
                assert_eq!(
                    told.kind,
                    if speak == Speak::Messages {
                        "api_error"
                    } else {
                        "server_error"
                    }
                );
            }
        }
    }
}

#[test]
fn a_stream_that_is_none_is_502_with_the_reason_in_every_format() {
    let wrongs = [
        Behavior::garbage(Garbage::Empty),
        Behavior::garbage(Garbage::NotHttp),
        Behavior::garbage(Garbage::WrongContentType),
        Behavior::fault(Point::FirstEvent, How::CleanEof),
        Behavior::fault(Point::FirstEvent, How::ErrorEvent),
    ];
    for wrong in wrongs {
        let (_ups, bed) = three(wrong.clone());
        for speak in ALL {
            for model in ["o", "r", "a"] {
                let answer = bed.post(speak.path(), &speak.ask_stream(model, "hi"));
                assert_eq!(
                    answer.status,
                    502,
                    "{speak:?} {model} {wrong:?} {}",
                    answer.text()
                );
                assert!(speak.error(&answer).message.len() > 10);
            }
        }
    }
}

#[test]
fn garbage_within_a_stream_ends_it_with_an_error() {
    for wrong in [Garbage::NotJson, Garbage::TruncatedJson] {
        let (_ups, bed) = three(Behavior {
            text: Some("one two three".into()),
            ..Behavior::garbage(wrong)
        });
        for speak in ALL {
            for model in ["o", "r", "a"] {
                let mut client = bed.client();
                let body = speak.ask_stream(model, "hi").to_string();
                client
                    .request("POST", speak.path(), &[], body.as_bytes())
                    .unwrap();
                let head = client.head().unwrap();
                if head.status == 502 {
                    // It came before the first token.
                    continue;
                }
                let events = client.events().unwrap();
                assert!(
                    !speak.is_complete(&events),
                    "{speak:?} {model} {wrong:?} {events:?}"
                );
                assert!(
                    speak.stream_error(&events).is_some(),
                    "{speak:?} {model} {wrong:?} {events:?}"
                );
            }
        }
    }
}

#[test]
fn a_whole_answer_where_a_stream_was_asked_for_is_not_understood_as_one() {
    // What answers JSON to a request for a stream does not do what it was asked.
    let up = upstream(Script::new().always(Behavior::status(200)));
    let bed = Setup::new().openai("up", &up).model("m", &["up"]).once().start();
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(
        Speak::Chat.error(&answer).message.contains("content type"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_stored_response_is_not_stored_when_it_breaks() {
    let broken = Behavior {
        text: Some("a b c d e".into()),
        ..Behavior::fault(Point::Events(6), How::Eof)
    };
    let (_ups, bed) = three(broken);
    for model in ["o", "r", "a"] {
        let events = bed.stream(Speak::Responses.path(), &Speak::Responses.ask_stream(model, "hi"));
        let id = events
            .iter()
            .find_map(|e| e.json()["response"]["id"].as_str().map(str::to_owned))
            .unwrap();
        assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 404, "{model}");
    }
}
