//! What became of a pick.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Millis, Quality, TokenCount, Usd};

/// What became of a pick. What is not known is absent, never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outcome {
    /// How good the answer was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// What somebody said of the choice of model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Usd>,
    /// From the request to the end of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Millis>,
    /// From the request to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Millis>,
    /// Input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<TokenCount>,
    /// Output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<TokenCount>,
    /// How it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What somebody says of the choice of a model, once its answer is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was the right one.
    GoodFit,
    /// It was too weak for the task.
    Underpowered,
    /// A lesser one would have done.
    Overprovisioned,
    /// It gave nothing that could be used.
    Failed,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// No connection.
    #[error("could not connect: {0}")]
    Connect(Cow<'static, str>),
    /// A time-out, with the name of the stage that ran out (connect, first byte, idle, total).
    #[error("timed out: {0}")]
    Timeout(Cow<'static, str>),
    /// The other side asked for less (429).
    #[error("rate limited")]
    RateLimited,
    /// The other side failed (status 500 to 599).
    #[error("upstream status {0}")]
    Status(u16),
    /// The other side refused the request (status 400 to 499, not 429).
    #[error("upstream refused with status {0}")]
    Refused(u16),
    /// What came back was not an answer.
    #[error("upstream answer not understood: {0}")]
    Garbage(Cow<'static, str>),
    /// The answer broke off.
    #[error("answer broke off: {0}")]
    Broken(Cow<'static, str>),
    /// The client went away.
    #[error("cancelled by the client")]
    Cancelled,
    /// Nothing could be picked.
    #[error("no route")]
    NoRoute,
}

// === impl Outcome ===

impl Outcome {
    /// Whether the call came to an answer.
    pub const fn is_success(&self) -> bool {
        self.failure.is_none()
    }

    /// Milliseconds per output token after the first, where all three numbers are known and there was more than one token.
    pub fn time_per_output_token(&self) -> Option<Millis> {
        let (total, first, tokens) = (self.latency?, self.first_token?, self.tokens_out?.0);
        (tokens > 1).then(|| Millis::clamped((total.get() - first.get()) / f64::from(tokens - 1)))
    }
}

// === impl Verdict ===

impl Verdict {
    /// What it says of the quality of the answer, for those who learn from quality alone. That a lesser model would have done
    /// says nothing of it.
    pub fn quality(self) -> Option<Quality> {
        match self {
            Self::GoodFit => Some(Quality::clamped(1.0)),
            Self::Underpowered | Self::Failed => Some(Quality::clamped(0.0)),
            Self::Overprovisioned => None,
        }
    }
}

// === impl Failure ===

impl Failure {
    /// Whether another try, here or elsewhere, may succeed.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Cancelled | Self::NoRoute)
    }

    /// A short fixed label, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Status(_) => "status",
            Self::Refused(_) => "refused",
            Self::Garbage(_) => "garbage",
            Self::Broken(_) => "broken",
            Self::Cancelled => "cancelled",
            Self::NoRoute => "no_route",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_per_output_token_leaves_the_first_out() {
        let ms = |v| Some(Millis::new(v).unwrap());
        let outcome = Outcome {
            latency: ms(500.0),
            first_token: ms(100.0),
            tokens_out: Some(TokenCount(5)),
            ..Outcome::default()
        };
        assert_eq!(outcome.time_per_output_token(), ms(100.0));
        assert_eq!(
            Outcome {
                tokens_out: Some(TokenCount(1)),
                ..outcome
            }
            .time_per_output_token(),
            None
        );
    }
}
