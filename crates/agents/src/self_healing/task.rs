//! What is to be done with the tools of a graph.

use fingerpost_core::{Name, Query, Role};
use serde::{Deserialize, Serialize};

use super::graph::ToolGraph;

/// A task. Its texts are untrusted: they are passed on and compared, never followed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Task {
    /// What is asked for, in words.
    pub request: String,
    /// The goal, by its name. Default: the one whose words the request has, else that of the graph.
    pub goal: Option<Name>,
    /// Facts that hold from the beginning.
    pub holds: Vec<Name>,
    /// What tools are given beside the request: JSON, or nothing.
    pub arguments: String,
    /// What the task is worth, in the unit of the graph's `risk_amount`.
    pub amount: Option<f64>,
    /// Somebody else's warnings about it: a moderation filter's, a fraud check's.
    pub flags: Vec<String>,
    /// Names this task, so that a call that is repeated has the key of the first one.
    pub key: String,
}

// === impl Task ===

impl Task {
    /// A task in words.
    pub fn new(request: impl Into<String>) -> Self {
        Self {
            request: request.into(),
            ..Self::default()
        }
    }

    /// What a user wants last in a conversation. Its `amount` and `flags` are not read off the request: they would be the client's.
    pub fn of(query: &Query<'_>) -> Self {
        let last = query.turns.iter().rev().find(|t| t.role == Role::User);
        let request = last.map(|t| t.texts.join("\n")).unwrap_or_default();
        Self {
            key: query.session.as_deref().unwrap_or_default().to_owned(),
            ..Self::new(request)
        }
    }

    /// How risky it is, 0 to 1. An amount that is no number is a risk.
    pub(crate) fn risk(&self, amount: f64) -> f64 {
        match self.amount {
            Some(found) if found > amount || found.is_nan() => 0.95,
            _ if !self.flags.is_empty() => 0.85,
            _ => 0.20,
        }
    }

    /// The goal's node, and whether it is known what the task is about. An unknown name is not.
    pub(crate) fn goal(&self, graph: &ToolGraph) -> (u32, bool) {
        let is_goal = |node: &u32| {
            *node == graph.goal
                || graph.demotions.contains(node)
                || graph.intents.iter().any(|(goal, _)| goal == node)
        };
        if let Some(name) = &self.goal {
            return match graph.by_name.get(name).copied().filter(is_goal) {
                Some(node) => (node, true),
                None => (graph.goal, false),
            };
        }
        let words: Vec<String> = self
            .request
            .split(|c: char| !c.is_alphanumeric())
            .map(str::to_lowercase)
            .collect();
        let about = |(_, keys): &&(u32, Vec<String>)| keys.iter().any(|k| words.contains(&k.to_lowercase()));
        match graph.intents.iter().find(about) {
            Some((goal, _)) => (*goal, true),
            None => (graph.goal, graph.intents.is_empty()),
        }
    }
}
