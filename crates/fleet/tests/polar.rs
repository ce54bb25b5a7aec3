//! The card's relations of POLAR (`systems/19`) where every adapter's quality is a linear function of the context.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use fingerpost_fleet::polar::{Epochs, Play, PolarConfig, Policy, Rows, play};
use rand::{Rng, SeedableRng, rngs::SmallRng};

const ADAPTERS: usize = 8;
const DIMS: usize = 4;

/// Requests of four kinds, unequally common; two adapters are good at each, the rest in the middle, with noise.
fn rows(page_in: f64, slots: usize) -> Rows {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut features = Vec::new();
    let mut rewards = Vec::new();
    for _ in 0..4_000 {
        let kind = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3][rng.random_range(0..10)];
        let x: Vec<f32> = (0..DIMS)
            .map(|i| {
                if i == kind {
                    0.9
                } else {
                    rng.random_range(-0.15..0.15)
                }
            })
            .collect();
        let quality = |a: usize| {
            let fit = if a % DIMS == kind {
                0.3 - 0.05 * (a / DIMS) as f64
            } else {
                0.0
            };
            (0.45 + fit + rng.random_range(-0.2..0.2_f64)).clamp(0.0, 1.0)
        };
        rewards.push((0..ADAPTERS).map(quality).collect());
        features.push(x);
    }
    Rows::new(features, rewards, page_in, slots).unwrap()
}

fn plus() -> Policy {
    let epochs = Epochs::Doubling { first: 200 };
    Policy::Polar(PolarConfig {
        epochs,
        ..PolarConfig::default()
    })
}

fn fixed() -> Policy {
    Policy::Polar(PolarConfig::default())
}

fn over_seeds(rows: &Rows, policy: &Policy, requests: u64) -> Vec<Play> {
    (1..=5)
        .map(|seed| play(rows, policy, requests, seed).unwrap())
        .collect()
}

fn net(plays: &[Play]) -> f64 {
    plays.iter().map(|p| p.net).sum::<f64>() / plays.len() as f64
}

#[test]
fn both_kinds_beat_what_one_would_do_without_them() {
    let rows = rows(0.1, 3);
    let ours = [fixed(), plus()].map(|p| net(&over_seeds(&rows, &p, 6_000)));
    let others = [
        Policy::StaticTop { after: 200 },
        Policy::LruGreedy,
        Policy::LruBlind,
        Policy::LfuBlind,
        Policy::Random,
    ];
    for other in others {
        let theirs = net(&over_seeds(&rows, &other, 6_000));
        assert!(
            ours.iter().all(|o| *o > theirs),
            "{other:?}: {theirs} against {ours:?}"
        );
    }
}

#[test]
fn what_is_lost_grows_more_slowly_than_requests() {
    let rows = rows(0.1, 3);
    for policy in [fixed(), plus()] {
        let plays = over_seeds(&rows, &policy, 16_000);
        let lost = |place: usize| plays.iter().map(|p| p.regret[place].1).sum::<f64>();
        let (quarter, all) = (lost(15), lost(63));
        assert!(
            all < 4.0_f64.powf(0.75) * quarter.max(1.0),
            "{policy:?}: {quarter} then {all}"
        );
    }
}

#[test]
fn doubling_epochs_change_the_set_a_logarithm_of_times() {
    let rows = rows(0.1, 3);
    for play in over_seeds(&rows, &plus(), 12_800) {
        assert!(
            play.changes <= 7,
            "epochs of 200, 400, ... 12,800: {}",
            play.changes
        );
    }
}

#[test]
fn more_slots_are_never_worse() {
    let by_slots = [1, 2, 4, 8].map(|k| net(&over_seeds(&rows(0.1, k), &fixed(), 4_000)));
    assert!(by_slots.windows(2).all(|w| w[1] > w[0] - 0.005), "{by_slots:?}");
}

#[test]
fn at_no_price_slots_do_not_matter_and_at_any_price_only_residents_serve() {
    let quality = |k| play(&rows(0.0, k), &fixed(), 2_000, 1).unwrap().quality;
    assert_eq!(quality(1), quality(ADAPTERS), "a plain linear bandit");
    for slots in [1, 3] {
        let untried = Policy::Polar(PolarConfig {
            trials: 0.0,
            ..PolarConfig::default()
        });
        let dear = play(&rows(1e3, slots), &untried, 2_000, 1).unwrap();
        assert!(
            dear.loads <= slots as u64,
            "the first fill the slots, and stay: {}",
            dear.loads
        );
    }
}
