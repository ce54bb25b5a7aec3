//! Policies that learn nothing: what every router must be compared with.

use super::{Bank, Prediction, RouteError, Step, Tier, TierRouter};

/// Always the same tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constant(pub Tier);

/// The step index modulo 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternate;

/// What is computed from fields that no router sees. No router: only something to print beside one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The proven tier.
    Gold,
    /// One above it.
    GoldPlusOne,
    /// One below it.
    GoldMinusOne,
    /// The proven tier, but rows whose position in the file (from 0) is a multiple of 50 are errors.
    GoldWithErrors,
    /// The highest tier where the field `benchmark` says swebench, the lowest elsewhere.
    SwebenchHighElseLow,
}

// === impl Constant ===

impl TierRouter for Constant {
    fn tier(&self, _: &Step<'_>) -> Result<Tier, RouteError> {
        Ok(self.0)
    }
}

// === impl Alternate ===

impl TierRouter for Alternate {
    fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError> {
        Ok(Tier::clamped(step.step_index as usize % 4))
    }
}

// === impl Reference ===

impl Reference {
    /// All of them with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("gold", Self::Gold),
        ("gold_plus_one", Self::GoldPlusOne),
        ("gold_minus_one", Self::GoldMinusOne),
        ("gold_with_error_every_50th_row", Self::GoldWithErrors),
        ("swebench_high_else_low", Self::SwebenchHighElseLow),
    ];

    /// Its predictions, in the order of the rows.
    pub fn predict(self, bank: &Bank) -> Vec<Prediction> {
        let rows = bank.rows().iter().enumerate();
        rows.map(|(at, row)| {
            let gold = row.target.id();
            Ok(match self {
                Self::Gold => row.target,
                Self::GoldPlusOne => Tier::clamped(gold + 1),
                Self::GoldMinusOne => Tier::clamped(gold.saturating_sub(1)),
                Self::GoldWithErrors if at % 50 == 0 => return Err(RouteError::new("every 50th row fails")),
                Self::GoldWithErrors => row.target,
                Self::SwebenchHighElseLow if row.benchmark == "swebench" => Tier::High,
                Self::SwebenchHighElseLow => Tier::Low,
            })
        })
        .collect()
    }
}
