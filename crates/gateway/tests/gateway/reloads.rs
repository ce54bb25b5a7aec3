//! A new configuration is swapped in whole, under traffic, and a bad one is not.

use fingerpost_testkit::{Behavior, Script};
use serde_json::json;

use crate::{
    bed::{SOON, Setup, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

#[test]
fn the_next_request_goes_by_the_new_one_and_those_under_way_by_the_old() {
    let (old, new) = (
        upstream(Script::new().always(Behavior::text("a b c d e f").paced(6, 100))),
        upstream(Script::new()),
    );
    let before = Setup::new()
        .openai("up", &old)
        .model("m", &["up"])
        .model("gone", &["up"]);
    let bed = before.start();
    let mut stream = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    let mut kept = bed.client();
    assert_eq!(kept.get("/healthz").unwrap().status, 200);
    let after = Setup::new()
        .openai("up", &new)
        .model("m", &["up"])
        .model("added", &["up"]);
    bed.shared.reload(after.config()).unwrap();
    for model in ["m", "added"] {
        // Also on a connection that was there before.
        let answer = kept
            .post(CHAT.path(), &[], &CHAT.ask(model, "hi").to_string())
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("gone", "hi")).status, 404);
    assert_eq!((old.counters().requests, new.counters().requests), (1, 2));
    assert_eq!(CHAT.streamed(&stream.events().unwrap()), "a b c d e f");
    assert!(
        bed.metric("fingerpost_snapshot_version", &[]) > 1.5,
        "{}",
        bed.metrics()
    );
    assert_eq!(bed.get("/readyz").json()["configuration"], 2);
}

#[test]
fn breakers_and_load_are_carried_over() {
    let up = upstream(
        Script::new()
            .then(Behavior::text("a b c d e f").paced(6, 300))
            .always(Behavior::status(500)),
    );
    let setup = Setup::new().openai("up", &up).model("m", &["up"]).once().set(
        "/resilience/breaker",
        json!({"consecutive_failures": 2, "open_for": "1m"}),
    );
    let bed = setup.start();
    let mut stream = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    for _ in 0..2 {
        assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 502);
    }
    bed.shared
        .reload(setup.set("/default_model", json!("m")).config())
        .unwrap();
    assert_eq!(
        bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status,
        503,
        "still open"
    );
    assert!(
        (bed.metric("fingerpost_in_flight", &[r#"endpoint="m@up""#]) - 1.0).abs() < 0.1,
        "{}",
        bed.metrics()
    );
    assert!(CHAT.is_complete(&stream.events().unwrap()));
    assert!(bed.counts("fingerpost_in_flight", &[], 0.0));
}

#[test]
fn the_bound_on_the_whole_process_counts_across_a_reload() {
    let up = upstream(Script::new().then(Behavior::text("a b c d e f").paced(6, 300)));
    let setup = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/resilience/shed/max_in_flight", json!(1));
    let bed = setup.start();
    let mut stream = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    bed.shared.reload(setup.config()).unwrap();
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 503);
    bed.shared
        .reload(setup.set("/resilience/shed/max_in_flight", json!(2)).config())
        .unwrap();
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    assert!(CHAT.is_complete(&stream.events().unwrap()));
}

#[test]
fn a_configuration_that_makes_no_sense_changes_nothing() {
    let up = upstream(Script::new());
    let setup = Setup::new().openai("up", &up).model("m", &["up"]);
    let bed = setup.start();
    // Readable, but wrong as a whole: the check of the file is passed by.
    let mut wrong = setup.config();
    wrong.default_model = Some("nobody".to_owned());
    wrong.models.get_mut("m").unwrap().endpoints[0].provider = "nowhere".to_owned();
    let problems = bed.shared.reload(wrong).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        shown.iter().any(|p| p.contains("nowhere")) && shown.iter().any(|p| p.contains("default_model")),
        "{shown:?}"
    );
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 200);
    assert!(
        (bed.metric("fingerpost_config_reloads_total", &[r#"result="failed""#]) - 1.0).abs() < 0.1,
        "{}",
        bed.metrics()
    );
    assert!((bed.metric("fingerpost_snapshot_version", &[]) - 1.0).abs() < 0.1);
}

#[test]
fn traffic_never_notices() {
    let up = upstream(Script::new());
    let setup =
        Setup::new()
            .openai("up", &up)
            .model("m", &["up"])
            .decision("all", &["m"], json!("latency_aware"));
    let bed = setup.start();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = bed.client();
            for _ in 0..200 {
                let answer = client
                    .post(CHAT.path(), &[], &CHAT.ask("auto", "hi").to_string())
                    .unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        });
        while !asking.is_finished() {
            bed.shared.reload(setup.config()).unwrap();
        }
        asking.join().unwrap();
    });
    assert!(up.wait_until(SOON, |c| c.requests == 200));
}
