//! Where a model does not answer, the next one of the decision does, and the client does not notice.

use fingerpost_testkit::{Behavior, Garbage, How, Point, Script, Upstream};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// A decision over the models `first` (OpenAI-compatible) and `second` (Anthropic), in this order.
fn two(first: Behavior, second: Behavior) -> (Upstream, Upstream, Bed) {
    let (a, b) = (
        upstream(Script::new().always(first)),
        upstream(Script::new().always(second)),
    );
    let bed = Setup::new()
        .openai("a", &a)
        .anthropic("b", &b)
        .model("first", &["a"])
        .model("second", &["b"])
        .decision("all", &["first", "second"], json!("static"))
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    (a, b, bed)
}

#[test]
fn the_next_model_answers_in_every_format_whole_and_streamed() {
    let failures = [
        Behavior::status(500),
        Behavior::status(429),
        Behavior::status(401),
        Behavior::status(403),
        Behavior::status(404),
        Behavior::fault(Point::Headers, How::Reset),
        Behavior::fault(Point::FirstEvent, How::Eof),
        Behavior::fault(Point::FirstEvent, How::CleanEof),
        Behavior::fault(Point::FirstEvent, How::ErrorEvent),
        Behavior::garbage(Garbage::Empty),
        Behavior::garbage(Garbage::NotHttp),
    ];
    for failure in failures {
        let (first, second, bed) = two(failure.clone(), Behavior::text("from the second"));
        for speak in ALL {
            // A whole body cannot carry an error event, and ends early instead.
            let answer = bed.post(speak.path(), &speak.ask("auto", "hi"));
            assert_eq!(answer.status, 200, "{speak:?} {failure:?} {}", answer.text());
            assert_eq!(speak.text(&answer.json()), "from the second");
            assert_eq!(answer.headers.get("x-fingerpost-model"), Some("second"));
            let events = bed.stream(speak.path(), &speak.ask_stream("auto", "hi"));
            assert_eq!(
                speak.streamed(&events),
                "from the second",
                "{speak:?} {failure:?}"
            );
            assert!(speak.is_complete(&events) && speak.stream_error(&events).is_none());
        }
        assert!(first.counters().requests >= 5, "{:?}", first.counters());
        assert_eq!(second.counters().requests, 6);
    }
}

#[test]
fn a_stream_that_breaks_after_its_opening_but_before_its_first_token_falls_back() {
    // The opening event carries a role or an id, no token.
    for how in [How::Reset, How::Eof, How::CleanEof, How::ErrorEvent] {
        let (_first, second, bed) = two(
            Behavior::fault(Point::Events(1), how),
            Behavior::text("from the second"),
        );
        for speak in ALL {
            let events = bed.stream(speak.path(), &speak.ask_stream("auto", "hi"));
            assert_eq!(speak.streamed(&events), "from the second", "{speak:?} {how:?}");
            assert!(speak.is_complete(&events));
        }
        assert_eq!(second.counters().requests, 3);
    }
}

#[test]
fn fallbacks_are_counted() {
    let (_a, _b, bed) = two(Behavior::status(500), Behavior::text("x"));
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"))
            .headers
            .get("x-fingerpost-attempts"),
        Some("2")
    );
    let labels = [r#"from="first""#, r#"to="second""#];
    assert!(
        bed.counts("fingerpost_fallbacks_total", &labels, 1.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_request_that_is_itself_wrong_goes_nowhere_else() {
    let (first, second, bed) = two(Behavior::status(400), Behavior::text("x"));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(answer.status, 400);
    assert_eq!((first.counters().requests, second.counters().requests), (1, 0));
}

#[test]
fn where_nobody_answers_the_client_is_told_in_its_own_format() {
    let (_a, _b, bed) = two(
        Behavior {
            message: Some("first is unwell".into()),
            ..Behavior::status(500)
        },
        Behavior {
            message: Some("second is unwell".into()),
            ..Behavior::status(500)
        },
    );
    for speak in ALL {
        for body in [speak.ask("auto", "hi"), speak.ask_stream("auto", "hi")] {
            let answer = bed.post(speak.path(), &body);
            assert_eq!(answer.status, 502, "{}", answer.text());
            let told = speak.error(&answer);
            assert!(told.message.contains("is unwell"), "{told:?}");
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

#[test]
fn a_wrong_key_of_ours_is_not_blamed_on_the_client() {
    let (up, bed) = crate::bed::one(Script {
        key: Some("right".into()),
        ..Script::new()
    });
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 502, "{}", answer.text());
        let told = speak.error(&answer);
        assert!(
            told.message.contains("401") && told.message.contains("Incorrect API key"),
            "{told:?}"
        );
    }
    assert_eq!(up.counters().requests, 3);
}

#[test]
fn a_model_that_the_client_names_is_not_swapped_for_another() {
    let (_a, second, bed) = two(Behavior::status(500), Behavior::text("x"));
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("first", "hi"))
            .status,
        502
    );
    assert_eq!(second.counters().requests, 0);
}
