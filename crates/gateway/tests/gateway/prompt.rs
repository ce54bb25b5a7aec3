//! A decision whose model is chosen by a model.

use fingerpost_testkit::{Behavior, How, Point, Script, Upstream, Usage};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, upstream},
    speak::{ALL, Speak},
};

/// `large` and `small`, chosen by `chooser`, which is no candidate itself.
fn chosen_by(chooser: Behavior, timeout_ms: u64) -> (Upstream, Upstream, Bed) {
    let (models, chooser) = (
        upstream(Script::new().always(Behavior::text("Oslo."))),
        upstream(Script::new().always(chooser)),
    );
    let bed = Setup::new()
        .openai("models", &models)
        .anthropic("chooser", &chooser)
        .model("large", &["models"])
        .model("small", &["models"])
        .model("chooser", &["chooser"])
        .set("/models/small/description", json!("for chit-chat"))
        .set("/models/chooser/price", json!({"input": 2.0, "output": 0.0}))
        .set("/models/small/price", json!({"input": 1.0, "output": 0.0}))
        .decision(
            "all",
            &["large", "small"],
            json!({"algorithm": "prompt", "model": "chooser", "timeout_ms": timeout_ms}),
        )
        .once()
        .start();
    (models, chooser, bed)
}

#[test]
fn the_model_named_answers_in_every_format() {
    for speak in ALL {
        let (models, chooser, bed) = chosen_by(Behavior::text("{\"model\": \"small\"}"), 5000);
        let answer = bed.post(speak.path(), &speak.ask("auto", "capital of Norway?"));
        assert_eq!(speak.text(&answer.json()), "Oslo.", "{}", answer.text());
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("small"));
        let events = bed.stream(speak.path(), &speak.ask_stream("auto", "capital of Norway?"));
        assert_eq!(speak.streamed(&events), "Oslo.");
        assert!(speak.is_complete(&events));
        assert_eq!((models.counters().requests, chooser.counters().requests), (2, 2));
        let question = chooser.requests()[0].json();
        assert!(
            question["messages"].to_string().contains("small: for chit-chat"),
            "{question:#}"
        );
        assert!(
            question["stream"] != true && question["tools"].is_null(),
            "{question:#}"
        );
        assert_eq!(
            models.requests()[1].json()["stream"],
            true,
            "the answer comes as it is made"
        );
    }
}

#[test]
fn the_request_goes_on_as_it_came_and_the_question_without_its_tools() {
    let (models, chooser, bed) = chosen_by(Behavior::text("{\"model\": \"small\"}"), 5000);
    let mut body = Speak::Chat.ask("auto", "capital of Norway?");
    body["tools"] =
        json!([{"type": "function", "function": {"name": "atlas", "parameters": {"type": "object"}}}]);
    body["metadata"] = json!({"team": "north"});
    let answer = bed.post(Speak::Chat.path(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let question = chooser.requests()[0].json().to_string();
    assert!(
        !question.contains("atlas") && !question.contains("north"),
        "{question}"
    );
    assert_eq!(models.requests()[0].json()["tools"], body["tools"]);
}

#[test]
fn a_chooser_that_fails_or_is_too_slow_or_talks_nonsense_leaves_the_first() {
    for chooser in [
        Behavior::status(500),
        Behavior::fault(Point::Headers, How::Stall),
        Behavior::text("the weather is fine"),
    ] {
        let (_models, _chooser, bed) = chosen_by(chooser.clone(), 200);
        let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
        assert_eq!(answer.status, 200, "{chooser:?} {}", answer.text());
        assert_eq!(
            answer.headers.get("x-fingerpost-model"),
            Some("large"),
            "{chooser:?}"
        );
    }
}

#[test]
fn the_choice_is_paid_for() {
    let usage = Usage {
        input: 1_000_000,
        ..Usage::default()
    };
    let (models, _chooser, bed) = chosen_by(Behavior::text("{\"model\": \"small\"}").usage(usage), 5000);
    models.script(Script::new().always(Behavior::text("Oslo.").usage(usage)));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(
        answer.headers.get("x-fingerpost-calls"),
        Some("chooser 2.000000000; small")
    );
    assert!(
        bed.counts("fingerpost_cost_usd_total", &[], 3.0),
        "{}",
        bed.metrics()
    );
}
