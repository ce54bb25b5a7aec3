//! The value of one signal for one request.

use serde::{Deserialize, Serialize};

/// The value of one signal for one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Whether it matched, and whether that is known at all.
    pub state: State,
    /// How sure a match is, 0 to 1; 1 where the family has no score; 0 without a match.
    pub confidence: f64,
    /// The number behind it (tokens, matches, a similarity, ...), in the family's own unit; NaN where there is none.
    pub raw: f64,
}

/// Whether a signal matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Not computed (yet).
    #[default]
    Unknown,
    /// It did not match.
    Miss,
    /// It matched.
    Match,
    /// It could not be computed.
    Failed,
}

// === impl Signal ===

impl Signal {
    /// Not computed yet.
    pub const UNKNOWN: Self = Self {
        state: State::Unknown,
        confidence: 0.0,
        raw: f64::NAN,
    };
    /// Could not be computed.
    pub const FAILED: Self = Self {
        state: State::Failed,
        confidence: 0.0,
        raw: f64::NAN,
    };

    /// A match where `matched`. Confidence is held within 0 to 1 (NaN counts as 0) and is 0 without a match.
    pub fn new(matched: bool, confidence: f64, raw: f64) -> Self {
        let confidence = if matched && confidence > 0.0 {
            confidence.min(1.0)
        } else {
            0.0
        };
        Self {
            state: if matched { State::Match } else { State::Miss },
            confidence,
            raw,
        }
    }

    /// A signal without a score: certain where it matches.
    pub fn certain(matched: bool, raw: f64) -> Self {
        Self::new(matched, 1.0, raw)
    }

    /// Whether it matched.
    pub fn matched(&self) -> bool {
        self.state == State::Match
    }

    /// Whether it has been computed.
    pub fn is_known(&self) -> bool {
        self.state != State::Unknown
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::UNKNOWN
    }
}
