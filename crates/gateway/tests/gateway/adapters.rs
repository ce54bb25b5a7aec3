//! Adapters that a server must have loaded before it can be asked for them.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

/// What a server has been told, and has loaded.
#[derive(Default)]
struct Server {
    loaded: BTreeSet<String>,
    told: Vec<(String, Value)>,
    most: usize,
    /// Adapters that it does not find.
    broken: BTreeSet<String>,
}

/// A server as vLLM is one: its base model `base`, and the adapters that it is told to load.
fn vllm(broken: &[&str]) -> (SocketAddr, Arc<Mutex<Server>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Mutex::new(Server {
        broken: broken.iter().map(|b| (*b).to_owned()).collect(),
        ..Server::default()
    }));
    let shared = Arc::clone(&server);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let server = Arc::clone(&shared);
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let Some((path, body)) = request(&mut stream) else {
                    return;
                };
                let (status, answer) = server.lock().unwrap().answer(&path, body);
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\n");
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len());
            });
        }
    });
    (address, server)
}

/// The path and the body, as soon as it is whole.
fn request(stream: &mut impl Read) -> Option<(String, Value)> {
    let (mut all, mut read) = (Vec::new(), [0; 65_536]);
    loop {
        let count @ 1.. = stream.read(&mut read).ok()? else {
            return None;
        };
        all.extend_from_slice(&read[..count]);
        let text = String::from_utf8_lossy(&all);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if let Ok(body) = serde_json::from_str(body) {
            return Some((head.split(' ').nth(1)?.to_owned(), body));
        }
    }
}

// === impl Server ===

impl Server {
    fn answer(&mut self, path: &str, body: Value) -> (u16, String) {
        let name = body["lora_name"].as_str().unwrap_or_default().to_owned();
        self.told.push((path.to_owned(), body.clone()));
        match path {
            "/v1/load_lora_adapter" if self.broken.contains(&name) => (404, "no such adapter".to_owned()),
            "/v1/load_lora_adapter" => {
                self.loaded.insert(name);
                self.most = self.most.max(self.loaded.len());
                (200, "Success".to_owned())
            }
            "/v1/unload_lora_adapter" => {
                self.loaded.remove(&name);
                (200, "Success".to_owned())
            }
            _ => {
                let model = body["model"].as_str().unwrap_or_default();
                if model != "base" && !self.loaded.contains(model) {
                    return (
                        404,
                        format!("{{\"error\":{{\"message\":\"the model {model} does not exist\"}}}}"),
                    );
                }
                let message = json!({"role": "assistant", "content": model});
                let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
                let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": choices});
                (200, answer.to_string())
            }
        }
    }
}

fn bed(at: SocketAddr, adapters: &Value) -> Bed {
    let mut setup = Setup::new().openai_at("vllm", at);
    for name in ["a", "b", "c", "d"] {
        setup = setup.set(
            &format!("/models/{name}/endpoints"),
            json!([{"provider": "vllm", "model": format!("{name}-lora")}]),
        );
    }
    setup
        .model("base", &["vllm"])
        .set(
            "/decisions",
            json!([{"name": "all", "models": ["a", "b", "c", "d", "base"], "adapters": adapters}]),
        )
        .start()
}

fn asked(bed: &Bed, text: &str) -> (u16, String) {
    let answer = bed.post(CHAT.path(), &CHAT.ask("auto", text));
    let model = answer
        .headers
        .get("x-fingerpost-model")
        .unwrap_or_default()
        .to_owned();
    (answer.status, model)
}

#[test]
fn adapters_are_loaded_before_they_are_asked_and_never_more_than_fit() {
    let (at, server) = vllm(&[]);
    let polar = json!({"slots": 2, "base": "base", "epochs": {"kind": "fixed", "length": 20}, "trials": 0.5});
    let bed = bed(at, &json!({"sources": {"a": "/loras/a"}, "polar": polar}));
    let mut models = BTreeSet::new();
    for i in 0..60 {
        let (status, model) = asked(&bed, &format!("question {i}"));
        assert_eq!(status, 200, "{model}");
        models.insert(model);
    }
    assert!(
        models.len() > 2 && !models.contains("base"),
        "each is tried: {models:?}"
    );
    let server = server.lock().unwrap();
    assert!(
        server.most <= 3,
        "two that are kept, and a guest while it takes the place of one"
    );
    let loads = |name: &str| {
        server
            .told
            .iter()
            .find(|(path, body)| path.contains("/load_") && body["lora_name"] == name)
    };
    assert_eq!(loads("a-lora").unwrap().1["lora_path"], "/loras/a");
    assert_eq!(
        loads("b-lora").unwrap().1["lora_path"],
        "b",
        "its own name where nothing else is said"
    );
}

