//! A client that leaves takes its upstream call with it.

use fingerpost_testkit::{Behavior, How, Point, Script};
use serde_json::json;

use crate::{
    bed::{SOON, Setup, one, upstream},
    speak::{ALL, Speak},
};

#[test]
fn leaving_in_the_middle_of_a_stream_cancels_upstream() {
    for speak in ALL {
        let (up, bed) = one(Script::new().always(Behavior::text("a b c d e f g h").paced(8, 300)));
        let mut client = bed.begin(speak.path(), &speak.ask_stream("m", "hi"));
        client.next_event().unwrap();
        client.leave();
        assert!(
            up.wait_until(SOON, |c| c.cancelled == 1 && c.completed == 0),
            "{speak:?} {:?}",
            up.counters()
        );
        assert!(
            bed.counts("fingerpost_errors_total", &[r#"reason="cancelled""#], 1.0),
            "{}",
            bed.metrics()
        );
        // It is counted as what it was: the client's own end, no success.
        assert!(
            bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 1.0),
            "{}",
            bed.metrics()
        );
        assert!(bed.counts("fingerpost_in_flight", &[], 0.0));
    }
}

#[test]
fn leaving_while_waiting_cancels_upstream() {
    for speak in ALL {
        for body in [speak.ask("m", "hi"), speak.ask_stream("m", "hi")] {
            let (up, bed) = one(Script::new().always(Behavior::fault(Point::Headers, How::Stall)));
            let mut client = bed.client();
            client
                .request("POST", speak.path(), &[], body.to_string().as_bytes())
                .unwrap();
            assert!(up.wait_until(SOON, |c| c.in_flight == 1));
            client.leave();
            assert!(
                up.wait_until(SOON, |c| c.cancelled == 1),
                "{speak:?} {:?}",
                up.counters()
            );
            assert!(
                bed.counts("fingerpost_errors_total", &[r#"reason="cancelled""#], 1.0),
                "{}",
                bed.metrics()
            );
            assert!(
                bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 1.0),
                "{}",
                bed.metrics()
            );
            assert!(bed.counts("fingerpost_in_flight", &[], 0.0));
        }
    }
}

#[test]
fn leaving_while_a_whole_answer_comes_in_cancels_upstream() {
    let slow = Behavior {
        slow_bytes: Some(20),
        chunk_ms: 300,
        ..Behavior::text("a long answer")
    };
    let (up, bed) = one(Script::new().always(slow));
    let mut client = bed.client();
    client
        .request(
            "POST",
            Speak::Chat.path(),
            &[],
            Speak::Chat.ask("m", "hi").to_string().as_bytes(),
        )
        .unwrap();
    assert!(up.wait_until(SOON, |c| c.in_flight == 1));
    client.leave();
    assert!(up.wait_until(SOON, |c| c.cancelled == 1), "{:?}", up.counters());
}

#[test]
fn leaving_between_two_tries_ends_the_tries() {
    let up = upstream(Script::new().always(Behavior::status(500)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/resilience/retry",
            json!({"max_retries": 100, "base_delay": "300ms", "max_delay": "300ms"}),
        )
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    let mut client = bed.client();
    client
        .request(
            "POST",
            Speak::Chat.path(),
            &[],
            Speak::Chat.ask("m", "hi").to_string().as_bytes(),
        )
        .unwrap();
    assert!(up.wait_until(SOON, |c| c.requests == 1));
    client.leave();
    assert!(
        bed.counts("fingerpost_errors_total", &[r#"reason="cancelled""#], 1.0),
        "{}",
        bed.metrics()
    );
    let asked = up.counters().requests;
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(up.counters().requests, asked);
}

#[test]
fn leaving_before_the_body_is_whole_is_no_failure_of_ours() {
    let (up, bed) = one(Script::new());
    let mut client = bed.client();
    client
        .send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{\"model\":")
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    client.leave();
    assert!(
        bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 1.0),
        "{}",
        bed.metrics()
    );
    assert_eq!(up.counters().requests, 0);
    assert!((bed.metric("fingerpost_requests_total", &[r#"status="5xx""#])).abs() < 0.5);
}
