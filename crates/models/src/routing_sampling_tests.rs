use fingerpost_core::{
    Catalogue, Limits, Millis, Price, Profile, Role, Timestamp, Turn, UsdPerMillion, Verdict,
};
use rand::SeedableRng;

use super::*;

fn profile(name: &str, quality: Option<f64>, input: f64, cached: f64) -> Profile {
    let usd = |v| UsdPerMillion::new(v).unwrap();
    Profile {
        quality: quality.and_then(|q| Quality::new(q).ok()),
        price: Some(Price {
            input: usd(input),
            cached_input: Some(usd(cached)),
            output: usd(0.0),
        }),
        ..Profile::named(name)
    }
}

fn catalogue() -> Catalogue {
    Catalogue::new([
        profile("cheap", Some(0.5), 1.0, 0.25),
        profile("dear", Some(0.75), 4.0, 1.0),
    ])
    .unwrap()
}

fn router(set: CandidateSet, explore: bool) -> RoutingSampling {
    let config = RoutingSamplingConfig {
        set,
        explore,
        ..RoutingSamplingConfig::default()
    };
    RoutingSampling::new(&config, "r".into(), Arc::default(), Arc::default()).unwrap()
}

fn route(router: &RoutingSampling, query: &Query<'_>, limits: &Limits, seed: u64) -> Decision {
    let (catalogue, mut rng) = (catalogue(), SmallRng::seed_from_u64(seed));
    let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
    router.route(query, &catalogue.ids(), &mut cx).unwrap()
}

fn teach(router: &RoutingSampling, model: u32, outcome: &Outcome, times: usize) {
    let catalogue = catalogue();
    let pick = fingerpost_core::Pick::of(catalogue.get(CandidateId(model)).unwrap(), 1.0);
    let decision = Decision::single(pick, Reason::new("test"), Evidence::of("r"));
    (0..times).for_each(|_| router.learn(&decision.evidence, &decision, outcome));
}

fn said(verdict: Verdict) -> Outcome {
    Outcome {
        verdict: Some(verdict),
        ..Outcome::default()
    }
}

fn scores(decision: &Decision) -> Vec<(&str, f64)> {
    decision
        .picks
        .iter()
        .map(|p| (p.name.as_str(), p.score))
        .collect()
}

fn near(decision: &Decision, expected: [(&str, f64); 2]) {
    for ((name, score), (expected_name, expected)) in scores(decision).into_iter().zip(expected) {
        assert_eq!(name, expected_name, "{decision:?}");
        assert!((score - expected).abs() < 1e-12, "{name}: {score} for {expected}");
    }
}

#[test]
fn means_and_penalties_on_hand_computed_numbers() {
    let router = router(CandidateSet::Decision, false);
    let query = Query::text("hi");
    // cheap: Beta(2, 2), 0.5 - 0.04 · 1/4 + 0.001. dear: Beta(2.5, 1.5), 0.625 - 0.04. It is dearer by 0.03: 0.094 > 0.03.
    near(
        &route(&router, &query, &Limits::NONE, 1),
        [("dear", 0.585), ("cheap", 0.491)],
    );
    // Two good fits, an overprovisioned, a failed one: Beta(4.5, 1.5), less 0.03 · 1/4 and 0.10 · 1/4.
    for verdict in [
        Verdict::GoodFit,
        Verdict::GoodFit,
        Verdict::Overprovisioned,
        Verdict::Failed,
    ] {
        teach(&router, 1, &said(verdict), 1);
    }
    near(
        &route(&router, &query, &Limits::NONE, 1),
        [("dear", 0.75 - 0.04 - 0.0325), ("cheap", 0.491)],
    );
    // The slowest loses 0.02; the other, half as slow, 0.01. Both calls end well.
    for (model, ms) in [(0, 100.0), (1, 200.0)] {
        let outcome = Outcome {
            first_token: Some(Millis::clamped(ms)),
            ..Outcome::default()
        };
        teach(&router, model, &outcome, 1);
    }
    near(
        &route(&router, &query, &Limits::NONE, 1),
        [("dear", 0.6575), ("cheap", 0.481)],
    );
}

