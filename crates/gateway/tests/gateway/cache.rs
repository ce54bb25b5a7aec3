//! Answers given again: to whom, to whom not, for how long, and what is told of it.

use std::time::Duration;

use fingerpost_gateway::config;
use fingerpost_testkit::{Behavior, Fault, How, Point, Response, Script, Upstream, Usage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::{ALL, Speak},
};

const CHAT: Speak = Speak::Chat;

/// A decision whose answers are kept, on models of which the first answers.
fn setup(up: &Upstream, cache: Value) -> Setup {
    Setup::new()
        .openai("up", up)
        .model("m", &["up"])
        .set("/models/m/price", json!({"input": 1, "output": 2}))
        .set("/server/identity", json!({"user": "x-user"}))
        .set("/learning/keep_traces", json!("all"))
        .set(
            "/decisions",
            json!([{"name": "kept", "models": ["m"], "select": "latency_aware", "cache": cache}]),
        )
}

/// One whose upstream says something else each time.
fn start(cache: Value) -> (Upstream, Bed) {
    let script = (1..20).fold(Script::new(), |script, i| {
        script.then(Behavior::text(format!("answer {i}")))
    });
    let up = upstream(script);
    let bed = setup(&up, cache).start();
    (up, bed)
}

fn exact() -> Value {
    json!({"similarity": 1})
}

fn told(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .headers
        .get("x-fingerpost-cache")
        .unwrap_or_default()
        .to_owned()
}

/// Asks and gives the text of the answer and what the cache did.
fn ask(bed: &Bed, text: &str) -> (String, String) {
    let answer = bed.post(CHAT.path(), &CHAT.ask("auto", text));
    let did = told(&answer);
    let did = did.split(';').next().unwrap_or_default().to_owned();
    (CHAT.text(&answer.json()), did)
}

fn pair(text: &str, did: &str) -> (String, String) {
    (text.to_owned(), did.to_owned())
}

#[test]
fn the_same_question_is_answered_without_a_call_in_every_format() {
    for speak in ALL {
        let (up, bed) = start(json!({}));
        let body = speak.ask("auto", "What is a fingerpost?\n\"Quoted\".");
        let first = bed.post(speak.path(), &body);
        assert_eq!(told(&first), "miss", "{speak:?}");
        let second = bed.post(speak.path(), &body);
        assert!(
            told(&second).starts_with("hit; similarity=1.000; age="),
            "{speak:?}"
        );
        assert_eq!(up.counters().requests, 1);
        let (first, second) = (first.json(), second.json());
        assert_eq!(speak.text(&second), "answer 1");
        assert_ne!(first["id"], second["id"], "an id of its own");
        for tokens in [
            "prompt_tokens",
            "completion_tokens",
            "input_tokens",
            "output_tokens",
        ] {
            assert_eq!(first["usage"][tokens], second["usage"][tokens], "{speak:?}");
        }
        // Asked for as a stream it is written as one.
        let mut body = body;
        body["stream"] = json!(true);
        let streamed = bed.post(speak.path(), &body);
        assert!(told(&streamed).starts_with("hit"), "{speak:?}");
        let events = bed.stream(speak.path(), &body);
        assert_eq!(speak.streamed(&events), "answer 1");
        assert!(speak.is_complete(&events), "{speak:?}");
        assert_eq!(up.counters().requests, 1);
    }
}

