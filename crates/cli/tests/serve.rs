//! `fingerpost serve` as a newcomer and as an operator meet it: starting without anything, reloading, ending.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]
#![cfg(unix)]

mod binary;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use binary::{KEY, Line, fingerpost};

/// A server under test; killed when it is dropped.
struct Serving {
    child: Child,
    /// What it says on standard error, line by line.
    lines: Receiver<String>,
    said: String,
    address: String,
    _line: Line,
}

/// No line takes this long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut line = fingerpost(
            &[
                &["serve", "--listen", "0", "--workers", "1", "--no-pull"],
                arguments,
            ]
            .concat(),
        );
        let mut child = line
            .command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut serving = Self {
            child,
            lines,
            said: String::new(),
            address: String::new(),
            _line: line,
        };
        let first = serving.wait_for("listens on http://");
        let address = first.split("http://").nth(1).unwrap();
        serving.address = address.split(' ').next().unwrap().to_owned();
        serving
    }

    /// The first line from now on that contains `text`.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no `{text}` in:\n{}", self.said));
            assert!(!line.contains(KEY), "a key was shown: {line}");
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Sends one request and reads the whole answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        );
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const QUESTION: &str =
    r#"{"model":"auto","messages":[{"role":"user","content":"What is the capital of France?"}]}"#;

#[test]
fn a_newcomer_gets_a_line_to_try_and_an_answer_and_sigterm_ends_it() {
    let mut serving = Serving::start(&[]);
    serving.wait_for("curl -i http://");
    for expected in [
        "built in",
        "demo, smollm2, smollm2-brief",
        "the built-in demo answers in their place",
        "static",
    ] {
        assert!(
            serving.said.contains(expected),
            "{expected}\n---\n{}",
            serving.said
        );
    }
    let answer = serving.ask("POST", "/v1/chat/completions", QUESTION);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("easy-question") && answer.contains("fingerpost models pull smollm2"),
        "{answer}"
    );
    serving.signal("-TERM");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_changed_file_is_put_in_place_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fingerpost.yaml");
    let good = "providers: { demo: { type: demo } }\nmodels:\n  one: { endpoints: [{ provider: demo, model: demo }] }\n";
    std::fs::write(&file, good).unwrap();
    let mut serving = Serving::start(&["--config", file.to_str().unwrap()]);
    assert!(serving.ask("GET", "/v1/models", "").contains("\"one\""));

    std::fs::write(&file, good.replace("one:", "another:")).unwrap();
    serving.wait_for("is in place (configuration 2)");
    let models = serving.ask("GET", "/v1/models", "");
    assert!(
        models.contains("\"another\"") && !models.contains("\"one\""),
        "{models}"
    );

    std::fs::write(&file, good.replace("endpoints", "endpionts")).unwrap();
    serving.wait_for("unknown key `endpionts`");
    serving.wait_for("the last good configuration stays");
    assert!(serving.ask("GET", "/v1/models", "").contains("\"another\""));

    std::fs::write(&file, format!("server: {{ workers: 3 }}\n{good}")).unwrap();
    serving.wait_for("is in place (configuration 3)");
    serving.wait_for("only a restart brings into effect: server.workers");

    serving.signal("-HUP");
    serving.wait_for("is in place (configuration 4)");
}

#[test]
fn a_second_server_beside_the_first_starts_without_a_store() {
    let first = Serving::start(&[]);
    let data = first
        ._line
        .command
        .get_envs()
        .find(|(name, _)| *name == "FINGERPOST_DATA")
        .unwrap()
        .1
        .unwrap();
    let mut line = fingerpost(&["serve", "--listen", "0", "--workers", "1", "--no-pull", "--json"]);
    let mut second = line
        .command
        .env("FINGERPOST_DATA", data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut object = String::new();
    BufReader::new(second.stdout.take().unwrap())
        .read_line(&mut object)
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!(json["workers"], 1);
    second.kill().unwrap();
    let said = second.wait_with_output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&said).contains("nothing is stored in this one"));
}

#[test]
fn an_address_of_another_machine_names_the_way_out() {
    let ran = fingerpost(&[
        "serve",
        "--no-pull",
        "--workers",
        "1",
        "--listen",
        "192.0.2.1:8080",
    ])
    .run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("cannot listen on 192.0.2.1:8080") && ran.err.contains("--listen"),
        "{}",
        ran.err
    );
}
