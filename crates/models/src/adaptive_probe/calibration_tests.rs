use proptest::prelude::*;

use super::*;

#[test]
fn the_area_under_the_curve_by_hand() {
    // Pairs (good, bad): (0.9, 0.2) won, (0.9, 0.5) won, (0.5, 0.2) won, (0.5, 0.5) a tie: 3.5 of 4.
    let samples = [
        (0.9, true, 1.0),
        (0.5, true, 1.0),
        (0.5, false, 1.0),
        (0.2, false, 1.0),
    ];
    assert_eq!(auroc(&samples), Some(0.875));
    // The tie counts for three times as much: (3 · 1.0 + 1 · 0.5 ...) = (1·1 + 1·3 + 1·1 + 1·3/2) / (2 · 4).
    let weighted = [
        (0.9, true, 1.0),
        (0.5, true, 1.0),
        (0.5, false, 3.0),
        (0.2, false, 1.0),
    ];
    assert_eq!(auroc(&weighted), Some(6.5 / 8.0));
    assert_eq!(auroc(&samples[..2]), None);
}

#[test]
fn violators_are_pooled() {
    // Bins of five: rates 0, 1, 0.4: the last two are pooled to 7 of 10.
    let point = |i: usize| (i as f64, f64::from(u8::from((5..12).contains(&i))));
    let blocks = isotonic((0..15).map(point).collect());
    let expected = [(2.0, 0.5 / 6.0), (9.5, 7.5 / 11.0)];
    assert_eq!(blocks, expected);
}

#[test]
fn newton_finds_the_log_odds() {
    // 30 of 40 succeed at -1, 10 of 40 at +1: the slope is near -ln 3, the ridge holds it back a little.
    let at = |x: f64, good: usize| (0..40).map(move |i| ([1.0, x, 0.0], f64::from(u8::from(i < good))));
    let w = logistic(&at(-1.0, 30).chain(at(1.0, 10)).collect::<Vec<_>>());
    assert!(w[0].abs() < 1e-6 && w[2].abs() < 1e-12, "{w:?}");
    // Stationary: 80 p(1) - 20 + slope = 0 with p(1) = sigmoid(slope), from both sides together.
    let slope = w[1];
    assert!((80.0 * sigmoid(slope) - 20.0 + slope).abs() < 1e-6, "{w:?}");
    assert!((slope + 3_f64.ln()).abs() < 0.08, "{w:?}");
}

#[test]
fn the_lowest_threshold_whose_accepted_set_is_good_enough() {
    let bin = |from, served, good| Bin {
        from,
        share: 0.25,
        served,
        good,
    };
    let bins = [
        bin(0.1, 100, 10),
        bin(0.4, 100, 80),
        bin(0.7, 100, 95),
        bin(0.9, 100, 99),
    ];
    // Upper three: 274 of 300, Wilson's lower end 0.8904; all four: 284 of 400; upper two 194 of 200: 0.9500.
    let bar = Bar::of(&bins, 0.89);
    assert_eq!((bar.threshold, bar.accepted), (0.4, 0.75));
    assert_eq!(Bar::of(&bins, 0.9).threshold, 0.7);
    assert_eq!(Bar::of(&bins, 0.999).threshold, f64::INFINITY);
    assert!(
        (wilson(274.0 / 300.0, 300.0) - 0.8904).abs() < 1e-3,
        "{}",
        wilson(274.0 / 300.0, 300.0)
    );
    assert!((wilson(1.0, 50.0) - 1.0 / (1.0 + 1.28 * 1.28 / 50.0)).abs() < 1e-12);
    // Where nothing was served nothing is known, nor of what lies below.
    let unknown = [bin(0.1, 100, 100), bin(0.4, 0, 0), bin(0.7, 100, 100)];
    assert_eq!(Bar::of(&unknown, 0.9).threshold, 0.7);
}

fn sample(class: u16, warm: bool, model: u16, confidence: f32, success: bool) -> Sample {
    Sample {
        model,
        probed: Some(0),
        class,
        warm,
        unclear: true,
        difficulty: 0.0,
        confidence: Some(confidence),
        success,
    }
}

#[test]
fn warm_and_cold_and_large_classes_have_curves_of_their_own() {
    let mut samples = Vec::new();
    for i in 0..120 {
        samples.push(sample(0, false, 0, 0.5, i % 4 == 0));
        samples.push(sample(0, true, 0, 0.5, i % 4 != 0));
    }
    for i in 0..60 {
        samples.push(sample(1, false, 0, 0.5, i % 2 == 0));
    }
    let config = CalibrationConfig {
        method: Method::Logistic,
        ..CalibrationConfig::default()
    };
    let fitted = Calibrated::fit(&samples, &config, 0.9);
    let p = |class, warm| fitted.success(0, Some(class), warm, 0.0, Some(0.5)).unwrap();
    assert!((p(0, false) - 0.25).abs() < 0.01 && (p(0, true) - 0.75).abs() < 0.01);
    // Too few of class 1: the cold of all classes.
    assert!((p(1, false) - 60.0 / 180.0).abs() < 0.01);
    assert_eq!(
        fitted.success(7, None, false, 0.0, None),
        None,
        "nothing known of it"
    );
}

#[test]
fn a_confidence_that_tells_nothing_has_half_the_area() {
    let of = |success: fn(usize) -> bool| {
        let samples: Vec<Sample> = (0..400)
            .map(|i| sample(0, false, 0, (i % 100) as f32 / 100.0, success(i)))
            .collect();
        Calibrated::fit(&samples, &CalibrationConfig::default(), 0.9)
            .auroc
            .unwrap()
    };
    assert!((of(|i| i / 100 % 2 == 0) - 0.5).abs() < 1e-9);
    assert!(of(|i| i % 100 >= 40) > 0.99);
}

#[test]
fn what_was_never_served_is_weighed_up() {
    // Above 0.5 everything was served; below only every tenth. Below half are good, above all.
    let mut samples = Vec::new();
    for i in 0..1000 {
        let confidence = (i % 100) as f32 / 100.0;
        let high = confidence >= 0.5;
        let served = high || i / 100 == 3 || i / 100 == 4;
        samples.push(sample(
            0,
            false,
            u16::from(!served),
            confidence,
            high || i / 100 == 3,
        ));
    }
    let fitted = Calibrated::fit(&samples, &CalibrationConfig::default(), 0.9);
    // All would have 0.75; from 0.5 on 1.0, and some of what is below fits into 0.9.
    let bar = fitted.bar(0, None, false).unwrap();
    assert!(
        bar.threshold > 0.3 && bar.threshold <= 0.5 && bar.accepted < 0.7,
        "{bar:?}"
    );
}

proptest! {
    #[test]
    fn blocks_ascend_and_curves_stay_in_range(
        rows in prop::collection::vec(((-1.0..1.0, -9.0..9.0), any::<bool>()), 1..80), isotonic in any::<bool>(), d in -3.0..3.0, s in -20.0..20.0,
    ) {
        let rows: Vec<([f64; 2], f64)> =
            rows.into_iter().map(|((a, b), y)| ([a, b], f64::from(u8::from(y)))).collect();
        let method = if isotonic { Method::Isotonic } else { Method::Logistic };
        let curve = Curve::fit(&rows, method);
        prop_assert!(curve.blocks.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 < w[1].1));
        let p = curve.at([d, s]);
        prop_assert!((0.0..=1.0).contains(&p), "{}", p);
    }
}
