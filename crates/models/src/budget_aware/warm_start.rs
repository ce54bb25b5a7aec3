//! What the policy is shown before it is let to try: cost-efficient runs of the training tasks.
//!
//! Of a hard task mixed runs are sampled (at random with a fixed share, large from step `k` on, large until step `k`) and the cheapest
//! few that succeed are kept; of an easy one the successes of the small model; of an intractable one its cheapest run, so that no
//! money is wasted. The three classes weigh the same, and so do, within a class, small and large steps (up to a factor of sixteen).

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustc_hash::FxHashMap;

use super::{
    Act, Tasks,
    rollout::{Rollout, mix, roll},
    taxonomy::{Boundary, Hardness},
};

/// Mixed runs of a hard task.
const SAMPLED: usize = 24;
/// Runs of a task that are shown.
const KEPT: usize = 3;

/// States, whether the large model was taken, and a weight of one on average.
pub fn demonstrations(tasks: &dyn Tasks, boundaries: &[Boundary], seed: u64) -> Vec<(Vec<f32>, bool, f32)> {
    let mut steps: Vec<(Hardness, Vec<f32>, bool)> = Vec::new();
    for (task, boundary) in boundaries.iter().enumerate() {
        let hardness = boundary.hardness();
        for run in shown(tasks, task, hardness, seed) {
            let taken = run.steps.into_iter().filter(|s| s.free);
            steps.extend(taken.map(|s| (hardness, s.state, s.large)));
        }
    }
    let mut counts: FxHashMap<(Hardness, bool), f32> = FxHashMap::default();
    for (hardness, _, large) in &steps {
        *counts.entry((*hardness, *large)).or_default() += 1.0;
    }
    let weight = |hardness: Hardness, large: bool| {
        let count = |large| counts.get(&(hardness, large)).copied().unwrap_or(0.0);
        let (own, other) = (count(large), count(!large));
        // Of a class one third of all; both sides as much, as long as one is not sixteen times as frequent.
        let balance = if own > 0.0 {
            (other / own).sqrt().clamp(0.25, 4.0)
        } else {
            1.0
        };
        balance * steps.len() as f32 / (3.0 * (own + other).max(1.0))
    };
    let weights: Vec<f32> = steps.iter().map(|(h, _, large)| weight(*h, *large)).collect();
    let mean = weights.iter().sum::<f32>() / weights.len().max(1) as f32;
    let weighed = steps.into_iter().zip(weights);
    weighed
        .map(|((_, state, large), w)| (state, large, w / mean))
        .collect()
}

fn shown(tasks: &dyn Tasks, task: usize, hardness: Hardness, seed: u64) -> Vec<Rollout> {
    let small = |i: usize| {
        roll(tasks, task, mix([seed, task as u64, i as u64]), None, |_| {
            Act::Small
        })
    };
    match hardness {
        Hardness::Intractable => cheapest((0..KEPT).map(small).collect(), 1),
        Hardness::Easy => {
            let runs = (0..2 * KEPT).map(small).filter(|r| r.success).collect();
            cheapest(runs, KEPT)
        }
        Hardness::Hard => {
            let runs = (0..SAMPLED).map(|i| mixed(tasks, task, i, seed));
            cheapest(runs.filter(|r| r.success).collect(), KEPT)
        }
    }
}

/// The `i`-th way of mixing.
fn mixed(tasks: &dyn Tasks, task: usize, i: usize, seed: u64) -> Rollout {
    let seed = mix([seed, task as u64, 1000 + i as u64]);
    let mut rng = SmallRng::seed_from_u64(seed);
    let turn: u32 = rng.random_range(1..16);
    let mut step = 0;
    let choose = |_: &[f32]| {
        step += 1;
        let large = match i % 7 {
            5 => step > turn,
            6 => step <= turn,
            share => rng.random::<f64>() < [0.1, 0.3, 0.5, 0.7, 0.9][share],
        };
        if large { Act::Large } else { Act::Small }
    };
    roll(tasks, task, seed, None, choose)
}

fn cheapest(mut runs: Vec<Rollout>, keep: usize) -> Vec<Rollout> {
    runs.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.share().total_cmp(&b.share())));
    runs.truncate(keep);
    runs
}
