//! A call that failed is made again, elsewhere first, within a budget and as long as waiting makes sense.

use std::{net::TcpListener, time::Duration};

use fingerpost_testkit::{Behavior, Garbage, How, Point, Script};
use serde_json::json;

use crate::{
    bed::{Setup, one, upstream},
    speak::{ALL, Speak},
};

const CHAT: Speak = Speak::Chat;

/// Retries without waiting long.
fn quick(setup: Setup) -> Setup {
    setup.set(
        "/resilience/retry",
        json!({"max_retries": 2, "base_delay": "1ms", "max_delay": "5ms"}),
    )
}

#[test]
fn whatever_may_pass_is_tried_again_at_the_only_endpoint_in_every_format() {
    let failures = [
        Behavior::status(500),
        Behavior::status(503),
        Behavior::status(529),
        Behavior::status(408),
        Behavior::status(429),
        Behavior::fault(Point::Headers, How::Reset),
        Behavior::fault(Point::Headers, How::Eof),
        Behavior::fault(Point::FirstEvent, How::Reset),
        Behavior::fault(Point::FirstEvent, How::Eof),
        Behavior::garbage(Garbage::NotHttp),
        Behavior::garbage(Garbage::Empty),
        Behavior::garbage(Garbage::WrongJson),
    ];
    for speak in ALL {
        for stream in [false, true] {
            let up = upstream(Script::new());
            let bed = quick(Setup::new().openai("up", &up).model("m", &["up"]))
                .set("/resilience/breaker/consecutive_failures", json!(0))
                .set("/resilience/breaker/failure_rate", json!(2))
                .start();
            for failure in &failures {
                up.script(
                    Script::new()
                        .then(failure.clone())
                        .always(Behavior::text("second try")),
                );
                if stream && failure.garbage == Some(Garbage::WrongJson) {
                    // It comes after the first token: nobody else can take over any more.
                    continue;
                }
                let before = up.requests().len();
                if stream {
                    let events = bed.stream(speak.path(), &speak.ask_stream("m", "hi"));
                    assert_eq!(speak.streamed(&events), "second try", "{speak:?} {failure:?}");
                    assert!(speak.is_complete(&events));
                } else {
                    let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
                    assert_eq!(answer.status, 200, "{speak:?} {failure:?} {}", answer.text());
                    assert_eq!(speak.text(&answer.json()), "second try");
                    // A kept connection that ends without a byte of answer may have been closed as idle: another takes its
                    // place, and that is no attempt.
                    let gone = failure
                        .fault
                        .as_ref()
                        .is_some_and(|fault| fault.at == Point::Headers);
                    let attempts = answer.headers.get("x-fingerpost-attempts");
                    assert!(
                        attempts == Some("2") || (gone && attempts.is_none()),
                        "{failure:?} {attempts:?}"
                    );
                }
                let sent = up.requests();
                assert_eq!(sent.len() - before, 2, "{speak:?} {failure:?}");
                assert_eq!(
                    sent[before].body,
                    sent[before + 1].body,
                    "the body is sent again as it was"
                );
            }
        }
    }
}

#[test]
fn another_endpoint_is_asked_before_the_same_again() {
    let (bad, good) = (
        upstream(Script::new().always(Behavior::status(500))),
        upstream(Script::new()),
    );
    let bed = Setup::new()
        .openai("bad", &bad)
        .openai("good", &good)
        .model("m", &["bad", "good"])
        // A wait here would be one for the same endpoint.
        .set(
            "/resilience/retry",
            json!({"max_retries": 1, "base_delay": "1m", "max_delay": "1m"}),
        )
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    for _ in 0..20 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    }
    assert_eq!(good.counters().requests, 20);
    let failed = bad.counters().requests;
    assert!(failed > 0, "one of twenty goes to the bad one first");
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let expected = failed as f64;
    assert!(
        bed.counts("fingerpost_retries_total", &[r#"model="m""#], expected),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_port_that_nobody_listens_on_is_passed_over() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = upstream(Script::new());
    let bed = Setup::new()
        .openai_at("none", free)
        .openai("good", &good)
        .model("m", &["none", "good"])
        .start();
    for _ in 0..10 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    }
    let lone = Setup::new()
        .openai_at("none", free)
        .model("m", &["none"])
        .once()
        .start();
    for speak in ALL {
        let answer = lone.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 502);
        let told = speak.error(&answer);
        assert!(told.message.contains("could not connect"), "{told:?}");
    }
}