#[test]
fn a_hit_tells_where_it_comes_from_and_costs_nothing() {
    let (_up, bed) = start(exact());
    let first = bed.post(CHAT.path(), &CHAT.ask("auto", "why?"));
    let hit = bed.post(CHAT.path(), &CHAT.ask("auto", "why?"));
    assert_eq!(hit.headers.get("x-fingerpost-decision"), Some("kept"));
    assert_eq!(hit.headers.get("x-fingerpost-model"), Some("m"));
    assert_eq!(hit.headers.get("x-fingerpost-endpoint"), None);
    let why = hit.headers.get("x-fingerpost-why").unwrap();
    assert!(why.contains("answered before"), "{why}");
    let count = |result: &str| [r#"decision="kept""#.to_owned(), format!(r#"result="{result}""#)];
    let counts = |result: &str, value: f64| {
        let labels = count(result);
        bed.counts(
            "fingerpost_cache_requests_total",
            &[&labels[0], &labels[1]],
            value,
        )
    };
    assert!(counts("hit", 1.0) && counts("miss", 1.0) && counts("bypass", 0.0));
    assert!(bed.counts("fingerpost_cache_entries", &[r#"decision="kept""#], 1.0));
    assert!(bed.metric("fingerpost_cache_bytes", &[]) > 100.0);
    assert!(bed.counts(
        "fingerpost_requests_total",
        &[r#"model="none""#, r#"status="2xx""#],
        1.0
    ));
    let trace = |answer: &Response| answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
    let kept = |id: &str| bed.get(&format!("/v1/traces/{id}"));
    let (first, hit) = (trace(&first), trace(&hit));
    assert!(eventually(
        || kept(&hit).status == 200 && kept(&first).status == 200
    ));
    let levels = |id: &str| -> Vec<String> {
        let record = kept(id).json();
        let hops = record["trace"]["hops"].as_array().unwrap().clone();
        hops.iter()
            .map(|h| h["level"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(levels(&first), ["decision", "model", "fleet"]);
    assert_eq!(levels(&hit), ["decision", "cache"]);
    let outcome = kept(&hit).json()["outcome"].clone();
    assert_eq!(outcome["cost"], 0.0, "{outcome}");
    assert!(kept(&first).json()["outcome"]["cost"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_near_question_is_answered_where_that_is_near_enough_and_a_far_one_is_not() {
    let near = (
        "How do I reset the PIN of my card?",
        "How can I reset my card's PIN?",
    );
    let (up, bed) = start(json!({"similarity": 0.6}));
    assert_eq!(ask(&bed, near.0), pair("answer 1", "miss"));
    // Its text is put among the near ones a moment after it is answered.
    let hit = || {
        let answer = bed.post(CHAT.path(), &CHAT.ask("auto", near.1));
        told(&answer).starts_with("hit; similarity=0.")
    };
    std::thread::sleep(Duration::from_secs(1));
    assert!(hit());
    assert_eq!(up.counters().requests, 1);
    assert_eq!(
        ask(&bed, "Stock markets fell sharply on Monday."),
        pair("answer 2", "miss")
    );
    let (_up, strict) = start(json!({"similarity": 0.99}));
    assert_eq!(ask(&strict, near.0), pair("answer 1", "miss"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ask(&strict, near.1), pair("answer 2", "miss"));
}

#[test]
fn whatever_else_differs_is_another_question() {
    let (up, bed) = start(json!({"similarity": 0.5}));
    let plain = CHAT.ask("auto", "Tell me about Oslo");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = plain.clone();
        change(&mut body);
        body
    };
    let system = |text: &str| {
        with(&|body| {
            body["messages"] = json!([
                {"role": "system", "content": text},
                {"role": "user", "content": "Tell me about Oslo"}
            ]);
        })
    };
    let others = [
        plain.clone(),
        system("Be brief."),
        system("Be long."),
        with(&|b| b["model"] = json!("fingerpost")),
        with(&|b| b["temperature"] = json!(0.2)),
        with(&|b| b["max_tokens"] = json!(9)),
        with(&|b| b["response_format"] = json!({"type": "json_object"})),
        with(&|b| b["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}])),
        with(&|b| b["user"] = json!("ann")),
        with(&|b| {
            b["messages"] = json!([
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": "Tell me about Oslo"}
            ]);
        }),
    ];
    for (i, body) in others.iter().enumerate() {
        assert_eq!(told(&bed.post(CHAT.path(), body)), "miss", "{body}");
        assert_eq!(up.counters().requests, i as u64 + 1);
    }
    // Who asks counts too.
    for headers in [
        [("x-user", "ann")],
        [("x-user", "bob")],
        [("authorization", "Bearer one")],
        [("authorization", "Bearer two")],
    ] {
        assert_eq!(
            told(&bed.post_with(CHAT.path(), &headers, &plain)),
            "miss",
            "{headers:?}"
        );
    }
    let messages = Speak::Messages.ask("auto", "Tell me about Oslo");
    assert_eq!(told(&bed.post(Speak::Messages.path(), &messages)), "miss");
    for body in &others {
        assert!(told(&bed.post(CHAT.path(), body)).starts_with("hit"), "{body}");
    }
}

#[test]
fn some_requests_are_not_looked_for() {
    let (up, bed) = start(json!({}));
    let plain = CHAT.ask("auto", "hi");
    assert_eq!(told(&bed.post(CHAT.path(), &plain)), "miss");
    for directive in ["no-cache", "max-age=0, no-store"] {
        let answer = bed.post_with(CHAT.path(), &[("cache-control", directive)], &plain);
        assert_eq!(told(&answer), "bypass; reason=cache-control");
    }
    let mut reasons = Vec::new();
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    for change in [
        json!({"n": 2}),
        json!({"store": true}),
        json!({"temperature": 1.3}),
        json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]}),
        json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}]}),
        json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "The answer is"}]}),
    ] {
        let mut body = plain.clone();
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let did = told(&bed.post(CHAT.path(), &body));
        reasons.push(did.strip_prefix("bypass; reason=").unwrap_or(&did).to_owned());
    }
    assert_eq!(
        reasons,
        [
            "several-answers",
            "store",
            "temperature",
            "media",
            "tool-results",
            "no-text"
        ]
    );
    let responses = Speak::Responses;
    let first = bed.post(responses.path(), &responses.ask("auto", "hi")).json();
    let mut on = responses.ask("auto", "hi");
    on["previous_response_id"] = first["id"].clone();
    assert_eq!(
        told(&bed.post(responses.path(), &on)),
        "bypass; reason=previous-response"
    );
    assert!(bed.counts("fingerpost_cache_requests_total", &[r#"result="bypass""#], 9.0));
    assert_eq!(up.counters().requests, 11);
    // A model that the client names, and what nothing decides, have no cache.
    let named = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!(named.headers.get("x-fingerpost-cache"), None);
}

#[test]
fn a_responses_answer_given_again_can_be_gone_on_from() {
    let (up, bed) = start(json!({}));
    let speak = Speak::Responses;
    bed.post(speak.path(), &speak.ask("auto", "one"));
    let mut streamed = speak.ask("auto", "one");
    streamed["stream"] = json!(true);
    let again = bed.post(speak.path(), &speak.ask("auto", "one")).json();
    let events = bed.stream(speak.path(), &streamed);
    let done = events.iter().find(|e| e.event == "response.completed").unwrap();
    for id in [&again["id"], &done.json()["response"]["id"]] {
        let id = id.as_str().unwrap();
        assert_eq!(bed.get(&format!("/v1/responses/{id}")).status, 200);
        let mut on = speak.ask("auto", "two");
        on["previous_response_id"] = json!(id);
        assert_eq!(bed.post(speak.path(), &on).status, 200);
    }
    assert_eq!(up.counters().requests, 3);
}

#[test]
fn only_answers_that_are_whole_are_kept() {
    let bad = [
        Behavior::status(500),
        Behavior::status(429),
        Behavior::fault(Point::FirstEvent, How::Eof),
        Behavior::tool_call("f", json!({})),
        Behavior {
            refusal: Some("no".to_owned()),
            ..Behavior::default()
        },
        Behavior::text(""),
    ];
    for behavior in bad {
        let shown = format!("{behavior:?}");
        let up = upstream(Script::new().then(behavior).always(Behavior::text("good")));
        let bed = setup(&up, exact()).once().start();
        let mut body = CHAT.ask("auto", "hi");
        body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
        bed.post(CHAT.path(), &body);
        assert_eq!(told(&bed.post(CHAT.path(), &body)), "miss", "{shown}");
        let third = bed.post(CHAT.path(), &body);
        assert!(told(&third).starts_with("hit"), "{shown}");
        assert_eq!(CHAT.text(&third.json()), "good");
        assert_eq!(up.counters().requests, 2, "{shown}");
    }
}

#[test]
fn an_answer_is_given_for_as_long_as_it_is_young() {
    let (_up, bed) = start(json!({"similarity": 1, "ttl": "1s"}));
    assert_eq!(ask(&bed, "hi"), pair("answer 1", "miss"));
    assert_eq!(ask(&bed, "hi"), pair("answer 1", "hit"));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ask(&bed, "hi"), pair("answer 2", "miss"));
    assert_eq!(ask(&bed, "hi"), pair("answer 2", "hit"));
}

#[test]
fn the_oldest_that_nobody_asked_for_makes_room() {
    let (_up, bed) = start(json!({"similarity": 1, "entries": 2}));
    assert_eq!(ask(&bed, "one"), pair("answer 1", "miss"));
    assert_eq!(ask(&bed, "two"), pair("answer 2", "miss"));
    assert_eq!(ask(&bed, "one"), pair("answer 1", "hit"));
    assert_eq!(ask(&bed, "three"), pair("answer 3", "miss"));
    assert_eq!(ask(&bed, "one"), pair("answer 1", "hit"));
    assert_eq!(ask(&bed, "two"), pair("answer 4", "miss"));
    assert!(bed.counts("fingerpost_cache_entries", &[], 2.0));
}

#[test]
fn the_same_question_twice_at_once_does_no_harm() {
    let up = upstream(Script::new().always(Behavior::text("slow").after_ms(200)));
    let bed = setup(&up, exact()).start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(ask(&bed, "hi").0, "slow"));
        }
    });
    assert_eq!(ask(&bed, "hi"), pair("slow", "hit"));
    assert_eq!(bed.metric("fingerpost_cache_entries", &[]), 1.0);
}

