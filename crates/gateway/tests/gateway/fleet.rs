//! Which of a model's servers is asked: by prefix, by what servers tell of themselves.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use fingerpost_gateway::config::HealthCheck;
use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

fn pool(count: usize, fleet: &Value) -> (Vec<Upstream>, Bed) {
    let script = || Script::new().always(Behavior::text("hello"));
    let servers: Vec<Upstream> = (0..count).map(|_| upstream(script())).collect();
    let names: Vec<String> = (0..count).map(|i| format!("server{i}")).collect();
    let mut setup = Setup::new();
    for (name, server) in names.iter().zip(&servers) {
        setup = setup.openai(name, server);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bed = setup
        .model("m", &names)
        .set("/models/m/fleet", fleet.clone())
        .start();
    (servers, bed)
}

/// A conversation of this agent: its long instructions are the same in all of them.
fn ask(agent: usize, question: &str) -> Value {
    let instructions = format!("You are agent {agent}. ").repeat(100);
    json!({"model": "m", "messages": [
        {"role": "system", "content": instructions},
        {"role": "user", "content": question},
    ]})
}

fn endpoint(bed: &Bed, body: &Value) -> String {
    let answer = bed.post(CHAT.path(), body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.headers.get("x-fingerpost-endpoint").unwrap().to_owned()
}

#[test]
fn prompts_that_begin_alike_go_to_the_same_servers() {
    // DualMap has two of them for a prompt; the others one.
    for (policy, most) in [
        ("consistent_hash", 1),
        ("bounded_hash", 1),
        ("cache_aware", 1),
        ("min_ttft", 1),
        ("dualmap", 2),
    ] {
        let fleet = json!({"policy": policy, "state": {"block_tokens": 64}});
        let (_servers, bed) = pool(4, &fleet);
        let mut all = HashSet::new();
        for agent in 0..12 {
            let asked = |question: usize| endpoint(&bed, &ask(agent, &format!("question {question}")));
            let own: HashSet<String> = (0..4).map(asked).collect();
            assert!(own.len() <= most, "{policy}: {own:?}");
            all.extend(own);
        }
        if policy != "min_ttft" && policy != "cache_aware" {
            assert!(all.len() > 2, "{policy}: {all:?}");
        }
    }
}

#[test]
fn what_policies_know_outlives_a_reload() {
    let fleet = json!({"policy": "cache_aware", "state": {"block_tokens": 64}});
    let (_servers, bed) = pool(4, &fleet);
    let before: Vec<String> = (0..6)
        .map(|agent| endpoint(&bed, &ask(agent, "before")))
        .collect();
    let config = bed.shared.snapshot().config().clone();
    bed.shared.reload(config).unwrap();
    let after: Vec<String> = (0..6).map(|agent| endpoint(&bed, &ask(agent, "after"))).collect();
    assert_eq!(before, after);
}

/// A server that answers and tells how many requests wait there.
fn telling(waiting: Arc<AtomicU32>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let chat = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut read = [0; 65_536];
                let Ok(count @ 1..) = stream.read(&mut read) else {
                    return;
                };
                let body = if read[..count].starts_with(b"GET /metrics") {
                    format!(
                        "vllm:num_requests_waiting{{model_name=\"m\"}} {}\n",
                        waiting.load(Ordering::Relaxed)
                    )
                } else {
                    chat.to_owned()
                };
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length:";
                let _ = write!(stream, "{head} {}\r\n\r\n{body}", body.len());
            });
        }
    });
    address
}

#[test]
fn what_servers_tell_of_themselves_is_followed() {
    let waiting = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(50))];
    let mut setup = Setup::new();
    for (name, count) in ["a", "b"].iter().zip(&waiting) {
        setup = setup.openai_at(name, telling(Arc::clone(count)));
    }
    let bed = setup
        .model("m", &["a", "b"])
        .set(
            "/models/m/fleet",
            json!({"policy": "min_ttft", "state": {"load": "reported"}}),
        )
        .set("/models/m/reports", json!({"every": "100ms"}))
        .start();
    let is_asked = |name: &str| endpoint(&bed, &ask(1, "hi")) == format!("m@{name}");
    assert!(eventually(|| is_asked("a")));
    waiting[0].store(100, Ordering::Relaxed);
    waiting[1].store(0, Ordering::Relaxed);
    assert!(
        eventually(|| is_asked("b")),
        "the reports say that `a` is the busier now"
    );
}

