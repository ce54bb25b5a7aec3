//! The promise of a router that chooses tiers, and how it is asked.

use super::{Bank, Message, Prediction, Tier};

/// What a router may see of a step: what it would see in service, and nothing that only the bank knows.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The conversation before the call; never empty.
    pub messages: &'a [Message],
    /// Its place in the run, from 1.
    pub step_index: u32,
    /// What the router itself said at the earlier steps of this run, in their order; `None` where it failed.
    pub before: &'a [Option<Tier>],
}

/// Chooses a tier at every step of a run.
///
/// A router is a function of what it sees: the same step gives the same tier, whatever was asked between. What it needs of the
/// run so far it reads from the messages and from [`Step::before`]. A router that cannot decide returns an error; the step then
/// counts as failed.
///
/// ```
/// use fingerpost_eval::twin::{RouteError, Step, Tier, TierRouter};
/// struct Lengthy;
/// impl TierRouter for Lengthy {
///     fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError> {
///         let letters: usize = step.messages.iter().map(|m| m.text().len()).sum();
///         Ok(if letters > 10_000 { Tier::High } else { Tier::Low })
///     }
/// }
/// ```
pub trait TierRouter {
    /// The tier for this step.
    ///
    /// # Errors
    /// [`RouteError`] where the router cannot decide.
    fn tier(&self, step: &Step<'_>) -> Result<Tier, RouteError>;
}

/// Why a router did not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no tier was chosen: {0}")]
pub struct RouteError(String);

/// Asks a router for every row of a bank, run by run and step by step; predictions are in the order of the rows.
pub fn predict(router: &dyn TierRouter, bank: &Bank) -> Vec<Prediction> {
    let mut predictions: Vec<Prediction> =
        vec![Err(RouteError::new("the row is in no run")); bank.rows().len()];
    for run in bank.runs() {
        let mut before = Vec::with_capacity(run.len());
        for &at in run {
            let row = &bank.rows()[at];
            let said = router.tier(&Step {
                messages: &row.messages,
                step_index: row.step_index,
                before: &before,
            });
            before.push(said.as_ref().ok().copied());
            predictions[at] = said;
        }
    }
    predictions
}

// === impl RouteError ===

impl RouteError {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
