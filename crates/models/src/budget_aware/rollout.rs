//! Runs of a task under a policy, with what was seen and done at each step.

use super::{Act, Tasks};

/// One run of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Rollout {
    pub(super) steps: Vec<Taken>,
    pub(super) success: bool,
    pub(super) cost: f64,
}

/// One step of a run.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) state: Vec<f32>,
    pub(super) large: bool,
    /// Whether both models were allowed; else nothing was chosen.
    pub(super) free: bool,
}

// === impl Rollout ===

impl Rollout {
    /// Share of the steps that the large model took.
    pub(super) fn share(&self) -> f64 {
        let large = self.steps.iter().filter(|s| s.large).count();
        large as f64 / self.steps.len().max(1) as f64
    }
}

/// Runs a task; `choose` is asked where both models are allowed.
pub(super) fn roll(
    tasks: &dyn Tasks,
    task: usize,
    seed: u64,
    budget: Option<f64>,
    mut choose: impl FnMut(&[f32]) -> Act,
) -> Rollout {
    let mut steps = Vec::new();
    let ending = tasks.run(task, seed, budget, &mut |view, purse| {
        let state = view.state(purse);
        let allowed = purse.allowed();
        let free = allowed.small && allowed.large;
        let act = match (allowed.small, allowed.large) {
            (true, true) => choose(&state),
            (true, false) => Act::Small,
            (false, true) => Act::Large,
            (false, false) => return Act::Stop,
        };
        if act != Act::Stop {
            steps.push(Taken {
                state,
                large: act == Act::Large,
                free,
            });
        }
        act
    });
    Rollout {
        steps,
        success: ending.success,
        cost: ending.cost,
    }
}

/// A seed for one of many runs.
pub(super) fn mix(parts: [u64; 3]) -> u64 {
    parts.iter().fold(0x51_7c_c1_b7_27_22_0a_95, |hash, part| {
        let z = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    })
}
