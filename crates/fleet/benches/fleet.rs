//! What the fleet level costs a request: the key of a prompt, a pick among 16 and among 1,000 instances, a look at a sound breaker.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{hint::black_box, num::NonZeroU32};

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_core::{CandidateId, Catalogue, Context, Limits, Profile, Timestamp, TokenCount};
use fingerpost_fleet::{
    Breaker, BreakerConfig, Fleet, FleetPolicy, InstanceQuery, Prefix, PrefixHasher,
    prefix::adaptive::{KeyConfig, LazyExpansionController},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Tokens of the prompts: 64 blocks.
const TOKENS: u32 = 8192;
const BLOCK: NonZeroU32 = NonZeroU32::new(128).unwrap();

/// A few hundred prompts, in each of them a head that many share and a body of its own.
fn prompts(rng: &mut SmallRng) -> Vec<InstanceQuery> {
    let hasher = PrefixHasher::new(BLOCK, None);
    let mut prompt = |head: u32| -> Prefix {
        let body = (0..TOKENS - 2048).map(|_| rng.random_range(0..50_000));
        let tokens: Vec<u32> = std::iter::repeat_n(head, 2048).chain(body).collect();
        hasher.tokens(&tokens)
    };
    (0..256)
        .map(|i| InstanceQuery {
            tokens: TokenCount(TOKENS),
            prefix: Some(prompt(i / 4)),
        })
        .collect()
}

fn pick(criterion: &mut Criterion) {
    for count in [16, 1000] {
        let catalogue = Catalogue::new((0..count).map(|i| Profile::named(format!("gpu-{i}")))).unwrap();
        let (ids, limits, mut rng) = (catalogue.ids(), Limits::NONE, SmallRng::seed_from_u64(1));
        let prompts = prompts(&mut rng);
        let mut group = criterion.benchmark_group(format!("pick among {count}"));
        for policy in FleetPolicy::all() {
            let fleet = Fleet::new(&policy, "bench", &catalogue);
            // Half of the prompts have been computed where they were sent, among much else.
            let at = Timestamp::default();
            for query in prompts.iter().step_by(2) {
                let mut cx = Context::new(&catalogue, &limits, at, &mut rng);
                let decision = fleet.router().route(query, &ids, &mut cx).unwrap();
                let mut call = fleet.sent(decision.first().id, query, at, at).unwrap();
                fleet.first_token(&mut call, at);
            }
            let others = PrefixHasher::new(BLOCK, Some("other"));
            for (id, instance) in (0u32..).zip(fleet.instances().iter()) {
                for i in 0..if count == 16 { 100 } else { 2 } {
                    instance
                        .cache
                        .completed(&others.tokens(&vec![7 * id + i; TOKENS as usize]));
                }
            }
            let mut next = prompts.iter().cycle();
            group.bench_function(policy.name(), |bench| {
                bench.iter(|| {
                    let query = next.next().unwrap();
                    let mut cx = Context::new(&catalogue, &limits, at, &mut rng);
                    fleet.router().route(black_box(query), &ids, &mut cx)
                });
            });
        }
    }
}

fn prefix(criterion: &mut Criterion) {
    let mut rng = SmallRng::seed_from_u64(2);
    let tokens: Vec<u32> = (0..TOKENS).map(|_| rng.random_range(0..50_000)).collect();
    let text: Vec<u8> = (0..4 * TOKENS).map(|_| rng.random_range(b'a'..=b'z')).collect();
    let hasher = PrefixHasher::new(BLOCK, Some("sql"));
    let keys = LazyExpansionController::new(KeyConfig::default(), 16);
    let mut group = criterion.benchmark_group("prefix key of 8,192 tokens");
    group.bench_function("tokens", |bench| {
        bench.iter(|| keys.key(&hasher.tokens(black_box(&tokens))));
    });
    group.bench_function("text", |bench| {
        bench.iter(|| keys.key(&hasher.text(black_box(&text))));
    });
}

fn bookkeeping(criterion: &mut Criterion) {
    let catalogue = Catalogue::new((0..16).map(|i| Profile::named(format!("gpu-{i}")))).unwrap();
    let mut rng = SmallRng::seed_from_u64(3);
    let (prompts, at) = (prompts(&mut rng), Timestamp::default());
    let fleet = Fleet::new(&FleetPolicy::DualMap(Box::default()), "bench", &catalogue);
    let mut next = prompts.iter().cycle();
    criterion.bench_function("sent, first token, ended", |bench| {
        bench.iter(|| {
            let mut call = fleet.sent(CandidateId(3), next.next().unwrap(), at, at).unwrap();
            fleet.first_token(&mut call, at);
            fleet.ended(call);
        });
    });
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

criterion_group!(benches, pick, prefix, bookkeeping, breaker);
criterion_main!(benches);
