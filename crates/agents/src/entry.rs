//! What can be called.

use std::fmt;

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

/// How an entry is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Instructions that a model reads (a folder with a `SKILL.md`).
    Skill,
    /// A function with arguments (MCP `tools/list`, OpenAI tool definitions).
    Tool,
    /// Somebody who answers (A2A agent cards, OpenAI-compatible endpoints).
    Agent,
}

/// One thing that can be called, as text. Everything but `id` and `kind` may be empty; all of it is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unique in its catalogue: `server::tool`, `repository/skill`, the name of an agent.
    pub id: Name,
    /// How it is called.
    pub kind: Kind,
    /// What its owner calls it. Owners do not agree: names may collide, ids may not.
    pub name: String,
    /// When to use it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The rest of its text: a skill's instructions, a tool's arguments, what an agent can do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Requests that it is meant for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Words its owner files it under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whom it belongs to: its server, repository or domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
}

// === impl Entry ===

impl Entry {
    /// An entry of which only the name is known.
    pub fn named(id: impl Into<Name>, kind: Kind) -> Self {
        let id = id.into();
        Self {
            kind,
            name: id.to_string(),
            id,
            description: String::new(),
            body: String::new(),
            examples: Vec::new(),
            tags: Vec::new(),
            group: None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skill => "skill",
            Self::Tool => "tool",
            Self::Agent => "agent",
        })
    }
}
