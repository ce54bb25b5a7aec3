//! What does not fit is turned away at once, and told when to come back; what fits into the queue waits for its place.

use fingerpost_testkit::{Behavior, Client, Script};
use serde_json::json;

use crate::{
    bed::{Bed, SOON, Setup, one, upstream},
    speak::{ALL, Speak},
};

const CHAT: Speak = Speak::Chat;

fn send(bed: &Bed, speak: Speak) -> Client {
    let mut client = bed.client();
    client
        .request(
            "POST",
            speak.path(),
            &[],
            speak.ask("m", "hi").to_string().as_bytes(),
        )
        .unwrap();
    client
}

#[test]
fn an_endpoint_gets_no_more_calls_than_it_may_have_and_the_others_wait() {
    let up = upstream(Script::new().always(Behavior::text("x").after_ms(150)));
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "max_in_flight": 2}]),
        )
        .set("/resilience/shed", json!({"queue": 10, "max_wait": "20s"}))
        .start();
    let clients: Vec<Client> = (0..6).map(|_| send(&bed, CHAT)).collect();
    assert!(up.wait_until(SOON, |c| c.in_flight == 2));
    for mut client in clients {
        assert!(up.counters().in_flight <= 2);
        assert_eq!(client.response().unwrap().status, 200);
    }
    assert_eq!(up.counters().requests, 6);
    assert!(
        bed.counts("fingerpost_queue_length", &[], 0.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_full_queue_turns_away_in_every_format() {
    let up = upstream(Script::new().always(Behavior::text("x").after_ms(1500)));
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "max_in_flight": 1}]),
        )
        .set("/resilience/shed", json!({"queue": 1, "max_wait": "20s"}))
        .start();
    let mut inside = send(&bed, CHAT);
    assert!(up.wait_until(SOON, |c| c.in_flight == 1));
    let mut waiting = send(&bed, CHAT);
    assert!(
        bed.counts("fingerpost_queue_length", &[], 1.0),
        "{}",
        bed.metrics()
    );
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.headers.get("retry-after").is_some());
        assert_eq!(
            speak.error(&answer).kind,
            if speak == Speak::Messages {
                "overloaded_error"
            } else {
                "server_error"
            }
        );
    }
    assert_eq!(inside.response().unwrap().status, 200);
    assert_eq!(waiting.response().unwrap().status, 200);
}

#[test]
fn nobody_waits_longer_than_allowed() {
    let up = upstream(Script::new().always(Behavior::text("x").after_ms(3000)));
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "max_in_flight": 1}]),
        )
        .set("/resilience/shed", json!({"queue": 5, "max_wait": "100ms"}))
        .start();
    let inside = send(&bed, CHAT);
    assert!(up.wait_until(SOON, |c| c.in_flight == 1));
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 503);
    assert_eq!(up.counters().requests, 1);
    inside.leave();
    // The place is free again as soon as the client has left.
    assert!(bed.counts("fingerpost_in_flight", &[], 0.0));
    up.script(Script::new());
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
}

#[test]
fn one_who_waits_and_leaves_gives_the_place_in_the_queue_back() {
    let up = upstream(Script::new().always(Behavior::text("x").after_ms(1500)));
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "max_in_flight": 1}]),
        )
        .set("/resilience/shed", json!({"queue": 5, "max_wait": "20s"}))
        .start();
    let mut inside = send(&bed, CHAT);
    assert!(up.wait_until(SOON, |c| c.in_flight == 1));
    let waiting = send(&bed, CHAT);
    assert!(bed.counts("fingerpost_queue_length", &[], 1.0));
    waiting.leave();
    assert!(bed.counts("fingerpost_queue_length", &[], 0.0));
    assert_eq!(inside.response().unwrap().status, 200);
    assert_eq!(up.counters().requests, 1, "who left is not asked for");
}

#[test]
fn a_full_model_is_passed_over_for_the_next() {
    let (full, free) = (
        upstream(Script::new().always(Behavior::text("x").after_ms(1500))),
        upstream(Script::new()),
    );
    let bed = Setup::new()
        .openai("full", &full)
        .openai("free", &free)
        .set(
            "/models/first/endpoints",
            json!([{"provider": "full", "max_in_flight": 1}]),
        )
        .model("second", &["free"])
        .decision("all", &["first", "second"], json!("static"))
        .set("/resilience/shed", json!({"queue": 0}))
        .start();
    let mut inside = bed.client();
    inside
        .request(
            "POST",
            CHAT.path(),
            &[],
            CHAT.ask("auto", "hi").to_string().as_bytes(),
        )
        .unwrap();
    assert!(full.wait_until(SOON, |c| c.in_flight == 1));
    let answer = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(
        (answer.status, answer.headers.get("x-fingerpost-model")),
        (200, Some("second"))
    );
    assert_eq!(
        inside.response().unwrap().headers.get("x-fingerpost-model"),
        Some("first")
    );
}

#[test]
fn the_whole_process_takes_no_more_than_its_bound_until_the_end_of_each_stream() {
    let up = upstream(Script::new().always(Behavior::text("a b c d").paced(4, 150)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/resilience/shed", json!({"max_in_flight": 2}))
        .start();
    let streams: Vec<Client> = (0..2)
        .map(|_| bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi")))
        .collect();
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.headers.get("retry-after"), Some("1"));
        let told = speak.error(&answer);
        assert!(told.message.contains("resilience.shed.max_in_flight"), "{told:?}");
        assert_eq!(
            told.kind,
            if speak == Speak::Messages {
                "overloaded_error"
            } else {
                "server_error"
            }
        );
    }
    assert_eq!(up.counters().requests, 2);
    // What is not chat is not bounded: an operator must see what goes on.
    assert_eq!(bed.get("/healthz").status, 200);
    for mut stream in streams {
        assert!(CHAT.is_complete(&stream.events().unwrap()));
    }
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    assert!(
        bed.counts("fingerpost_requests_total", &[r#"status="5xx""#], 3.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn refusals_and_departures_give_their_place_back() {
    let (up, bed) = {
        let up = upstream(Script::new());
        let bed = Setup::new()
            .openai("up", &up)
            .model("m", &["up"])
            .set("/resilience/shed", json!({"max_in_flight": 1}))
            .start();
        (up, bed)
    };
    for _ in 0..3 {
        assert_eq!(bed.post(CHAT.path(), &json!({"model": "m"})).status, 400);
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("nobody", "hi")).status, 404);
    }
    up.script(Script::new().always(Behavior::text("a b c d e f").paced(6, 100)));
    let mut stream = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    stream.next_event().unwrap();
    stream.leave();
    assert!(up.wait_until(SOON, |c| c.cancelled == 1));
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
}

#[test]
fn the_bound_is_far_away_by_default() {
    let (_up, bed) = one(Script::new().always(Behavior::text("x").after_ms(200)));
    let clients: Vec<Client> = (0..64).map(|_| send(&bed, CHAT)).collect();
    for mut client in clients {
        assert_eq!(client.response().unwrap().status, 200);
    }
}
