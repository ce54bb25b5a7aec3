//! What a load is: calls under way, or prompt tokens yet to be computed.

use std::sync::Arc;

use fingerpost_core::{Candidate, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Instances, StateConfig};

/// What loads are counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBy {
    /// Calls under way.
    #[default]
    Calls,
    /// Prompt tokens yet to be computed ([`Instances::backlog`]).
    Tokens,
}

/// Options of policies that look at loads alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadConfig {
    /// What loads are counted in: `calls` or `tokens`. Default `calls`.
    pub by: LoadBy,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// Reads loads.
#[derive(Debug, Clone)]
pub struct Loads {
    by: LoadBy,
    instances: Arc<Instances>,
}

/// Seconds that a prompt token takes to compute that is not in the cache, on an instance that does nothing else.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
pub struct TokenTime(f64);

/// A time that no token takes.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error(
    "seconds_per_token must be a number above 0, found {0}; 0.00016 is one instance of a model of 7 billion parameters"
)]
pub struct TokenTimeError(f64);

// === impl Loads ===

impl Loads {
    /// Loads of these instances, counted by `by`.
    pub fn new(by: LoadBy, instances: Arc<Instances>) -> Self {
        Self { by, instances }
    }

    /// The load of `candidate`.
    pub fn of(&self, candidate: &Candidate, now: Timestamp) -> u64 {
        match self.by {
            LoadBy::Calls => u64::from(candidate.live.in_flight()),
            LoadBy::Tokens => self
                .instances
                .get(candidate.id)
                .map_or(0, |instance| self.instances.backlog(instance, now)),
        }
    }

    /// What to compare by: the load, and calls under way where that is equal.
    pub(super) fn order(&self, candidate: &Candidate, now: Timestamp) -> (u64, u32) {
        (self.of(candidate, now), candidate.live.in_flight())
    }

    pub(super) fn instances(&self) -> &Instances {
        &self.instances
    }
}

// === impl TokenTime ===

impl TokenTime {
    /// Accepts finite numbers above 0.
    ///
    /// # Errors
    /// [`TokenTimeError`] for any other.
    pub fn new(seconds: f64) -> Result<Self, TokenTimeError> {
        if seconds > 0.0 && seconds.is_finite() {
            Ok(Self(seconds))
        } else {
            Err(TokenTimeError(seconds))
        }
    }

    /// Seconds that `tokens` take.
    #[allow(clippy::cast_precision_loss, reason = "tokens far below 2^52")]
    pub fn of(self, tokens: u64) -> f64 {
        self.0 * tokens as f64
    }

    /// How many tokens `seconds` are enough for.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    pub fn tokens(self, seconds: f64) -> u64 {
        (seconds / self.0) as u64
    }
}

impl Default for TokenTime {
    /// A model of 7 billion parameters on an accelerator of 32 GB (card 53).
    fn default() -> Self {
        Self(0.00016)
    }
}

impl TryFrom<f64> for TokenTime {
    type Error = TokenTimeError;
    fn try_from(seconds: f64) -> Result<Self, TokenTimeError> {
        Self::new(seconds)
    }
}

impl From<TokenTime> for f64 {
    fn from(time: TokenTime) -> f64 {
        time.0
    }
}
