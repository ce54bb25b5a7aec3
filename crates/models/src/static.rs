//! `static`: the first model that is in service and within the limits, in the order in which the decision lists them; the
//! next ones stand ready to fall back on. Learns nothing. Card: `systems/43`, 5.1 item 1. Scores: 1 for the pick, 0 for the
//! others.

use fingerpost_core::{
    CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Query, Reason, Router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ranked::{MOST, Ranked};

/// Settings of `static`: there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {}

/// The first admitted model.
#[derive(Debug, Clone)]
pub struct Static {
    name: Name,
}

// === impl Static ===

impl Static {
    /// A router of this name.
    pub const fn new(_config: &StaticConfig, name: Name) -> Self {
        Self { name }
    }
}

impl Learn for Static {}

impl Router<Query<'_>> for Static {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let mut best = Ranked::default();
        best.extend(cx.admitted(among).take(MOST).zip([1.0, 0.0, 0.0, 0.0]));
        let decision = best.decide(
            Reason::new("first in the declared order"),
            Evidence::of(self.name.clone()),
        );
        decision.ok_or_else(|| cx.no_route(among))
    }
}
