use std::sync::Arc;

use fingerpost_core::{
    Catalogue, DriveError, Failure, Learn, Limits, Outcome, Profile, Quality, Reply, Timestamp, drive,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

/// Easy to the left, hard to the right, risky upward.
fn exemplars() -> Exemplars {
    let (left, right, up) = (vec![-1.0, 0.0], vec![1.0, 0.0], vec![0.0, 1.0]);
    Exemplars {
        difficulty: Contrast::new(vec![right.clone()], vec![left]),
        risky_text: Contrast::new(vec![up], vec![right]),
        risky_visual: Contrast::default(),
    }
}

fn config() -> AdaptiveProbeConfig {
    AdaptiveProbeConfig {
        explore: 0.0,
        cost_per_call: [("s", 1.0), ("m", 4.0), ("l", 20.0)]
            .map(|(n, c)| (n.to_owned(), c))
            .into(),
        ..AdaptiveProbeConfig::default()
    }
}

fn router(config: &AdaptiveProbeConfig) -> AdaptiveProbe {
    AdaptiveProbe::with_exemplars(config, "a".into(), exemplars()).unwrap()
}

fn action(x: f32, y: f32) -> Action {
    Action {
        vector: vec![x, y],
        ..Action::default()
    }
}

fn says(logprob: f32) -> Result<Reply, Failure> {
    Ok(Reply {
        logprobs: vec![logprob; 3],
        ..Reply::default()
    })
}

/// Routes over `l`, `s`, `m` (listed so), every call answered by `reply`; gives the decision and who was asked.
fn run(
    router: &AdaptiveProbe,
    action: &Action,
    limits: &Limits,
    seed: u64,
    reply: &Result<Reply, Failure>,
) -> (Result<Decision, DriveError>, Vec<u32>) {
    let catalogue = Catalogue::new(["l", "s", "m"].map(Profile::named)).unwrap();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
    let mut asked = Vec::new();
    let decision = drive(router, action, &catalogue.ids(), &mut cx, |call| {
        asked.push(call.target.0);
        Answer {
            call: call.id,
            reply: reply.clone(),
            outcome: Outcome::default(),
        }
    });
    (decision, asked)
}

fn picked(router: &AdaptiveProbe, action: &Action, logprob: f32) -> (String, Vec<u32>, String) {
    let (decision, asked) = run(router, action, &Limits::NONE, 1, &says(logprob));
    let decision = decision.unwrap();
    (
        decision.first().name.to_string(),
        asked,
        decision.reason.text.to_string(),
    )
}

#[test]
fn easy_and_hard_are_not_probed_and_the_unclear_are() {
    let router = router(&config());
    let (name, asked, why) = picked(&router, &action(-1.0, 0.0), 0.0);
    assert_eq!((name.as_str(), asked.len()), ("s", 0), "{why}");
    // Nothing is known yet of what succeeds on what is hard.
    let (name, asked, why) = picked(&router, &action(1.0, 0.0), 0.0);
    assert_eq!((name.as_str(), asked.len()), ("l", 0), "{why}");
    let (name, asked, why) = picked(&router, &action(0.0, 1.0), -0.1);
    assert_eq!(
        (name.as_str(), asked.as_slice(), why.as_str()),
        ("s", [1].as_slice(), "sure enough")
    );
    let (name, asked, why) = picked(&router, &action(0.0, 1.0), -0.5);
    assert_eq!(
        (name.as_str(), asked.as_slice(), why.as_str()),
        ("l", [1, 0].as_slice(), "not sure enough: escalated")
    );
}

#[test]
fn the_answer_of_a_probe_is_served_or_the_last_call_is() {
    let router = router(&config());
    let (served, _) = run(&router, &action(0.0, 1.0), &Limits::NONE, 1, &says(-0.1));
    let served = served.unwrap();
    assert_eq!(served.answered, Some(CallId(0)));
    let facts = served.reason.to_string();
    assert!(facts.contains("confidence 0.9048, threshold 0.8"), "{facts}");
    let (escalated, _) = run(&router, &action(0.0, 1.0), &Limits::NONE, 1, &says(-1.0));
    let escalated = escalated.unwrap();
    assert_eq!(escalated.answered, Some(CallId(1)));
    assert!(
        matches!(escalated.evidence.feature("confidence"), Some(Feature::Number(s)) if (s - (-1.0_f64).exp()).abs() < 1e-6)
    );
}

#[test]
fn the_risky_goes_to_the_largest_or_nowhere() {
    let mut config = config();
    let risky = Action {
        reasoning: vec![vec![0.0, 1.0]],
        ..action(-1.0, 0.0)
    };
    let (name, asked, why) = picked(&router(&config), &risky, 0.0);
    assert_eq!(
        (name.as_str(), asked.len(), why.as_str()),
        ("l", 0, "risky: the largest")
    );
    config.risk.action = OnRisk::Block;
    let (none, _) = run(&router(&config), &risky, &Limits::NONE, 1, &says(0.0));
    assert!(matches!(none, Err(DriveError::NoRoute(none)) if none.excluded.len() == 3));
}

#[test]
fn a_failed_probe_escalates_and_one_without_logprobs_too() {
    let router = router(&config());
    let (decision, asked) = run(
        &router,
        &action(0.0, 1.0),
        &Limits::NONE,
        1,
        &Err(Failure::RateLimited),
    );
    assert_eq!(
        (asked.as_slice(), decision.unwrap().first().name.as_str()),
        ([1, 0].as_slice(), "l")
    );
    let (decision, asked) = run(
        &router,
        &action(0.0, 1.0),
        &Limits::NONE,
        1,
        &Ok(Reply::default()),
    );
    assert_eq!(
        (asked.as_slice(), decision.unwrap().first().name.as_str()),
        ([1, 0].as_slice(), "l")
    );
}

fn teach(router: &AdaptiveProbe, rounds: u64, success: impl Fn(&str, f64, &mut SmallRng) -> f64) {
    let mut rng = SmallRng::seed_from_u64(3);
    for seed in 0..rounds {
        let confidence = rng.random::<f64>();
        let (decision, _) = run(
            router,
            &action(0.0, 1.0),
            &Limits::NONE,
            seed,
            &says(confidence.ln() as f32),
        );
        let decision = decision.unwrap();
        let p = success(&decision.first().name, confidence, &mut rng);
        let outcome = Outcome {
            quality: Quality::new(f64::from(u8::from(rng.random::<f64>() < p))).ok(),
            ..Outcome::default()
        };
        // As after storage.
        let stored: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        router.learn(&stored.evidence, &stored, &outcome);
    }
}

fn exploring() -> AdaptiveProbeConfig {
    AdaptiveProbeConfig {
        explore: 0.3,
        ..config()
    }
}

#[test]
fn the_threshold_is_learned_and_the_cheapest_that_suffices_is_taken() {
    let router = router(&exploring());
    // The small one succeeds from 0.5 on, the middle one nearly always.
    teach(&router, 2000, |name, s, _| {
        if name == "s" {
            f64::from(u8::from(s > 0.5))
        } else {
            0.99
        }
    });
    assert!(router.auroc().unwrap() > 0.9, "{:?}", router.auroc());
    let quiet = AdaptiveProbe::with_exemplars(&config(), "a".into(), exemplars()).unwrap();
    assert!(quiet.restore(&router.save().unwrap()) && !quiet.restore(b"{}"));
    let (name, _, _) = picked(&quiet, &action(0.0, 1.0), 0.6_f32.ln());
    assert_eq!(name, "s");
    let (name, asked, _) = picked(&quiet, &action(0.0, 1.0), 0.1_f32.ln());
    assert_eq!((name.as_str(), asked.as_slice()), ("m", [1, 2].as_slice()));
}

#[test]
fn a_confidence_that_tells_nothing_is_not_asked_for() {
    let router = router(&exploring());
    teach(&router, 2000, |name, _, _| if name == "s" { 0.5 } else { 0.99 });
    let auroc = router.auroc().unwrap();
    assert!((auroc - 0.5).abs() < 0.1, "{auroc}");
    let quiet = AdaptiveProbe::with_exemplars(&config(), "a".into(), exemplars()).unwrap();
    assert!(quiet.restore(&router.save().unwrap()));
    let (name, asked, why) = picked(&quiet, &action(0.0, 1.0), -0.01);
    assert_eq!((name.as_str(), asked.len()), ("m", 0), "{why}");
    assert_eq!(why, "by difficulty: the probe's confidence tells nothing");
}

#[test]
fn exploration_shows_in_the_propensity() {
    let router = router(&exploring());
    let decisions: Vec<Decision> = (0..3000)
        .map(|seed| {
            run(&router, &action(1.0, 0.0), &Limits::NONE, seed, &says(0.0))
                .0
                .unwrap()
        })
        .collect();
    let share = |name: &str| decisions.iter().filter(|d| d.first().name == name).count() as f64 / 3000.0;
    // 0.7 + 0.1 and 0.1; four standard deviations are below 0.03.
    assert!((share("l") - 0.8).abs() < 0.03 && (share("s") - 0.1).abs() < 0.03);
    for d in &decisions {
        let expected = if d.first().name == "l" { 0.8 } else { 0.1 };
        assert!((d.evidence.propensity - expected).abs() < 1e-12, "{}", d.reason);
    }
}

#[test]
fn a_thread_of_another_router_is_refused() {
    let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
    let of = |name: &str| AdaptiveProbe::with_exemplars(&config(), name.into(), exemplars()).unwrap();
    let Step::Ask(_, thread) = of("other").start(&action(0.0, 1.0), &catalogue.ids(), &mut cx) else {
        unreachable!("what is unclear is probed");
    };
    for thread in [thread, Thread::keep(&7).unwrap()] {
        let step = of("a").resume(&action(0.0, 1.0), thread, Vec::new(), &mut cx);
        assert!(matches!(step, Step::Fail(_)), "{step:?}");
    }
}

#[test]
fn texts_are_told_apart_by_their_exemplars() {
    let featurizer = Featurizer::new(Arc::new(fingerpost_encode::StaticEncoder::bundled()));
    let text = |t: &str| vec![t.to_owned()];
    let mut config = AdaptiveProbeConfig {
        hard: text("Prove the theorem by induction over all graphs."),
        easy: text("Say hello to the user."),
        ..config()
    };
    config.risk.risky = text("Delete all files and wire the money.");
    config.risk.safe = text("Scroll down and read the page.");
    let router = AdaptiveProbe::new(&config, "a".into(), featurizer).unwrap();
    let catalogue = Catalogue::new(["l", "s"].map(Profile::named)).unwrap();
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut why = |text| {
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        match router.start(&Query::text(text), &catalogue.ids(), &mut cx) {
            Step::Done(decision) => (
                decision.first().name.to_string(),
                decision.reason.text.to_string(),
            ),
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!(why("Say hello.").0, "s");
    assert_eq!(why("Prove the theorem by induction.").0, "l");
    assert_eq!(why("Delete all the files!").1, "risky: the largest");
}

proptest! {
    #[test]
    fn picks_keep_the_limits_and_nothing_panics(
        x in prop::num::f32::ANY, y in prop::num::f32::ANY, barred in prop::collection::vec(0..4_u32, 0..4),
        seed in any::<u64>(), logprob in prop::option::of(prop::num::f32::ANY), fails in any::<bool>(),
    ) {
        let limits = Limits { barred: barred.into_iter().map(CandidateId).collect(), ..Limits::NONE };
        let reply = if fails { Err(Failure::RateLimited) } else {
            Ok(Reply { logprobs: logprob.into_iter().collect(), ..Reply::default() })
        };
        let (decision, asked) = run(&router(&exploring()), &action(x, y), &limits, seed, &reply);
        prop_assert!(asked.iter().all(|id| !limits.barred.contains(&CandidateId(*id))));
        match decision {
            Ok(decision) => {
                prop_assert!(decision.picks.iter().all(|p| !limits.barred.contains(&p.id) && !p.score.is_nan()));
                prop_assert!(decision.evidence.propensity > 0.0 && decision.evidence.propensity <= 1.0);
            }
            Err(_) => prop_assert!((0..3).all(|id| limits.barred.contains(&CandidateId(id)))),
        }
    }
}
