//! Estimates from simulated logs against the whole table they were drawn from.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
};

use fingerpost_eval::counterfactual::{Log, Taken};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Rewards by query and action, and a kind of each query that policies may look at.
struct Table {
    kinds: Vec<usize>,
    rewards: Vec<Vec<f64>>,
}

/// The estimates of one way over many logs.
#[derive(Default)]
struct Seen(Vec<f64>);

impl Seen {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn variance(&self) -> f64 {
        let mean = self.mean();
        self.0.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (self.0.len() - 1) as f64
    }
}

impl Table {
    fn actions(&self) -> usize {
        self.rewards[0].len()
    }

    /// The logging policy: half of its weight on one action, which the kind decides, half on all.
    fn logging(&self, query: usize) -> Vec<f64> {
        let actions = self.actions();
        let mut policy = vec![0.5 / actions as f64; actions];
        policy[self.kinds[query] % actions] += 0.5;
        policy
    }

    /// The target: most of its weight on another action by kind.
    fn target(&self, query: usize) -> Vec<f64> {
        let actions = self.actions();
        let mut policy = vec![0.2 / actions as f64; actions];
        policy[(self.kinds[query] + 1) % actions] += 0.8;
        policy
    }

    fn value(&self) -> f64 {
        let earns = |query: usize| -> f64 {
            let policy = self.target(query);
            policy.iter().zip(&self.rewards[query]).map(|(p, r)| p * r).sum()
        };
        (0..self.rewards.len()).map(earns).sum::<f64>() / self.rewards.len() as f64
    }

    /// Draws a log of `length` queries. A log is of queries drawn anew, so that its mean is that of the table.
    fn draw(&self, length: usize, rng: &mut SmallRng) -> (Vec<usize>, Log) {
        let queries: Vec<usize> = (0..length)
            .map(|_| rng.random_range(0..self.rewards.len()))
            .collect();
        let taken = queries.iter().map(|&query| {
            let policy = self.logging(query);
            let mut left: f64 = rng.random();
            let action = policy.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let action = action.unwrap_or(policy.len() - 1);
            Taken {
                action,
                propensity: policy[action],
                reward: self.rewards[query][action],
            }
        });
        let taken = taken.collect();
        (queries, Log::new(self.actions(), taken).unwrap())
    }

    /// Estimates the target from many logs, and compares with what the table knows.
    fn check(&self, name: &str) {
        let (logs, length) = (300_u32, 400);
        let mut rng = SmallRng::seed_from_u64(7);
        let [mut ips, mut snips, mut robust] = [Seen::default(), Seen::default(), Seen::default()];
        let mut covered = 0_u32;
        for _ in 0..logs {
            let (queries, log) = self.draw(length, &mut rng);
            let target: Vec<Vec<f64>> = queries.iter().map(|&query| self.target(query)).collect();
            let halves = [0, 1].map(|half| log.mean_rewards(|row| row % 2 != half));
            let model: Vec<Vec<f64>> = (0..length).map(|row| halves[row % 2].clone()).collect();
            ips.0.push(log.ips(&target).unwrap().value);
            snips.0.push(log.snips(&target).unwrap().value);
            let estimate = log.doubly_robust(&target, &model).unwrap();
            robust.0.push(estimate.value);
            covered += u32::from((estimate.low..=estimate.high).contains(&self.value()));
        }
        let truth = self.value();
        let off = |seen: &Seen| (seen.mean() - truth) / (seen.variance() / f64::from(logs)).sqrt();
        eprintln!(
            "{name}: truth {truth:.4}; ips {:.4} ({:.5}), snips {:.4} ({:.5}), doubly robust {:.4} ({:.5}); {covered} of {logs} intervals hold it",
            ips.mean(),
            ips.variance(),
            snips.mean(),
            snips.variance(),
            robust.mean(),
            robust.variance()
        );
        assert!(off(&ips).abs() < 3.5 && off(&robust).abs() < 3.5, "unbiased");
        assert!((snips.mean() - truth).abs() < 0.02, "nearly unbiased");
        assert!(robust.variance() <= ips.variance(), "a model narrows");
        assert!(
            f64::from(covered) >= 0.9 * f64::from(logs),
            "intervals hold what they say"
        );
    }
}

#[test]
fn on_a_made_table() {
    let mut rng = SmallRng::seed_from_u64(1);
    let kinds: Vec<usize> = (0..1000).map(|_| rng.random_range(0..3)).collect();
    let rewards = kinds.iter().map(|kind| {
        let good = |action: usize| {
            if action == *kind {
                0.9
            } else {
                0.3 + 0.1 * action as f64
            }
        };
        (0..4)
            .map(|action| f64::from(u8::from(rng.random_bool(good(action)))))
            .collect()
    });
    let rewards = rewards.collect();
    Table { kinds, rewards }.check("made table");
}

#[test]
fn on_nine_models() {
    let shared = std::env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let Ok(file) = File::open(shared.join("data/llmrouter9/outcomes.jsonl.gz")) else {
        eprintln!("skipped: on_nine_models: no shared data here (FINGERPOST_SHARED)");
        return;
    };
    let (mut kinds, mut rewards) = (Vec::new(), Vec::new());
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let scores = row["scores"].as_array().unwrap();
        rewards.push(scores.iter().map(|score| score.as_f64().unwrap()).collect());
        kinds.push(row["text"].as_str().unwrap().len() % 5);
    }
    Table { kinds, rewards }.check("nine models");
}
