//! Units as types, so that no reader has to guess what a bare number means.
//!
//! Constructors validate; a value that exists is in its range and never NaN. All serialise as a plain number.

use std::{fmt, iter::Sum, ops::Add, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number that is not in the range of its unit.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{unit} must be {allowed}, found {found}")]
pub struct OutOfRange {
    /// The unit's name.
    pub unit: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// What was found.
    pub found: f64,
}

macro_rules! real {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            #[doc = concat!("Accepts ", $allowed, ".")]
            ///
            /// # Errors
            /// [`OutOfRange`] for any other value, NaN among them.
            pub fn new(value: f64) -> Result<Self, OutOfRange> {
                if ($min..=$max).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(OutOfRange { unit: stringify!($name), allowed: $allowed, found: value })
                }
            }

            /// The nearest value in range; NaN becomes the lower bound.
            pub fn clamped(value: f64) -> Self {
                Self(if value.is_nan() { $min } else { value.clamp($min, $max) })
            }

            /// The bare number.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

real!(
    /// How good an answer was: 0 useless, 1 perfect.
    Quality, 0.0, 1.0, "a number from 0 to 1"
);
real!(
    /// How sure a signal or a decision is: 0 not at all, 1 certain.
    Confidence, 0.0, 1.0, "a number from 0 to 1"
);
real!(
    /// Cosine of two vectors.
    Similarity, -1.0, 1.0, "a number from -1 to 1"
);
real!(
    /// US dollars.
    Usd, 0.0, f64::MAX, "a finite number of at least 0"
);
real!(
    /// US dollars per million tokens.
    UsdPerMillion, 0.0, f64::MAX, "a finite number of at least 0"
);
real!(
    /// A span of time in milliseconds.
    Millis, 0.0, f64::MAX, "a finite number of at least 0"
);

impl Confidence {
    /// Full certainty.
    pub const ONE: Self = Self(1.0);
    /// None.
    pub const ZERO: Self = Self(0.0);
}

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl UsdPerMillion {
    /// What `tokens` cost at this price.
    pub fn of(self, tokens: TokenCount) -> Usd {
        Usd(self.0 * f64::from(tokens.0) / 1e6)
    }
}

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(span.as_secs_f64() * 1e3)
    }
}

/// A number of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenCount(pub u32);

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A point in time, in microseconds since the Unix epoch. Handed in through [`crate::Context`]; no router reads a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this point; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_enforced_and_named() {
        let error = Quality::new(1.2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Quality must be a number from 0 to 1, found 1.2"
        );
        assert!(Usd::new(f64::NAN).is_err());
        assert!(Usd::new(f64::INFINITY).is_err());
        assert!(serde_json::from_str::<Similarity>("1.5").is_err());
        assert_eq!(Similarity::clamped(-3.0).get(), -1.0);
    }

    #[test]
    fn price_times_tokens() {
        let price = UsdPerMillion::new(2.5).unwrap();
        assert!((price.of(TokenCount(400_000)).get() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn time_never_runs_backwards() {
        let (a, b) = (Timestamp::from_millis(5), Timestamp::from_millis(8));
        assert_eq!(b.since(a), Duration::from_millis(3));
        assert_eq!(a.since(b), Duration::ZERO);
    }
}
