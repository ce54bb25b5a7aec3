//! Where it is switched on, a second endpoint is asked when the first is slow, and the quicker one answers.

use std::time::{Duration, Instant};

use fingerpost_testkit::{Behavior, How, Point, Script, Upstream};
use serde_json::json;

use crate::{
    bed::{Bed, SOON, Setup, upstream},
    speak::{ALL, Speak},
};

/// Two endpoints, the first of which is always picked first.
fn two(first: Behavior, second: Behavior, hedge: Option<serde_json::Value>) -> (Upstream, Upstream, Bed) {
    let (a, b) = (
        upstream(Script::new().always(first)),
        upstream(Script::new().always(second)),
    );
    let mut setup = Setup::new()
        .openai("a", &a)
        .openai("b", &b)
        .model("m", &["a", "b"])
        .once()
        .set("/models/m/fleet", json!({"policy": "round_robin"}));
    if let Some(hedge) = hedge {
        setup = setup.set("/resilience/hedge", hedge);
    }
    (a, b, setup.start())
}

fn hedge() -> Option<serde_json::Value> {
    Some(json!({"delay": "50ms", "budget_ratio": 1.0}))
}

#[test]
fn the_quicker_one_answers_and_the_slower_is_cancelled() {
    for speak in ALL {
        for stream in [false, true] {
            let stall = Behavior::fault(Point::Headers, How::Stall);
            let (a, b, bed) = two(stall.clone(), Behavior::text("quick"), hedge());
            let began = Instant::now();
            // Whichever is first in turn: two requests meet the stalled one at least once.
            for _ in 0..2 {
                if stream {
                    let events = bed.stream(speak.path(), &speak.ask_stream("m", "hi"));
                    assert_eq!(speak.streamed(&events), "quick");
                    assert!(speak.is_complete(&events));
                } else {
                    let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    assert_eq!(answer.headers.get("x-fingerpost-endpoint"), Some("m@b"));
                }
            }
            assert!(began.elapsed() < Duration::from_secs(10));
            assert!(a.counters().requests >= 1 && b.counters().requests == 2);
            assert!(
                a.wait_until(SOON, |c| c.cancelled == c.requests),
                "{:?}",
                a.counters()
            );
            assert!(
                crate::bed::eventually(|| bed.metric("fingerpost_hedges_total", &[r#"model="m""#]) > 0.5),
                "{}",
                bed.metrics()
            );
            assert!(bed.counts("fingerpost_in_flight", &[], 0.0), "{}", bed.metrics());
        }
    }
}

#[test]
fn nobody_is_asked_twice_unless_it_is_switched_on() {
    let (a, b, bed) = two(
        Behavior::text("a").after_ms(150),
        Behavior::text("b").after_ms(150),
        None,
    );
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
        200
    );
    assert_eq!(a.counters().requests + b.counters().requests, 1);
}

#[test]
fn a_quick_first_answer_costs_no_second_call() {
    let (a, b, bed) = two(
        Behavior::text("a"),
        Behavior::text("b"),
        Some(json!({"delay": "5s", "budget_ratio": 1.0})),
    );
    for _ in 0..4 {
        assert_eq!(
            bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
            200
        );
    }
    assert_eq!(a.counters().requests + b.counters().requests, 4);
}

#[test]
fn the_slower_one_answers_where_the_quicker_fails() {
    // The hedge comes after 50 ms and fails at once; the first answers after 400.
    let (a, b, bed) = two(
        Behavior::text("slow but sure").after_ms(400),
        Behavior::status(500),
        hedge(),
    );
    let mut answered = 0;
    for _ in 0..4 {
        let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
        // The turn that begins with the failing one ends there: no retries here.
        if answer.status == 200 {
            assert_eq!(Speak::Chat.text(&answer.json()), "slow but sure");
            answered += 1;
        }
    }
    assert!(
        answered > 0 && a.counters().requests == answered,
        "{answered} {:?}",
        a.counters()
    );
    assert!(b.counters().requests >= answered);
}

#[test]
fn both_failing_is_told_once() {
    let (_a, _b, bed) = two(
        Behavior::status(500).after_ms(150),
        Behavior::status(500).after_ms(150),
        hedge(),
    );
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(
        bed.counts("fingerpost_upstream_calls_total", &[r#"result="status""#], 2.0),
        "{}",
        bed.metrics()
    );
    assert!(bed.counts("fingerpost_in_flight", &[], 0.0));
}

#[test]
fn hedges_stop_when_the_budget_is_spent() {
    let slow = Behavior::text("x").after_ms(120);
    let budget = json!({"delay": "20ms", "budget_ratio": 0.0});
    let (a, b, bed) = two(slow.clone(), slow, Some(budget));
    let began = Instant::now();
    let requests = 30;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..requests / 3 {
                    assert_eq!(
                        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
                        200
                    );
                }
            });
        }
    });
    // Ten saved up and one a second besides.
    let allowed = 10 + began.elapsed().as_secs() + 1;
    let calls = a.counters().requests + b.counters().requests;
    assert!(
        calls > requests && calls <= requests + allowed,
        "{calls} calls, {allowed} hedges allowed"
    );
}
