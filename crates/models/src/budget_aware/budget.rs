//! The budget of a conversation: what it has spent, what a step may cost, who may still be asked.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Costs that a forecast remembers.
const REMEMBERED: usize = 256;

/// The money of one conversation, at one step. US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Purse {
    /// Spent so far.
    pub spent: f64,
    /// What is left of the budget; `None` without one.
    pub left: Option<f64>,
    /// Steps so far that the large model took.
    pub large_steps: u32,
    /// Steps that are still expected after this one.
    pub remaining: u32,
    /// The most that a step of the small model may cost, by an upper forecast.
    pub small: f64,
    /// The same of the large model.
    pub large: f64,
    /// What a step of the small model costs at least.
    pub least: f64,
}

/// Who may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The small model.
    pub small: bool,
    /// The large model.
    pub large: bool,
}

/// What steps cost beyond what their prices let expect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Forecast(VecDeque<f32>);

// === impl Purse ===

impl Purse {
    /// The large model where it and the expected small steps after it fit into what is left, the small one where it fits.
    pub fn allowed(&self) -> Allowed {
        let fits = |cost: f64| self.left.is_none_or(|left| cost <= left);
        Allowed {
            small: fits(self.small),
            large: fits(self.large + f64::from(self.remaining) * self.least),
        }
    }
}

// === impl Forecast ===

impl Forecast {
    /// Takes up what a step cost against what was expected of it.
    pub(super) fn learn(&mut self, cost: f64, expected: f64) {
        let ratio = (cost / expected) as f32;
        if ratio.is_finite() {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back(ratio);
        }
    }

    /// By what an expectation is multiplied so that so large a share of the steps cost no more; never below 1, since the expectation is a
    /// bound where the client limits the answer.
    pub(super) fn factor(&self, quantile: f64) -> f64 {
        let mut ratios: Vec<f32> = self.0.iter().copied().collect();
        if ratios.is_empty() {
            return 1.0;
        }
        ratios.sort_by(f32::total_cmp);
        let rank = (quantile * ratios.len() as f64).ceil() as usize;
        f64::from(ratios[rank.clamp(1, ratios.len()) - 1]).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masks_by_hand() {
        let purse = Purse {
            left: Some(1.0),
            remaining: 4,
            small: 0.1,
            large: 0.8,
            least: 0.05,
            ..Purse::default()
        };
        // 0.8 + 4 · 0.05 is just what is left.
        assert_eq!(
            purse.allowed(),
            Allowed {
                small: true,
                large: true
            }
        );
        let five = Purse {
            remaining: 5,
            ..purse
        };
        assert_eq!(
            five.allowed(),
            Allowed {
                small: true,
                large: false
            }
        );
        let broke = Purse {
            left: Some(0.09),
            ..purse
        };
        assert_eq!(
            broke.allowed(),
            Allowed {
                small: false,
                large: false
            }
        );
        let free = Purse { left: None, ..purse };
        assert_eq!(
            free.allowed(),
            Allowed {
                small: true,
                large: true
            }
        );
    }

    #[test]
    fn the_factor_is_an_upper_quantile() {
        let mut forecast = Forecast::default();
        assert_eq!(forecast.factor(0.9), 1.0);
        (1..=10).for_each(|i| forecast.learn(f64::from(i), 2.0));
        assert_eq!(forecast.factor(0.9), 4.5);
        assert_eq!(forecast.factor(1.0), 5.0);
        assert_eq!(forecast.factor(0.1), 1.0, "never below what is a bound");
        forecast.learn(1.0, 0.0);
        assert_eq!(forecast.factor(1.0), 5.0, "nothing expected teaches nothing");
    }

    proptest! {
        /// Whatever the policy wants, what is allowed never overspends while steps cost no more than their forecast.
        #[test]
        fn no_run_overspends(
            budget in 0.0..5.0_f64, small in 0.01..0.2_f64, times in 1.0..20.0_f64, wants in prop::collection::vec((any::<bool>(), 0.0..=1.0_f64), 1..60),
        ) {
            let mut purse = Purse { left: Some(budget), remaining: 10, small, large: small * times, least: small / 2.0, ..Purse::default() };
            let mut spent = 0.0;
            for (large, share) in wants {
                let allowed = purse.allowed();
                let bound = if large && allowed.large { purse.large } else if allowed.small { purse.small } else { break };
                spent += bound * share;
                purse.left = Some(budget - spent);
                purse.remaining = purse.remaining.saturating_sub(1);
            }
            prop_assert!(spent <= budget + 1e-9);
        }
    }
}
