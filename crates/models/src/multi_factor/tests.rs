use fingerpost_core::{Catalogue, Limits, Pick, Price, Profile, Quality, Timestamp, TokenCount};
use rand::{SeedableRng, rngs::SmallRng};

use super::*;

/// Prices equal for input and output, so that the blended price is that price.
fn profile(name: &str, quality: Option<f64>, price: Option<f64>) -> Profile {
    let usd = |v| UsdPerMillion::new(v).unwrap();
    Profile {
        quality: quality.map(|q| Quality::new(q).unwrap()),
        price: price.map(|p| Price {
            input: usd(p),
            cached_input: None,
            output: usd(p),
        }),
        ..Profile::named(name)
    }
}

fn three() -> Catalogue {
    Catalogue::new([
        profile("a", Some(0.9), Some(10.0)),
        profile("b", Some(0.6), Some(2.0)),
        profile("c", None, None),
    ])
    .unwrap()
}

fn route(router: &MultiFactor, catalogue: &Catalogue) -> Result<Decision, NoRoute> {
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
    router.route(&Query::default(), &catalogue.ids(), &mut cx)
}

fn router(config: &MultiFactorConfig) -> MultiFactor {
    MultiFactor::new(config, "m".into(), Arc::default()).unwrap()
}

fn scores(decision: &Decision) -> Vec<(String, f64)> {
    decision
        .picks
        .iter()
        .map(|p| (p.name.to_string(), (p.score * 1e6).round() / 1e6))
        .collect()
}

fn answered(router: &MultiFactor, catalogue: &Catalogue, model: &str, ttft: f64, tpot: f64) {
    let candidate = catalogue.get(catalogue.id(model).unwrap()).unwrap();
    let decision = Decision::single(Pick::of(candidate, 1.0), Reason::new("test"), Evidence::of("m"));
    let outcome = Outcome {
        first_token: Some(Millis::new(ttft).unwrap()),
        latency: Some(Millis::new(ttft + tpot).unwrap()),
        tokens_out: Some(TokenCount(2)),
        ..Outcome::default()
    };
    router.learn(&decision.evidence, &decision, &outcome);
}

#[test]
fn the_sum_is_the_one_of_the_card() {
    let (catalogue, router) = (three(), router(&MultiFactorConfig::default()));
    answered(&router, &catalogue, "a", 300.0, 20.0);
    answered(&router, &catalogue, "b", 100.0, 30.0);
    catalogue.get(CandidateId(1)).unwrap().live.begin();
    // a: Q 1, T (1 + 0)/2, C 1, N 0 -> (1 + .5 + 0 + 1)/4
    // b: Q 0, T (0 + 1)/2, C 0, N 1 -> (0 + .5 + 1 + 0)/4
    // c: all unknown but its load  -> (0 + 1 + 1 + 1)/4
    let decision = route(&router, &catalogue).unwrap();
    let expected = [("c", 0.75), ("a", 0.625), ("b", 0.375)].map(|(n, s)| (n.to_owned(), s));
    assert_eq!(scores(&decision), expected);
}

#[test]
fn equal_values_count_half() {
    let catalogue = Catalogue::new([
        profile("a", Some(0.5), Some(1.0)),
        profile("b", Some(0.5), Some(1.0)),
    ])
    .unwrap();
    let decision = route(&router(&MultiFactorConfig::default()), &catalogue).unwrap();
    // Q .5, T unknown -> 1 - 0, C and N .5: (.5 + 1 + .5 + .5)/4; the first of equals.
    assert_eq!(
        scores(&decision),
        [("a".to_owned(), 0.625), ("b".to_owned(), 0.625)]
    );
}

#[test]
fn weights_are_clamped_and_normalised() {
    let weights = Weights {
        quality: 6.0,
        latency: -3.0,
        cost: 2.0,
        load: 0.0,
    };
    let router = router(&MultiFactorConfig {
        weights,
        ..MultiFactorConfig::default()
    });
    assert_eq!(
        router.weights,
        Weights {
            quality: 0.75,
            latency: 0.0,
            cost: 0.25,
            load: 0.0
        }
    );
    let decision = route(&router, &three()).unwrap();
    let expected = [("a", 0.75), ("b", 0.25), ("c", 0.25)].map(|(n, s)| (n.to_owned(), s));
    assert_eq!(scores(&decision), expected);
}

#[test]
fn a_ceiling_drops_those_above_it_and_never_the_unknown() {
    let catalogue = three();
    let names = |config: MultiFactorConfig, prepare: &dyn Fn(&MultiFactor)| {
        let router = router(&config);
        prepare(&router);
        let decision = route(&router, &catalogue).unwrap();
        let mut names: Vec<_> = decision.picks.iter().map(|p| p.name.to_string()).collect();
        names.sort();
        names.concat()
    };
    let default = MultiFactorConfig::default;
    assert_eq!(
        names(
            MultiFactorConfig {
                max_cost_per_1m: Some(2.0),
                ..default()
            },
            &|_| ()
        ),
        "bc"
    );
    let measure = |router: &MultiFactor| {
        answered(router, &catalogue, "a", 300.0, 20.0);
        answered(router, &catalogue, "b", 100.0, 30.0);
    };
    assert_eq!(
        names(
            MultiFactorConfig {
                max_ttft_ms: Some(299.0),
                ..default()
            },
            &measure
        ),
        "bc"
    );
    assert_eq!(
        names(
            MultiFactorConfig {
                max_tpot_ms: Some(20.0),
                ..default()
            },
            &measure
        ),
        "ac"
    );
    catalogue.get(CandidateId(2)).unwrap().live.begin();
    assert_eq!(
        names(
            MultiFactorConfig {
                max_inflight: Some(0),
                ..default()
            },
            &|_| ()
        ),
        "ab"
    );
}

#[test]
fn where_nobody_survives_the_configuration_says_what_to_do() {
    let catalogue = Catalogue::new([profile("a", None, Some(10.0)), profile("b", None, Some(2.0))]).unwrap();
    let config = |on_no_candidates| MultiFactorConfig {
        max_cost_per_1m: Some(1.0),
        on_no_candidates,
        ..MultiFactorConfig::default()
    };
    let route = |on| route(&router(&config(on)), &catalogue);
    assert_eq!(route(OnNoCandidates::Cheapest).unwrap().first().name, "b");
    assert_eq!(route(OnNoCandidates::First).unwrap().first().name, "a");
    assert_eq!(
        route(OnNoCandidates::Fail).unwrap_err().to_string(),
        "no route: a price 10 over 1 USD per million; b price 2 over 1 USD per million"
    );
}
