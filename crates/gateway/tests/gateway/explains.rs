//! Headers tell what was decided, and why in brief.

use fingerpost_testkit::{Behavior, Script};
use serde_json::{Value, json};

use crate::{
    bed::{Setup, one, upstream},
    speak::{ALL, Speak},
};

/// Mathematics goes to `clever`, what is urgent to `quick`, the rest to `quick` by default.
fn two(up: &fingerpost_testkit::Upstream) -> Setup {
    Setup::new()
        .openai("up", up)
        .model("clever", &["up"])
        .model("quick", &["up"])
        .set("/signals/keyword", json!({"maths": {"any": ["integral", "theorem"]}, "urgent": {"any": ["urgent"]}}))
        .set("/default_model", json!("quick"))
        .set(
            "/decisions",
            json!([
                {"name": "maths", "priority": 10, "when": "keyword:maths and not keyword:urgent", "models": ["clever", "quick"]},
                {"name": "urgent", "priority": 5, "when": "keyword:urgent", "models": ["quick"]},
            ]),
        )
}

#[test]
fn the_decision_that_holds_decides() {
    let up = upstream(Script::new());
    let bed = two(&up).start();
    for speak in ALL {
        for (text, decision, model) in [
            ("prove the theorem", Some("maths"), "clever"),
            ("urgent: the theorem", Some("urgent"), "quick"),
            ("good morning", None, "quick"),
        ] {
            for body in [speak.ask("auto", text), speak.ask_stream("fingerpost", text)] {
                let answer = bed.post(speak.path(), &body);
                assert_eq!(answer.status, 200, "{}", answer.text());
                let header = |name: &str| answer.headers.get(name);
                assert_eq!(header("x-fingerpost-decision"), decision, "{speak:?} {text}");
                assert_eq!(header("x-fingerpost-model"), Some(model));
                assert_eq!(
                    header("x-fingerpost-endpoint"),
                    Some(format!("{model}@up").as_str())
                );
                assert!(
                    header("x-fingerpost-why").is_some_and(|w| w.contains(model)),
                    "{:?}",
                    header("x-fingerpost-why")
                );
                assert_eq!(header("x-fingerpost-trace").map(str::len), Some(32));
                assert_eq!(header("x-fingerpost-attempts"), None);
                assert_eq!(up.requests().last().unwrap().json()["model"], model);
            }
        }
    }
    assert!(
        bed.counts(
            "fingerpost_requests_total",
            &[r#"decision="maths""#, r#"model="clever""#],
            6.0
        ),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_named_model_passes_every_decision_by() {
    let up = upstream(Script::new());
    let bed = two(&up).start();
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("quick", "prove the theorem"));
    assert_eq!(answer.headers.get("x-fingerpost-model"), Some("quick"));
    assert_eq!(answer.headers.get("x-fingerpost-decision"), None);
    assert!(
        answer
            .headers
            .get("x-fingerpost-why")
            .unwrap()
            .contains("named by the client")
    );
}

#[test]
fn every_signal_is_told_to_who_asks_and_to_nobody_else() {
    let up = upstream(Script::new());
    let bed = two(&up).start();
    let body = Speak::Chat.ask("auto", "prove the theorem");
    assert_eq!(
        bed.post(Speak::Chat.path(), &body)
            .headers
            .get("x-fingerpost-debug"),
        None
    );
    let answer = bed.post_with(Speak::Chat.path(), &[("x-fingerpost-debug", "1")], &body);
    let signals: Value = serde_json::from_str(answer.headers.get("x-fingerpost-debug").unwrap()).unwrap();
    let text = signals.to_string();
    assert!(text.contains("maths") && text.contains("urgent"), "{text}");
    let head = {
        let mut client = bed.client();
        let body = Speak::Chat.ask_stream("auto", "prove the theorem").to_string();
        client
            .request(
                "POST",
                Speak::Chat.path(),
                &[("x-fingerpost-debug", "1")],
                body.as_bytes(),
            )
            .unwrap();
        client.head().unwrap()
    };
    assert!(head.headers.get("x-fingerpost-debug").is_some());
}

#[test]
fn an_upstream_cannot_speak_in_our_name() {
    let script = Script::new().always(
        Behavior::text("x")
            .header("x-fingerpost-decision", "forged")
            .header("x-fingerpost-model", "forged"),
    );
    let (_up, bed) = one(script);
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
    let all: Vec<(&str, &str)> = answer.headers.iter().collect();
    assert!(!all.iter().any(|(_, v)| *v == "forged"), "{all:?}");
}

#[test]
fn what_no_model_can_take_is_told_with_the_reason() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("small", &["up"])
        .set("/models/small/context_window", json!(100))
        .set("/models/small/capabilities", json!(["tools"]))
        .decision("all", &["small"], json!("static"))
        .start();
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("auto", &"long ".repeat(500)));
        assert_eq!(answer.status, 400, "{}", answer.text());
        let told = speak.error(&answer);
        assert!(
            told.message.contains("small") && told.message.contains("100"),
            "{told:?}"
        );
    }
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn what_an_answer_cost_is_counted() {
    let usage = fingerpost_testkit::Usage {
        input: 1_000_000,
        cached: 500_000,
        output: 100_000,
        ..Default::default()
    };
    let up = upstream(Script::new().always(Behavior::text("x").usage(usage)));
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/models/m/price",
            json!({"input": 2.0, "cached_input": 0.5, "output": 10.0}),
        )
        .start();
    bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
    // Half a million at 2, half a million at 0.5, a tenth of a million at 10.
    assert!(
        bed.counts("fingerpost_cost_usd_total", &[r#"model="m""#], 2.25),
        "{}",
        bed.metrics()
    );
}
