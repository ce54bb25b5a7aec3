//! Several agents may be right: a set of at most three, with the reason for it, their answers side by side, and one answer made
//! of them.
//!
//! - [`TcarHead`] needs no language model: for each agent one score, `sigmoid(w . features)`, with one `w` for all agents, so that
//!   an agent joins at run time by its description and a few examples ([`AgentBank::with`]) and nothing is trained again. Taken is
//!   every agent with `score >= t` and `score >= best - delta`; out of scope is a query with `best < oos`. The three thresholds are
//!   calibrated on validation data ([`TcarHead::calibrate`]).
//! - [`Tcar`] is the whole way: the head, a model that reads the agents' descriptions, or the head with the model as a second opinion
//!   where it is not sure; then the chosen agents at once, each with a time limit; then one answer.
//! - [`overlaps`] finds agents whose descriptions and examples cannot be told apart, [`Partners`] has them chosen together, since
//!   either alone would be chosen by chance, [`Conflicts`] counts the sets of more than one
//!   in service.
//!
//! Source: "TCAndon-Router" (2026). Confirmed there: sets of at most three, a reason first, out of scope as an answer, the rules
//! of refining. Inferred: the prefilter and the whole head. Prompts and the format of replies are our own.

mod bank;
mod conflict;
mod from_examples;
mod head;
mod panel;
mod rehearsal;
mod reply;
mod router;
mod thresholds;

use fingerpost_core::Name;
use serde::Serialize;

pub use self::{
    bank::{AgentBank, BankError, FEATURES, Features, KnownAgent},
    conflict::{Conflicts, Overlap, Partners, overlaps},
    head::{Lesson, TcarError, TcarHead},
    panel::{Tcar, TcarConfig, TcarConfigError, TcarMode},
    reply::{parse_reply, refused},
    router::TcarRouter,
    thresholds::{Judged, Thresholds},
};

#[cfg(test)]
pub(crate) use self::bank::tests::bank as bank_for_tests;

/// Most agents that are chosen for one query.
pub const MOST_AGENTS: usize = 3;

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteReply {
    /// For a person.
    pub reason: String,
    /// Whom.
    pub chosen: Chosen,
}

/// Whom a query goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// One to three agents, the best first.
    Agents(Vec<Name>),
    /// Nobody is there for it.
    OutOfScope,
}