#[test]
fn a_request_that_the_upstream_refuses_is_not_sent_again() {
    for status in [400, 413, 422] {
        let (up, bed) = one(Script::new().always(Behavior::status(status)));
        let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(up.counters().requests, 1, "{status}");
    }
}

#[test]
fn there_are_no_more_tries_than_configured() {
    for stream in [false, true] {
        let up = upstream(Script::new().always(Behavior::status(500)));
        let bed = quick(Setup::new().openai("up", &up).model("m", &["up"])).start();
        let mut body = CHAT.ask("m", "hi");
        body["stream"] = json!(stream);
        let answer = bed.post(CHAT.path(), &body);
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(CHAT.error(&answer).message.contains("scripted status 500"));
        assert_eq!(up.counters().requests, 3);
    }
}

#[test]
fn retries_stop_when_the_budget_is_spent() {
    let up = upstream(Script::new().always(Behavior::status(500)));
    let bed = quick(Setup::new().openai("up", &up).model("m", &["up"]))
        .set("/resilience/retry/budget_ratio", json!(0.5))
        .set("/resilience/retry/min_per_second", json!(0))
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    for _ in 0..20 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 502);
    }
    // Each request pays in half a retry.
    assert_eq!(up.counters().requests, 30);
}

#[test]
fn a_retry_after_is_waited_for() {
    for header in [("retry-after-ms", "150"), ("retry-after", "1")] {
        let refusal = Behavior::status(429).header(header.0, header.1);
        let up = upstream(Script::new().then(refusal).always(Behavior::text("later")));
        let bed = quick(Setup::new().openai("up", &up).model("m", &["up"])).start();
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
        let sent = up.requests();
        let waited = sent[1].at - sent[0].at;
        let asked = if header.0 == "retry-after" { 1000 } else { 150 };
        assert!(waited >= Duration::from_millis(asked), "{waited:?}");
    }
}

#[test]
fn a_retry_after_that_is_too_long_is_told_to_the_client() {
    let refusal = Behavior::status(429).header("retry-after", "77");
    for speak in ALL {
        let (up, bed) = one(Script::new().always(refusal.clone()));
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert_eq!(answer.headers.get("retry-after"), Some("77"));
        let told = speak.error(&answer);
        assert_eq!(told.kind, "rate_limit_error", "{told:?}");
        assert_eq!(up.counters().requests, 1);
    }
}

#[test]
fn a_kept_connection_that_the_server_closed_costs_no_retry() {
    let closing = Behavior {
        close_after: true,
        ..Behavior::text("bye")
    };
    let up = upstream(Script::new().always(closing));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(1))
        .start();
    for i in 0..20 {
        let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
        assert_eq!(answer.status, 200, "request {i}: {}", answer.text());
        assert_eq!(answer.headers.get("x-fingerpost-attempts"), None);
        std::thread::sleep(Duration::from_millis(if i % 2 == 0 { 0 } else { 5 }));
    }
}

#[test]
fn a_failure_is_tried_again_at_the_same_endpoint_where_the_other_is_out_of_service() {
    let (dead, flaky) = (
        upstream(Script::new().always(Behavior::status(500))),
        upstream(Script::new()),
    );
    let bed = quick(
        Setup::new()
            .openai("dead", &dead)
            .openai("flaky", &flaky)
            .model("m", &["dead", "flaky"]),
    )
    .model("only-dead", &["dead"])
    .set(
        "/resilience/breaker",
        json!({"consecutive_failures": 3, "open_for": "1m"}),
    )
    .start();
    // Each model has endpoints and breakers of its own: `m@dead` must have failed three times.
    for _ in 0..40 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    }
    assert!(
        bed.metric("fingerpost_breaker", &[r#"endpoint="m@dead""#, r#"state="open""#]) > 0.5,
        "{}",
        bed.metrics()
    );
    flaky.script(
        Script::new()
            .then(Behavior::status(500))
            .always(Behavior::text("second try")),
    );
    let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    flaky.script(Script::new().always(Behavior::status(500)));
    let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!(
        answer.status,
        502,
        "what the upstream said, not that the other is out of service: {}",
        answer.text()
    );
}
