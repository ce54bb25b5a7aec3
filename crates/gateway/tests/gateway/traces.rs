//! `GET /v1/traces/ID` explains an answer after the fact.

use fingerpost_testkit::Script;
use serde_json::json;

use crate::{
    bed::{Setup, one, upstream},
    speak::{ALL, Speak},
};

#[test]
fn every_level_is_on_it() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .decision("all", &["m"], json!("static"))
        .set("/learning/keep_traces", json!("all"))
        .start();
    for speak in ALL {
        for stream in [false, true] {
            let mut client = bed.client();
            let body = if stream {
                speak.ask_stream("auto", "hi")
            } else {
                speak.ask("auto", "hi")
            };
            let answer = client.post(speak.path(), &[], &body.to_string()).unwrap();
            let id = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
            let kept = crate::bed::eventually(|| bed.get(&format!("/v1/traces/{id}")).status == 200);
            assert!(kept, "{speak:?} {stream}");
            let record = bed.get(&format!("/v1/traces/{id}")).json();
            assert_eq!(record["trace"]["id"], id.as_str());
            let hops = record["trace"]["hops"].as_array().unwrap();
            let levels: Vec<&str> = hops.iter().filter_map(|h| h["level"].as_str()).collect();
            assert_eq!(levels, ["decision", "model", "fleet"], "{record:#}");
            assert_eq!(hops[2]["decision"]["picks"][0]["name"], "m@up");
            assert!(record["outcome"]["latency"].as_f64().unwrap() > 0.0, "{record:#}");
        }
    }
}

#[test]
fn the_clients_own_trace_id_is_kept() {
    let (_up, bed) = one(Script::new());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = bed.post_with(
        Speak::Chat.path(),
        &[("traceparent", parent)],
        &Speak::Chat.ask("m", "hi"),
    );
    assert_eq!(
        answer.headers.get("x-fingerpost-trace"),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
}

#[test]
fn what_is_not_there_is_404() {
    let (_up, bed) = one(Script::new());
    for id in [
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00000000000000000000000000000000",
        "nonsense",
        "",
        "%00",
        "../../etc/passwd",
    ] {
        let answer = bed.get(&format!("/v1/traces/{id}"));
        assert_eq!(answer.status, 404, "{id:?}");
        Speak::Chat.error(&answer);
    }
}

#[test]
fn a_refused_request_has_a_trace_too() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/learning/keep_traces", json!("all"))
        .start();
    let answer = bed.post(Speak::Messages.path(), &json!({"model": "m"}));
    assert_eq!(answer.status, 400);
    let id = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
    // Anthropic's clients show it as the request's id.
    assert_eq!(answer.json()["request_id"], id.as_str());
    assert!(crate::bed::eventually(|| bed
        .get(&format!("/v1/traces/{id}"))
        .status
        == 200));
}
