//! What a record costs the recorder's thread: counted, logged, exported; and what a scrape costs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run panics"
)]

use std::{hint::black_box, net::TcpListener, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fingerpost_core::{Name, Timestamp};
use fingerpost_telemetry::{AccessLog, Build, Known, Metrics, Record, Traces, TracesConfig};

#[path = "../tests/support/mod.rs"]
mod support;

const BATCH: usize = 64;

/// Requests for 16 models under 24 decisions, with one call each.
fn batch() -> (Known, Vec<Record>) {
    let names =
        |of: &str, count: usize| -> Vec<Name> { (0..count).map(|i| format!("{of}-{i}").into()).collect() };
    let known = Known {
        decisions: names("decision", 24),
        models: names("model", 16),
        endpoints: names("endpoint", 32),
    };
    let one = |i: usize| {
        let mut record = support::record();
        let model = &known.models[i % 16];
        record.decision = Some(known.decisions[i % 24].clone());
        record.calls = [support::call(model, &known.endpoints[i % 32], None, 1, 1000)]
            .into_iter()
            .collect();
        record
    };
    let records = (0..BATCH).map(one).collect();
    (known, records)
}

fn record(c: &mut Criterion) {
    let (known, records) = batch();
    let metrics = Metrics::new(
        &Build {
            version: "1",
            revision: "r",
        },
        Timestamp::default(),
        &known,
    );
    let mut group = c.benchmark_group("batch of 64 records");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("metrics", |b| b.iter(|| metrics.observe_all(black_box(&records))));
    group.bench_function("access log", |b| {
        let mut log = AccessLog::new(std::io::sink());
        b.iter(|| {
            for record in black_box(&records) {
                log.note(record);
            }
            log.flush().is_ok()
        });
    });
    group.bench_function("traces", |b| {
        // A collector that takes connections and never answers; a queue that is never full, and never due.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = silent.local_addr().expect("an address");
        let config = |_| TracesConfig {
            every: Duration::from_secs(3600),
            queue_bytes: 1 << 40,
            ..TracesConfig::new(format!("http://{address}"))
        };
        let start = || Traces::start(&config(())).expect("it starts");
        b.iter_batched(
            start,
            |traces| {
                for record in black_box(&records) {
                    traces.export(record);
                }
                traces
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
    c.bench_function("scrape of 16 models, 24 decisions, 32 endpoints", |b| {
        b.iter(|| metrics.encode().len());
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
