//! A conversation stays with its model while a switch would cost more than it gains, and leaves one that fails.

use fingerpost_gateway::Engines;
use fingerpost_testkit::{Behavior, How, Point, Response, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

/// Models `a` and `b` with a server each; their decision stays by these settings.
fn two(a: &Upstream, b: &Upstream, select: Value, stay: Value) -> Setup {
    let setup = Setup::new()
        .openai("ua", a)
        .openai("ub", b)
        .model("a", &["ua"])
        .model("b", &["ub"]);
    in_order(setup, &["a", "b"], select, stay)
}

fn in_order(setup: Setup, models: &[&str], select: Value, stay: Value) -> Setup {
    setup
        .set(
            "/decisions",
            json!([{"name": "all", "models": models, "select": select, "stay": stay}]),
        )
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
}

/// A conversation in the middle of a tool loop.
fn in_tool_loop() -> Value {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    json!({"model": "auto", "messages": [
        {"role": "user", "content": "find it"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ]})
}

fn ask(bed: &Bed, session: Option<&str>, body: &Value) -> Response {
    let headers: Vec<(&str, &str)> = session.map(|s| ("x-session-id", s)).into_iter().collect();
    let answer = bed.post_with(CHAT.path(), &headers, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The model that answered, and the sentence that says why.
fn of(answer: &Response) -> (&str, &str) {
    let header = |name: &str| answer.headers.get(name).unwrap();
    (header("x-fingerpost-model"), header("x-fingerpost-why"))
}

fn hi() -> Value {
    CHAT.ask("auto", "hi")
}

#[test]
fn through_a_tool_loop_each_conversation_stays_with_its_own_model() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let setup = two(&a, &b, json!("static"), json!({}));
    let bed = setup.start();
    assert_eq!(of(&ask(&bed, Some("first"), &hi())).0, "a");
    // From here on the selector would take `b`; what is remembered outlives the change.
    let after = in_order(setup, &["b", "a"], json!("static"), json!({}));
    bed.shared.reload(after.config()).unwrap();
    assert_eq!(of(&ask(&bed, Some("second"), &hi())).0, "b");
    for _ in 0..2 {
        let held = ask(&bed, Some("first"), &in_tool_loop());
        let (model, why) = of(&held);
        assert_eq!(model, "a");
        assert!(why.contains("stayed with a: in a tool loop"), "{why}");
        assert_eq!(of(&ask(&bed, Some("second"), &in_tool_loop())).0, "b");
    }
    let mut stream = in_tool_loop();
    stream["stream"] = json!(true);
    assert_eq!(of(&ask(&bed, Some("first"), &stream)).0, "a");
    // Without a header it is as if there was no such rule.
    assert_eq!(of(&ask(&bed, None, &in_tool_loop())).0, "b");
    // The loop is over, and what is gained is worth a switch.
    assert_eq!(of(&ask(&bed, Some("first"), &hi())).0, "b");
    assert_eq!(of(&ask(&bed, Some("first"), &in_tool_loop())).0, "b");
}

/// Ratings of equals of which `a` has lost a game: 0.023 behind.
fn a_lost_one(bed: &Bed) {
    let answer = bed.post(CHAT.path(), &hi());
    assert_eq!(of(&answer).0, "a");
    let trace = answer.headers.get("x-fingerpost-trace").unwrap();
    let said = bed.post(
        "/v1/feedback",
        &json!({"trace": trace, "verdict": "underpowered"}),
    );
    assert_eq!(
        (said.status, &said.json()["status"]),
        (200, &json!("learned")),
        "{}",
        said.text()
    );
}

#[test]
fn a_small_advantage_is_not_worth_a_switch_and_the_trace_says_so() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let bed = two(&a, &b, json!("elo"), json!({})).start();
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "a");
    a_lost_one(&bed);
    assert_eq!(of(&ask(&bed, Some("another"), &hi())).0, "b");
    let held = ask(&bed, Some("s"), &hi());
    let (model, why) = of(&held);
    assert_eq!(model, "a");
    assert!(why.contains("stayed with a: advantage 0.046 below 0.1"), "{why}");
    let path = format!("/v1/traces/{}", held.headers.get("x-fingerpost-trace").unwrap());
    assert!(crate::bed::eventually(|| bed.get(&path).status == 200));
    let told = bed.get(&path).json().to_string();
    assert!(
        told.contains("stayed with a") && told.contains("needed"),
        "{told}"
    );
}

#[test]
fn after_the_idle_time_the_selector_is_free_again() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let bed = two(&a, &b, json!("elo"), json!({"idle_timeout": "30ms"})).start();
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "a");
    a_lost_one(&bed);
    std::thread::sleep(std::time::Duration::from_millis(40));
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "b");
}

