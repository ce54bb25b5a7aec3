//! Servers that are found in place of being named: they come, are drained, and go, and requests follow them.

use std::collections::HashSet;

use fingerpost_gateway::Found;
use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::json;

use crate::{
    bed::{Bed, SOON, Setup, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

fn bed() -> Bed {
    Setup::new()
        .set(
            "/providers/vllm",
            json!({"type": "openai", "base_url": "http://pods/v1", "headers": {"x-team": "ml"}}),
        )
        .set(
            "/models/m/pods",
            json!({"pool": "llama", "each": {"provider": "vllm", "model": "llama-8b", "max_in_flight": 8}}),
        )
        .set("/models/m/fleet", json!({"policy": "round_robin"}))
        .start()
}

fn pod(name: &str, server: &Upstream, is_ready: bool) -> Found {
    Found {
        name: name.to_owned(),
        address: server.addr(),
        is_ready,
    }
}

fn endpoints(bed: &Bed) -> HashSet<String> {
    let asked = (0..6).map(|_| {
        let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.headers.get("x-fingerpost-endpoint").unwrap().to_owned()
    });
    asked.collect()
}

#[test]
fn pods_come_are_drained_and_go() {
    let script = || Script::new().always(Behavior::text("hello"));
    let (a, b) = (upstream(script()), upstream(script()));
    let bed = bed();
    let none = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!(none.status, 503, "{}", none.text());
    assert!(none.headers.get("retry-after").is_some());
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|n| format!("m@vllm/{n}"))
            .collect::<HashSet<_>>()
    };
    bed.shared
        .serve_by("m", vec![pod("a", &a, true), pod("b", &b, true)])
        .unwrap();
    assert_eq!(endpoints(&bed), names(&["a", "b"]));
    let asked = &a.requests()[0];
    assert_eq!(
        (asked.path.as_str(), asked.json()["model"].as_str()),
        ("/v1/chat/completions", Some("llama-8b"))
    );
    assert_eq!(asked.headers.get("x-team"), Some("ml"));
    // Not ready any more: nothing new goes there, and what is under way ends as it will.
    a.script(Script::new().always(Behavior::text("one two three").paced(3, 300)));
    let mut client = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    let other = bed.begin(CHAT.path(), &CHAT.ask_stream("m", "hi"));
    bed.shared
        .serve_by("m", vec![pod("a", &a, false), pod("b", &b, true)])
        .unwrap();
    assert_eq!(endpoints(&bed), names(&["b"]));
    assert!(client.events().is_ok());
    drop(other);
    // A reload of the file keeps what was found, and so does one of the configuration as it stands.
    let config = bed.shared.snapshot().config().clone();
    bed.shared.reload(config).unwrap();
    assert_eq!(endpoints(&bed), names(&["b"]));
    bed.shared.serve_by("m", vec![pod("a", &a, true)]).unwrap();
    assert_eq!(endpoints(&bed), names(&["a"]));
    assert!(a.wait_until(SOON, |c| c.in_flight == 0));
    bed.shared.serve_by("m", Vec::new()).unwrap();
    assert_eq!(bed.post(CHAT.path(), &CHAT.ask("m", "hi")).status, 503);
}

#[test]
fn what_does_not_say_which_pods_is_refused() {
    let each = json!({"provider": "vllm"});
    for (pods, expected) in [
        (json!({"each": each}), "`selector` and `port`"),
        (json!({"pool": "p", "port": 80, "each": each}), "`pool` alone"),
        (
            json!({"selector": {"a": "b"}, "each": each}),
            "`selector` and `port`",
        ),
        (
            json!({"pool": "p", "each": {"provider": "other"}}),
            "unknown provider",
        ),
    ] {
        let text = Setup::new()
            .set(
                "/providers/vllm",
                json!({"type": "openai", "base_url": "http://pods/v1"}),
            )
            .set("/models/m/pods", pods)
            .text();
        let problems = fingerpost_gateway::config::load_text(&text, "test.yaml")
            .err()
            .unwrap();
        let said: String = problems.iter().map(ToString::to_string).collect();
        assert!(said.contains(expected), "{said}");
    }
}
