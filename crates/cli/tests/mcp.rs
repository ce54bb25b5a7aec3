//! `fingerpost mcp` as a client starts it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{ChildStdin, Stdio},
};

use binary::{KEY, config, fingerpost};
use serde_json::{Value, json};

#[test]
fn without_servers_it_says_what_is_needed() {
    let ran = fingerpost(&["mcp"]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("no configuration says which MCP servers there are"),
        "{}",
        ran.err
    );
    let (_folder, file) = config(
        "mcp: {}\nproviders: { d: { type: demo } }\nmodels: { m: { endpoints: [{ provider: d }] } }\n",
    );
    let ran = fingerpost(&["mcp", "--config", file.to_str().unwrap()]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("names no MCP servers") && ran.err.contains("docs/mcp.md"),
        "{}",
        ran.err
    );
}

#[test]
fn a_faulty_section_is_told_with_file_line_and_key() {
    let (_folder, file) = config(&format!(
        "mcp:\n  servers:\n    - {{ name: a, command: x, env: {{ API_KEY: {KEY} }} }}\n"
    ));
    let ran = fingerpost(&["mcp", "--config", file.to_str().unwrap()]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("bad.yaml:3:") && ran.err.contains("mcp.servers[0].env.API_KEY"),
        "{}",
        ran.err
    );
}

/// Sends a message and reads lines up to the answer.
#[test]
fn what_was_not_trained_is_refused_at_the_start() {
    let (_folder, file) = config("mcp: { servers: [ { name: gone, command: /nowhere } ] }\n");
    let file = file.to_str().unwrap();
    let ran = fingerpost(&["mcp", "--config", file, "--reranker", file]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("make one with `fingerpost train skill-reranker`"),
        "{}",
        ran.err
    );
}

fn ask(stdin: &mut ChildStdin, out: &mut impl BufRead, id: u32, method: &str, params: &Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    writeln!(stdin, "{message}").unwrap();
    loop {
        let mut line = String::new();
        assert_ne!(
            out.read_line(&mut line).unwrap(),
            0,
            "it ended before it answered {method}"
        );
        let answer: Value = serde_json::from_str(&line).unwrap();
        if answer["id"] == id {
            return answer["result"].clone();
        }
    }
}

/// Fingerpost behind Fingerpost, beside a server that is not there.
#[test]
fn it_answers_over_standard_input_and_output_and_says_who_is_missing() {
    let missing = "{ name: missing, command: /no/such/program }";
    let (_inner_folder, inner) = config(&format!("mcp: {{ servers: [ {missing} ] }}\n"));
    let program = env!("CARGO_BIN_EXE_fingerpost");
    let (_folder, file) = config(&format!(
        "mcp:\n  expose: all\n  servers:\n  - {{ name: inner, command: {program:?}, args: [mcp, --config, {inner:?}] }}\n  - {missing}\n"
    ));
    let mut line = fingerpost(&["mcp", "--config", file.to_str().unwrap()]);
    let command = line
        .command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let client = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let begun = ask(&mut stdin, &mut out, 1, "initialize", &client);
    assert_eq!(
        (&begun["serverInfo"]["name"], &begun["protocolVersion"]),
        (&json!("fingerpost"), &json!("2025-06-18"))
    );
    writeln!(
        stdin,
        "{}",
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
    )
    .unwrap();
    let listed = ask(&mut stdin, &mut out, 2, "tools/list", &json!({}));
    let names: Vec<&str> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    let own = ["search_tools", "call_tool", "tool_stats"];
    assert_eq!(names[..3], own);
    assert_eq!(names[3..], own.map(|name| format!("inner__{name}")));
    let call = json!({"name": "call_tool", "arguments": {"name": "inner__tool_stats", "arguments": {}}});
    let stats = ask(&mut stdin, &mut out, 3, "tools/call", &call);
    assert_eq!(stats["structuredContent"]["servers"][0]["name"], "missing");
    assert_eq!(stats["structuredContent"]["servers"][0]["state"], "down");
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("1 of 2 servers connected, 3 tools"), "{told}");
    assert!(
        told.contains("missing: missing (cannot start `/no/such/program`"),
        "{told}"
    );
}
