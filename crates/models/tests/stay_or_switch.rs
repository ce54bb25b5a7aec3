//! The relations of the card (`systems/43`, 13.4): with a drift at half time, sampling regrets less than a fixed choice, and protection
//! at least halves the switches at a loss of quality under a point.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../examples/stay_or_switch/world.rs"]
mod world;

use fingerpost_models::StayConfig;
use world::{MODELS, Policy, Report, run};

const TURNS: usize = 3000;
const SEEDS: u64 = 7;

#[test]
fn sampling_follows_a_drift_and_protection_halves_the_switches() {
    let best = 2;
    assert!(
        MODELS.iter().all(|m| m.2[0] <= MODELS[best].2[0]),
        "the best of the first half"
    );
    let fixed = mean(&Policy::Fixed(best));
    let sampling = mean(&Policy::Sampling);
    let protected = mean(&Policy::Protected(StayConfig::default()));
    assert!(sampling.regret < fixed.regret, "{sampling:?} {fixed:?}");
    assert!(
        sampling.switches > 0.05,
        "there is something to halve: {sampling:?}"
    );
    assert!(
        protected.switches <= sampling.switches / 2.0,
        "{protected:?} {sampling:?}"
    );
    assert!(
        sampling.quality - protected.quality < 1.0,
        "{protected:?} {sampling:?}"
    );
}

fn mean(policy: &Policy) -> Report {
    let reports = (0..SEEDS).map(|seed| run(policy, TURNS, seed).unwrap());
    let sum = reports.fold(Report::default(), |sum, r| Report {
        quality: sum.quality + r.quality,
        regret: sum.regret + r.regret,
        switches: sum.switches + r.switches,
    });
    let of = |sum: f64| sum / SEEDS as f64;
    Report {
        quality: of(sum.quality),
        regret: of(sum.regret),
        switches: of(sum.switches),
    }
}