#[test]
fn a_conversation_is_remembered_over_a_restart() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let folder = tempfile::tempdir().unwrap();
    let setup = two(&a, &b, json!("static"), json!({})).set("/store", json!({}));
    let bed = setup.start_in(folder.path(), Engines::default());
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "a");
    bed.stop();
    let setup = in_order(setup, &["b", "a"], json!("static"), json!({}));
    let bed = setup.start_in(folder.path(), Engines::default());
    assert_eq!(of(&ask(&bed, Some("s"), &in_tool_loop())).0, "a");
}

#[test]
fn a_model_that_fails_again_and_again_is_left() {
    let (a, b) = (
        upstream(
            Script::new()
                .then(Behavior::text("x"))
                .always(Behavior::status(500)),
        ),
        upstream(Script::new()),
    );
    let bed = two(&a, &b, json!("static"), json!({})).start();
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "a");
    for _ in 0..2 {
        let answer = ask(&bed, Some("s"), &hi());
        assert_eq!(of(&answer).0, "b");
        assert_eq!(
            answer.headers.get("x-fingerpost-attempts"),
            Some("2"),
            "it was tried first"
        );
    }
    let answer = ask(&bed, Some("s"), &hi());
    let (model, why) = of(&answer);
    assert_eq!((model, answer.headers.get("x-fingerpost-attempts")), ("b", None));
    assert!(
        why.contains("left a: it failed 2 times in a row in this conversation"),
        "{why}"
    );
    // Others have yet to find out.
    assert_eq!(
        ask(&bed, Some("t"), &hi()).headers.get("x-fingerpost-attempts"),
        Some("2")
    );
}

#[test]
fn answers_that_break_off_count_as_failures_also_in_a_tool_loop() {
    let broken = Behavior {
        text: Some("one two three four five six".into()),
        ..Behavior::fault(Point::Events(6), How::Reset)
    };
    let (a, b) = (upstream(Script::new().always(broken)), upstream(Script::new()));
    let bed = two(&a, &b, json!("static"), json!({})).start();
    let mut stream = in_tool_loop();
    stream["stream"] = json!(true);
    for times in 1..=2 {
        assert_eq!(of(&ask(&bed, Some("s"), &stream)).0, "a");
        assert!(bed.counts(
            "fingerpost_requests_total",
            &[r#"decision="all""#],
            f64::from(times)
        ));
    }
    assert_eq!(of(&ask(&bed, Some("s"), &in_tool_loop())).0, "b");
}

#[test]
fn in_a_tool_loop_nobody_else_is_asked_first() {
    let (a, b) = (
        upstream(Script::new().always(Behavior::text("I don't know."))),
        upstream(Script::new()),
    );
    let setup = two(&a, &b, json!("cascade"), json!({}));
    let bed = setup.start();
    assert_eq!(of(&ask(&bed, Some("s"), &hi())).0, "b", "passed on by `a`");
    assert_eq!(a.counters().requests, 1);
    let held = ask(&bed, Some("s"), &in_tool_loop());
    assert_eq!(of(&held).0, "b");
    assert!(of(&held).1.contains("stayed with b: in a tool loop"));
    assert_eq!(a.counters().requests, 1);
}

#[test]
fn a_beginning_names_the_conversation_where_the_operator_wants_that() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let setup = two(&a, &b, json!("static"), json!({})).set("/server/session/fingerprint", json!(true));
    let bed = setup.start();
    assert_eq!(of(&ask(&bed, None, &CHAT.ask("auto", "find it"))).0, "a");
    bed.shared
        .reload(in_order(setup, &["b", "a"], json!("static"), json!({})).config())
        .unwrap();
    assert_eq!(of(&ask(&bed, None, &in_tool_loop())).0, "a");
    let mut other = in_tool_loop();
    other["messages"][0]["content"] = json!("find something else");
    assert_eq!(of(&ask(&bed, None, &other)).0, "b");
}

#[test]
fn observed_it_tells_and_changes_nothing() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let setup = two(&a, &b, json!("static"), json!({"mode": "observe"}));
    let bed = setup.start();
    ask(&bed, Some("s"), &hi());
    let after = in_order(setup, &["b", "a"], json!("static"), json!({"mode": "observe"}));
    bed.shared.reload(after.config()).unwrap();
    let answer = ask(&bed, Some("s"), &in_tool_loop());
    let (model, why) = of(&answer);
    assert_eq!(model, "b");
    assert!(why.contains("observed, would take a"), "{why}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let (a, b) = (upstream(Script::new()), upstream(Script::new()));
    let text = |stay: Value| {
        let setup = two(&a, &b, json!("static"), stay);
        fingerpost_gateway::config::load_text(&setup.text(), "test.yaml")
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<String>()
    };
    let told = text(json!({"switch_margin": 2}));
    assert!(
        told.contains("stay.switch_margin") && told.contains("from 0 to 1"),
        "{told}"
    );
    let told = text(json!({"quality_gaps": {"a": {"bb": 0.1}}}));
    assert!(told.contains("quality_gaps.a.bb") && told.contains('b'), "{told}");
    let told = text(json!({"swich_margin": 1}));
    assert!(
        told.contains("swich_margin") && told.contains("switch_margin"),
        "{told}"
    );
}
