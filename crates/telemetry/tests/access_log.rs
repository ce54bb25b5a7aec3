//! A record is one line, whatever is in it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use std::io;

use fingerpost_core::Failure;
use fingerpost_telemetry::{AccessLog, CacheUse, Record};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{AT, record, refused};

fn line_of(record: &Record) -> Value {
    let mut log = AccessLog::new(Vec::new());
    log.note(record);
    log.flush().unwrap();
    let text = String::from_utf8(log.into_inner()).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_line_tells_all_there_is() {
    let expected = json!({
        "time": "2026-01-02T03:04:05.678901Z",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "format": "chat",
        "stream": true,
        "status": 200,
        "asked": "auto",
        "decision": "math",
        "model": "large",
        "endpoint": "b",
        "upstream_model": "vendor/large",
        "why": "math: domain is math; small: cheapest above the bar (price 0.25); a: idle",
        "tokens": {"input": 1000, "cached_input": 600, "output": 61, "reasoning": 20},
        "cost_usd": 0.0125,
        "latency_ms": 1001.0,
        "ttft_ms": 401.0,
        "routing_us": 12,
        "attempts": [
            {"endpoint": "a", "kind": "first", "failure": "timeout", "ms": 100.0},
            {"endpoint": "b", "kind": "fallback", "ms": 900.0},
        ],
    });
    assert_eq!(AT, 1_767_323_045_678_901);
    assert_eq!(line_of(&record()), expected);
}

#[test]
fn what_did_not_happen_is_not_there() {
    let mut record = refused(404);
    record.outcome.failure = Some(Failure::NoRoute);
    let line = line_of(&record);
    assert_eq!(line["error"], "no route");
    for absent in [
        "decision",
        "model",
        "endpoint",
        "upstream_model",
        "cache",
        "similarity",
        "why",
        "cost_usd",
        "ttft_ms",
        "attempts",
    ] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
}

#[test]
fn what_the_cache_did_is_told() {
    let told = |cache| {
        let line = line_of(&Record {
            cache: Some(cache),
            ..record()
        });
        (line["cache"].clone(), line.get("similarity").cloned())
    };
    assert_eq!(told(CacheUse::Hit(0.973_21)), (json!("hit"), Some(json!(0.973))));
    assert_eq!(told(CacheUse::Miss), (json!("miss"), None));
    assert_eq!(told(CacheUse::Bypass), (json!("bypass"), None));
}

#[test]
fn what_others_sent_is_cut() {
    let mut record = record();
    record.asked = "é".repeat(5000).into();
    record.outcome.failure = Some(Failure::Garbage("x".repeat(5000).into()));
    let line = line_of(&record);
    assert_eq!(line["asked"].as_str().unwrap().chars().count(), 120);
    assert_eq!(line["error"].as_str().unwrap().chars().count(), 240);
}

/// Fails once, then takes everything.
#[derive(Default)]
struct FullOnce {
    failed: bool,
    taken: Vec<u8>,
}

impl io::Write for FullOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.failed, true) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_lines_but_never_half_a_line() {
    let mut log = AccessLog::new(FullOnce::default());
    log.note(&record());
    assert_eq!(log.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    log.note(&record());
    log.flush().unwrap();
    let text = String::from_utf8(log.into_inner().taken).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

proptest! {
    #[test]
    fn any_text_stays_in_one_line(text in any::<String>(), status in 0u16..600) {
        let mut record = record();
        record.status = status;
        record.asked = text.as_str().into();
        record.outcome.failure = Some(Failure::Broken(text.clone().into()));
        let line = line_of(&record);
        prop_assert!(text.starts_with(line["asked"].as_str().unwrap()));
        prop_assert_eq!(&line["status"], status);
    }
}
