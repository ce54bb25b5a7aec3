//! Several replicas in front of one Redis-protocol server learn from each other, and serve on whatever becomes of it.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use fingerpost_gateway::config;
use fingerpost_testkit::{Behavior, RedisServer, Response, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

/// Two models, `a-slow` before `b-quick`, chosen by latency; state on a server at `url`.
fn learning(slow: &Upstream, quick: &Upstream, url: &str) -> Setup {
    Setup::new()
        .openai("slow", slow)
        .openai("quick", quick)
        .model("a-slow", &["slow"])
        .model("b-quick", &["quick"])
        .decision("all", &["a-slow", "b-quick"], json!("latency_aware"))
        .set("/store", json!({"back_end": "redis", "url": url}))
}

fn ask(bed: &Bed) -> Response {
    bed.post(CHAT.path(), &CHAT.ask("auto", "hi"))
}

fn trace_of(answer: &Response) -> String {
    answer.headers.get("x-fingerpost-trace").unwrap().to_owned()
}

fn say(bed: &Bed, trace: &str) -> Response {
    bed.post("/v1/feedback", &json!({"trace": trace, "quality": 0.5}))
}

/// As a client does that heeds `retry-after`; what was said at last.
fn say_until_taken(bed: &Bed, trace: &str) -> Value {
    assert!(eventually(|| {
        let answer = say(bed, trace);
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        answer.status == 200
    }));
    say(bed, trace).json()["status"].clone()
}

#[test]
fn what_one_has_measured_the_other_goes_by() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(folder.path(), &[]).unwrap();
    let slow = upstream(Script::new().always(Behavior::text("x").after_ms(150)));
    let quick = upstream(Script::new());
    let setup = learning(&slow, &quick, &server.url());
    let (a, b) = (setup.start(), setup.start());
    // Neither is known: the first is taken. The other is measured when it is the only one in service.
    let first = ask(&a);
    assert_eq!(first.headers.get("x-fingerpost-model"), Some("a-slow"));
    slow.script((0..3).fold(Script::new(), |script, _| script.then(Behavior::status(500))));
    let second = ask(&a);
    assert_eq!(second.headers.get("x-fingerpost-model"), Some("b-quick"));
    let learned = || b.metric("fingerpost_store_outcomes_total", &[r#"result="learned""#]) >= 2.0;
    assert!(eventually(learned), "{}", b.metrics());
    // This one has never asked either of them.
    assert_eq!(ask(&b).headers.get("x-fingerpost-model"), Some("b-quick"));

    let said = say(&b, &trace_of(&first));
    assert_eq!(
        said.json(),
        json!({"status": "learned", "routers": 1}),
        "of an answer that the other gave"
    );
    for bed in [&a, &b] {
        assert_eq!(say(bed, &trace_of(&first)).json()["status"], "known");
    }
    assert_eq!(b.get(&format!("/v1/traces/{}", trace_of(&second))).status, 200);

    // One that starts now knows it from the server.
    a.stop();
    let again = setup.start();
    assert_eq!(ask(&again).headers.get("x-fingerpost-model"), Some("b-quick"));
    assert_eq!(say(&again, &trace_of(&first)).json()["status"], "known");
}

#[test]
fn a_conversation_goes_on_at_another_replica() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(folder.path(), &[]).unwrap();
    let up = upstream(Script::new().always(Behavior::text("noted")));
    let setup = Setup::new()
        .openai("o", &up)
        .model("o", &["o"])
        .set("/store", json!({"back_end": "redis", "url": server.url()}));
    let (a, b) = (setup.start(), setup.start());
    let speak = Speak::Responses;
    let first = a.post(speak.path(), &speak.ask("o", "one"));
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/responses/{id}");
    assert!(eventually(|| b.get(&path).status == 200));
    let mut body = speak.ask("o", "two");
    body["previous_response_id"] = json!(id);
    assert_eq!(b.post(speak.path(), &body).status, 200);
    let sent = String::from_utf8_lossy(&up.requests().last().unwrap().body).into_owned();
    assert!(
        sent.contains("one") && sent.contains("noted") && sent.contains("two"),
        "{sent}"
    );
}

#[test]
fn the_server_killed_and_started_again_under_load_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = RedisServer::start(folder.path(), &["--appendonly", "yes"]).unwrap();
    let up = upstream(Script::new());
    let setup = learning(&up, &up, &server.url());
    let beds = [setup.start(), setup.start()];
    let kept = trace_of(&ask(&beds[0]));
    assert_eq!(say(&beds[0], &kept).json()["status"], "learned");

    let (stop, served, deferred) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let traces: Vec<String> = thread::scope(|scope| {
        let load: Vec<_> = beds
            .iter()
            .map(|bed| {
                let (stop, served, deferred) = (&stop, &served, &deferred);
                scope.spawn(move || {
                    let mut traces = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let answer = ask(bed);
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        served.fetch_add(1, Ordering::Relaxed);
                        let trace = trace_of(&answer);
                        let said = say(bed, &trace);
                        match said.status {
                            200 => {}
                            503 => {
                                assert_eq!(said.headers.get("retry-after"), Some("1"));
                                deferred.fetch_add(1, Ordering::Relaxed);
                            }
                            _ => panic!("{}", said.text()),
                        }
                        traces.push(trace);
                    }
                    traces
                })
            })
            .collect();
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(300));
            server.kill();
            assert!(eventually(|| {
                beds.iter()
                    .all(|bed| bed.get("/healthz").json()["store"]["status"] == "failing")
            }));
            let before = served.load(Ordering::Relaxed);
            assert!(
                eventually(|| served.load(Ordering::Relaxed) > before + 5),
                "serving goes on"
            );
            assert_eq!(beds[0].get("/healthz").status, 200);
            assert!(beds[0].metric("fingerpost_store_up", &[]) < 0.5);
            server.run().unwrap();
            assert!(eventually(|| beds
                .iter()
                .all(|bed| bed.metric("fingerpost_store_up", &[]) > 0.5)));
        }
        stop.store(true, Ordering::Relaxed);
        load.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    // What was put off is taken now, at the other replica too, and known everywhere from then on.
    for (i, trace) in traces.iter().enumerate() {
        assert_eq!(say_until_taken(&beds[i % 2], trace), "known");
    }
    assert_eq!(say_until_taken(&beds[1], &kept), "known");
    for bed in &beds {
        let health = bed.get("/healthz").json();
        assert_eq!(
            (&health["store"]["status"], &health["store"]["dropped"]),
            (&json!("ok"), &json!(0)),
            "{health}"
        );
        assert!(bed.counts("fingerpost_store_outcomes_total", &[r#"result="missed""#], 0.0));
    }
    // Each replica has heard of the other's runs, and of all feedback, once each.
    let runs: Vec<f64> = beds
        .iter()
        .map(|bed| bed.metric("fingerpost_requests_total", &[]))
        .collect();
    for (bed, others) in beds.iter().zip([runs[1], runs[0]]) {
        let all = others + (traces.len() + 1) as f64;
        assert!(
            bed.counts("fingerpost_store_outcomes_total", &[r#"result="learned""#], all),
            "{all} {}",
            bed.metrics()
        );
    }
    assert!(
        deferred.load(Ordering::Relaxed) > 0,
        "the server was away long enough to be noticed"
    );
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let base = "providers: {d: {type: demo}}\nmodels: {m: {endpoints: [{provider: d}]}}\n";
    for (store, told) in [
        (
            "store: {back_end: redis, url: 'redis://:hunter2@h/0'}",
            "`url_env`",
        ),
        (
            "store:\n  back_end: redis\n  url: redis://ann:hunter2@h:1/0",
            "`url_env`",
        ),
        (
            "store: {back_end: redis, url_env: 'redis://:hunter2@h/0'}",
            "no name of an environment variable",
        ),
        (
            "store: {back_end: redis, url_env: FINGERPOST_NOT_SET}",
            "is not set",
        ),
        ("store: {back_end: redis, timeout: 0s}", "more than 0"),
        ("store: {back_end: redis, prefix: ''}", "store.prefix"),
    ] {
        let problems = config::load_text(&format!("{base}{store}"), "test.yaml").unwrap_err();
        let text: String = problems
            .iter()
            .map(|problem| format!("{problem}\n{problem:?}\n"))
            .collect();
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