#[test]
fn a_router_that_asks_first_is_spared_too() {
    let up = upstream(Script::new().always(Behavior::text("sure")));
    let cascade = json!([{"name": "kept", "models": ["m"], "select": "cascade", "cache": exact()}]);
    let bed = setup(&up, exact()).set("/decisions", cascade).start();
    assert_eq!(ask(&bed, "hi"), pair("sure", "miss"));
    let asked = up.counters().requests;
    assert_eq!(ask(&bed, "hi"), pair("sure", "hit"));
    assert_eq!(up.counters().requests, asked);
}

#[test]
fn answers_outlive_a_reload_that_changes_nothing_about_them() {
    let (up, bed) = start(exact());
    assert_eq!(ask(&bed, "hi"), pair("answer 1", "miss"));
    let other = setup(&up, exact()).model("n", &["up"]);
    bed.shared.reload(other.config()).unwrap();
    assert_eq!(ask(&bed, "hi"), pair("answer 1", "hit"));
    let changed = setup(&up, json!({"similarity": 1, "ttl": "2h"}));
    bed.shared.reload(changed.config()).unwrap();
    assert_eq!(ask(&bed, "hi"), pair("answer 2", "miss"));
    let off = setup(&up, Value::Null);
    bed.shared.reload(off.config()).unwrap();
    let answer = bed.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(answer.headers.get("x-fingerpost-cache"), None);
    assert!(!bed.metrics().contains("fingerpost_cache"), "nothing to tell");
}

