//! What a decision costs by every selector of single models: 20 models, 10,000 logged queries to learn from, 1,024 outcomes of the
//! service on top. The aim of [`fingerpost_models::Predictor`] is less than 200 microseconds.
//!
//! Queries are synthetic: 64 clusters of vectors of 256 values, each with a task and words of its own, some 60 words a text. The
//! encoder only looks its vector up, so that encoding costs nothing; reading facts and words off the text is counted. A selector
//! is trained when it is measured, so that a filter (`cargo bench --bench selectors -- svm`) saves the time of the others. What is
//! measured is the time of the processor, so that a busy machine tells the same.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{cell::LazyCell, hint::black_box, sync::Arc};

use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
use fingerpost_core::{
    Catalogue, Context, Limits, Millis, Outcome, Price, Profile, Quality, Query, Timestamp, TokenCount,
    UsdPerMillion,
};
use fingerpost_encode::{Encoder, ModelId, normalize};
use fingerpost_models::{
    Algorithm, Featurizer, Logged, ModelRouter, OutcomeTable, Settings, Shared, Trained, build,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

const MODELS: usize = 20;
const ROWS: usize = 10_000;
/// Queries that are decided on; they come after the logged ones.
const QUERIES: usize = 512;
const OUTCOMES: usize = 1_024;
const DIMS: usize = 256;
const CLUSTERS: usize = 64;
const WORDS: usize = 60;

const SELECTORS: [&str; 23] = [
    "static",
    "weighted",
    "latency_aware",
    "multi_factor",
    "elo",
    "thompson",
    "linucb",
    "knn",
    "kmeans",
    "linear",
    "task_mix",
    "auto",
    "svm",
    "mlp",
    "low_rank",
    "moma",
    "task_linear",
    "route_profile",
    "router_dc",
    "automix",
    "hybrid",
    "routing_sampling",
    "budget_aware",
];

/// Knows the vector of every text by the number that the text begins with.
struct Planted {
    model: ModelId,
    vectors: Vec<f32>,
}

impl Encoder for Planted {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dims(&self) -> usize {
        DIMS
    }

    fn encode_into(&self, text: &str, out: &mut [f32]) {
        let number = text.split(' ').next().and_then(|n| n.parse::<usize>().ok());
        let begin = number.unwrap_or(0) * DIMS;
        out.copy_from_slice(&self.vectors[begin..][..DIMS]);
    }
}

struct World {
    table: OutcomeTable,
    texts: Vec<String>,
    featurizer: Featurizer,
    catalogue: Catalogue,
}

fn world() -> World {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut direction = |about: Option<&[f32]>| -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIMS).map(|_| rng.random_range(-1.0..1.0_f32)).collect();
        normalize(&mut vector);
        if let Some(centre) = about {
            vector.iter_mut().zip(centre).for_each(|(v, c)| *v = 0.8 * *v + c);
            normalize(&mut vector);
        }
        vector
    };
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| direction(None)).collect();
    let cluster = |row: usize| row.wrapping_mul(2_654_435_761) / 7 % CLUSTERS;
    let vectors = (0..ROWS + QUERIES).flat_map(|row| direction(Some(&centres[cluster(row)])));
    let vectors: Vec<f32> = vectors.collect();
    let skill: Vec<f32> = (0..CLUSTERS * MODELS)
        .map(|_| rng.random_range(0.2..0.9))
        .collect();
    let mut text = |row: usize| {
        let word = |rng: &mut SmallRng| {
            let own = rng.random::<f32>() < 0.3;
            let kind = if own { cluster(row) } else { CLUSTERS };
            format!(" w{kind}x{}", rng.random_range(0..400))
        };
        let words: String = (0..WORDS).map(|_| word(&mut rng)).collect();
        format!("{row}{words}?")
    };
    let texts: Vec<String> = (0..ROWS + QUERIES).map(&mut text).collect();
    let names = (0..MODELS).map(|i| format!("provider/some-model-{i}"));
    let mut table = OutcomeTable::new(names.clone().map(Into::into)).unwrap();
    for (row, text) in texts.iter().take(ROWS).enumerate() {
        let score = |m: usize| f32::from(u8::from(rng.random::<f32>() < skill[cluster(row) * MODELS + m]));
        table
            .push(Logged {
                scores: (0..MODELS).map(score).map(Some).collect(),
                costs: (0..MODELS).map(|m| Some(1e-4 * (m + 1) as f64)).collect(),
                task: Some(format!("task {}", cluster(row) % 16).into()),
                ..Logged::query(row.to_string(), text)
            })
            .unwrap();
    }
    let profile = |(i, name): (usize, String)| {
        let usd = |v| UsdPerMillion::new(v).unwrap();
        Profile {
            quality: Some(Quality::new((i % 7) as f64 / 7.0).unwrap()),
            price: Some(Price {
                input: usd((i % 5) as f64),
                cached_input: None,
                output: usd((i % 3) as f64 * 4.0),
            }),
            context_window: Some(TokenCount(128_000)),
            description: format!("{i} good at all things"),
            ..Profile::named(name)
        }
    };
    let model = ModelId::new("planted", 0);
    World {
        table,
        texts,
        featurizer: Featurizer::new(Arc::new(Planted { model, vectors })),
        catalogue: Catalogue::new(names.enumerate().map(profile)).unwrap(),
    }
}

