//! Asking a second endpoint when the first is slow. Opt-in, and budgeted, since it buys latency with load.

use std::time::Duration;

use fingerpost_core::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RetryBudget;

/// When a second endpoint is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HedgeConfig {
    /// How long the first may take before a second is asked. Default `2s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub delay: Duration,
    /// Hedges as a share of requests. Default 0.05.
    pub budget_ratio: f64,
}

/// Whether and when to hedge.
#[derive(Debug)]
pub struct HedgeBudget {
    delay: Option<Duration>,
    budget: RetryBudget,
}

// === impl HedgeConfig ===

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(2),
            budget_ratio: 0.05,
        }
    }
}

// === impl HedgeBudget ===

impl HedgeBudget {
    /// By this configuration; never where there is none.
    pub fn new(config: Option<&HedgeConfig>) -> Self {
        let ratio = config.map_or(0.0, |c| c.budget_ratio);
        Self {
            delay: config.map(|c| c.delay),
            budget: RetryBudget::new(ratio, u32::from(config.is_some())),
        }
    }

    /// How long to wait for the first endpoint; `None` where hedging is off.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// A request pays in.
    pub fn deposit(&self) {
        if self.delay.is_some() {
            self.budget.deposit();
        }
    }

    /// Takes one hedge out, if there is one.
    pub fn withdraw(&self, now: Timestamp) -> bool {
        self.delay.is_some() && self.budget.withdraw(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_by_default() {
        let off = HedgeBudget::new(None);
        assert_eq!(off.delay(), None);
        assert!(!off.withdraw(Timestamp::from_millis(5)));
        let on = HedgeBudget::new(Some(&HedgeConfig::default()));
        assert_eq!(on.delay(), Some(Duration::from_secs(2)));
        assert!(on.withdraw(Timestamp::from_millis(5)));
    }
}
