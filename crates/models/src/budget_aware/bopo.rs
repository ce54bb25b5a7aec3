//! BoPO: policy optimisation with rewards relative to the boundary policies and advantages against the better of them.
//!
//! Each round takes some tasks and runs a group of `group` runs of each, half of the groups within a budget of `C_S · U(1, C_L / C_S)`. A run's
//! advantage is `A = clip((R − max(mean of its group, R_ref)) / (deviation + 1e-6), −3, 3)`, the same for each of its steps: cheap failures of a whole
//! group are pushed down although none is worse than another, and so are successes dearer than the reference. The policy
//! follows the clipped ratio objective, held near the one it started from (KL) and kept from certainty (entropy).

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Act, Tasks,
    policy::{Adam, Policy, shuffle, sigmoid},
    rollout::{Rollout, mix, roll},
    taxonomy::{Boundary, Hardness, Worth, survey},
    warm_start::demonstrations,
};
use crate::{TrainError, training::Progress};

const WHAT: &str = "trying the policy";
/// Passes over what is shown.
const EPOCHS: usize = 10;

/// How the policy is optimised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bopo {
    /// What a run is worth. Default: relative to the boundaries, the way from the large one's cost to the small one's worth 0.05 to
    /// a success and 0.1 to a failure.
    pub reward: Reward,
    /// Whether the better boundary policy is a bar for the group. Default true.
    pub reference: bool,
    /// Rounds. Default 400.
    pub rounds: usize,
    /// Tasks a round. Default 24.
    pub tasks: usize,
    /// Runs a task. Default 8.
    pub group: usize,
    /// Passes over the steps of a round. Default 2.
    pub epochs: usize,
    /// Step width. Default 0.003.
    pub rate: f32,
    /// How far a ratio may go from 1. Default 0.2.
    pub clip: f32,
    /// Weight of the divergence from the policy it started from. Default 0.02.
    pub kl: f32,
    /// Weight of the entropy. Default 0.01.
    pub entropy: f32,
    /// Weight of intractable tasks. Default 0.25.
    pub intractable: f32,
    /// Share of the groups that run within a budget. Default 0.5.
    pub budgeted: f64,
}

/// What a run is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reward {
    /// Relative to the boundaries.
    Boundary(Worth),
    /// Success less so many times the cost as a share of the large one's: the plain reward, for comparison.
    Plain {
        /// The factor.
        lambda: f64,
    },
}

impl Default for Bopo {
    fn default() -> Self {
        Self {
            reward: Reward::Boundary(Worth { beta: 0.05, eta: 0.1 }),
            reference: true,
            rounds: 400,
            tasks: 24,
            group: 8,
            epochs: 2,
            rate: 0.003,
            clip: 0.2,
            kl: 0.02,
            entropy: 0.01,
            intractable: 0.25,
            budgeted: 0.5,
        }
    }
}

/// One step to learn from.
struct Lesson {
    state: Vec<f32>,
    large: bool,
    /// Log-odds as it was run, and of the policy it started from.
    old: f32,
    start: f32,
    advantage: f32,
    weight: f32,
}

// === impl Bopo ===