/// The selector of this name: trained if it is to be, and taught what became of its first decisions.
fn selector(name: &str, world: &World) -> ModelRouter {
    let mut shared = Shared {
        featurizer: Some(world.featurizer.clone()),
        ..Shared::default()
    };
    let mut config = serde_json::json!({ "algorithm": name });
    if let Some(settings) = Settings::named(name) {
        let trained = Trained::train(&settings, &world.table, &world.featurizer, 1, &|_, _, _| true).unwrap();
        shared.trained.insert("file".to_owned(), Arc::new(trained));
        config["trained"] = "file".into();
    }
    let config: Algorithm = serde_json::from_value(config).unwrap();
    let built = build(&config, "bench", &shared).unwrap();
    let ModelRouter::Router(router) = &built else {
        unreachable!("these decide at once")
    };
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(2));
    let ids = world.catalogue.ids();
    for i in 0..OUTCOMES {
        let query = Query::text(&world.texts[ROWS + i % QUERIES]);
        let some: Vec<_> = (0..3).map(|_| ids[rng.random_range(0..MODELS)]).collect();
        let first = 100.0 + rng.random_range(0.0..50.0);
        let outcome = Outcome {
            quality: Quality::new(rng.random()).ok(),
            first_token: Millis::new(first).ok(),
            latency: Millis::new(first + 400.0).ok(),
            tokens_out: Some(TokenCount(21)),
            ..Outcome::default()
        };
        let mut cx = Context::new(&world.catalogue, &limits, Timestamp::default(), &mut rng);
        let decision = router.route(&query, &some, &mut cx).unwrap();
        router.learn(&decision.evidence, &decision, &outcome);
    }
    built
}

fn route(criterion: &mut Criterion) {
    let world = world();
    let limits = Limits {
        tokens: TokenCount(900),
        ..Limits::NONE
    };
    let ids = world.catalogue.ids();
    let mut group = criterion.benchmark_group("route among 20 models, 10,000 logged queries");
    group.bench_function("features", |bench| {
        let mut next = (0..QUERIES).cycle();
        bench.iter_custom(|times| {
            let begun = ThreadTime::now();
            for _ in 0..times {
                let text = &world.texts[ROWS + next.next().unwrap_or(0)];
                black_box(world.featurizer.features(black_box(text)));
            }
            begun.elapsed()
        });
    });
    for name in SELECTORS {
        let built = LazyCell::new(|| selector(name, &world));
        group.bench_function(name, |bench| {
            let ModelRouter::Router(router) = &*built else {
                unreachable!("these decide at once")
            };
            let mut rng = SmallRng::seed_from_u64(3);
            let mut next = (0..QUERIES).cycle();
            bench.iter_custom(|times| {
                let begun = ThreadTime::now();
                for _ in 0..times {
                    let query = Query::text(&world.texts[ROWS + next.next().unwrap_or(0)]);
                    let mut cx = Context::new(&world.catalogue, &limits, Timestamp::default(), &mut rng);
                    let _ = black_box(router.route(black_box(&query), black_box(&ids), &mut cx));
                }
                begun.elapsed()
            });
        });
    }
}

criterion_group!(benches, route);
criterion_main!(benches);
