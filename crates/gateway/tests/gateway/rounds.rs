//! A decision in which a model routes: it thinks, asks another model, reads, and answers.

use fingerpost_testkit::{Behavior, Script, Upstream, Usage};
use serde_json::json;

use crate::{
    bed::{Bed, Setup, upstream},
    speak::ALL,
};

const MILLION: Usage = Usage {
    input: 1_000_000,
    cached: 0,
    cache_creation: 0,
    output: 0,
    reasoning: 0,
};

/// `router` asks `atlas` for the capital and answers in tags; each costs a dollar more than the one before.
fn rounds(first: &str, last: &str) -> (Upstream, Upstream, Bed) {
    let says = |text: &str| Behavior::text(text).usage(MILLION);
    let script = json!({
        "rules": [{"match": {"contains": "the capital is Oslo"}, "do": [says(last)]}],
        "otherwise": says(first),
    });
    let router = upstream(serde_json::from_value(script).unwrap());
    let atlas = upstream(Script::new().always(says("the capital is Oslo")));
    let bed = Setup::new()
        .openai("router", &router)
        .anthropic("atlas", &atlas)
        .model("router", &["router"])
        .model("atlas", &["atlas"])
        .set("/models/router/price", json!({"input": 1.0, "output": 0.0}))
        .set("/models/atlas/price", json!({"input": 2.0, "output": 0.0}))
        .decision(
            "all",
            &["atlas"],
            json!({"algorithm": "router_r1", "router": "router"}),
        )
        .set("/learning/keep_traces", json!("all"))
        .once()
        .start();
    (router, atlas, bed)
}

const SEARCH: &str = "<think>ask</think><search>atlas:What is the capital of Norway?</search>";
const ANSWER: &str = "<think>so</think><answer>Oslo, it is.</answer>";

#[test]
fn the_answer_is_served_without_its_tags_in_every_format() {
    for speak in ALL {
        let (router, atlas, bed) = rounds(SEARCH, ANSWER);
        let answer = bed.post(speak.path(), &speak.ask("auto", "capital of Norway?"));
        assert_eq!(speak.text(&answer.json()), "Oslo, it is.", "{}", answer.text());
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("router"));
        let calls = answer.headers.get("x-fingerpost-calls").unwrap();
        assert_eq!(
            calls, "router 1.000000000; atlas 2.000000000; router 1.000000000",
            "every call with its cost"
        );
        let asked = atlas.requests()[0].json().to_string();
        assert!(asked.contains("What is the capital of Norway?"), "{asked}");
        let events = bed.stream(speak.path(), &speak.ask_stream("auto", "capital of Norway?"));
        assert_eq!(speak.streamed(&events), "Oslo, it is.");
        assert!(speak.is_complete(&events));
        assert_eq!((router.counters().requests, atlas.counters().requests), (4, 2));
    }
}

#[test]
fn a_router_that_never_answers_leaves_the_question_to_the_models() {
    let (router, atlas, bed) = rounds("hm", "hm");
    let speak = ALL[0];
    let answer = bed.post(speak.path(), &speak.ask("auto", "capital of Norway?"));
    assert_eq!(
        speak.text(&answer.json()),
        "the capital is Oslo",
        "{}",
        answer.text()
    );
    assert_eq!(answer.headers.get("x-fingerpost-model"), Some("atlas"));
    // Four turns in which a model could be asked, and the last one.
    assert_eq!((router.counters().requests, atlas.counters().requests), (5, 1));
}
