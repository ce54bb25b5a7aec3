//! Settings of POLAR, and what may be wrong with them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Settings of POLAR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolarConfig {
    /// Adapters that are loaded at a time, 1 and more. Default 4.
    pub slots: usize,
    /// How much what is not known of an adapter counts, 0 and more. Default 0.15.
    pub alpha: f64,
    /// How strongly estimates are drawn to `prior`, over 0. Default 1.
    pub lambda: f64,
    /// Quality, 0 to 1, that an adapter is taken to have before anything is known of it. Default 0.5.
    pub prior: f64,
    /// When the kept set may change.
    pub epochs: Epochs,
    /// Trials that each adapter must have had early in an epoch, in units of `d ln t`, 0 and more: in the first epoch of fixed ones, in each
    /// of doubling ones. Default 0.3.
    pub trials: f64,
    /// What loading costs.
    pub page_in: PageInConfig,
    /// Recent contexts that a set's worth is judged on, 1 and more. Default 1000.
    pub window: usize,
    /// The candidate that serves when no adapter can be loaded; without it there is then no route.
    pub base: Option<String>,
    /// Wait before an adapter that failed to load is tried again; doubles with each failure in a row. Default `1s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retry_after: Duration,
    /// The longest such wait. Default `5m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_retry_after: Duration,
}

/// When the kept set may change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Epochs {
    /// After so many requests each (POLAR): follows traffic that changes.
    Fixed {
        /// Requests, 1 and more.
        length: u64,
    },
    /// After twice as many each time (POLAR+), each epoch beginning with trials of whatever is little known: for traffic that stays.
    Doubling {
        /// Requests of the first, 1 and more.
        first: u64,
    },
}

/// What loading costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PageInConfig {
    /// Quality that a second of loading is worth, 0 and more. Default 0.5: a load of 200 ms costs a tenth of a perfect answer.
    pub per_second: f64,
    /// How long a load is taken to last until one was seen. Default `200ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub expected: Duration,
    /// Weight of the newest load in the running mean of each adapter, 0 to 1; 0 keeps `expected` whatever is seen. Default 0.2.
    pub newest: f64,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("polar: `{key}` is {found}; it must be {allowed}")]
pub struct PolarError {
    /// Which.
    pub key: &'static str,
    /// What it is.
    pub found: f64,
    /// What is allowed.
    pub allowed: &'static str,
}

// === impl PolarConfig ===

impl Default for PolarConfig {
    fn default() -> Self {
        Self {
            slots: 4,
            alpha: 0.15,
            lambda: 1.0,
            prior: 0.5,
            epochs: Epochs::default(),
            trials: 0.3,
            page_in: PageInConfig::default(),
            window: 1000,
            base: None,
            retry_after: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(300),
        }
    }
}

impl PolarConfig {
    /// Whether all settings are in their ranges.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), PolarError> {
        let (Epochs::Fixed { length } | Epochs::Doubling { first: length }) = self.epochs;
        let whole = [
            ("slots", self.slots as f64),
            ("window", self.window as f64),
            ("epochs", length as f64),
        ];
        let from_0 = [
            ("alpha", self.alpha),
            ("trials", self.trials),
            ("page_in.per_second", self.page_in.per_second),
        ];
        let shares = [("prior", self.prior), ("page_in.newest", self.page_in.newest)];
        let wrong = |(key, found), allowed| PolarError { key, found, allowed };
        if let Some(bad) = whole.into_iter().find(|(_, v)| *v < 1.0) {
            return Err(wrong(bad, "at least 1"));
        }
        if let Some(bad) = from_0.into_iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return Err(wrong(bad, "a finite number of at least 0"));
        }
        if let Some(bad) = shares.into_iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Err(wrong(bad, "a number from 0 to 1"));
        }
        if !(self.lambda > 0.0 && self.lambda.is_finite()) {
            return Err(wrong(("lambda", self.lambda), "a finite number over 0"));
        }
        Ok(())
    }
}

// === impl Epochs ===

impl Default for Epochs {
    fn default() -> Self {
        Self::Fixed { length: 400 }
    }
}

impl Epochs {
    /// Requests of the epoch of this number, from 0.
    pub(crate) fn length(self, number: u32) -> u64 {
        match self {
            Self::Fixed { length } => length,
            Self::Doubling { first } => first.saturating_mul(1_u64.checked_shl(number).unwrap_or(u64::MAX)),
        }
    }
}

// === impl PageInConfig ===

impl Default for PageInConfig {
    fn default() -> Self {
        Self {
            per_second: 0.5,
            expected: Duration::from_millis(200),
            newest: 0.2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let said = |json: &str| {
            serde_json::from_str::<PolarConfig>(json)
                .unwrap()
                .check()
                .unwrap_err()
                .to_string()
        };
        assert!(PolarConfig::default().check().is_ok());
        assert_eq!(
            said(r#"{"slots":0}"#),
            "polar: `slots` is 0; it must be at least 1"
        );
        assert!(
            said(r#"{"lambda":0}"#).contains("over 0") && said(r#"{"prior":1.5}"#).contains("from 0 to 1")
        );
        assert!(said(r#"{"epochs":{"kind":"doubling","first":0}}"#).contains("`epochs` is 0"));
        assert!(said(r#"{"trials":-1}"#).contains("`trials` is -1"));
        assert!(serde_json::from_str::<PolarConfig>(r#"{"slot":1}"#).is_err());
    }

    #[test]
    fn epochs_double() {
        let doubling = Epochs::Doubling { first: 100 };
        assert_eq!([0, 1, 5].map(|e| doubling.length(e)), [100, 200, 3_200]);
        assert_eq!(doubling.length(99), u64::MAX);
    }
}
