//! A decision that asks one model after the other until an answer is sure enough.

use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// A cascade over `small` (OpenAI-compatible) and `large` (Anthropic).
fn cascade(small: Behavior, large: Behavior, select: Value) -> (Upstream, Upstream, Bed) {
    let (a, b) = (
        upstream(Script::new().always(small)),
        upstream(Script::new().always(large)),
    );
    let price = |input: f64| json!({"input": input, "output": 0.0});
    let bed = Setup::new()
        .openai("a", &a)
        .anthropic("b", &b)
        .model("small", &["a"])
        .model("large", &["b"])
        .set("/models/small/price", price(1.0))
        .set("/models/large/price", price(10.0))
        .decision("all", &["small", "large"], select)
        .set("/learning/keep_traces", json!("all"))
        .once()
        .start();
    (a, b, bed)
}

#[test]
fn a_sure_answer_is_served_and_nobody_else_asked() {
    let (a, b, bed) = cascade(Behavior::text("Oslo."), Behavior::text("never"), json!("cascade"));
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("auto", "capital of Norway?"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(speak.text(&answer.json()), "Oslo.");
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("small"));
        assert_eq!(answer.headers.get("x-fingerpost-decision"), Some("all"));
    }
    assert_eq!((a.counters().requests, b.counters().requests), (3, 0));
}

#[test]
fn an_unsure_answer_is_passed_over() {
    let (a, b, bed) = cascade(
        Behavior::text("I don't know."),
        Behavior::text("Oslo."),
        json!("cascade"),
    );
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("auto", "capital of Norway?"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(speak.text(&answer.json()), "Oslo.", "{speak:?}");
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("large"));
    }
    assert_eq!((a.counters().requests, b.counters().requests), (3, 3));
}

