//! Decisions that ask several models at once.

use std::thread;

use fingerpost_testkit::{Behavior, How, Point, Script, Upstream, Usage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, SOON, Setup, eventually, upstream},
    speak::{ALL, Speak},
};

/// A decision over `a`, `b` and `c`, each at an upstream of its own; `b` is the best, so it is the one that sums up.
struct Panel {
    a: Upstream,
    b: Upstream,
    c: Upstream,
    bed: Bed,
}

const MILLION: Usage = Usage {
    input: 1_000_000,
    cached: 0,
    cache_creation: 0,
    output: 0,
    reasoning: 0,
};

// === impl Panel ===

impl Panel {
    fn new(a: Script, b: Script, c: Script, select: Value) -> Self {
        let (a, b, c) = (upstream(a), upstream(b), upstream(c));
        let price = |input: f64| json!({"input": input, "output": 0.0});
        let bed = Setup::new()
            .openai("a", &a)
            .openai("b", &b)
            .anthropic("c", &c)
            .model("a", &["a"])
            .model("b", &["b"])
            .model("c", &["c"])
            .set("/models/a/price", price(1.0))
            .set("/models/b/price", price(10.0))
            .set("/models/c/price", price(100.0))
            .set("/models/b/quality", json!(0.9))
            .decision("all", &["a", "b", "c"], select)
            .set("/learning/keep_traces", json!("all"))
            .once()
            .start();
        Self { a, b, c, bed }
    }

    fn ups(&self) -> [&Upstream; 3] {
        [&self.a, &self.b, &self.c]
    }
}

/// Says `text` to the request itself; to a judge's question `analysis`, to the last one `last`.
fn speaker(text: &str, analysis: Behavior, last: Behavior) -> Script {
    let rules = json!({
        "rules": [
            {"match": {"contains": "Blind spots"}, "do": [analysis]},
            {"match": {"contains": "mark-0"}, "do": [last]},
        ],
        "otherwise": Behavior::text(text).usage(MILLION),
    });
    serde_json::from_value(rules).unwrap()
}

fn says(text: &str) -> Script {
    Script::new().always(Behavior::text(text).usage(MILLION))
}

fn fusion() -> Panel {
    let last = Behavior::text("It is Oslo, all agree.")
        .usage(MILLION)
        .paced(4, 5);
    let b = speaker(
        "Oslo it is.",
        Behavior::text("Consensus: Oslo.").usage(MILLION),
        last,
    );
    Panel::new(says("Oslo."), b, says("Surely Oslo."), json!("fusion"))
}

#[test]
fn members_are_asked_at_the_same_time() {
    let slow = || Script::new().always(Behavior::text("hm").after_ms(1000));
    for select in ["ratings", "fusion"] {
        let panel = Panel::new(slow(), slow(), slow(), json!(select));
        let mut client = panel.bed.client();
        let body = Speak::Chat.ask("auto", "hi").to_string();
        client
            .request("POST", Speak::Chat.path(), &[], body.as_bytes())
            .unwrap();
        // One after the other they would never be there together.
        let together = || panel.ups().iter().all(|up| up.counters().in_flight == 1);
        assert!(eventually(together), "{select}");
    }
}

#[test]
fn several_answers_of_one_model_are_asked_for_at_the_same_time() {
    let a = Script::new().always(Behavior::text("4").after_ms(1000));
    let select = json!({"algorithm": "cascade", "confidence": "agreement", "samples": 3});
    let panel = Panel::new(a, says("never"), says("never"), select);
    let mut client = panel.bed.client();
    let body = Speak::Chat.ask("auto", "2 + 2?").to_string();
    client
        .request("POST", Speak::Chat.path(), &[], body.as_bytes())
        .unwrap();
    assert!(
        panel.a.wait_until(SOON, |c| c.in_flight == 3),
        "{:?}",
        panel.a.counters()
    );
    assert_eq!(
        client.head().unwrap().headers.get("x-fingerpost-model"),
        Some("a")
    );
    assert!(
        panel.bed.counts("fingerpost_hedges_total", &[], 0.0),
        "a plan is no hedge"
    );
}

