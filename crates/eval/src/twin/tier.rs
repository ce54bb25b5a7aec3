//! The four tiers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A pool of models of about one strength and price. Ordered: a higher tier can do what a lower one can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The cheapest.
    Low,
    /// A little stronger.
    Mid,
    /// Strong and still cheap.
    MidHigh,
    /// The strongest; what it saves is measured against it.
    High,
}

/// A name or number that is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tier; there are low (0), mid (1), mid_high (2) and high (3)")]
pub struct UnknownTier(pub String);

// === impl Tier ===

impl Tier {
    /// All of them, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Mid, Self::MidHigh, Self::High];

    /// Its number, 0 to 3.
    pub const fn id(self) -> usize {
        self as usize
    }

    /// The tier of this number; above 3 the highest.
    pub const fn clamped(id: usize) -> Self {
        match id {
            0 => Self::Low,
            1 => Self::Mid,
            2 => Self::MidHigh,
            _ => Self::High,
        }
    }

    /// Its name, as in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Mid => "mid",
            Self::MidHigh => "mid_high",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, UnknownTier> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == name)
            .ok_or_else(|| UnknownTier(name.to_owned()))
    }
}