#[test]
fn feedback_teaches_which_adapter_is_worth_its_place() {
    let (at, server) = vllm(&[]);
    let polar = json!({"slots": 1, "base": "base", "epochs": {"kind": "fixed", "length": 20}, "trials": 0.5});
    let bed = bed(at, &json!({"polar": polar}));
    for i in 0..120 {
        let answer = bed.post(CHAT.path(), &CHAT.ask("auto", &format!("question {}", i % 7)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (trace, model) = (
            answer.headers.get("x-fingerpost-trace"),
            answer.headers.get("x-fingerpost-model"),
        );
        let quality = if model == Some("c") { 1.0 } else { 0.1 };
        let body = json!({"trace": trace.unwrap(), "quality": quality});
        assert!(eventually(|| bed.post("/v1/feedback", &body).status == 200));
    }
    let last: Vec<String> = (0..10)
        .map(|i| asked(&bed, &format!("question {}", i % 7)).1)
        .collect();
    let most = last.iter().filter(|model| *model == "c").count();
    assert!(most >= 7, "{last:?}");
    assert!(server.lock().unwrap().loaded.contains("c-lora"));
}

#[test]
fn one_that_a_client_names_is_loaded_for_it() {
    let (at, server) = vllm(&["d-lora"]);
    let polar = json!({"slots": 1, "base": "base", "retry_after": "1h"});
    let bed = bed(at, &json!({"polar": polar}));
    for name in ["a", "b", "a"] {
        let answer = bed.post(CHAT.path(), &CHAT.ask(name, "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(CHAT.text(&answer.json()), format!("{name}-lora"));
    }
    assert!(server.lock().unwrap().most <= 2, "one that is kept, and a guest");
    let answer = bed.post(CHAT.path(), &CHAT.ask("d", "hi"));
    assert_eq!(
        answer.status,
        503,
        "another is not what was named: {}",
        answer.text()
    );
    let (at, server) = vllm(&[]);
    let refuses = self::bed(at, &json!({"load_named": false, "polar": polar}));
    assert_ne!(refuses.post(CHAT.path(), &CHAT.ask("c", "hi")).status, 200);
    let told = &server.lock().unwrap().told;
    assert!(told.iter().all(|(_, body)| body["lora_name"] != "c-lora") || told.len() > 1);
}

#[test]
fn one_that_a_server_cannot_load_is_on_none() {
    let (whole, broken) = (vllm(&[]), vllm(&["a-lora"]));
    let setup = Setup::new()
        .openai_at("whole", whole.0)
        .openai_at("broken", broken.0)
        .set(
            "/models/a/endpoints",
            json!([{"provider": "whole", "model": "a-lora"}, {"provider": "broken", "model": "a-lora"}]),
        )
        .model("base", &["whole"])
        .set(
            "/decisions",
            json!([{"name": "all", "models": ["a", "base"],
                    "adapters": {"polar": {"base": "base", "slots": 1, "retry_after": "1h"}}}]),
        );
    let bed = setup.start();
    for i in 0..4 {
        assert_eq!(asked(&bed, &format!("question {i}")), (200, "base".to_owned()));
    }
    let told = |server: &Mutex<Server>, path: &str| {
        let server = server.lock().unwrap();
        server.told.iter().any(|(to, _)| to.contains(path))
    };
    assert!(eventually(
        || told(&whole.1, "/load_") && told(&whole.1, "/unload_")
    ));
    assert!(eventually(|| whole.1.lock().unwrap().loaded.is_empty()));
}

#[test]
fn one_that_cannot_be_loaded_gives_way_to_the_base_model_where_there_is_one() {
    let all = ["a-lora", "b-lora", "c-lora", "d-lora"];
    let (at, _server) = vllm(&all);
    let with_base = bed(at, &json!({"polar": {"base": "base", "retry_after": "1h"}}));
    for i in 0..6 {
        assert_eq!(
            asked(&with_base, &format!("question {i}")),
            (200, "base".to_owned())
        );
    }
    let (at, _server) = vllm(&all);
    let without = Setup::new()
        .openai_at("vllm", at)
        .set(
            "/models/a/endpoints",
            json!([{"provider": "vllm", "model": "a-lora"}]),
        )
        .set(
            "/decisions",
            json!([{"name": "all", "models": ["a"], "adapters": {"polar": {"retry_after": "1h"}}}]),
        )
        .start();
    let answer = without.post(CHAT.path(), &CHAT.ask("auto", "hi"));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.headers.get("retry-after").is_some());
}
