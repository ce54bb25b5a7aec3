//! An upstream's answer that is none.

use thiserror::Error;

use crate::{ErrorBody, ErrorKind, redact};

/// An upstream's answer or stream that cannot be understood. The gateway answers 502 and the breaker counts it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the upstream's answer was not understood: {reason}")]
pub struct BadAnswer {
    /// What is wrong with it. Carries no keys.
    pub reason: String,
}

impl BadAnswer {
    /// For this reason.
    pub fn new(reason: &str) -> Self {
        Self {
            reason: redact(reason).into_owned(),
        }
    }
}

impl From<&BadAnswer> for ErrorBody {
    fn from(bad: &BadAnswer) -> Self {
        Self::new(ErrorKind::Upstream, &bad.to_string())
    }
}
