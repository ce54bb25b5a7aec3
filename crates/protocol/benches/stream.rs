//! What one event of a stream costs: watched, and translated.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fingerpost_protocol::{Format, Head, StreamWatch, Translator};

/// A Chat stream of this many text chunks, usage and end, each event in a piece of its own as servers send them.
fn pieces(chunks: usize) -> Vec<Bytes> {
    let chunk = r#"data: {"id":"chatcmpl-AbCdEf0123456789","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}"#;
    let mut all = vec![Bytes::from(format!("{chunk}\n\n")); chunks];
    all.push(Bytes::from_static(
        b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    ));
    all.push(Bytes::from_static(
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":200,\"total_tokens\":209}}\n\n",
    ));
    all.push(Bytes::from_static(b"data: [DONE]\n\n"));
    all
}

fn stream(c: &mut Criterion) {
    let pieces = pieces(1000);
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(pieces.len() as u64));
    for (name, hide) in [("watch", false), ("watch, usage hidden", true)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut watch = match hide {
                    true => StreamWatch::hiding_usage(Format::Chat),
                    false => StreamWatch::new(Format::Chat),
                };
                for piece in &pieces {
                    let fed = watch.feed(piece, |out| {
                        black_box(out);
                    });
                    assert!(fed.is_ok());
                }
                watch.finish(drop).is_ok()
            });
        });
    }
    for to in Format::ALL {
        group.bench_function(format!("translate chat to {to}"), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                let mut translator = Translator::new(Format::Chat, to, Head::default(), true);
                for piece in &pieces {
                    out.clear();
                    let fed = translator.feed(piece, &mut out);
                    assert!(fed.is_ok());
                }
                translator.finish(&mut out).is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stream);
criterion_main!(benches);
