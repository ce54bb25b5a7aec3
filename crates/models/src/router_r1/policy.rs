//! A small policy over actions that are described by features, and how it learns from rewards (REINFORCE).
//!
//! One network scores every action by its features; the softmax of the scores is the policy. Since an action's features hold
//! what is known of the model that it asks, a model that was not there in training can be asked all the same.
//!
//! The network: `v·tanh(W x) + u·x` with 1 among the features for the constant. Learning: after each batch of episodes one step
//! of Adam along `(R - mean R) / deviation of R · ∇ log π` plus a little entropy. Card 28 names PPO with a critic; for episodes
//! of at most five steps and features this few the batch's mean serves as the critic.

use rand::{Rng, rngs::SmallRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// A softmax policy over described actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    inputs: usize,
    hidden: usize,
    /// `W` row after row, then `v`, then `u`.
    weights: Vec<f64>,
}

/// One step of an episode: the actions that could be taken, by their features, and the one that was.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The features of every action.
    pub actions: Vec<Vec<f64>>,
    /// Which was taken.
    pub chosen: usize,
}

/// Improves a policy by the rewards of its episodes.
#[derive(Debug)]
pub struct Teacher {
    /// The policy as it stands.
    pub policy: Policy,
    batch: usize,
    rate: f64,
    episodes: Vec<(Vec<Taken>, f64)>,
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: i32,
}

// === impl Policy ===

impl Policy {
    /// A policy for actions of so many features, with so many hidden units, that prefers none yet.
    pub fn new(inputs: usize, hidden: usize, rng: &mut SmallRng) -> Self {
        let scale = 1.0 / (inputs.max(1) as f64).sqrt();
        let mut weights: Vec<f64> = (0..hidden * inputs)
            .map(|_| scale * rng.sample::<f64, _>(StandardNormal))
            .collect();
        weights.resize(hidden * inputs + hidden + inputs, 0.0);
        Self {
            inputs,
            hidden,
            weights,
        }
    }

    /// How many features an action has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    fn score(&self, action: &[f64], activations: &mut Vec<f64>) -> f64 {
        let (first, rest) = self.weights.split_at(self.hidden * self.inputs);
        let (output, direct) = rest.split_at(self.hidden);
        let product = |a: &[f64]| a.iter().zip(action).map(|(w, x)| w * x).sum::<f64>();
        activations.clear();
        activations.extend(
            first
                .chunks_exact(self.inputs.max(1))
                .map(|row| product(row).tanh()),
        );
        let hidden: f64 = output.iter().zip(&*activations).map(|(w, h)| w * h).sum();
        let score = hidden + product(direct);
        if score.is_nan() { f64::NEG_INFINITY } else { score }
    }

    /// The chance of each action; features that are missing count as 0.
    pub fn chances(&self, actions: &[Vec<f64>]) -> Vec<f64> {
        let mut activations = Vec::with_capacity(self.hidden);
        let scores: Vec<f64> = actions.iter().map(|a| self.score(a, &mut activations)).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !highest.is_finite() {
            return vec![1.0 / actions.len().max(1) as f64; actions.len()];
        }
        let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    }

    /// The likeliest action, the first of equals; 0 where there are none.
    pub fn best(&self, actions: &[Vec<f64>]) -> usize {
        let chances = self.chances(actions);
        (0..chances.len()).fold(0, |best, i| if chances[i] > chances[best] { i } else { best })
    }

    /// An action drawn by its chance.
    pub fn draw(&self, actions: &[Vec<f64>], rng: &mut SmallRng) -> usize {
        let mut left = rng.random::<f64>();
        let chances = self.chances(actions);
        for (i, chance) in chances.iter().enumerate() {
            left -= chance;
            if left <= 0.0 {
                return i;
            }
        }
        chances.len().saturating_sub(1)
    }
}

// === impl Teacher ===

impl Teacher {
    const ENTROPY: f64 = 0.01;
    const DECAY: (f64, f64) = (0.9, 0.999);

    /// Improves this policy after every `batch` episodes, by steps of size `rate`.
    pub fn new(policy: Policy, batch: usize, rate: f64) -> Self {
        let zeros = vec![0.0; policy.weights.len()];
        Self {
            policy,
            batch: batch.max(2),
            rate,
            episodes: Vec::new(),
            mean: zeros.clone(),
            square: zeros,
            steps: 0,
        }
    }

    /// Takes up an episode with its reward; at the end of a batch the policy changes.
    pub fn learn(&mut self, episode: Vec<Taken>, reward: f64) {
        self.episodes.push((episode, reward));
        if self.episodes.len() < self.batch {
            return;
        }
        let episodes = std::mem::take(&mut self.episodes);
        let count = episodes.len() as f64;
        let mean = episodes.iter().map(|e| e.1).sum::<f64>() / count;
        let spread = episodes.iter().map(|e| (e.1 - mean).powi(2)).sum::<f64>() / count;
        let mut gradient = vec![0.0; self.policy.weights.len()];
        for (episode, reward) in &episodes {
            let advantage = (reward - mean) / (spread.sqrt() + 1e-6);
            for taken in episode {
                self.policy
                    .add_gradient(taken, advantage / count, Self::ENTROPY / count, &mut gradient);
            }
        }
        self.climb(&gradient);
    }

