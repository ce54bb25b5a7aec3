//! On the way out what is under way is finished, and nothing new is taken.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use fingerpost_testkit::{Behavior, How, Point, Script};

use crate::{
    bed::{SOON, eventually, one},
    speak::{ALL, Speak},
};

#[test]
fn answers_under_way_are_finished_and_connections_refused() {
    for speak in ALL {
        let (up, mut bed) = one(Script::new().always(Behavior::text("a b c d e f").paced(6, 100)));
        let mut stream = bed.begin(speak.path(), &speak.ask_stream("m", "hi"));
        let mut whole = bed.client();
        up.script(Script::new().always(Behavior::text("whole").after_ms(500)));
        whole
            .request(
                "POST",
                speak.path(),
                &[],
                speak.ask("m", "hi").to_string().as_bytes(),
            )
            .unwrap();
        assert!(up.wait_until(SOON, |c| c.requests == 2));
        let server = bed.server.take().unwrap();
        let address = bed.address;
        let draining = std::thread::spawn(move || server.drain(SOON));
        assert!(
            eventually(|| TcpStream::connect(address).is_err()),
            "new connections are refused"
        );
        let events = stream.events().unwrap();
        assert_eq!(speak.streamed(&events), "a b c d e f", "{speak:?}");
        assert!(speak.is_complete(&events));
        let answer = whole.response().unwrap();
        assert_eq!(speak.text(&answer.json()), "whole");
        assert_eq!(draining.join().unwrap(), 0, "nothing was cut off");
        assert!(stream.is_closed() && whole.is_closed());
    }
}

#[test]
fn readiness_ends_at_once() {
    let (up, mut bed) = one(Script::new().always(Behavior::text("a b c d e f").paced(6, 200)));
    assert_eq!(bed.get("/readyz").status, 200);
    let mut stream = bed.begin(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert_eq!(up.counters().in_flight, 1);
    // A probe that was on its way when the drain began.
    let mut probe = bed.client();
    probe.send(b"GET /readyz HTTP/1.1\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let server = bed.server.take().unwrap();
    let address = bed.address;
    let draining = std::thread::spawn(move || server.drain(SOON));
    assert!(eventually(|| TcpStream::connect(address).is_err()));
    probe.send(b"host: x\r\n\r\n").unwrap();
    assert_eq!(probe.response().unwrap().status, 503);
    assert!(Speak::Chat.is_complete(&stream.events().unwrap()));
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn idle_connections_do_not_hold_the_drain_up() {
    let (_up, mut bed) = one(Script::new());
    let mut kept = bed.client();
    assert_eq!(kept.get("/healthz").unwrap().status, 200);
    let _silent = bed.client();
    let began = Instant::now();
    assert_eq!(bed.server.take().unwrap().drain(SOON), 0);
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    assert!(kept.is_closed());
}

#[test]
fn patience_ends() {
    let (up, mut bed) = one(Script::new().always(Behavior {
        text: Some("a b c d".into()),
        ..Behavior::fault(Point::Events(3), How::Stall)
    }));
    let mut stream = bed.begin(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    let began = Instant::now();
    let cut_off = bed.server.take().unwrap().drain(Duration::from_millis(200));
    assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < SOON);
    assert_eq!(cut_off, 1);
    // Half an answer does not look complete: the body breaks off without its last chunk.
    assert!(stream.events().is_err());
    assert!(up.wait_until(SOON, |c| c.cancelled == 1));
}