impl Bopo {
    /// Trains a policy for states of `inputs` numbers from nothing: the boundaries are surveyed with so many runs of each task, cost-efficient
    /// runs are shown, then it tries.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] without tasks, [`TrainError::Stopped`] where whoever watches wants no more.
    pub fn from_nothing(
        &self,
        tasks: &dyn Tasks,
        runs: usize,
        inputs: usize,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Policy, TrainError> {
        const SHOWING: &str = "showing cost-efficient runs";
        if !progress(SHOWING, 0, self.rounds) {
            return Err(TrainError::Stopped(SHOWING));
        }
        let boundaries = survey(tasks, runs, seed);
        let mut policy = Policy::new(inputs, seed);
        policy.imitate(&demonstrations(tasks, &boundaries, seed), EPOCHS, self.rate, seed)?;
        self.train(tasks, &boundaries, &policy, seed, progress)
    }

    /// Optimises a policy from where it stands.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] without tasks, [`TrainError::Stopped`] where whoever watches wants no more.
    pub fn train(
        &self,
        tasks: &dyn Tasks,
        boundaries: &[Boundary],
        start: &Policy,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Policy, TrainError> {
        if boundaries.is_empty() || boundaries.len() != tasks.len() {
            return Err(TrainError::TooLittle {
                algorithm: "budget_aware",
                needs: "tasks with their boundaries",
                found: format!("{} boundaries of {} tasks", boundaries.len(), tasks.len()),
            });
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut policy = start.clone();
        let mut adam = Adam::new(policy.zeros().len(), self.rate);
        for round in 0..self.rounds {
            if !progress(WHAT, round, self.rounds) {
                return Err(TrainError::Stopped(WHAT));
            }
            let mut lessons = Vec::new();
            for i in 0..self.tasks {
                let task = rng.random_range(0..boundaries.len());
                let seed = mix([seed, round as u64, i as u64]);
                self.group(tasks, task, &boundaries[task], &policy, start, seed, &mut lessons);
            }
            for _ in 0..self.epochs {
                shuffle(&mut lessons, &mut rng);
                for batch in lessons.chunks(512) {
                    let gradient = self.gradient(&policy, batch);
                    policy.step(&mut adam, &gradient);
                }
            }
        }
        Ok(policy)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one group of one round, with all that bears on it"
    )]
    fn group(
        &self,
        tasks: &dyn Tasks,
        task: usize,
        boundary: &Boundary,
        policy: &Policy,
        start: &Policy,
        seed: u64,
        lessons: &mut Vec<Lesson>,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let budget = (rng.random::<f64>() < self.budgeted && boundary.cost_large > boundary.cost_small)
            .then(|| rng.random_range(boundary.cost_small..boundary.cost_large));
        let runs: Vec<Rollout> = (0..self.group)
            .map(|i| {
                let choose = |state: &[f32]| {
                    if rng.random::<f64>() < policy.large(state) {
                        Act::Large
                    } else {
                        Act::Small
                    }
                };
                roll(tasks, task, mix([seed, 1, i as u64]), budget, choose)
            })
            .collect();
        let rewards: Vec<f64> = runs.iter().map(|r| self.reward(boundary, r)).collect();
        let bar = match self.reward {
            Reward::Boundary(worth) if self.reference => Some(boundary.reference(worth, budget.is_some())),
            _ => None,
        };
        let intractable = boundary.hardness() == Hardness::Intractable;
        let weight = if intractable { self.intractable } else { 1.0 };
        for (run, advantage) in runs.into_iter().zip(advantages(&rewards, bar)) {
            lessons.extend(run.steps.into_iter().filter(|s| s.free).map(|s| Lesson {
                old: policy.logit(&s.state),
                start: start.logit(&s.state),
                large: s.large,
                state: s.state,
                advantage: advantage as f32,
                weight,
            }));
        }
    }

    fn reward(&self, boundary: &Boundary, run: &Rollout) -> f64 {
        match self.reward {
            Reward::Boundary(worth) => boundary.reward(worth, run.success, run.cost),
            Reward::Plain { lambda } => {
                let share = run.cost / boundary.cost_large.max(f64::MIN_POSITIVE);
                f64::from(u8::from(run.success)) - lambda * share
            }
        }
    }

    fn gradient(&self, policy: &Policy, batch: &[Lesson]) -> Vec<f32> {
        let mut gradient = policy.zeros();
        for lesson in batch {
            let share = lesson.weight / batch.len() as f32;
            policy.backward(
                &lesson.state,
                |logit| share * self.slope(lesson, logit),
                &mut gradient,
            );
        }
        gradient
    }

    /// The derivative of one step's loss by its log-odds.
    fn slope(&self, lesson: &Lesson, logit: f32) -> f32 {
        let (p, old) = (sigmoid(logit), sigmoid(lesson.old));
        let (now, then, log_slope) = if lesson.large {
            (p, old, 1.0 - p)
        } else {
            (1.0 - p, 1.0 - old, -p)
        };
        let ratio = now / then.max(1e-6);
        let beyond = if lesson.advantage >= 0.0 {
            ratio > 1.0 + self.clip
        } else {
            ratio < 1.0 - self.clip
        };
        let gain = if beyond {
            0.0
        } else {
            lesson.advantage * ratio * log_slope
        };
        let spread = p * (1.0 - p);
        let divergence = spread * (logit - lesson.start);
        let entropy = -spread * logit;
        -gain + self.kl * divergence - self.entropy * entropy
    }
}

/// The advantage of each run of a group; `bar` is what the better boundary policy may expect.
fn advantages(rewards: &[f64], bar: Option<f64>) -> Vec<f64> {
    let n = rewards.len().max(1) as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let deviation = (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
    let base = bar.map_or(mean, |bar| bar.max(mean));
    let advantage = |r: &f64| ((r - base) / (deviation + 1e-6)).clamp(-3.0, 3.0);
    rewards.iter().map(advantage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_by_hand() {
        // Mean 0.5, deviation 0.5.
        let near = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4),
                "{found:?}"
            );
        };
        near(advantages(&[0.0, 1.0], None), &[-1.0, 1.0]);
        near(advantages(&[0.0, 1.0], Some(0.75)), &[-1.5, 0.5]);
        near(advantages(&[0.0, 1.0], Some(0.2)), &[-1.0, 1.0]);
        // A whole group of cheap failures: nothing without the reference, pushed down with it.
        near(advantages(&[0.0; 4], None), &[0.0; 4]);
        near(advantages(&[0.0; 4], Some(0.7)), &[-3.0; 4]);
        // Successes dearer than the reference are pushed down too.
        near(advantages(&[0.9; 4], Some(1.0)), &[-3.0; 4]);
    }

    #[test]
    fn the_clipped_objective_by_hand() {
        let bopo = Bopo {
            kl: 0.0,
            entropy: 0.0,
            ..Bopo::default()
        };
        let lesson = |large, advantage, old| Lesson {
            state: Vec::new(),
            large,
            old,
            start: 0.0,
            advantage,
            weight: 1.0,
        };
        // Ratio 1 at p = 0.5: the gain rises by A · 0.5.
        assert_eq!(bopo.slope(&lesson(true, 2.0, 0.0), 0.0), -1.0);
        assert_eq!(bopo.slope(&lesson(false, 2.0, 0.0), 0.0), 1.0);
        // Beyond the clip in the direction of the advantage nothing is gained.
        assert_eq!(bopo.slope(&lesson(true, 2.0, 0.0), 1.0), 0.0);
        assert_eq!(bopo.slope(&lesson(false, -2.0, 0.0), 1.0), 0.0);
        // Against it the way back is open.
        assert!(bopo.slope(&lesson(true, -2.0, 0.0), 1.0) > 0.0);
        let held = Bopo { kl: 1.0, ..bopo };
        assert_eq!(
            held.slope(&lesson(true, 0.0, 0.0), 2.0),
            2.0 * sigmoid(2.0) * (1.0 - sigmoid(2.0))
        );
    }
}
