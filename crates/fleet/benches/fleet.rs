//! What the fleet level costs a request: a pick among 16 and among 1,000 instances, a look at a sound breaker.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_core::{Catalogue, Context, Limits, Profile, Timestamp};
use fingerpost_fleet::{Breaker, BreakerConfig, FleetPolicy, InstanceQuery};
use rand::{SeedableRng, rngs::SmallRng};

fn pick(criterion: &mut Criterion) {
    for count in [16, 1000] {
        let catalogue = Catalogue::new((0..count).map(|i| Profile::named(format!("gpu-{i}")))).unwrap();
        let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(1));
        let mut group = criterion.benchmark_group(format!("pick among {count}"));
        for policy in [
            FleetPolicy::PowerOfTwo,
            FleetPolicy::LeastLoad,
            FleetPolicy::RoundRobin,
            FleetPolicy::Random,
        ] {
            let picker = policy.build("bench");
            group.bench_function(format!("{policy:?}"), |bench| {
                bench.iter(|| {
                    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
                    picker.route(black_box(&InstanceQuery::default()), &ids, &mut cx)
                });
            });
        }
    }
}

fn breaker(criterion: &mut Criterion) {
    let (breaker, now) = (
        Breaker::new(BreakerConfig::default()),
        Timestamp::from_millis(1000),
    );
    criterion.bench_function("sound breaker: enter and succeed", |bench| {
        bench.iter(|| {
            let passed = breaker.enter(black_box(now));
            breaker.succeeded(now);
            passed
        });
    });
}

criterion_group!(benches, pick, breaker);
criterion_main!(benches);
