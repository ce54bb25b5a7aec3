//! The dynamic score: what live runs cost, and what was not solved.

use serde::Serialize;

use super::{Buckets, ModelPrices};

/// What an unsolved task adds to the bill, in US dollars.
pub const UNRESOLVED_USD: f64 = 0.60;

/// One live run of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveRun {
    /// Each call's model with its tokens.
    pub calls: Vec<(&'static ModelPrices, Buckets)>,
    /// Whether the official test passed.
    pub resolved: bool,
    /// Whether the surroundings failed, not the agent. Such a run counts like any other unless it is excluded.
    pub infra_failure: bool,
}

/// The bill of a router over its runs, in US dollars; the lower the better. Never averaged with static scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Runs that count.
    pub runs: usize,
    /// Of these, solved.
    pub resolved: usize,
    /// What the calls cost.
    pub api_cost_usd: f64,
    /// What the unsolved tasks add.
    pub penalty_usd: f64,
    /// Both.
    pub bill_usd: f64,
}

// === impl LiveRun ===

impl LiveRun {
    /// What its calls cost, in US dollars.
    pub fn cost(&self) -> f64 {
        self.calls
            .iter()
            .map(|(model, tokens)| model.prices.of(*tokens))
            .sum()
    }
}

// === impl Bill ===

impl Bill {
    /// Adds up runs. Failures of the surroundings are left out with neither cost nor penalty where `without_infra_failures`.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a LiveRun>, without_infra_failures: bool) -> Self {
        let mut bill = Self::default();
        for run in runs {
            if run.infra_failure && without_infra_failures {
                continue;
            }
            bill.runs += 1;
            bill.resolved += usize::from(run.resolved);
            bill.api_cost_usd += run.cost();
            bill.penalty_usd += if run.resolved { 0.0 } else { UNRESOLVED_USD };
        }
        bill.bill_usd = bill.api_cost_usd + bill.penalty_usd;
        bill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(model: &str, resolved: bool, infra_failure: bool) -> LiveRun {
        let tokens = Buckets {
            input: 1000,
            cache_read: 20_000,
            cache_write: 4000,
            output: 500,
        };
        LiveRun {
            calls: vec![(ModelPrices::of(model).unwrap(), tokens)],
            resolved,
            infra_failure,
        }
    }

    #[test]
    fn the_bill_is_the_cost_and_sixty_cents_a_failure() {
        let opus = run("anthropic/claude-opus-4.6", true, false);
        let cost = (1000.0 * 5.0 + 20_000.0 * 0.5 + 4000.0 * 6.25 + 500.0 * 25.0) / 1e6;
        assert!((opus.cost() - cost).abs() < 1e-12);
        let bill = Bill::of(
            &[
                opus.clone(),
                LiveRun {
                    resolved: false,
                    ..opus
                },
            ],
            false,
        );
        assert_eq!((bill.runs, bill.resolved), (2, 1));
        assert!((bill.bill_usd - (2.0 * cost + 0.60)).abs() < 1e-12);
    }

    #[test]
    fn failures_of_the_surroundings_may_be_left_out_whole() {
        let runs = [
            run("deepseek/deepseek-v3.2", true, false),
            run("deepseek/deepseek-v3.2", false, true),
        ];
        assert_eq!(Bill::of(&runs, true).penalty_usd, 0.0);
        assert_eq!(Bill::of(&runs, true).runs, 1);
        assert_eq!(Bill::of(&runs, false).penalty_usd, UNRESOLVED_USD);
    }

    #[test]
    fn the_published_bills_are_cost_plus_penalty() {
        // The paper's 100 held-out tasks: 25 unsolved by its trained router at an API cost of 25.66 dollars.
        let penalty = 25.0 * UNRESOLVED_USD;
        assert!((25.66 + penalty - 40.66_f64).abs() < 1e-9);
        assert!(ModelPrices::of("unheard/of").is_none());
    }
}
