//! The families of signals, one file each. A family reads one thing off a request; its rules give that thing names.

pub mod authz;
pub mod complexity;
pub mod context;
pub mod conversation;
pub mod domain;
pub mod embedding;
pub mod event;
pub mod keyword;
pub mod language;
pub mod metadata;
pub mod structure;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A family of signals, by what it reads off the request. Ordered as in the card (`systems/43-vllm-semantic-router.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Family {
    /// Words and patterns in the user's text.
    Keyword,
    /// How long the conversation is.
    Context,
    /// Which language the user writes.
    Language,
    /// Who asks.
    Authz,
    /// How the user's text is built.
    Structure,
    /// How the conversation is built.
    Conversation,
    /// What happened, from marks of events in the text.
    Event,
    /// What the caller says of the request.
    Metadata,
    /// Nearness to example texts.
    Embedding,
    /// The field of knowledge.
    Domain,
    /// How hard the question is.
    Complexity,
}

/// A set of families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FamilySet(u16);

// === impl Family ===

impl Family {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Keyword,
        Self::Context,
        Self::Language,
        Self::Authz,
        Self::Structure,
        Self::Conversation,
        Self::Event,
        Self::Metadata,
        Self::Embedding,
        Self::Domain,
        Self::Complexity,
    ];

    /// Its name, as in configurations and conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Context => "context",
            Self::Language => "language",
            Self::Authz => "authz",
            Self::Structure => "structure",
            Self::Conversation => "conversation",
            Self::Event => "event",
            Self::Metadata => "metadata",
            Self::Embedding => "embedding",
            Self::Domain => "domain",
            Self::Complexity => "complexity",
        }
    }

    /// The family of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }

    /// Whether it needs the text's vector.
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Embedding | Self::Domain | Self::Complexity)
    }

    /// Its place in [`Family::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl FamilySet ===

impl FamilySet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Adds a family.
    pub fn insert(&mut self, family: Family) {
        self.0 |= 1 << family.index();
    }

    /// Whether it is in the set.
    pub fn contains(self, family: Family) -> bool {
        self.0 & (1 << family.index()) != 0
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The families, in order.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |f| self.contains(*f))
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