    /// One step of Adam.
    fn climb(&mut self, gradient: &[f64]) {
        self.steps += 1;
        let (first, second) = Self::DECAY;
        let (bias_first, bias_second) = (1.0 - first.powi(self.steps), 1.0 - second.powi(self.steps));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((weight, g), (mean, square)) in self.policy.weights.iter_mut().zip(gradient).zip(moments) {
            *mean = first * *mean + (1.0 - first) * g;
            *square = second * *square + (1.0 - second) * g * g;
            *weight += self.rate * (*mean / bias_first) / ((*square / bias_second).sqrt() + 1e-8);
        }
    }
}

impl Policy {
    /// Adds `advantage · ∇ log π(chosen) + entropy · ∇ H(π)`.
    fn add_gradient(&self, taken: &Taken, advantage: f64, entropy: f64, gradient: &mut [f64]) {
        let chances = self.chances(&taken.actions);
        let information: f64 = chances.iter().map(|p| p * p.max(1e-12).ln()).sum();
        let mut activations = Vec::with_capacity(self.hidden);
        for (i, (action, p)) in taken.actions.iter().zip(&chances).enumerate() {
            let chosen = f64::from(u8::from(i == taken.chosen));
            let slope = advantage * (chosen - p) - entropy * p * (p.max(1e-12).ln() - information);
            self.score(action, &mut activations);
            let output = self.hidden * self.inputs;
            for (h, activation) in activations.iter().enumerate() {
                gradient[output + h] += slope * activation;
                let back = slope * self.weights[output + h] * (1.0 - activation * activation);
                let row = &mut gradient[h * self.inputs..][..self.inputs];
                row.iter_mut().zip(action).for_each(|(g, x)| *g += back * x);
            }
            let direct = &mut gradient[output + self.hidden..];
            direct.iter_mut().zip(action).for_each(|(g, x)| *g += slope * x);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn policy(seed: u64) -> Policy {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut policy = Policy::new(3, 4, &mut rng);
        for weight in &mut policy.weights {
            *weight += 0.3 * rng.sample::<f64, _>(StandardNormal);
        }
        policy
    }

    #[test]
    fn it_begins_without_a_preference_and_broken_features_break_nothing() {
        let fresh = Policy::new(2, 3, &mut SmallRng::seed_from_u64(1));
        let chances = fresh.chances(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert!(chances.iter().all(|p| (p - 0.5).abs() < 1e-12));
        let actions = [vec![f64::NAN, 0.0], vec![1.0, 1.0], vec![]];
        let chances = policy(1).chances(&actions);
        assert_eq!(chances[0], 0.0);
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(fresh.chances(&[vec![f64::NAN], vec![f64::NAN]]), [0.5, 0.5]);
        assert_eq!(
            (fresh.best(&[]), fresh.draw(&[], &mut SmallRng::seed_from_u64(1))),
            (0, 0)
        );
    }

    #[test]
    fn the_gradient_is_that_of_the_log_chance_and_the_entropy() {
        let policy = policy(2);
        let taken = Taken {
            actions: vec![vec![1.0, 0.2, -0.4], vec![1.0, -0.7, 0.9], vec![1.0, 0.5, 0.5]],
            chosen: 1,
        };
        let goal = |policy: &Policy| {
            let chances = policy.chances(&taken.actions);
            let entropy: f64 = -chances.iter().map(|p| p * p.ln()).sum::<f64>();
            0.7 * chances[1].ln() + 0.3 * entropy
        };
        let mut gradient = vec![0.0; policy.weights.len()];
        policy.add_gradient(&taken, 0.7, 0.3, &mut gradient);
        for (i, found) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut policy = policy.clone();
                policy.weights[i] += by;
                goal(&policy)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((found - expected).abs() < 1e-6, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn it_learns_which_action_pays() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut teacher = Teacher::new(Policy::new(3, 4, &mut rng), 32, 0.02);
        // The action whose second and third feature have one sign: no linear policy tells them.
        let actions = |flip: f64| vec![vec![1.0, flip, flip], vec![1.0, flip, -flip]];
        for _ in 0..6_000 {
            let actions = actions(if rng.random::<bool>() { 1.0 } else { -1.0 });
            let chosen = teacher.policy.draw(&actions, &mut rng);
            teacher.learn(vec![Taken { actions, chosen }], f64::from(u8::from(chosen == 0)));
        }
        for flip in [1.0, -1.0] {
            let chance = teacher.policy.chances(&actions(flip))[0];
            assert!(chance > 0.9, "{flip}: {chance}");
        }
    }
}
