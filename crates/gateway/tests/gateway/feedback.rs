//! What the run itself shows and what somebody says of it later reach every router on the trace, once.

use fingerpost_gateway::Engines;
use fingerpost_testkit::{Behavior, Script};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, one, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

/// Two models, `slow` before `quick`, chosen by latency.
fn learning(slow: &fingerpost_testkit::Upstream, quick: &fingerpost_testkit::Upstream) -> Setup {
    Setup::new()
        .openai("slow", slow)
        .openai("quick", quick)
        .model("a-slow", &["slow"])
        .model("b-quick", &["quick"])
        .decision("all", &["a-slow", "b-quick"], json!("latency_aware"))
}

fn trace_of(answer: &fingerpost_testkit::Response) -> String {
    answer.headers.get("x-fingerpost-trace").unwrap().to_owned()
}

/// The record of a trace, once it is stored.
fn record(bed: &Bed, id: &str) -> Value {
    let path = format!("/v1/traces/{id}");
    assert!(crate::bed::eventually(|| bed.get(&path).status == 200));
    bed.get(&path).json()
}

fn feedback(bed: &Bed, trace: &str, quality: f64) -> Value {
    let answer = bed.post("/v1/feedback", &json!({"trace": trace, "quality": quality}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn it_is_learned_once_also_after_a_restart() {
    let up = upstream(Script::new());
    let folder = tempfile::tempdir().unwrap();
    let setup = learning(&up, &up).set("/store", json!({}));
    let bed = setup.start_in(folder.path(), Engines::default());
    let first = trace_of(&bed.post(CHAT.path(), &CHAT.ask("auto", "hi")));
    let second = trace_of(&bed.stream_trace(CHAT, "auto"));
    assert_ne!(first, second);
    let learned = feedback(&bed, &first, 0.9);
    assert_eq!(
        (&learned["status"], &learned["routers"]),
        (&json!("learned"), &json!(1)),
        "{learned}"
    );
    assert_eq!(feedback(&bed, &first, 0.9)["status"], "known");
    bed.stop();
    let bed = setup.start_in(folder.path(), Engines::default());
    assert_eq!(
        feedback(&bed, &first, 0.1)["status"],
        "known",
        "also after a restart"
    );
    let learned = feedback(&bed, &second, 0.5);
    assert_eq!(
        (&learned["status"], &learned["routers"]),
        (&json!("learned"), &json!(1)),
        "{learned}"
    );
}

#[test]
fn what_was_learned_outlives_the_process() {
    let (slow, quick) = (
        upstream(Script::new().always(Behavior::text("x").after_ms(150))),
        upstream(Script::new()),
    );
    let folder = tempfile::tempdir().unwrap();
    let setup = learning(&slow, &quick).set("/store", json!({}));
    let bed = setup.start_in(folder.path(), Engines::default());
    // Neither is known: the first is taken. The other is measured when it is the only one in service.
    assert_eq!(
        bed.post(CHAT.path(), &CHAT.ask("auto", "hi"))
            .headers
            .get("x-fingerpost-model"),
        Some("a-slow")
    );
    slow.script(
        Script::new()
            .then(Behavior::status(500))
            .then(Behavior::status(500))
            .then(Behavior::status(500)),
    );
    assert_eq!(
        bed.post(CHAT.path(), &CHAT.ask("auto", "hi"))
            .headers
            .get("x-fingerpost-model"),
        Some("b-quick")
    );
    bed.stop();
    slow.script(Script::new());
    let bed = setup.start_in(folder.path(), Engines::default());
    let answer = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(
        answer.headers.get("x-fingerpost-model"),
        Some("b-quick"),
        "{:?}",
        answer.headers.get("x-fingerpost-why")
    );
}

#[test]
fn a_fallback_is_credited_to_the_model_that_answered() {
    const SLOW_TO_FAIL: u64 = 50;
    let (broken, sound) = (
        upstream(Script::new().always(Behavior::status(500).after_ms(SLOW_TO_FAIL))),
        upstream(Script::new()),
    );
    let bed = learning(&broken, &sound)
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .set("/learning/keep_traces", json!("all"))
        .start();
    let first = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(first.headers.get("x-fingerpost-attempts"), Some("2"));
    // Only the second has ever answered: now it is the one that was measured.
    let trace = record(&bed, &trace_of(&first));
    let second = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(second.headers.get("x-fingerpost-model"), Some("b-quick"));
    assert_eq!(second.headers.get("x-fingerpost-attempts"), None, "{trace:#}");
    let hops = trace["trace"]["hops"].as_array().unwrap();
    let of = |model: &str| {
        hops.iter()
            .find(|h| h["level"] == "model" && h["decision"]["picks"][0]["name"] == model)
    };
    assert!(
        of("a-slow").is_some_and(|h| h["outcome"]["failure"].is_object()),
        "{trace:#}"
    );
    let own = &of("b-quick").unwrap()["outcome"];
    assert!(own["failure"].is_null(), "{trace:#}");
    // What was lost on the first model is not held against the second.
    for time in ["latency", "first_token"] {
        let (own, whole) = (
            own[time].as_f64().unwrap(),
            trace["outcome"][time].as_f64().unwrap(),
        );
        assert!(own + SLOW_TO_FAIL as f64 <= whole, "{time}: {own} of {whole}");
    }
    assert_eq!(
        feedback(&bed, &trace_of(&first), 1.0)["routers"],
        1,
        "only the one that answered hears of it"
    );
}

#[test]
fn an_endpoint_that_failed_is_marked_on_the_trace() {
    let up = upstream(Script::new().then(Behavior::status(500)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/resilience/retry/base_delay", json!("1ms"))
        .set("/learning/keep_traces", json!("all"))
        .start();
    let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!(answer.status, 200);
    let trace = record(&bed, &trace_of(&answer));
    let fleet: Vec<&Value> = trace["trace"]["hops"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|h| h["level"] == "fleet")
        .collect();
    assert_eq!(fleet.len(), 2, "{trace:#}");
    assert_eq!(fleet[0]["outcome"]["failure"]["status"], 500, "{trace:#}");
    assert!(fleet[1].get("outcome").is_none());
}

#[test]
fn what_cannot_be_understood_or_found_is_refused() {
    let (_up, bed) = one(Script::new());
    let post = |body: Value| {
        let answer = bed.post("/v1/feedback", &body);
        let told = CHAT.error(&answer);
        (answer.status, told.message)
    };
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(post(json!({"trace": id, "quality": 0.5})).0, 404);
    for wrong in [
        json!({}),
        json!([]),
        json!({"trace": id}),
        json!({"trace": "nonsense", "quality": 0.5}),
        json!({"trace": id, "quality": 2}),
        json!({"trace": id, "quality": "good"}),
        json!({"trace": id, "cost": -1}),
        json!({"trace": id, "verdict": "splendid"}),
    ] {
        let (status, message) = post(wrong.clone());
        assert_eq!(status, 400, "{wrong} {message}");
        assert!(message.contains("quality"), "{wrong} {message}");
    }
    let (_, message) = post(json!({"trace": id, "verdict": "splendid"}));
    for verdict in ["good_fit", "underpowered", "overprovisioned", "failed"] {
        assert!(message.contains(verdict), "{message}");
    }
    let answer = bed
        .client()
        .post("/v1/feedback", &[], &"x".repeat(70_000))
        .unwrap();
    assert_eq!(answer.status, 413);
}

#[test]
fn a_verdict_is_learned_once_and_moves_the_choice() {
    let up = upstream(Script::new());
    let select = json!({"algorithm": "routing_sampling", "explore": false});
    let bed = Setup::new()
        .openai("up", &up)
        .model("a", &["up"])
        .model("b", &["up"])
        .decision("all", &["a", "b"], select)
        .start();
    let first = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(first.headers.get("x-fingerpost-model"), Some("a"));
    let say = |verdict: &str| {
        bed.post(
            "/v1/feedback",
            &json!({"trace": trace_of(&first), "verdict": verdict}),
        )
        .json()
    };
    assert_eq!(say("underpowered"), json!({"status": "learned", "routers": 1}));
    assert_eq!(say("good_fit")["status"], "known");
    let second = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(second.headers.get("x-fingerpost-model"), Some("b"));
}

#[test]
fn a_trace_on_which_nobody_learns_is_not_kept() {
    let (_up, bed) = one(Script::new());
    let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    let said = bed.post("/v1/feedback", &json!({"trace": trace_of(&answer), "quality": 1}));
    assert_eq!(said.status, 404, "{}", said.text());
    assert!(CHAT.error(&said).message.contains("learning.keep_traces"));
}
