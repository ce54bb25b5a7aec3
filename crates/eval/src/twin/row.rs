//! One step of a saved run.

use serde::Deserialize;

use super::{Message, Tier};

/// What stood before one call, and the cheapest tier that was proven sufficient for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Names the row.
    pub id: String,
    /// The workload. Reports group by it; routers never see it.
    pub benchmark: String,
    /// The run that it is a step of. Routers never see it.
    pub instance_id: String,
    /// Its place in the run, from 1.
    pub step_index: u32,
    /// The conversation before the call.
    pub messages: Vec<Message>,
    /// The cheapest sufficient tier. Routers never see it.
    pub target: Tier,
}

/// Why a text is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// No JSON, or a field that is missing or of the wrong type.
    #[error("no row: {0}")]
    Json(String),
    /// A step index of 0.
    #[error("step_index is 0; steps are counted from 1")]
    StepZero,
    /// A tier that does not exist.
    #[error(transparent)]
    Tier(#[from] super::UnknownTier),
    /// Name and number of the tier differ.
    #[error("target_tier is `{name}` but target_tier_id is {id}; they must name one tier")]
    TiersDiffer {
        /// `target_tier`.
        name: Tier,
        /// `target_tier_id`.
        id: u32,
    },
    /// No message.
    #[error("messages is empty; a router needs at least one")]
    NoMessages,
}

/// A row as it is written.
#[derive(Deserialize)]
struct Written {
    id: String,
    benchmark: String,
    instance_id: String,
    step_index: u32,
    messages: Vec<Message>,
    target_tier: String,
    target_tier_id: u32,
}

// === impl Row ===

impl Row {
    /// Reads one from a line of JSON. Fields that nothing here needs are passed over.
    ///
    /// # Errors
    /// [`RowError`], naming the field.
    pub fn parse(line: &str) -> Result<Self, RowError> {
        let written: Written = serde_json::from_str(line).map_err(|e| RowError::Json(e.to_string()))?;
        let target: Tier = written.target_tier.parse()?;
        if target.id() != written.target_tier_id as usize {
            return Err(RowError::TiersDiffer {
                name: target,
                id: written.target_tier_id,
            });
        }
        if written.step_index == 0 {
            return Err(RowError::StepZero);
        }
        if written.messages.is_empty() {
            return Err(RowError::NoMessages);
        }
        Ok(Self {
            id: written.id,
            benchmark: written.benchmark,
            instance_id: written.instance_id,
            step_index: written.step_index,
            messages: written.messages,
            target,
        })
    }
}
