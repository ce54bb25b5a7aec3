//! An endpoint that fails is spared for a while, then asked once to see, then used again.

use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::{ALL, Speak},
};

const CHAT: Speak = Speak::Chat;

fn state(bed: &Bed, state: &str) -> bool {
    bed.metric(
        "fingerpost_breaker",
        &[r#"endpoint="m@up""#, &format!("state=\"{state}\"")],
    ) > 0.5
}

/// A gateway whose only endpoint has failed once and waits for a probe. It would hold a probe's place for a minute, and closes
/// after so many `probes`.
fn half_open(up: &Upstream, probes: u32) -> Bed {
    let bed = Setup::new()
        .openai("up", up)
        .model("m", &["up"])
        .once()
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 1, "open_for": "1m", "max_open_for": "100ms", "probes": probes}),
        )
        .start();
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 502);
    assert!(eventually(|| state(&bed, "half_open")), "{}", bed.metrics());
    bed
}

#[test]
fn it_opens_spares_the_endpoint_probes_it_and_closes() {
    let up = upstream(Script::new().always(Behavior::status(500)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .once()
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 3, "open_for": "700ms", "max_open_for": "700ms", "probes": 1}),
        )
        .start();
    assert!(state(&bed, "closed"), "{}", bed.metrics());
    for _ in 0..3 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 502);
    }
    assert!(state(&bed, "open") && !state(&bed, "closed"), "{}", bed.metrics());
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.headers.get("retry-after"), Some("1"));
        let told = speak.error(&answer);
        assert_eq!(
            told.kind,
            if speak == Speak::Messages {
                "overloaded_error"
            } else {
                "server_error"
            }
        );
        assert!(told.message.contains("m@up"), "{told:?}");
    }
    assert_eq!(up.counters().requests, 3, "spared");
    // A probe that fails opens it again.
    assert!(eventually(|| state(&bed, "half_open")), "{}", bed.metrics());
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 502);
    assert_eq!(up.counters().requests, 4);
    assert!(state(&bed, "open"));
    up.script(Script::new());
    assert!(eventually(|| state(&bed, "half_open")));
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    assert!(state(&bed, "closed"), "{}", bed.metrics());
}

#[test]
fn half_open_one_call_passes_at_a_time() {
    let up = upstream(
        Script::new()
            .then(Behavior::status(500))
            .always(Behavior::text("ok").after_ms(400)),
    );
    let bed = half_open(&up, 1);
    let mut probe = bed.client();
    probe
        .request(
            "POST",
            CHAT.path(),
            &[],
            CHAT.ask("m", "hi").to_string().as_bytes(),
        )
        .unwrap();
    assert!(up.wait_until(crate::bed::SOON, |c| c.in_flight == 1));
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 503);
    assert_eq!(probe.response().unwrap().status, 200);
    assert!(state(&bed, "closed"));
    assert_eq!(up.counters().requests, 2);
}

#[test]
fn a_probe_that_is_refused_for_the_request_s_fault_was_answered() {
    let up = upstream(
        Script::new()
            .then(Behavior::status(500))
            .always(Behavior::status(400)),
    );
    let bed = half_open(&up, 2);
    // The first frees the probe's place for the second, which closes it.
    for _ in 0..2 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 400);
    }
    assert!(state(&bed, "closed"), "{}", bed.metrics());
}

#[test]
fn a_client_that_leaves_or_asks_wrongly_says_nothing_of_the_endpoint() {
    let up = upstream(Script::new().always(Behavior::status(400)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 1, "open_for": "1m"}),
        )
        .start();
    for _ in 0..3 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 400);
    }
    up.script(Script::new().then(Behavior::text("a b c d e f").paced(6, 100)));
    let mut client = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    client.next_event().unwrap();
    client.leave();
    assert!(up.wait_until(crate::bed::SOON, |c| c.cancelled == 1));
    assert!(state(&bed, "closed"));
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
}

#[test]
fn the_other_endpoint_takes_everything_meanwhile() {
    let (bad, good) = (
        upstream(Script::new().always(Behavior::status(500))),
        upstream(Script::new()),
    );
    let bed = Setup::new()
        .openai("bad", &bad)
        .openai("good", &good)
        .model("m", &["bad", "good"])
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 2, "open_for": "1m"}),
        )
        .start();
    for _ in 0..40 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    }
    assert_eq!((bad.counters().requests, good.counters().requests), (2, 40));
}

#[test]
fn a_wrong_key_opens_it_too() {
    let up = upstream(Script::new().always(Behavior::status(401)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/resilience/breaker",
            json!({"consecutive_failures": 2, "open_for": "1m"}),
        )
        .start();
    let statuses: Vec<u16> = (0..3)
        .map(|_| bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status)
        .collect();
    assert_eq!(statuses, [502, 502, 503]);
}