#[test]
fn a_server_that_tells_nothing_does_no_harm() {
    let (servers, bed) = pool(2, &json!({"policy": "min_ttft", "state": {"load": "both"}}));
    let mut config = bed.shared.snapshot().config().clone();
    let reports = fingerpost_gateway::config::Reports {
        every: Duration::from_millis(100),
        ..Default::default()
    };
    config.models.get_mut("m").unwrap().reports = Some(reports);
    bed.shared.reload(config).unwrap();
    assert!(eventually(|| servers
        .iter()
        .all(|s| s.requests().iter().any(|r| r.path == "/metrics"))));
    endpoint(&bed, &ask(1, "hi"));
}

#[test]
fn a_server_that_misses_health_checks_is_out_until_it_answers() {
    let (servers, bed) = pool(2, &json!({"policy": "round_robin"}));
    let mut config = bed.shared.snapshot().config().clone();
    let every = Duration::from_millis(100);
    config.models.get_mut("m").unwrap().health = Some(HealthCheck {
        path: "/v1/models".to_owned(),
        every,
        misses: 2,
    });
    bed.shared.reload(config).unwrap();
    let asked: HashSet<String> = (0..4).map(|_| endpoint(&bed, &ask(1, "hi"))).collect();
    assert_eq!(asked.len(), 2, "nobody has missed anything");
    servers[0].script(Script::new().always(Behavior::status(500)));
    let all = |name: &str| (0..4).all(|_| endpoint_or_none(&bed).as_deref() == Some(name));
    assert!(eventually(|| all("m@server1")), "server0 misses its checks");
    servers[0].script(Script::new().always(Behavior::text("hello")));
    let both = || {
        (0..4)
            .filter_map(|_| endpoint_or_none(&bed))
            .collect::<HashSet<_>>()
            .len()
            == 2
    };
    assert!(eventually(both), "server0 answers its checks again");
}

fn endpoint_or_none(bed: &Bed) -> Option<String> {
    let answer = bed.post(CHAT.path(), &ask(1, "hi"));
    (answer.status == 200).then(|| answer.headers.get("x-fingerpost-endpoint").unwrap().to_owned())
}

#[test]
fn a_drained_server_takes_no_new_calls() {
    let (_servers, bed) = pool(2, &json!({"policy": "round_robin"}));
    let mut config = bed.shared.snapshot().config().clone();
    config.models.get_mut("m").unwrap().endpoints[0].drain = true;
    bed.shared.reload(config.clone()).unwrap();
    assert!((0..6).all(|_| endpoint(&bed, &ask(1, "hi")) == "m@server1"));
    config.models.get_mut("m").unwrap().endpoints[1].drain = true;
    bed.shared.reload(config).unwrap();
    let answer = bed.post(CHAT.path(), &ask(1, "hi"));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.headers.get("retry-after").is_some());
}

#[test]
fn a_server_that_comes_gets_its_share_little_by_little() {
    let (_servers, bed) = pool(2, &json!({"policy": "round_robin"}));
    let mut config = bed.shared.snapshot().config().clone();
    let model = config.models.get_mut("m").unwrap();
    model.slow_start = Some(Duration::from_secs(3_600));
    let late = model.endpoints.pop().unwrap();
    bed.shared.reload(config.clone()).unwrap();
    config.models.get_mut("m").unwrap().endpoints.push(late);
    bed.shared.reload(config).unwrap();
    let asked = (0..60)
        .filter(|_| endpoint(&bed, &ask(1, "hi")) == "m@server1")
        .count();
    assert!(
        (1..=12).contains(&asked),
        "a tenth of its turns at first, not {asked} of 60"
    );
}