#[test]
fn no_more_than_allowed_at_the_same_time() {
    let slow = || Script::new().always(Behavior::text("hm").after_ms(30));
    let up = upstream(slow());
    let names: Vec<String> = (0..6).map(|i| format!("m{i}")).collect();
    let models: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut setup = Setup::new().openai("up", &up);
    for model in &models {
        setup = setup.model(model, &["up"]);
    }
    let select = json!({"algorithm": "ratings", "max_concurrent": 2});
    let bed = setup.decision("all", &models, select).start();
    let address = bed.address;
    let asking = thread::spawn(move || {
        let mut client = fingerpost_testkit::Client::connect(address).unwrap();
        let body = Speak::Chat.ask("auto", "hi").to_string();
        client.post(Speak::Chat.path(), &[], &body).unwrap()
    });
    let mut most = 0;
    while !asking.is_finished() {
        most = most.max(up.counters().in_flight);
    }
    let answer = asking.join().unwrap();
    assert_eq!(
        answer.json()["choices"].as_array().map(Vec::len),
        Some(6),
        "{}",
        answer.text()
    );
    assert!(most <= 2, "{most}");
}

#[test]
fn every_answer_is_a_choice() {
    let panel = Panel::new(says("one"), says("two"), says("three"), json!("ratings"));
    let answer = panel.bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    let body = answer.json();
    let texts: Vec<(u64, &str)> = body["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["index"].as_u64().unwrap(),
                c["message"]["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        texts,
        [(0, "two"), (1, "one"), (2, "three")],
        "the best model's first"
    );
    assert_eq!(answer.headers.get("x-fingerpost-choices"), Some("b, a, c"));
    assert_eq!(answer.headers.get("x-fingerpost-model"), Some("b"));
    assert_eq!(body["usage"]["prompt_tokens"], 3_000_000);
    assert!(
        panel.bed.counts("fingerpost_cost_usd_total", &[], 111.0),
        "{}",
        panel.bed.metrics()
    );
    // Who has no room for choices gets the best.
    for speak in [Speak::Responses, Speak::Messages] {
        let answer = panel.bed.post(speak.path(), &speak.ask("auto", "hi"));
        assert_eq!(speak.text(&answer.json()), "two", "{}", answer.text());
        assert_eq!(answer.headers.get("x-fingerpost-choices"), None);
    }
    let mut client = panel
        .bed
        .begin(Speak::Chat.path(), &Speak::Chat.ask_stream("auto", "hi"));
    let events = client.events().unwrap();
    assert_eq!(Speak::Chat.streamed(&events), "two");
    assert!(Speak::Chat.is_complete(&events));
}

#[test]
fn the_last_call_is_streamed_in_every_format() {
    for speak in ALL {
        let panel = fusion();
        let mut client = panel
            .bed
            .begin(speak.path(), &speak.ask_stream("auto", "capital of Norway?"));
        let events = client.events().unwrap();
        assert_eq!(speak.streamed(&events), "It is Oslo, all agree.", "{speak:?}");
        assert!(speak.is_complete(&events), "{speak:?} {events:?}");
        let streams = |up: &Upstream| -> Vec<bool> {
            let requests = up.requests();
            requests.iter().map(|r| r.json()["stream"] == true).collect()
        };
        assert_eq!(streams(&panel.a), [false]);
        assert_eq!(streams(&panel.b), [false, false, true], "answer, analysis, last");
        assert_eq!(streams(&panel.c), [false]);
    }
}

#[test]
fn the_last_call_is_whole_where_that_is_wanted() {
    for speak in ALL {
        let panel = fusion();
        let answer = panel
            .bed
            .post(speak.path(), &speak.ask("auto", "capital of Norway?"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        assert_eq!(speak.text(&body), "It is Oslo, all agree.", "{speak:?}");
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some("b"));
        assert_eq!(answer.headers.get("x-fingerpost-decision"), Some("all"));
        assert!(
            !answer.text().contains("mark-0"),
            "nothing of the question is told: {}",
            answer.text()
        );
        if speak == Speak::Responses {
            let id = body["id"].as_str().unwrap();
            assert_eq!(panel.bed.get(&format!("/v1/responses/{id}")).status, 200);
        }
    }
}

#[test]
fn questions_carry_nothing_of_the_client_s() {
    let panel = fusion();
    let mut body = Speak::Chat.ask("auto", "capital of Norway?");
    body["metadata"] = json!({"team": "north"});
    body["temperature"] = json!(0.3);
    body["user"] = json!("ann");
    body["response_format"] = json!({"type": "json_object"});
    body["max_completion_tokens"] = json!(77);
    let answer = panel.bed.post(Speak::Chat.path(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let requests = panel.b.requests();
    assert_eq!(
        requests[0].json()["metadata"]["team"],
        "north",
        "a member gets the request as it came"
    );
    let [judge, last] = [requests[1].json(), requests[2].json()];
    for question in [&judge, &last] {
        let mut keys: Vec<&str> = question.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["max_completion_tokens", "messages", "model"],
            "{question:#}"
        );
        assert_eq!(question["messages"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(judge["max_completion_tokens"], 2048);
    assert_eq!(last["max_completion_tokens"], 77, "the client's own bound");
}

#[test]
fn every_call_is_told_and_paid_for() {
    for stream in [false, true] {
        let panel = fusion();
        let body = match stream {
            true => Speak::Chat.ask_stream("auto", "capital of Norway?"),
            false => Speak::Chat.ask("auto", "capital of Norway?"),
        };
        let answer = panel.bed.post(Speak::Chat.path(), &body);
        let told = answer.headers.get("x-fingerpost-calls").unwrap().to_owned();
        assert_eq!(
            told,
            "a 1.000000000; b 10.000000000; c 100.000000000; b 10.000000000; b"
        );
        // Members 1 + 10 + 100, judge 10, last call 10.
        assert!(
            panel.bed.counts("fingerpost_cost_usd_total", &[], 131.0),
            "{}",
            panel.bed.metrics()
        );
        let id = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
        assert!(eventually(
            || panel.bed.get(&format!("/v1/traces/{id}")).status == 200
        ));
        let record = panel.bed.get(&format!("/v1/traces/{id}")).json();
        let hops = record["trace"]["hops"].as_array().unwrap();
        let called: Vec<(&str, &str, Option<f64>)> = hops
            .iter()
            .map(|h| {
                let pick = h["decision"]["picks"][0]["name"].as_str().unwrap();
                (h["level"].as_str().unwrap(), pick, h["outcome"]["cost"].as_f64())
            })
            .collect();
        let expected = [
            ("decision", "all", None),
            ("fleet", "a@a", Some(1.0)),
            ("fleet", "b@b", Some(10.0)),
            ("fleet", "c@c", Some(100.0)),
            ("fleet", "b@b", Some(10.0)),
            ("model", "b", None),
            ("fleet", "b@b", None),
        ];
        assert_eq!(called, expected, "{record:#}");
        assert_eq!(hops[1]["parent"], 0);
        assert_eq!(hops[6]["parent"], 5);
        assert_eq!(record["outcome"]["cost"], 131.0);
        assert_eq!(hops[5]["decision"]["answered"], 4);
    }
}

#[test]
fn members_that_fail_are_done_without_and_told() {
    let unwell = Script::new().always(Behavior::status(500));
    let b = speaker(
        "two",
        Behavior::status(500),
        Behavior::text("both say so").usage(MILLION),
    );
    let panel = Panel::new(unwell, b, says("three"), json!("fusion"));
    let answer = panel
        .bed
        .post(Speak::Messages.path(), &Speak::Messages.ask("auto", "hi"));
    assert_eq!(
        Speak::Messages.text(&answer.json()),
        "both say so",
        "{}",
        answer.text()
    );
    let told = answer.headers.get("x-fingerpost-calls").unwrap().to_owned();
    assert_eq!(told, "a status; b 10.000000000; c 100.000000000; b status; b");
    assert!(
        panel.bed.counts("fingerpost_cost_usd_total", &[], 120.0),
        "{}",
        panel.bed.metrics()
    );
    let id = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
    assert!(eventually(
        || panel.bed.get(&format!("/v1/traces/{id}")).status == 200
    ));
    let record = panel.bed.get(&format!("/v1/traces/{id}")).json();
    assert!(
        record["trace"]["hops"][1]["outcome"]["failure"].is_object(),
        "{record:#}"
    );
}

#[test]
fn where_all_members_fail_the_client_is_told_why() {
    let unwell = || Script::new().always(Behavior::status(500));
    for select in ["fusion", "ratings", "remom"] {
        let panel = Panel::new(unwell(), unwell(), unwell(), json!(select));
        for speak in ALL {
            let answer = panel.bed.post(speak.path(), &speak.ask("auto", "hi"));
            assert_eq!(answer.status, 502, "{select} {}", answer.text());
            speak.error(&answer);
        }
    }
}

#[test]
fn the_last_call_falls_back_on_another_model() {
    let b = speaker("two", Behavior::text("fine"), Behavior::status(500));
    let a = speaker("one", Behavior::text("never"), Behavior::text("in its place"));
    let panel = Panel::new(a, b, says("three"), json!("fusion"));
    let answer = panel.bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(
        Speak::Chat.text(&answer.json()),
        "in its place",
        "{}",
        answer.text()
    );
    assert_eq!(answer.headers.get("x-fingerpost-model"), Some("a"));
}

#[test]
fn a_client_that_leaves_takes_every_call_with_it() {
    let stalls = || Script::new().always(Behavior::fault(Point::Headers, How::Stall));
    let panel = Panel::new(stalls(), stalls(), stalls(), json!("ratings"));
    let mut client = panel.bed.client();
    let body = Speak::Chat.ask("auto", "hi").to_string();
    client
        .request("POST", Speak::Chat.path(), &[], body.as_bytes())
        .unwrap();
    assert!(eventually(|| panel
        .ups()
        .iter()
        .all(|up| up.counters().in_flight == 1)));
    client.leave();
    assert!(eventually(|| panel
        .ups()
        .iter()
        .all(|up| up.counters().cancelled == 1)));
    assert!(
        panel
            .bed
            .counts("fingerpost_errors_total", &[r#"reason="cancelled""#], 1.0)
    );
    assert!(panel.bed.counts("fingerpost_in_flight", &[], 0.0));
}

#[test]
fn what_was_spent_counts_though_nobody_waits_for_the_answer() {
    let b = speaker(
        "two",
        Behavior::fault(Point::Headers, How::Stall),
        Behavior::text("never"),
    );
    let panel = Panel::new(says("one"), b, says("three"), json!("fusion"));
    let mut client = panel.bed.client();
    let body = Speak::Chat.ask("auto", "hi").to_string();
    client
        .request("POST", Speak::Chat.path(), &[], body.as_bytes())
        .unwrap();
    assert!(
        panel.b.wait_until(SOON, |c| c.requests == 2),
        "the judge is asked"
    );
    client.leave();
    assert!(
        panel.b.wait_until(SOON, |c| c.cancelled == 1),
        "{:?}",
        panel.b.counters()
    );
    assert!(
        panel.bed.counts("fingerpost_cost_usd_total", &[], 111.0),
        "{}",
        panel.bed.metrics()
    );
}

#[test]
fn enough_answers_are_not_kept_waiting_for_the_others() {
    let stalls = Script::new().always(Behavior::fault(Point::Headers, How::Stall));
    let b = speaker("two", Behavior::text("never"), Behavior::text("from two"));
    let select = json!({"algorithm": "remom", "breadth_schedule": [3], "quorum": 2});
    let panel = Panel::new(says("one"), b, stalls, select);
    let answer = panel
        .bed
        .post(Speak::Responses.path(), &Speak::Responses.ask("auto", "hi"));
    assert_eq!(
        Speak::Responses.text(&answer.json()),
        "from two",
        "{}",
        answer.text()
    );
    assert!(
        panel.c.wait_until(SOON, |c| c.cancelled == 1),
        "{:?}",
        panel.c.counters()
    );
    let told = answer.headers.get("x-fingerpost-calls").unwrap().to_owned();
    assert_eq!(told, "a 1.000000000; b 10.000000000; c cancelled; b");
    let last = panel.b.requests().pop().unwrap().json().to_string();
    assert!(
        last.contains("reference-2") && !last.contains("reference-3"),
        "{last}"
    );
}

#[test]
fn a_member_has_its_time() {
    let stalls = Script::new().always(Behavior::fault(Point::Headers, How::Stall));
    let b = speaker("two", Behavior::text("fine"), Behavior::text("from two"));
    let select = json!({"algorithm": "fusion", "member_timeout_ms": 200});
    let panel = Panel::new(says("one"), b, stalls, select);
    let answer = panel.bed.post(Speak::Chat.path(), &Speak::Chat.ask("auto", "hi"));
    assert_eq!(Speak::Chat.text(&answer.json()), "from two", "{}", answer.text());
    let told = answer.headers.get("x-fingerpost-calls").unwrap().to_owned();
    assert!(told.contains("c timeout"), "{told}");
}
