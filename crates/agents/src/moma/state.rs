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
    /// The user says something that can stand alone: another task, unless it is like what the agent at work does.
    Said,
    /// The user says something that leans on what was said before.
    FollowUp,
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

/// Words without a topic of their own: a turn of hardly anything else leans on the turn before.
const EMPTY: &[&str] = &[
    "a", "about", "again", "ahead", "all", "also", "an", "and", "another", "any", "are", "as", "at", "be",
    "but", "by", "can", "could", "did", "do", "does", "else", "for", "from", "go", "had", "has", "have",
    "he", "her", "here", "him", "his", "how", "i", "if", "in", "instead", "is", "it", "its", "just", "let",
    "like", "maybe", "me", "mean", "more", "my", "next", "no", "not", "now", "of", "off", "ok", "okay", "on",
    "one", "or", "other", "our", "out", "please", "same", "say", "she", "should", "so", "some", "still",
    "sure", "thank", "thanks", "that", "the", "their", "them", "then", "there", "these", "they", "thing",
    "this", "those", "to", "too", "up", "us", "was", "we", "well", "were", "what", "when", "where", "which",
    "who", "why", "will", "with", "would", "yes", "you", "your",
];

// === impl Event ===

impl Event {
    /// What a user's turn is, by its words: a follow-up where at most one of them has a topic of its own. English; in other
    /// languages most turns stand alone, and the margin alone keeps an agent.
    pub fn said(text: &str) -> Self {
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '\''));
        let topics = words.filter(|word| !word.is_empty()).filter(|word| {
            let word = word.to_lowercase();
            let stem = word.split('\'').next().unwrap_or_default();
            !EMPTY.contains(&stem)
        });
        if topics.count() <= 1 {
            Self::FollowUp
        } else {
            Self::Said
        }
    }
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
    fn what_leans_on_the_turn_before() {
        assert_eq!(Event::said("and what about Friday?"), Event::FollowUp);
        assert_eq!(Event::said("no, I didn't mean that one"), Event::FollowUp);
        assert_eq!(Event::said(""), Event::FollowUp);
        assert_eq!(Event::said("what's the weather in Oslo"), Event::Said);
        assert_eq!(Event::said("wie wird das Wetter morgen?"), Event::Said);
    }

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