#[test]
fn a_wider_set_asks_for_more() {
    let query = Query::text("hi");
    // global: dear 0.625 - 0.10 = 0.525, cheap 0.5 - 0.025 + 0.001 = 0.476; 0.049 is less than 0.08 and the 0.075 it is dearer by.
    near(
        &route(&router(CandidateSet::Global, false), &query, &Limits::NONE, 1),
        [("cheap", 0.476), ("dear", 0.525)],
    );
    // tier: 0.565 and 0.486; 0.079 against 0.03 + 0.045.
    near(
        &route(&router(CandidateSet::Tier, false), &query, &Limits::NONE, 1),
        [("dear", 0.565), ("cheap", 0.486)],
    );
}

#[test]
fn who_has_seen_the_conversation_pays_less_of_it() {
    let turn = |role| Turn {
        role,
        texts: vec!["x".into()],
        ..Turn::default()
    };
    let query = Query {
        turns: vec![turn(Role::User), turn(Role::Assistant), turn(Role::User)],
        previous: Some("cheap".into()),
        ..Query::default()
    };
    // dear pays all anew: -0.03; cheap a quarter: -0.0075.
    near(
        &route(&router(CandidateSet::Decision, false), &query, &Limits::NONE, 1),
        [("dear", 0.555), ("cheap", 0.4835)],
    );
}

#[test]
fn never_tried_goes_first_and_then_draws_decide_with_their_propensity() {
    let router = router(CandidateSet::Decision, true);
    let query = Query::text("hi");
    let first = route(&router, &query, &Limits::NONE, 1);
    assert_eq!(
        (first.first().name.as_str(), &*first.reason.text),
        ("cheap", "never tried")
    );
    teach(&router, 0, &Outcome::default(), 1);
    assert_eq!(route(&router, &query, &Limits::NONE, 1).first().name, "dear");
    teach(&router, 1, &Outcome::default(), 1);
    let drawn: Vec<Decision> = (0..2000)
        .map(|seed| route(&router, &query, &Limits::NONE, seed))
        .collect();
    let of_dear: Vec<f64> = drawn
        .iter()
        .filter(|d| d.first().name == "dear")
        .map(|d| d.evidence.propensity)
        .collect();
    let share = of_dear.len() as f64 / 2000.0;
    assert!(share > 0.4 && share < 0.8, "{share}");
    let mean = of_dear.iter().sum::<f64>() / of_dear.len() as f64;
    // Counted with the draw that was won; four standard deviations.
    assert!(
        (mean - (share + (1.0 - share) / 65.0)).abs() < 0.05,
        "{mean} of {share}"
    );
}

#[test]
fn in_a_tool_loop_nothing_is_left_to_chance() {
    let router = router(CandidateSet::Decision, true);
    let turn = |role, calls, results| Turn {
        role,
        tool_calls: calls,
        tool_results: results,
        ..Turn::default()
    };
    let query = Query {
        turns: vec![
            turn(Role::User, 0, 0),
            turn(Role::Assistant, 1, 0),
            turn(Role::Tool, 0, 1),
        ],
        ..Query::default()
    };
    let first = route(&router, &query, &Limits::NONE, 0);
    assert_eq!(first.evidence.propensity, 1.0);
    for seed in 1..50 {
        assert_eq!(route(&router, &query, &Limits::NONE, seed), first);
    }
}

#[test]
fn limits_hold_and_what_was_said_survives_a_restart() {
    let first = router(CandidateSet::Decision, true);
    teach(&first, 1, &said(Verdict::GoodFit), 50);
    let barred = Limits {
        barred: vec![CandidateId(1)],
        ..Limits::NONE
    };
    for seed in 0..50 {
        assert_eq!(scores(&route(&first, &Query::text("hi"), &barred, seed)).len(), 1);
    }
    let again = router(CandidateSet::Decision, false);
    assert!(again.restore(&first.save().unwrap()) && !again.restore(b"[]"));
    let decision = route(&again, &Query::text("hi"), &Limits::NONE, 1);
    // Beta(52.5, 1.5).
    near(&decision, [("dear", 52.5 / 54.0 - 0.04), ("cheap", 0.491)]);
}