#[test]
fn log_probabilities_decide_where_there_are_some() {
    // The upstream gives every token -0.25, which is a confidence of 0.917.
    for (threshold, served) in [(0.9, "small"), (0.95, "large")] {
        let select = json!({"algorithm": "cascade", "threshold": threshold});
        let (_a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), select);
        let mut body = Speak::Chat.ask("auto", "hi");
        body["logprobs"] = json!(true);
        let answer = bed.post(Speak::Chat.path(), &body);
        assert_eq!(
            answer.headers.get("x-fingerpost-model"),
            Some(served),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn who_wants_a_stream_gets_one() {
    for (first, text, model) in [
        ("Oslo, of course.", "Oslo, of course.", "small"),
        ("I don't know.", "It is Oslo.", "large"),
    ] {
        let (a, _b, bed) = cascade(
            Behavior::text(first),
            Behavior::text("It is Oslo."),
            json!("cascade"),
        );
        for speak in ALL {
            let mut client = bed.begin(speak.path(), &speak.ask_stream("auto", "capital of Norway?"));
            let events = client.events().unwrap();
            assert_eq!(speak.streamed(&events), text, "{speak:?} {model}");
            assert!(speak.is_complete(&events), "{speak:?} {events:?}");
        }
        assert!(
            a.requests().iter().all(|r| r.json()["stream"] != true),
            "somebody has to read it first"
        );
        assert!(
            bed.counts(
                "fingerpost_requests_total",
                &[&format!("model=\"{model}\""), r#"status="2xx""#],
                3.0
            ),
            "{}",
            bed.metrics()
        );
    }
}

#[test]
fn a_streamed_answer_is_stored_and_its_tokens_counted() {
    let usage = fingerpost_testkit::Usage {
        input: 11,
        output: 3,
        ..Default::default()
    };
    let (_a, _b, bed) = cascade(
        Behavior::text("Oslo, of course.").usage(usage),
        Behavior::text("never"),
        json!("cascade"),
    );
    let events = bed.stream(
        "/v1/responses",
        &Speak::Responses.ask_stream("auto", "capital of Norway?"),
    );
    let done = events
        .iter()
        .find(|e| e.event == "response.completed")
        .unwrap()
        .json();
    let id = done["response"]["id"].as_str().unwrap();
    assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 200);
    assert!(
        bed.counts(
            "fingerpost_tokens_total",
            &[r#"kind="input""#, r#"model="small""#],
            11.0
        ),
        "{}",
        bed.metrics()
    );
}

#[test]
fn a_model_that_fails_is_passed_over() {
    let (_a, b, bed) = cascade(Behavior::status(500), Behavior::text("Oslo."), json!("cascade"));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(
        (answer.status, answer.headers.get("x-fingerpost-model")),
        (200, Some("large")),
        "{}",
        answer.text()
    );
    assert_eq!(b.counters().requests, 1);
}

#[test]
fn the_last_failing_an_earlier_answer_is_served() {
    let (_a, _b, bed) = cascade(
        Behavior::text("I don't know."),
        Behavior::status(500),
        json!("cascade"),
    );
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(Speak::Chat.text(&answer.json()), "I don't know.");
}

#[test]
fn where_all_fail_the_client_is_told_why() {
    let unwell = Behavior {
        message: Some("all is lost".into()),
        ..Behavior::status(500)
    };
    let (_a, _b, bed) = cascade(unwell.clone(), unwell, json!("cascade"));
    for speak in ALL {
        let answer = bed.post(speak.path(), &speak.ask("auto", "hi"));
        assert_eq!(answer.status, 502, "{}", answer.text());
        speak.error(&answer);
    }
    // The request is at fault where both refuse it.
    let (_a, _b, bed) = cascade(Behavior::status(400), Behavior::status(400), json!("cascade"));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn every_call_is_paid_for() {
    let usage = fingerpost_testkit::Usage {
        input: 1_000_000,
        ..Default::default()
    };
    let (_a, _b, bed) = cascade(
        Behavior::text("I don't know.").usage(usage),
        Behavior::text("Oslo.").usage(usage),
        json!("cascade"),
    );
    bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert!(
        bed.counts("fingerpost_cost_usd_total", &[], 11.0),
        "{}",
        bed.metrics()
    );
}

#[test]
fn log_probabilities_are_asked_for_and_not_told() {
    for speak in ALL {
        let (a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), json!("cascade"));
        let answer = bed.post(speak.path(), &speak.ask("auto", "hi"));
        let asked = a.requests()[0].json();
        assert_eq!(
            (&asked["logprobs"], &asked["top_logprobs"]),
            (&json!(true), &json!(2)),
            "{speak:?}"
        );
        assert!(!answer.text().contains("\"logprob\""), "{}", answer.text());
        let why = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
        assert!(crate::bed::eventually(|| bed
            .get(&format!("/v1/traces/{why}"))
            .status
            == 200));
        // The upstream gives every token -0.25.
        let record = bed.get(&format!("/v1/traces/{why}")).json().to_string();
        assert!(record.contains("0.9166666666666666"), "{speak:?} {record}");
    }
    // Who asks for them gets them.
    let (_a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), json!("cascade"));
    let mut body = Speak::Chat.ask("auto", "hi");
    body["logprobs"] = json!(true);
    let answer = bed.post(Speak::Chat.path(), &body);
    assert_eq!(
        answer.json()["choices"][0]["logprobs"]["content"][0]["logprob"],
        -0.25,
        "{}",
        answer.text()
    );
}

#[test]
fn a_model_that_tells_no_log_probabilities_is_asked_without() {
    let (a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), json!("cascade"));
    let script = json!({
        "rules": [{"match": {"contains": "logprobs"}, "do": [Behavior::status(400)]}],
        "otherwise": Behavior::text("one"),
    });
    a.script(serde_json::from_value(script).unwrap());
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(
        answer.headers.get("x-fingerpost-model"),
        Some("small"),
        "{}",
        answer.text()
    );
    assert_eq!(a.counters().requests, 2);
}

#[test]
fn margins_and_grades_decide_where_they_are_chosen() {
    // The upstream's margins are 1, which is a confidence of 0.283.
    for (threshold, served) in [(0.28, "small"), (0.29, "large")] {
        let select = json!({"algorithm": "cascade", "confidence": "margin", "threshold": threshold});
        let (_a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), select);
        let answer = bed.post(Speak::Messages.path(), &Speak::Messages.ask("auto", "hi"));
        assert_eq!(
            answer.headers.get("x-fingerpost-model"),
            Some(served),
            "{}",
            answer.text()
        );
    }
    for (grade, served) in [(0.9, "small"), (0.1, "large")] {
        let select = json!({"algorithm": "cascade", "confidence": "self_verify"});
        let (a, _b, bed) = cascade(Behavior::text("one"), Behavior::text("two"), select);
        let script = json!({
            "rules": [{"match": {"contains": "mark-0"}, "do": [Behavior::text(format!("{{\"confidence\": {grade}}}"))]}],
            "otherwise": Behavior::text("one"),
        });
        a.script(serde_json::from_value(script).unwrap());
        let answer = bed.post(Speak::Responses.path(), &Speak::Responses.ask("auto", "hi"));
        assert_eq!(
            answer.headers.get("x-fingerpost-model"),
            Some(served),
            "{}",
            answer.text()
        );
        assert_eq!(a.counters().requests, 2);
    }
}
