//! What reading a request costs on the hot path.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fingerpost_protocol::{Edit, Envelope, Format};

/// A Chat body of about 0.8 kB: a system text and a question with some escapes.
fn small() -> String {
    let question = "Explain how a heat pump moves warmth from a cold place to a warm one. ".repeat(7);
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"You are a helpful assistant.\nAnswer in short sentences."}},{{"role":"user","content":"{question}"}}],"temperature":0.7,"max_tokens":512,"stream":true,"user":"u-1234","metadata":{{"team":"physics","tier":"gold"}}}}"#
    )
}

/// A conversation of about 100 kB with tools, calls and results.
fn large() -> String {
    let mut body = String::from(r#"{"model":"gpt-4o","stream":true,"messages":["#);
    for turn in 0..60 {
        let words = "The quick brown fox jumps over the lazy dog and goes on its way. ".repeat(20);
        body.push_str(&format!(
            r#"{{"role":"user","content":[{{"type":"text","text":"{turn}: {words}"}}]}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{turn}","type":"function","function":{{"name":"look_up","arguments":"{{\"q\":\"fox {turn}\"}}"}}}}]}},{{"role":"tool","tool_call_id":"call_{turn}","content":"found\n{turn}"}},"#
        ));
    }
    body.push_str(r#"{"role":"user","content":"and now?"}],"tools":[{"type":"function","function":{"name":"look_up","parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}]}"#);
    body
}

fn parse(c: &mut Criterion) {
    for (name, body) in [("small", small()), ("large", large())] {
        let mut group = c.benchmark_group("envelope");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("parse {name} ({} bytes)", body.len()), |b| {
            b.iter(|| Envelope::parse(Format::Chat, black_box(body.as_bytes())));
        });
        group.finish();
    }
}

fn splice(c: &mut Criterion) {
    let body = Bytes::from(small());
    let envelope = Envelope::parse(Format::Chat, &body).expect("the bench's own body is well formed");
    let edit = Edit {
        model: Some("qwen3-8b"),
        include_usage: true,
    };
    c.bench_function("envelope/body_for", |b| {
        b.iter(|| envelope.body_for(black_box(&body), edit));
    });
}

criterion_group!(benches, parse, splice);
criterion_main!(benches);
