//! How hard each task is, told by two boundary policies: always the small model, always the large one.

use super::{Act, Tasks, rollout::roll};

/// A task whose boundaries lie nearer than this share of the large one's cost is treated as if they lay so far apart.
const FLOOR: f64 = 0.1;

/// What always taking one model came to on one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    /// Success rate of the small model.
    pub small: f64,
    /// Success rate of the large model.
    pub large: f64,
    /// Mean cost of a run of the small model, in US dollars.
    pub cost_small: f64,
    /// The same of the large model.
    pub cost_large: f64,
}

/// How hard a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hardness {
    /// The small model solves it.
    Easy,
    /// The large model does, the small one does not: routing matters here.
    Hard,
    /// Neither does.
    Intractable,
}

/// What success and cost are worth, relative to the boundaries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// What the whole way from the large one's cost to the small one's is worth to a success, below 1.
    pub beta: f64,
    /// What the whole way costs a failure.
    pub eta: f64,
}

/// Runs both boundary policies so many times on every task.
pub fn survey(tasks: &dyn Tasks, runs: usize, seed: u64) -> Vec<Boundary> {
    let boundary = |task: usize| {
        let mean = |large: bool| {
            let (mut solved, mut cost) = (0.0, 0.0);
            for i in 0..runs {
                let choose = |_: &[f32]| if large { Act::Large } else { Act::Small };
                let run = roll(tasks, task, seed.wrapping_add(i as u64), None, choose);
                solved += f64::from(u8::from(run.success));
                cost += run.cost;
            }
            (solved / runs.max(1) as f64, cost / runs.max(1) as f64)
        };
        let ((small, cost_small), (large, cost_large)) = (mean(false), mean(true));
        Boundary {
            small,
            large,
            cost_small,
            cost_large,
        }
    };
    (0..tasks.len()).map(boundary).collect()
}

// === impl Boundary ===

impl Boundary {
    /// Easy where the small model solves it half of the time, whatever the large one does.
    pub fn hardness(&self) -> Hardness {
        if self.small >= 0.5 {
            Hardness::Easy
        } else if self.large >= 0.5 {
            Hardness::Hard
        } else {
            Hardness::Intractable
        }
    }

    /// The boundary-relative reward: `1 + β clip((C_L − C) / (C_L − C_S), −1, 1)` for a success, `−η clip((C − C_S) / (C_L − C_S), 0, 1)` for a
    /// failure, so that a cheap failure never outranks a success.
    pub fn reward(&self, worth: Worth, success: bool, cost: f64) -> f64 {
        let width = (self.cost_large - self.cost_small)
            .max(FLOOR * self.cost_large)
            .max(f64::MIN_POSITIVE);
        if success {
            1.0 + worth.beta * ((self.cost_large - cost) / width).clamp(-1.0, 1.0)
        } else {
            -worth.eta * ((cost - self.cost_small) / width).clamp(0.0, 1.0)
        }
    }

    /// What the better boundary policy may expect on this task: the large model's on a hard one, else (or within a budget, where
    /// the large one is out of reach) the small one's.
    pub fn reference(&self, worth: Worth, budgeted: bool) -> f64 {
        let (rate, cost) = if self.hardness() == Hardness::Hard && !budgeted {
            (self.large, self.cost_large)
        } else {
            (self.small, self.cost_small)
        };
        rate * self.reward(worth, true, cost) + (1.0 - rate) * self.reward(worth, false, cost)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORTH: Worth = Worth { beta: 0.3, eta: 0.2 };

    fn boundary(small: f64, large: f64) -> Boundary {
        Boundary {
            small,
            large,
            cost_small: 1.0,
            cost_large: 11.0,
        }
    }

    #[test]
    fn rewards_and_references_by_hand() {
        let b = boundary(0.25, 0.75);
        assert_eq!(b.hardness(), Hardness::Hard);
        assert!((b.reward(WORTH, true, 6.0) - 1.15).abs() < 1e-12);
        assert!((b.reward(WORTH, true, 99.0) - 0.7).abs() < 1e-12);
        assert!((b.reward(WORTH, false, 6.0) + 0.1).abs() < 1e-12);
        assert_eq!(b.reward(WORTH, false, 0.5), 0.0);
        // 0.75 · 1 + 0.25 · (−0.2), and 0.25 · 1.3 within a budget.
        assert!((b.reference(WORTH, false) - 0.7).abs() < 1e-12);
        assert!((b.reference(WORTH, true) - 0.325).abs() < 1e-12);
        assert_eq!(boundary(0.5, 0.1).hardness(), Hardness::Easy);
        assert_eq!(boundary(0.1, 0.4).hardness(), Hardness::Intractable);
    }

    #[test]
    fn boundaries_that_meet_do_not_divide_by_nothing() {
        let same = Boundary {
            cost_large: 1.0,
            ..boundary(0.0, 1.0)
        };
        assert!((same.reward(WORTH, true, 0.95) - (1.0 + 0.3 * 0.5)).abs() < 1e-9);
        let free = Boundary {
            cost_small: 0.0,
            cost_large: 0.0,
            ..same
        };
        assert!(free.reward(WORTH, false, 0.0).is_finite());
    }

    proptest! {
        #[test]
        fn a_failure_never_outranks_a_success(a in 0.0..50.0_f64, b in 0.0..50.0_f64, beta in 0.0..0.99_f64, eta in 0.0..2.0_f64, small in 0.0..20.0_f64, large in 0.0..20.0_f64) {
            let boundary = Boundary { small: 0.0, large: 1.0, cost_small: small, cost_large: large };
            let worth = Worth { beta, eta };
            prop_assert!(boundary.reward(worth, true, a) > boundary.reward(worth, false, b));
        }
    }
}
