//! What the embedded store costs: a put and a run claim (no disk), a read, and a feedback claim (one commit to disk).

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fingerpost_core::{
    CandidateId, Catalogue, Decision, Evidence, Feature, Ledger, Level, Pick, Profile, Reason, Stage,
    Timestamp, Trace, TraceId,
};
use fingerpost_store::{Embedded, Store, StoreConfig, TraceRecord};

/// A trace of three levels.
fn record(id: u128) -> TraceRecord {
    let catalogue =
        Catalogue::new(["math", "provider/large-model", "large-model@provider"].map(Profile::named)).unwrap();
    let mut trace = Trace::new(TraceId(id), Timestamp::from_millis(1));
    let mut parent = None;
    for (i, level) in [Level::Decision, Level::Model, Level::Fleet]
        .into_iter()
        .enumerate()
    {
        let pick = Pick::of(
            catalogue.get(CandidateId(u32::try_from(i).unwrap())).unwrap(),
            0.75,
        );
        let reason = Reason::new("best mix of quality, latency, cost and load").with("among", 5.0);
        let evidence = Evidence::of("decision/router").with("x", Feature::Number(1.5));
        parent = Some(trace.push(parent, level, Decision::single(pick, reason, evidence)));
    }
    TraceRecord { trace, outcome: None }
}

fn store(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        queue: 1 << 24,
        ..StoreConfig::default()
    };
    let store = Embedded::open(folder.path(), &config).unwrap();
    let mut id = 0;
    let mut next = || {
        id += 1;
        id
    };
    criterion.bench_function("claim of feedback, durable", |bench| {
        bench.iter(|| store.claim(TraceId(next()), Stage::Feedback));
    });
    criterion.bench_function("claim of a run", |bench| {
        bench.iter(|| store.claim(TraceId(next()), Stage::Run));
    });
    (1 << 100..(1 << 100) + 5000).for_each(|id| assert!(store.put_trace(record(id))));
    store.flush().unwrap();
    criterion.bench_function("read a trace from the file", |bench| {
        bench.iter(|| store.trace(TraceId((1 << 100) + 2500)));
    });
    criterion.bench_function("put a trace", |bench| {
        bench.iter_batched(
            || record(next()),
            |record| store.put_trace(record),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
