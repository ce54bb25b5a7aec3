//! What a choice of model costs: every selector at 20 models, half of them measured.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_core::{
    Catalogue, Context, Decision, Evidence, Limits, Millis, Outcome, Pick, Price, Profile, Quality, Query,
    Reason, Timestamp, TokenCount, UsdPerMillion,
};
use fingerpost_models::{Algorithm, ModelRouter, Shared, build};
use rand::{SeedableRng, rngs::SmallRng};

fn catalogue() -> Catalogue {
    let profile = |i: u32| {
        let usd = |v| UsdPerMillion::new(v).unwrap();
        Profile {
            quality: Some(Quality::new(f64::from(i % 7) / 7.0).unwrap()),
            price: Some(Price {
                input: usd(f64::from(i % 5)),
                cached_input: None,
                output: usd(f64::from(i % 3) * 4.0),
            }),
            context_window: Some(TokenCount(128_000)),
            ..Profile::named(format!("provider/some-model-{i}"))
        }
    };
    Catalogue::new((0..20).map(profile)).unwrap()
}

fn teach(router: &ModelRouter, catalogue: &Catalogue) {
    for (i, candidate) in catalogue.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
        for k in 0..200_u32 {
            let decision = Decision::single(
                Pick::of(candidate, 1.0),
                Reason::new("bench"),
                Evidence::of("bench"),
            );
            let first = 100.0 + f64::from(k % 17) + i as f64;
            let outcome = Outcome {
                first_token: Some(Millis::new(first).unwrap()),
                latency: Some(Millis::new(first + 20.0 * f64::from(k % 13)).unwrap()),
                tokens_out: Some(TokenCount(21)),
                ..Outcome::default()
            };
            router.learner().learn(&decision.evidence, &decision, &outcome);
        }
    }
}

fn route(criterion: &mut Criterion) {
    let (catalogue, limits) = (
        catalogue(),
        Limits {
            tokens: TokenCount(900),
            ..Limits::NONE
        },
    );
    let (ids, query) = (catalogue.ids(), Query::text("what is two plus two?"));
    let mut group = criterion.benchmark_group("route among 20 models");
    for name in ["static", "weighted", "latency_aware", "multi_factor"] {
        let config: Algorithm = serde_json::from_str(&format!(r#"{{"algorithm":"{name}"}}"#)).unwrap();
        let built = build(&config, "bench", &Shared::default()).unwrap();
        teach(&built, &catalogue);
        let ModelRouter::Router(router) = &built else {
            continue;
        };
        let mut rng = SmallRng::seed_from_u64(3);
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
                router.route(black_box(&query), black_box(&ids), &mut cx)
            });
        });
    }
}

criterion_group!(benches, route);
criterion_main!(benches);