#[test]
fn a_stream_that_broke_off_is_not_kept_and_a_whole_one_is() {
    let broken = Behavior {
        fault: Some(Fault {
            at: Point::Events(2),
            how: How::CleanEof,
        }),
        ..Behavior::text("a b c d")
    };
    for speak in ALL {
        let usage = Usage {
            input: 7,
            output: 4,
            ..Usage::default()
        };
        let good = Behavior::text("e f g h").usage(usage);
        let up = upstream(Script::new().then(broken.clone()).always(good));
        let bed = setup(&up, exact()).once().start();
        let body = speak.ask_stream("auto", "hi");
        bed.stream(speak.path(), &body);
        let events = bed.stream(speak.path(), &body);
        assert_eq!(speak.streamed(&events), "e f g h", "{speak:?}");
        let again = bed.post(speak.path(), &body);
        assert!(told(&again).starts_with("hit"), "{speak:?} {}", told(&again));
        let events = bed.stream(speak.path(), &body);
        assert_eq!(speak.streamed(&events), "e f g h", "{speak:?}");
        assert!(speak.is_complete(&events), "{speak:?}");
        let whole = bed.post(speak.path(), &speak.ask("auto", "hi"));
        assert!(told(&whole).starts_with("hit"), "{speak:?}");
        assert_eq!(speak.text(&whole.json()), "e f g h", "{speak:?}");
        assert!(whole.text().contains(":7"), "the usage is told: {}", whole.text());
        assert_eq!(up.counters().requests, 2, "{speak:?}");
    }
}

#[test]
fn settings_out_of_range_are_told_with_line_and_range() {
    let text = "providers: { p: { type: demo } }\n\
                models: { m: { endpoints: [{ provider: p }] } }\n\
                decisions:\n  \
                - name: kept\n    \
                models: [m]\n    \
                cache:\n      \
                similarity: 1.5\n      \
                ttl: 0s\n      \
                entries: 1000001\n";
    let problems = config::load_text(text, "test.yaml").unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (at, key, allowed) in [
        (7, "similarity", "a number above 0, up to 1"),
        (8, "ttl", "more than 0"),
        (9, "entries", "1 to 1000000"),
    ] {
        let is_told = |p: &String| {
            p.contains(&format!("test.yaml:{at}:"))
                && p.contains(&format!("decisions[0].cache.{key}"))
                && p.contains(allowed)
        };
        assert!(told.iter().any(is_told), "{key}: {told:#?}");
    }
    for (wrong, known) in [("entries: 0", "entries"), ("similarty: 1", "similarity")] {
        let text = text
            .replace("similarity: 1.5", wrong)
            .replace("      entries: 1000001\n", "");
        let problems = config::load_text(&text, "test.yaml").unwrap_err();
        let told: String = problems.iter().map(ToString::to_string).collect();
        assert!(told.contains("test.yaml:7:") && told.contains(known), "{told}");
    }
}
