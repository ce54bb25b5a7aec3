use super::*;
use crate::outcomes::{Logged, OutcomeTable};

#[test]
fn a_machine_of_two_points_is_known() {
    // x = ±1 with labels ±1 and C = 0.5 each (two examples, one of each kind): by symmetry the offset is 0 and
    // w minimises w²/2 + 2 · 0.5 (1 − w)², so w = 2/3.
    let (left, right) = ([-1.0_f32], [1.0_f32]);
    let machine = Machine::train(&[(&left, false), (&right, true)], 1, 0.5, 1);
    assert!(
        (machine.weights[0] - 2.0 / 3.0).abs() < 0.01 && machine.offset.abs() < 0.01,
        "{machine:?}"
    );
    // One kind alone teaches nothing.
    let alone = Machine::train(&[(&right, true)], 1, 0.5, 1);
    assert_eq!((alone.weights[0], alone.offset), (0.0, 0.0));
}

#[test]
fn both_kinds_weigh_the_same() {
    // Nine of one kind at 1 and one of the other at −1: as with one of each, but for the sum of what they cost.
    let (left, right) = ([-1.0_f32], [1.0_f32]);
    let mut examples: Vec<(&[f32], bool)> = vec![(&right, true); 9];
    examples.push((&left, false));
    let machine = Machine::train(&examples, 1, 0.5, 1);
    // Ten examples at half a cost each side: w²/2 + 2 · 2.5 (1 − w)², so w = 10/11.
    assert!(
        (machine.weights[0] - 10.0 / 11.0).abs() < 0.02 && machine.offset.abs() < 0.03,
        "{machine:?}"
    );
}

#[test]
fn sigmoids_give_back_the_shares() {
    // At 1 three of four are right, at −1 one of four: log-odds ±ln 3, nearly (labels are not taken as sure).
    let mut examples = Vec::new();
    for k in 0..4_000 {
        examples.push((1.0, k % 4 != 0));
        examples.push((-1.0, k % 4 == 0));
    }
    let sigmoid = Sigmoid::fit(&examples);
    assert!((sigmoid.of(1.0) - 0.75).abs() < 1e-3 && (sigmoid.of(-1.0) - 0.25).abs() < 1e-3);
    // Turned round by chance: the share is left. One kind alone: nearly sure.
    let turned: Vec<(f64, bool)> = examples.iter().map(|(d, l)| (-d, *l)).collect();
    assert_eq!(Sigmoid::fit(&turned).of(5.0), 0.5);
    assert!((Sigmoid::fit(&[(0.0, true); 8]).of(3.0) - 0.9).abs() < 1e-12);
}

#[test]
fn points_have_the_kernel_as_their_product() {
    let rows = [0.0_f32, 0.0, 1.0, 0.0, 0.0, 2.0];
    let settings = SvmSettings {
        gamma: 0.5,
        supports: 3,
        ..SvmSettings::default()
    };
    let mut landmarks = Landmarks::draw(&rows, 2, &settings, &mut SmallRng::seed_from_u64(1));
    let points = landmarks.map(&rows);
    let product = |a: usize, b: usize| fingerpost_encode::dot(&points[3 * a..][..3], &points[3 * b..][..3]);
    for (a, b, distance) in [(0, 0, 0.0_f32), (0, 1, 1.0), (0, 2, 4.0), (1, 2, 5.0)] {
        let expected = (-0.5 * distance).exp();
        assert!(
            (product(a, b) - expected).abs() < 3e-3,
            "{a} {b}: {} for {expected}",
            product(a, b)
        );
    }
    // Weights on the support vectors say what the machine says.
    let machine = Machine {
        weights: vec![0.3, -0.2, 0.5],
        offset: 0.0,
    };
    let weights = landmarks.fold(&[&machine]);
    let mut sum = 0.0;
    landmarks.likeness(&rows[2..4], |place, like| sum += like * weights[place]);
    assert!((sum - machine.decide(&points[3..6])).abs() < 1e-3);
}

fn table() -> (OutcomeTable, Vec<Features>) {
    // Who is best turns on the distance from the middle: no straight line tells it.
    let mut table = OutcomeTable::new(["inner".into(), "outer".into()]).unwrap();
    let mut features = Vec::new();
    for i in 0..120_u16 {
        let (sin, cos) = (f32::from(i) * 2.4).sin_cos();
        let inside = i % 2 == 0;
        let radius = if inside { 0.2 } else { 1.0 };
        let scores = if i % 12 == 0 {
            [1.0, 1.0]
        } else {
            [f32::from(u8::from(inside)), f32::from(u8::from(!inside))]
        };
        let row = Logged {
            scores: scores.map(Some).to_vec(),
            ..Logged::default()
        };
        table.push(row).unwrap();
        features.push(Features {
            vector: vec![radius * cos, radius * sin],
            ..Features::default()
        });
    }
    (table, features)
}

fn chosen_right(settings: &SvmSettings) -> f64 {
    let (table, features) = table();
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    let svm = Svm::train(settings, &training).unwrap();
    let names: Vec<&Name> = table.models().iter().collect();
    let mut out = Vec::new();
    let right = (0..360).filter(|angle| {
        let (sin, cos) = f32::from(u16::try_from(*angle).unwrap()).to_radians().sin_cos();
        let inside = angle % 2 == 0;
        let radius = if inside { 0.2 } else { 1.0 };
        let query = Features {
            vector: vec![radius * cos, radius * sin],
            ..Features::default()
        };
        svm.estimate(&query, &names, &mut out);
        (out[0].unwrap().quality > out[1].unwrap().quality) == inside
    });
    right.count() as f64 / 360.0
}

#[test]
fn the_rbf_kernel_tells_a_ring_from_its_middle_and_the_linear_one_does_not() {
    let rbf = SvmSettings {
        gamma: 4.0,
        cost: 10.0,
        ..SvmSettings::default()
    };
    let found = chosen_right(&rbf);
    assert!(found > 0.95, "{found}");
    let linear = SvmSettings {
        kernel: SvmKernel::Linear,
        ..rbf
    };
    let found = chosen_right(&linear);
    assert!(found < 0.8, "{found}");
}

#[test]
fn where_nothing_can_be_learned_the_means_are_left() {
    let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
    for scores in [[Some(1.0), None], [Some(0.5), None]] {
        table
            .push(Logged {
                scores: scores.to_vec(),
                ..Logged::default()
            })
            .unwrap();
    }
    let features = vec![Features::default(); 2];
    let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
    let svm = Svm::train(&SvmSettings::default(), &training).unwrap();
    let (a, new): (Name, Name) = ("a".into(), "new".into());
    let mut out = Vec::new();
    svm.estimate(&Features::default(), &[&a, &new], &mut out);
    assert_eq!(out[0].map(|e| e.quality), Some(0.75));
    assert_eq!(out[1], None);
}
