//! Each stage of a call has its time; past it the client gets 504, or a stream its error.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use fingerpost_testkit::{Behavior, How, Point, Script};
use serde_json::{Value, json};

use crate::{
    bed::{Setup, upstream},
    speak::{ALL, Speak},
};

fn timeouts(connect: &str, first_byte: &str, idle: &str, total: &str) -> Value {
    json!({"connect": connect, "first_byte": first_byte, "idle": idle, "total": total})
}

/// An address whose queue of connections is full, so that a further one never stands. Held by what comes with it.
fn never_accepts() -> (SocketAddr, impl Drop) {
    struct Held(#[allow(dead_code, reason = "keeps the queue full")] (socket2::Socket, Vec<TcpStream>));
    impl Drop for Held {
        fn drop(&mut self) {}
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
    }
    (address, Held((socket, queued)))
}

#[test]
fn a_connection_that_never_stands() {
    let (address, _held) = never_accepts();
    let bed = Setup::new()
        .openai_at("full", address)
        .model("m", &["full"])
        .once()
        .set("/resilience/timeouts", timeouts("100ms", "20s", "20s", "20s"))
        .start();
    for speak in ALL {
        let began = Instant::now();
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 504, "{}", answer.text());
        let told = speak.error(&answer);
        assert!(told.message.contains("connect"), "{told:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_first_byte_that_never_comes() {
    for stall in [
        Behavior::fault(Point::Headers, How::Stall),
        Behavior::fault(Point::FirstEvent, How::Stall),
    ] {
        let up = upstream(Script::new().always(stall));
        let bed = Setup::new()
            .openai("up", &up)
            .model("m", &["up"])
            .once()
            .set("/resilience/breaker/consecutive_failures", json!(0))
            .set("/resilience/timeouts", timeouts("20s", "100ms", "20s", "20s"))
            .start();
        for speak in ALL {
            for body in [speak.ask("m", "hi"), speak.ask_stream("m", "hi")] {
                let answer = bed.post(speak.path(), &body);
                assert_eq!(answer.status, 504, "{}", answer.text());
                let told = speak.error(&answer);
                assert!(told.message.contains("first"), "{told:?}");
                assert_eq!(
                    told.kind,
                    if speak == Speak::Messages {
                        "timeout_error"
                    } else {
                        "server_error"
                    }
                );
            }
        }
        assert!(
            up.wait_until(crate::bed::SOON, |c| c.cancelled == 6),
            "given up upstream too: {:?}",
            up.counters()
        );
        assert!(
            bed.counts("fingerpost_errors_total", &[r#"reason="timeout""#], 6.0),
            "{}",
            bed.metrics()
        );
    }
}

#[test]
fn a_first_token_that_never_comes_though_the_stream_has_begun() {
    let up = upstream(Script::new().always(Behavior::fault(Point::Events(1), How::Stall)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .once()
        .set("/resilience/timeouts", timeouts("20s", "150ms", "20s", "20s"))
        .start();
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(Speak::Chat.error(&answer).message.contains("first token"));
}

#[test]
fn an_answer_that_stops_midway() {
    let up = upstream(Script::new().always(Behavior {
        text: Some("a b c d e f".into()),
        ..Behavior::fault(Point::Events(5), How::Stall)
    }));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/timeouts", timeouts("20s", "20s", "150ms", "20s"))
        .start();
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 504, "{}", answer.text());
        assert!(speak.error(&answer).message.contains("idle"), "{}", answer.text());
        let events = bed.stream(speak.path(), &speak.ask_stream("m", "hi"));
        assert!(!speak.is_complete(&events));
        let error = speak.stream_error(&events).unwrap();
        assert!(error.contains("timed out: idle"), "{error}");
    }
    assert!(
        up.wait_until(crate::bed::SOON, |c| c.cancelled == 6),
        "{:?}",
        up.counters()
    );
}

#[test]
fn pieces_in_time_do_not_add_up_to_a_time_out() {
    let up = upstream(Script::new().always(Behavior::text("a b c d e f g h").paced(8, 60)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/resilience/timeouts", timeouts("20s", "20s", "300ms", "20s"))
        .start();
    let events = bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert!(Speak::Chat.is_complete(&events), "{events:?}");
}

#[test]
fn the_whole_takes_too_long() {
    let up = upstream(Script::new().always(Behavior::text("a b c d e f g h i j").paced(10, 100)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/resilience/timeouts", timeouts("20s", "20s", "20s", "400ms"))
        .start();
    let events = bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert!(!Speak::Chat.is_complete(&events));
    assert!(
        Speak::Chat
            .stream_error(&events)
            .unwrap()
            .contains("timed out: total"),
        "{events:?}"
    );
    up.script(Script::new().always(Behavior::fault(Point::Headers, How::Stall)));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
    assert_eq!(answer.status, 504, "{}", answer.text());
}

#[test]
fn retries_end_with_the_whole_time() {
    let up = upstream(Script::new().always(Behavior::status(500)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/resilience/retry",
            json!({"max_retries": 1000, "min_per_second": 1000, "base_delay": "10ms", "max_delay": "20ms"}),
        )
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .set("/resilience/timeouts", timeouts("20s", "20s", "20s", "300ms"))
        .start();
    let began = Instant::now();
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
        502
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(up.counters().requests > 2);
}

#[test]
fn a_slow_model_is_passed_over_for_the_next() {
    let (slow, quick) = (
        upstream(Script::new().always(Behavior::fault(Point::Headers, How::Stall))),
        upstream(Script::new()),
    );
    let bed = Setup::new()
        .openai("slow", &slow)
        .openai("quick", &quick)
        .model("first", &["slow"])
        .model("second", &["quick"])
        .decision("all", &["first", "second"], json!("static"))
        .once()
        .set("/resilience/timeouts", timeouts("20s", "150ms", "20s", "20s"))
        .start();
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(
        (answer.status, answer.headers.get("x-fingerpost-model")),
        (200, Some("second"))
    );
}

#[test]
fn a_listener_that_never_answers_is_no_reason_to_wait_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let bed = Setup::new()
        .openai_at("silent", silent.local_addr().unwrap())
        .model("m", &["silent"])
        .once()
        .set("/resilience/timeouts", timeouts("20s", "20s", "20s", "200ms"))
        .start();
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
        504
    );
}
