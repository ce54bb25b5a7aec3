//! The decisions of one request, from the top level to the bottom.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Decision, Outcome, Timestamp};

/// The tree of decisions made for one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Its name in headers, logs and feedback.
    pub id: TraceId,
    /// When the request came.
    pub at: Timestamp,
    /// The decisions in the order in which they were made: a parent always stands before its children.
    pub hops: Vec<Hop>,
}

/// One decision in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// The decision under which this one was made; `None` at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<HopId>,
    /// Where in the hierarchy it was made.
    pub level: Level,
    /// What was decided.
    pub decision: Decision,
    /// What became of this decision, where that is not what became of the request: a pick that failed before another one was
    /// taken. See [`Trace::ended`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// A hop's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HopId(u16);

/// The levels of the hierarchy, top down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Request → decision.
    Decision,
    /// Decision → an answer given before.
    Cache,
    /// Decision → model.
    Model,
    /// Model → instance.
    Fleet,
    /// Task → agent, skill, tool or context strategy.
    Agent,
    /// Token, sample or task → expert inside a network.
    Expert,
    /// State → option, primitive or subgoal.
    Control,
}

/// 128 bits, written as 32 hexadecimal digits: the same as the trace id of W3C Trace Context, so that one id serves in
/// headers, logs, telemetry and feedback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceId(pub u128);

/// A text that is no trace id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no trace id; it has 32 hexadecimal digits, not all zero")]
pub struct TraceIdError(String);

// === impl Trace ===

impl Trace {
    /// A trace without decisions yet.
    pub const fn new(id: TraceId, at: Timestamp) -> Self {
        Self {
            id,
            at,
            hops: Vec::new(),
        }
    }

    /// Adds a decision under `parent`. Past 65,535 decisions further ones take the last place's number as their parent
    /// handle; no decision is lost.
    pub fn push(&mut self, parent: Option<HopId>, level: Level, decision: Decision) -> HopId {
        let id = HopId(u16::try_from(self.hops.len()).unwrap_or(u16::MAX));
        self.hops.push(Hop {
            parent,
            level,
            decision,
            outcome: None,
        });
        id
    }

    /// Adds the decisions of `other`, in their order: those at its top come to stand under `parent`. For what was decided at the
    /// same time, and noted apart.
    pub fn graft(&mut self, parent: Option<HopId>, other: Self) {
        let before = self.hops.len();
        let moved = |HopId(at)| HopId(u16::try_from(before + usize::from(at)).unwrap_or(u16::MAX));
        self.hops.extend(other.hops.into_iter().map(|hop| Hop {
            parent: hop.parent.map(moved).or(parent),
            ..hop
        }));
    }

    /// Notes what became of one decision where the request went on without it: its pick failed and another was taken. Its
    /// router then learns from this outcome, and not from the one of the request; where it failed it hears nothing of later
    /// feedback, which is about somebody else's answer.
    pub fn ended(&mut self, hop: HopId, outcome: Outcome) {
        if let Some(hop) = self.hops.get_mut(usize::from(hop.0)) {
            hop.outcome = Some(outcome);
        }
    }

    /// The deepest decision made so far.
    pub fn last(&self) -> Option<&Hop> {
        self.hops.last()
    }

    fn depth<'a>(&'a self, mut hop: &'a Hop) -> usize {
        let mut depth = 0;
        while let Some(parent) = hop.parent.and_then(|p| self.hops.get(usize::from(p.0))) {
            depth += 1;
            if depth >= self.hops.len() {
                break;
            }
            hop = parent;
        }
        depth
    }
}

/// A tree for people, a line a decision.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trace {}", self.id)?;
        for hop in &self.hops {
            let indent = "   ".repeat(self.depth(hop));
            let picks: Vec<&str> = hop.decision.picks.iter().map(|p| p.name.as_str()).collect();
            let (first, rest) = picks.split_first().unwrap_or((&"(nothing)", &[]));
            write!(f, "{indent}└─ {:?} → {first}", hop.level)?;
            if !rest.is_empty() {
                write!(f, " (then {})", rest.join(", "))?;
            }
            writeln!(
                f,
                "  by {}: {}",
                hop.decision.evidence.router, hop.decision.reason
            )?;
        }
        Ok(())
    }
}

// === impl TraceId ===

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;
    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let error = || TraceIdError(text.chars().take(64).collect());
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = hex
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .filter(|id| *id != 0);
        id.map(Self).ok_or_else(error)
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TraceId {
    type Error = TraceIdError;
    fn try_from(text: String) -> Result<Self, TraceIdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CandidateId, Catalogue, Evidence, Pick, Profile, Reason};

    fn decision(catalogue: &Catalogue, id: u32, router: &str) -> Decision {
        let pick = Pick::of(catalogue.get(CandidateId(id)).unwrap(), 1.0);
        Decision::single(pick, Reason::new("told to"), Evidence::of(router))
    }

    #[test]
    fn a_trace_prints_as_a_tree() {
        let catalogue = Catalogue::new([Profile::named("math"), Profile::named("large")]).unwrap();
        let mut trace = Trace::new(TraceId(0xab), Timestamp::from_millis(1));
        let top = trace.push(None, Level::Decision, decision(&catalogue, 0, "rules"));
        trace.push(Some(top), Level::Model, decision(&catalogue, 1, "static"));
        assert_eq!(
            trace.to_string(),
            "trace 000000000000000000000000000000ab\n\
             └─ Decision → math  by rules: told to\n   \
             └─ Model → large  by static: told to\n"
        );
    }

    #[test]
    fn what_was_decided_at_the_same_time_is_grafted_under_its_parent() {
        let catalogue = Catalogue::new([Profile::named("a"), Profile::named("b")]).unwrap();
        let mut trace = Trace::new(TraceId(1), Timestamp::default());
        let top = trace.push(None, Level::Decision, decision(&catalogue, 0, "rules"));
        for id in [0, 1] {
            let mut apart = Trace::new(TraceId(1), Timestamp::default());
            let model = apart.push(None, Level::Model, decision(&catalogue, id, "r"));
            apart.push(Some(model), Level::Fleet, decision(&catalogue, id, "f"));
            trace.graft(Some(top), apart);
        }
        let parents: Vec<_> = trace.hops.iter().map(|h| h.parent.map(|p| p.0)).collect();
        assert_eq!(parents, [None, Some(0), Some(1), Some(0), Some(3)]);
    }

    #[test]
    fn a_stored_trace_with_a_circle_still_prints() {
        let catalogue = Catalogue::new([Profile::named("m")]).unwrap();
        let mut trace = Trace::new(TraceId(1), Timestamp::default());
        let hop = trace.push(None, Level::Model, decision(&catalogue, 0, "r"));
        trace.hops[0].parent = Some(hop);
        assert!(trace.to_string().contains("Model → m"));
    }

    #[test]
    fn trace_ids_are_parsed_strictly() {
        let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in ["", "4bf9", &"0".repeat(32), &"g".repeat(32), &"+".repeat(32)] {
            assert!(bad.parse::<TraceId>().is_err(), "{bad}");
        }
    }
}
