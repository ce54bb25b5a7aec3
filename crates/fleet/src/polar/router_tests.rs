use fingerpost_core::{Catalogue, Limits, Profile};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

fn polar(config: PolarConfig) -> Polar {
    Polar::new(config, "p", 2).unwrap()
}

fn names(adapters: &[&str]) -> Vec<Name> {
    adapters.iter().map(|n| Name::from(*n)).collect()
}

fn good(quality: f64) -> Outcome {
    Outcome {
        quality: Some(Quality::clamped(quality)),
        ..Outcome::default()
    }
}

/// Routes one query and does what it asks for.
fn serve(
    polar: &Polar,
    catalogue: &Catalogue,
    features: &[f32],
    now_ms: u64,
) -> Result<(Decision, Vec<CacheAction>), NoRoute> {
    let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
    let mut cx = Context::new(catalogue, &limits, Timestamp::from_millis(now_ms), &mut rng);
    let decision = polar.route(&AdapterQuery::new(features), &catalogue.ids(), &mut cx)?;
    let actions = polar.page_in(&decision);
    Ok((decision, actions))
}

#[test]
fn what_is_resident_wins_unless_another_is_better_by_more_than_its_load() {
    let polar = polar(PolarConfig {
        alpha: 0.0,
        ..PolarConfig::default()
    });
    let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
    let (first, actions) = serve(&polar, &catalogue, &[1.0, 0.0], 0).unwrap();
    assert_eq!(actions, [CacheAction::Load("a".into())]);
    // Estimate .5, page-in .5/s x 200 ms.
    assert!((first.first().score - 0.4).abs() < 1e-12);
    let b = Decision {
        picks: [Pick {
            name: "b".into(),
            ..first.first().clone()
        }]
        .into_iter()
        .collect(),
        ..first
    };
    let teach = |times| (0..times).for_each(|_| polar.learn(&b.evidence, &b, &good(0.65)));
    teach(1);
    // A = 2 in the query's direction: estimate .5 + .15/2, not .1 above `a`.
    assert_eq!(
        serve(&polar, &catalogue, &[1.0, 0.0], 0).unwrap().0.first().name,
        "a"
    );
    teach(20);
    let (decision, actions) = serve(&polar, &catalogue, &[1.0, 0.0], 0).unwrap();
    assert_eq!(decision.first().name, "b");
    assert!((decision.first().score - (0.5 + 0.15 * 21.0 / 22.0 - 0.1)).abs() < 1e-9);
    assert_eq!(actions, [CacheAction::Load("b".into())], "there is a slot for it");
    assert!(serve(&polar, &catalogue, &[1.0, 0.0], 0).unwrap().1.is_empty());
}

#[test]
fn a_load_that_fails_leads_to_the_next_then_to_the_base_model_only_where_allowed() {
    let catalogue = Catalogue::new(["a", "b", "base"].map(Profile::named)).unwrap();
    let run = |base: Option<&str>| {
        let polar = polar(PolarConfig {
            base: base.map(str::to_owned),
            ..PolarConfig::default()
        });
        let bad: &[&str] = if base.is_some() {
            &["a", "b"]
        } else {
            &["a", "b", "base"]
        };
        for name in bad {
            let (decision, _) = serve(&polar, &catalogue, &[0.0, 1.0], 0).unwrap();
            assert_eq!(decision.first().name, *name);
            polar.load_failed(&decision.first().name, Timestamp::default());
        }
        (
            polar.resident(),
            serve(&polar, &catalogue, &[0.0, 1.0], 10).map(|(d, _)| d),
            polar,
        )
    };
    let (resident, last, polar) = run(Some("base"));
    let last = last.unwrap();
    assert!(
        resident.is_empty() && last.first().name == "base" && last.reason.to_string().contains("base model")
    );
    assert!(polar.page_in(&last).is_empty(), "the base model needs no load");
    let back = serve(&polar, &catalogue, &[0.0, 1.0], 1_000).unwrap().0;
    assert_eq!(back.first().name, "a", "its back-off is over");
    let (_, last, _) = run(None);
    let excluded = last.unwrap_err().excluded;
    assert!(excluded.len() == 3 && excluded.iter().all(|e| e.limit == Limit::Unavailable));
}

#[test]
fn doubling_epochs_begin_with_trials_and_change_the_set_rarely() {
    let epochs = Epochs::Doubling { first: 20 };
    let polar = polar(PolarConfig {
        slots: 2,
        epochs,
        ..PolarConfig::default()
    });
    let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
    let all = names(&["a", "b", "c"]);
    let mut rng = SmallRng::seed_from_u64(3);
    let (mut picks, mut changes) = (Vec::new(), 0);
    for _ in 0..1_200 {
        changes += polar.rebalance(&all, Timestamp::default()).len();
        let query = [rng.random::<f32>(), 0.3];
        let (decision, _) = serve(&polar, &catalogue, &query, 0).unwrap();
        let quality = if decision.first().name == "b" { 0.9 } else { 0.2 };
        polar.learn(&decision.evidence, &decision, &good(quality));
        picks.push(decision.first().name.to_string());
    }
    // ln 20 x 3 x .5 makes five trials each, cut to ten of the first epoch's twenty requests.
    assert_eq!(picks[..9].concat(), "aaabbbccc");
    assert!(changes <= 3, "{changes}");
    assert!(picks[1_000..].iter().all(|p| p == "b") && polar.resident()[0] == "b");
}

#[test]
fn state_survives_a_restart_and_asks_for_its_adapters() {
    let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
    let (taught, all) = (polar(PolarConfig::default()), names(&["a", "b"]));
    assert!(taught.rebalance(&all, Timestamp::default()).is_empty());
    let (decision, _) = serve(&taught, &catalogue, &[1.0, 0.0], 0).unwrap();
    let stored: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
    (0..30).for_each(|_| taught.learn(&stored.evidence, &stored, &good(0.1)));
    let again = polar(PolarConfig::default());
    assert!(again.restore(&taught.save().unwrap()) && !again.restore(b"{}"));
    assert!(
        !Polar::new(PolarConfig::default(), "p", 3)
            .unwrap()
            .restore(&taught.save().unwrap())
    );
    assert_eq!(
        again.rebalance(&all, Timestamp::default()),
        [CacheAction::Load("a".into())]
    );
    assert_eq!(
        serve(&again, &catalogue, &[1.0, 0.0], 0).unwrap().0.first().name,
        "b"
    );
}

#[test]
fn strange_queries_are_served_and_teach_nothing() {
    let catalogue = Catalogue::new(["a"].map(Profile::named)).unwrap();
    let polar = polar(PolarConfig::default());
    for features in [&[][..], &[1.0; 7], &[f32::NAN, f32::INFINITY], &[f32::MAX, 1.0]] {
        let (decision, _) = serve(&polar, &catalogue, features, 0).unwrap();
        polar.learn(&decision.evidence, &decision, &good(1.0));
        assert!(decision.first().score.is_finite(), "{features:?}");
    }
    let seen = polar.view.load().arms.get("a").map(|arm| arm.seen());
    assert_eq!(seen, Some(2), "only those with two features");
}
