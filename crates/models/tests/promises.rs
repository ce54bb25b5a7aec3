//! The promises of a router, for every selector of this crate, on random candidates, limits and histories.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use fingerpost_core::{
    Candidate, Capabilities, Catalogue, Context, Decision, Evidence, Failure, Limits, Millis, Outcome, Pick,
    Price, Profile, Quality, Query, Reason, Timestamp, TokenCount, UsdPerMillion,
};
use fingerpost_models::{Algorithm, ModelRouter, Shared, build};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

const SELECTORS: [&str; 10] = [
    r#"{"algorithm":"static"}"#,
    r#"{"algorithm":"weighted"}"#,
    r#"{"algorithm":"weighted","weights":{"m0":0,"m1":5}}"#,
    r#"{"algorithm":"latency_aware"}"#,
    r#"{"algorithm":"latency_aware","tpot_percentile":null,"ttft_percentile":99}"#,
    r#"{"algorithm":"multi_factor"}"#,
    r#"{"algorithm":"multi_factor","max_cost_per_1m":3,"max_inflight":1,"weights":{"quality":-1}}"#,
    r#"{"algorithm":"multi_factor","max_ttft_ms":50,"on_no_candidates":"fail"}"#,
    r#"{"algorithm":"automix","cost_aware":true}"#,
    r#"{"algorithm":"routing_sampling","explore":false}"#,
];

#[derive(Debug, Clone)]
struct Model {
    quality: Option<f64>,
    price: Option<f64>,
    window: Option<u32>,
    tools: bool,
    in_flight: u8,
    available: bool,
    /// First token and whole answer, in milliseconds.
    times: Vec<(f64, f64)>,
}

fn model() -> impl Strategy<Value = Model> {
    let times = prop::collection::vec((0.0..1e4_f64, 0.0..1e5_f64), 0..4);
    let facts = (
        prop::option::of(0.0..=1.0_f64),
        prop::option::of(0.0..10.0_f64),
        prop::option::of(0..2000_u32),
    );
    (facts, any::<bool>(), 0..3_u8, prop::bool::weighted(0.8), times).prop_map(
        |((quality, price, window), tools, in_flight, available, times)| Model {
            quality,
            price,
            window,
            tools,
            in_flight,
            available,
            times,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        any::<bool>(),
        0..2000_u32,
        prop::option::of(0.0..10.0_f64),
        prop::option::of(1..3_u32),
    )
        .prop_map(|(tools, tokens, price, load)| Limits {
            needs: if tools {
                Capabilities::TOOLS
            } else {
                Capabilities::NONE
            },
            tokens: TokenCount(tokens),
            max_price: price.map(UsdPerMillion::clamped),
            max_in_flight: load,
            ..Limits::NONE
        })
}

fn catalogue(models: &[Model]) -> Catalogue {
    let profile = |(i, m): (usize, &Model)| {
        let price = m.price.map(UsdPerMillion::clamped);
        Profile {
            quality: m.quality.map(Quality::clamped),
            price: price.map(|p| Price {
                input: p,
                cached_input: None,
                output: p,
            }),
            context_window: m.window.map(TokenCount),
            capabilities: if m.tools {
                Capabilities::ALL
            } else {
                Capabilities::NONE
            },
            ..Profile::named(format!("m{i}"))
        }
    };
    let catalogue = Catalogue::new(models.iter().enumerate().map(profile)).unwrap();
    for (candidate, model) in catalogue.iter().zip(models) {
        (0..model.in_flight).for_each(|_| candidate.live.begin());
        candidate.live.set_available(model.available);
    }
    catalogue
}

fn outcome(first: f64, whole: f64) -> Outcome {
    Outcome {
        first_token: Some(Millis::clamped(first)),
        latency: Some(Millis::clamped(whole)),
        tokens_out: Some(TokenCount(20)),
        failure: (whole > 9e4).then(|| Failure::Timeout("total".into())),
        ..Outcome::default()
    }
}

fn taught(config: &str, catalogue: &Catalogue, models: &[Model]) -> ModelRouter {
    let config: Algorithm = serde_json::from_str(config).unwrap();
    let router = build(&config, "r", &Shared::default()).unwrap();
    let teach = |candidate: &Candidate, first, whole| {
        let decision = Decision::single(Pick::of(candidate, 1.0), Reason::new("test"), Evidence::of("r"));
        router
            .learner()
            .learn(&decision.evidence, &decision, &outcome(first, whole));
    };
    for (candidate, model) in catalogue.iter().zip(models) {
        model
            .times
            .iter()
            .for_each(|(first, whole)| teach(candidate, *first, *whole));
    }
    router
}

fn decide(router: &ModelRouter, catalogue: &Catalogue, limits: &Limits, seed: u64) -> Option<Decision> {
    let ModelRouter::Router(router) = router else {
        unreachable!("these decide at once")
    };
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut cx = Context::new(catalogue, limits, Timestamp::default(), &mut rng);
    router.route(&Query::default(), &catalogue.ids(), &mut cx).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn picks_keep_the_limits_differ_and_repeat(
        models in prop::collection::vec(model(), 0..7),
        limits in limits(),
        seed in any::<u64>(),
    ) {
        let catalogue = catalogue(&models);
        let admitted = catalogue.iter().filter(|c| limits.admit(c).is_ok()).count();
        for config in SELECTORS {
            let router = taught(config, &catalogue, &models);
            let decision = decide(&router, &catalogue, &limits, seed);
            prop_assert_eq!(&decision, &decide(&router, &catalogue, &limits, seed), "{} repeats", config);
            let restored = build(&serde_json::from_str(config).unwrap(), "r", &Shared::default()).unwrap();
            if let Some(state) = router.learner().save() {
                prop_assert!(restored.learner().restore(&state));
            }
            prop_assert_eq!(&decision, &decide(&restored, &catalogue, &limits, seed), "{} is restored", config);
            let Some(decision) = decision else {
                prop_assert!(admitted == 0 || config.contains("fail"), "{} gave up on {} candidates", config, admitted);
                continue;
            };
            let ids: Vec<_> = decision.picks.iter().map(|p| p.id).collect();
            prop_assert!(ids.iter().all(|id| limits.admit(catalogue.get(*id).unwrap()).is_ok()), "{}", config);
            let mut distinct = ids.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), ids.len(), "{}", config);
            prop_assert!(decision.picks.iter().all(|p| !p.score.is_nan()));
            prop_assert!(decision.evidence.propensity > 0.0 && decision.evidence.propensity <= 1.0);
        }
    }

    #[test]
    fn of_equals_the_first_is_taken(twin in model(), count in 1..6_usize) {
        let twin = Model { available: true, ..twin };
        let models = vec![twin; count];
        let catalogue = catalogue(&models);
        for config in SELECTORS.iter().filter(|c| !c.contains("weighted")) {
            let router = taught(config, &catalogue, &models);
            if let Some(decision) = decide(&router, &catalogue, &Limits::NONE, 1) {
                prop_assert_eq!(decision.first().id.0, 0, "{}", config);
            }
        }
    }
}
