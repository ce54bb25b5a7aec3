//! Where a conversation stands.

use std::collections::{BTreeMap, BTreeSet};

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

/// How far a task has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing has been asked yet.
    #[default]
    Idle,
    /// A query is there, and its categories are.
    Category,
    /// Agents of these categories are there; nobody has been chosen, or whoever was has failed.
    Candidate,
    /// An agent is at work.
    Active,
    /// It has done its work; a follow-up may still be its.
    Done,
    /// Nobody is left, or the user gave up.
    Failed,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The user says something: something new, or a follow-up. Which of both the scores decide.
    Said,
    /// A tool brought values of slots.
    ToolResult(BTreeMap<String, String>),
    /// The agent has done its work.
    Completed,
    /// The agent has failed.
    Failed,
    /// The user gives up.
    Cancelled,
}

/// Why an agent is not allowed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// It needs a slot that nothing has filled.
    Slot(String),
    /// It needs a right that the user has not.
    Permission(String),
    /// It is not for this phase.
    Phase(Phase),
    /// It has been called as often as it may be in one task.
    Quota(u32),
    /// It has failed at this task.
    Failed,
}

/// Where a conversation stands. Plain data: it can be stored and taken up elsewhere. The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// How far the task has come.
    pub phase: Phase,
    /// The category that is at work.
    pub category: Option<Name>,
    /// The agent that is at work, or was last.
    pub agent: Option<Name>,
    /// What is known so far, by slot.
    pub slots: BTreeMap<String, String>,
    /// Who has failed at this task.
    pub failed: BTreeSet<Name>,
    /// How often each agent has been called in this task.
    pub calls: BTreeMap<Name, u32>,
}

// === impl State ===

impl State {
    /// The same conversation at the beginning of another task: what is known stays, who failed and how often is forgotten.
    #[must_use]
    pub fn next_task(self) -> Self {
        Self {
            slots: self.slots,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_stored_and_an_older_one_read() {
        let mut state = State {
            phase: Phase::Active,
            agent: Some("weather".into()),
            ..State::default()
        };
        state.slots.insert("city".into(), "Oslo".into());
        state.failed.insert("maps".into());
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.contains("\"phase\":\"active\""), "{text}");
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<State>("{}").unwrap(), State::default());
        let next = state.next_task();
        assert_eq!(
            (next.phase, next.slots.len(), next.failed.len()),
            (Phase::Idle, 1, 0)
        );
    }
}
