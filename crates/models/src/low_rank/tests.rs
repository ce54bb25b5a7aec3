use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;
use crate::outcomes::{Logged, OutcomeTable};

/// Abilities for poems and sums; a query asks for the one or the other.
const MODELS: [(&str, f32, f32); 5] = [
    ("poet", 0.3, -0.3),
    ("clerk", -0.3, 0.3),
    ("even", 0.0, 0.0),
    ("both", 0.1, 0.1),
    ("half", 0.2, -0.1),
];

fn query(angle: f32) -> Features {
    Features {
        vector: vec![angle.cos(), angle.sin()],
        ..Features::default()
    }
}

fn score(model: (&str, f32, f32), angle: f32) -> f32 {
    0.5 + model.1 * angle.cos() + model.2 * angle.sin()
}

/// Rows of scores with noise, of which a share is not known.
fn world(rows: usize, missing: f64) -> (OutcomeTable, Vec<Features>) {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut table = OutcomeTable::new(MODELS.map(|m| m.0.into())).unwrap();
    let mut features = Vec::new();
    for _ in 0..rows {
        let angle = rng.random_range(0.0..std::f32::consts::TAU);
        // How hard a query is falls on all models alike.
        let hard = rng.random_range(-0.1..0.1);
        let scores = MODELS.map(|m| {
            let known = rng.random::<f64>() >= missing;
            known.then(|| (score(m, angle) + hard).clamp(0.0, 1.0))
        });
        table
            .push(Logged {
                scores: scores.to_vec(),
                ..Logged::default()
            })
            .unwrap();
        features.push(query(angle));
    }
    (table, features)
}

fn low_rank(missing: f64) -> LowRank {
    let (table, features) = world(400, missing);
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    let settings = LowRankSettings { rank: 2, ridge: 0.5 };
    LowRank::new(Traits::train(&settings, &training).unwrap())
}

fn estimates(predictor: &LowRank, query: &Features, models: &[&str]) -> Vec<Option<Estimate>> {
    let models: Vec<Name> = models.iter().map(|m| Name::from(*m)).collect();
    let mut out = Vec::new();
    predictor.estimate(query, &models.iter().collect::<Vec<_>>(), &mut out);
    out
}

#[test]
fn two_traits_explain_a_world_of_two_also_where_half_is_unknown() {
    for missing in [0.0, 0.5] {
        let predictor = low_rank(missing);
        for step in 0..24 {
            let angle = step as f32 * 0.26;
            for model in MODELS {
                let found = estimates(&predictor, &query(angle), &[model.0])[0]
                    .unwrap()
                    .quality;
                let expected = f64::from(score(model, angle));
                // What all models share at an angle is not seen: rows are measured from their means.
                let shared: f64 = MODELS
                    .iter()
                    .map(|m| f64::from(score(*m, angle)) - 0.5)
                    .sum::<f64>()
                    / 5.0;
                let bound = if missing > 0.0 { 0.08 } else { 0.05 };
                assert!(
                    (found - (expected - shared)).abs() < bound,
                    "{missing} {model:?} {angle}: {found} {expected} {shared}"
                );
            }
        }
    }
}

#[test]
fn a_handful_of_outcomes_places_a_new_model() {
    let predictor = low_rank(0.0);
    let (poems, sums) = (query(0.0), query(std::f32::consts::FRAC_PI_2));
    assert_eq!(estimates(&predictor, &poems, &["new"]), [None]);
    let before = estimates(&predictor, &poems, &["clerk"]);
    let new: Name = "new".into();
    for _ in 0..6 {
        assert!(predictor.observe(&poems, &new, 0.9));
        assert!(predictor.observe(&sums, &new, 0.1));
    }
    let good = estimates(&predictor, &poems, &["new"])[0].unwrap();
    let bad = estimates(&predictor, &sums, &["new"])[0].unwrap();
    assert!(good.quality > 0.7 && bad.quality < 0.3, "{good:?} {bad:?}");
    assert!(good.error > 0.0 && good.error < 0.2, "{good:?}");
    // Nobody else moved.
    assert_eq!(estimates(&predictor, &poems, &["clerk"]), before);
}

#[test]
fn outcomes_of_a_known_model_move_it_little() {
    let predictor = low_rank(0.0);
    let poems = query(0.0);
    let before = estimates(&predictor, &poems, &["poet"])[0].unwrap().quality;
    predictor.observe(&poems, &"poet".into(), 0.0);
    let once = estimates(&predictor, &poems, &["poet"])[0].unwrap().quality;
    assert!(once < before && once > before - 0.05, "{before} {once}");
    for _ in 0..2_000 {
        predictor.observe(&poems, &"poet".into(), 0.0);
    }
    let late = estimates(&predictor, &poems, &["poet"])[0].unwrap().quality;
    assert!(late < 0.3, "{late}");
}

#[test]
fn what_was_learned_in_service_is_kept_for_the_same_training_only() {
    let taught = low_rank(0.0);
    let poems = query(0.0);
    for _ in 0..5 {
        taught.observe(&poems, &"new".into(), 0.8);
    }
    let state = taught.save().unwrap();
    let again = low_rank(0.0);
    assert!(again.restore(&state) && !again.restore(b"{}"));
    assert_eq!(
        estimates(&again, &poems, &["new", "poet"]),
        estimates(&taught, &poems, &["new", "poet"])
    );
    assert!(!low_rank(0.5).restore(&state), "other traits");
    assert!(!again.observe(&poems, &"new".into(), f64::NAN));
}

#[test]
fn columns_are_brought_to_right_angles() {
    // (3, 4) and (4, 3): the second keeps (4, 3) - 24/25 (3, 4) = (1.12, -0.84), of length 1.4.
    let found = at_right_angles(&[3.0, 4.0, 4.0, 3.0], 2, 2);
    for (found, expected) in found.iter().zip([0.6, 0.8, 0.8, -0.6]) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    // The second is the first again.
    assert_eq!(at_right_angles(&[1.0, 2.0, 0.0, 0.0], 2, 2)[1], 0.0);
}
