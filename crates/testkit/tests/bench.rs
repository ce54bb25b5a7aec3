//! The binaries of the gateway benchmark, in small.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fingerpost_testkit::bench::LAST_WORDS;
use fingerpost_testkit::load::{Load, Report, run};
use fingerpost_testkit::{Client, Upstream};
use serde_json::{Value, json};

/// A server that is killed when dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let addr = line
            .trim()
            .strip_prefix("listening on http://")
            .unwrap()
            .parse()
            .unwrap();
        Self { child, addr }
    }

    fn upstream() -> Self {
        Self::start(
            env!("CARGO_BIN_EXE_scripted-upstream"),
            &["--bench", "--chunks", "4"],
        )
    }

    fn proxy(upstream: SocketAddr) -> Self {
        Self::start(
            env!("CARGO_BIN_EXE_bare-proxy"),
            &["--upstream", &upstream.to_string()],
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn body(stream: bool) -> String {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).to_string()
}

fn ask(target: SocketAddr, stream: bool, expect: &str) -> Report {
    run(Load {
        target,
        path: "/v1/chat/completions".to_owned(),
        headers: Vec::new(),
        body: body(stream),
        connections: 4,
        requests: 40,
        warmup: 4,
        limit: Duration::from_secs(30),
        expect: expect.to_owned(),
    })
    .unwrap()
}

#[test]
fn whole_answers_and_streams_come_through_the_bare_proxy_unchanged() {
    let upstream = Server::upstream();
    let proxy = Server::proxy(upstream.addr);
    for target in [upstream.addr, proxy.addr] {
        let whole = ask(target, false, LAST_WORDS);
        assert_eq!((whole.requests, whole.errors), (40, 0), "{:?}", whole.told);
        let streamed = ask(target, true, "[DONE]");
        assert_eq!(
            (streamed.requests, streamed.errors),
            (40, 0),
            "{:?}",
            streamed.told
        );
        assert!(streamed.first.p50_us <= streamed.total.p50_us);
    }
    let read = |addr| {
        let mut client = Client::connect(addr).unwrap();
        client
            .request("POST", "/v1/chat/completions", &[], body(true).as_bytes())
            .unwrap();
        client.head().unwrap();
        client
            .events()
            .unwrap()
            .into_iter()
            .map(|e| e.data)
            .collect::<Vec<_>>()
    };
    let direct = read(upstream.addr);
    assert_eq!(direct.len(), 4 + 2);
    assert_eq!(read(proxy.addr), direct);
}

#[test]
fn the_answer_is_a_chat_completion_of_the_stated_size() {
    let upstream = Server::upstream();
    let mut client = Client::connect(upstream.addr).unwrap();
    let answer = client.post("/v1/chat/completions", &[], &body(false)).unwrap();
    assert!((700..900).contains(&answer.body.len()), "{}", answer.body.len());
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
    client.request("POST", "/", &[], body(true).as_bytes()).unwrap();
    client.head().unwrap();
    let events = client.events().unwrap();
    assert!(events[..events.len() - 1].iter().all(|e| e.json() != Value::Null));
}

#[test]
fn the_bare_proxy_answers_502_without_an_upstream() {
    let gone = Upstream::start(fingerpost_testkit::Script::new()).unwrap().addr();
    let proxy = Server::proxy(gone);
    let mut client = Client::connect(proxy.addr).unwrap();
    assert_eq!(client.post("/", &[], &body(false)).unwrap().status, 502);
    assert_eq!(client.post("/", &[], "no json").unwrap().status, 502);
}
