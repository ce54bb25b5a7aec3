use rand::{Rng, SeedableRng};

use super::*;
use crate::outcomes::{Logged, OutcomeTable};

#[test]
fn the_five_classes_are_all_there_is() {
    let five = Margins::new(Classes::Five, 0.5, 1.5);
    for d in [-3.0, -0.2, 0.0, 0.7, 2.0_f32] {
        let likely = |seen: f32| (-five.loss(d, seen).unwrap().0).exp();
        let sum: f32 = [-1.0, -0.3, 0.0, 0.3, 1.0].into_iter().map(likely).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{d}: {sum}");
    }
    // Equal outputs: much better σ(−1.5), better σ(−0.5) − σ(−1.5), equal the rest.
    let s = |z: f32| 1.0 / (1.0 + (-z).exp());
    assert!((five.loss(0.0, 1.0).unwrap().0 + s(-1.5).ln()).abs() < 1e-6);
    assert!((five.loss(0.0, 0.3).unwrap().0 + (s(-0.5) - s(-1.5)).ln()).abs() < 1e-6);
    assert!((five.loss(0.0, 0.05).unwrap().0 + (s(0.5) - s(-0.5)).ln()).abs() < 1e-6);
    // Two classes: the plain logistic loss, and nothing from equals.
    let two = Margins::new(Classes::Two, 0.5, 1.5);
    assert!((two.loss(0.0, 0.3).unwrap().0 - 2_f32.ln()).abs() < 1e-6);
    assert_eq!(two.loss(0.0, 0.0), None);
}

#[test]
fn slopes_are_those_that_small_steps_show() {
    for classes in [Classes::Five, Classes::Two] {
        let margins = Margins::new(classes, 0.5, 1.5);
        for seen in [-1.0, -0.3, 0.0, 0.3, 1.0_f32] {
            for d in [-2.0, -0.1, 0.4, 1.5_f32] {
                let Some((_, slope)) = margins.loss(d, seen) else {
                    continue;
                };
                let at = |d: f32| margins.loss(d, seen).unwrap().0;
                let measured = (at(d + 1e-2) - at(d - 1e-2)) / 2e-2;
                assert!((slope - measured).abs() < 2e-3, "{seen} {d}: {slope} {measured}");
            }
        }
    }
    // A row: the pairs' mean, missing scores left out.
    let margins = Margins::new(Classes::Five, 0.5, 1.5);
    let mut slopes = [0.0; 3];
    let loss = margins.row_loss(&[0.3, 9.0, -0.1], &[1.0, f32::NAN, 0.0], 1.0, &mut slopes);
    let (expected, slope) = margins.loss(0.4, 1.0).unwrap();
    assert!((loss - expected).abs() < 1e-6 && (slopes[0] - slope).abs() < 1e-6 && slopes[1] == 0.0);
    assert_eq!(slopes[0], -slopes[2]);
}

/// Three models, each good at one of three kinds of query.
fn table(rows: usize, seed: u64) -> (OutcomeTable, Vec<Features>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut table = OutcomeTable::new(["a".into(), "b".into(), "c".into()]).unwrap();
    let mut features = Vec::new();
    for _ in 0..rows {
        let kind = rng.random_range(0..3_usize);
        let scores = (0..3).map(|m| {
            let good = if m == kind { 0.9 } else { 0.3 };
            (rng.random::<f64>() < 0.9).then(|| f32::from(u8::from(rng.random::<f64>() < good)))
        });
        table
            .push(Logged {
                scores: scores.collect(),
                ..Logged::default()
            })
            .unwrap();
        let mut near = |axis: usize| {
            if axis == kind {
                1.0
            } else {
                rng.random_range(-0.3..0.3_f32)
            }
        };
        features.push(Features {
            vector: (0..3).map(&mut near).collect(),
            ..Features::default()
        });
    }
    (table, features)
}

#[test]
fn it_learns_who_is_good_at_what_and_by_how_much() {
    let (table, features) = table(600, 1);
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    for (experts, top, classes) in [(4, 0, Classes::Five), (4, 2, Classes::Five), (1, 0, Classes::Two)] {
        let settings = MomaSettings {
            experts,
            top,
            classes,
            rate: 0.005,
            ..MomaSettings::default()
        };
        let moma = Moma::train(&settings, &training).unwrap();
        let models: Vec<&Name> = table.models().iter().collect();
        let mut out = Vec::new();
        for kind in 0..3 {
            let vector = (0..3).map(|axis| if axis == kind { 1.0 } else { 0.0 }).collect();
            let query = Features {
                vector,
                ..Features::default()
            };
            moma.estimate(&query, &models, &mut out);
            let found: Vec<f64> = out.iter().map(|e| e.unwrap().quality).collect();
            for other in (0..3).filter(|o| *o != kind) {
                let gap = found[kind] - found[other];
                // 0.6 in truth; what is learned is drawn towards equal.
                assert!((0.25..0.9).contains(&gap), "{settings:?} {kind}: {found:?}");
            }
        }
        moma.estimate(&Features::default(), &[&"new".into()], &mut out);
        assert_eq!(out, [None]);
    }
}

#[test]
fn the_wide_margin_is_the_wider_one() {
    let (table, features) = table(2, 3);
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    let wrong = MomaSettings {
        wide_margin: 0.4,
        ..MomaSettings::default()
    };
    let error = Moma::train(&wrong, &training).unwrap_err().to_string();
    assert_eq!(
        error,
        "moma.wide_margin must be a finite number over `margin`, found 0.4"
    );
}
