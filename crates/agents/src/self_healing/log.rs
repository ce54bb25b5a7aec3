//! What happened on a walk: each failure is a reroute or an escalation.

use std::{borrow::Cow, fmt};

use fingerpost_core::{Evidence, Feature, Name, Timestamp};
use serde::{Deserialize, Serialize};

use super::monitor::Source;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The monitor whose signal led to it.
    pub source: Source,
    /// The tool that was run, where it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Name>,
    /// The tool that failed, where one did. Only reroutes and escalations have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Name>,
    /// What was still to be walked before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_path: Vec<Name>,
    /// What is to be walked now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_path: Vec<Name>,
    /// Weight of the new path.
    #[serde(default)]
    pub cost: f64,
    /// Why, for a person.
    pub reason: Cow<'static, str>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A tool was run, and its answer counts.
    Execute,
    /// A tool failed, and there is another way; or an optional branch is given up.
    Reroute,
    /// A tool failed and there is no other way, or something else is beyond the graph.
    Escalate,
    /// A lesser goal was chosen.
    Demote,
    /// Old answers were let go, to make room.
    Forget,
    /// The walk is over.
    End,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// At its goal.
    Completed,
    /// At a lesser goal.
    Demoted,
    /// Too few branches were reached: it waits for review.
    Held,
    /// Somebody else has to go on.
    HandedOver,
}

/// What a walk came to, as the evidence of its decision tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// The goal that was reached, or that was wanted last.
    pub goal: Name,
    /// The tools that were run, in order.
    pub executed: Vec<Name>,
    /// Calls of tools that failed, answers that do not count, and tools found to be down before they were called.
    pub failures: u32,
    /// How often the language model was asked where to go.
    pub llm_calls: u32,
    /// What happened.
    pub log: Vec<Event>,
}

/// The feature of the evidence that holds a [`Report`], as JSON.
const FEATURE: &str = "walk";

// === impl Report ===

impl Report {
    /// Reads it off the evidence of a decision; `None` where that is of another router.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        match evidence.feature(FEATURE)? {
            Feature::Text(json) => serde_json::from_str(json).ok(),
            _ => None,
        }
    }

    /// Evidence that holds it.
    pub(crate) fn tell(&self, evidence: Evidence) -> Evidence {
        let json = serde_json::to_string(self).unwrap_or_default();
        evidence.with(FEATURE, Feature::Text(json.into()))
    }

    /// Events of one kind.
    pub fn count(&self, kind: EventKind) -> usize {
        self.log.iter().filter(|e| e.kind == kind).count()
    }

    /// Failures that the log tells of: reroutes and escalations that name a tool.
    pub fn told(&self) -> usize {
        let of_failure =
            |e: &&Event| matches!(e.kind, EventKind::Reroute | EventKind::Escalate) && e.failed.is_some();
        self.log.iter().filter(of_failure).count()
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Execute => "execute",
            Self::Reroute => "reroute",
            Self::Escalate => "escalate",
            Self::Demote => "demote",
            Self::Forget => "forget",
            Self::End => "end",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completed => "completed",
            Self::Demoted => "demoted",
            Self::Held => "held for review",
            Self::HandedOver => "handed over",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &[Name]| path.iter().map(Name::as_str).collect::<Vec<_>>().join(" > ");
        write!(f, "{:<8}", self.kind)?;
        if let Some(tool) = self.tool.as_ref().or(self.failed.as_ref()) {
            write!(f, " {tool}")?;
        }
        write!(f, ": {}", self.reason)?;
        if self.kind == EventKind::Reroute && !self.new_path.is_empty() {
            write!(
                f,
                "; instead of {} now {} (weight {:.2})",
                path(&self.old_path),
                path(&self.new_path),
                self.cost
            )?;
        }
        Ok(())
    }
}
