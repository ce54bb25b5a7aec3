//! The parts of an entry that are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Entry;

/// A part of an entry's text, or what is known about the entry from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// What it is called.
    Name,
    /// When to use it.
    Description,
    /// Instructions or arguments.
    Body,
    /// Whom it belongs to, and its tags.
    Group,
    /// Requests that it was meant for: its own examples and those of the training.
    Examples,
    /// Several fields at once.
    Whole,
}

/// The fields that are texts of the entry itself, in the order of their places.
pub(crate) const TEXTS: [Field; 4] = [Field::Name, Field::Description, Field::Body, Field::Group];

/// How many of them.
pub(crate) const FIELDS: usize = TEXTS.len();

// === impl Field ===

impl Field {
    /// All fields.
    pub const ALL: [Self; 6] = [
        Self::Name,
        Self::Description,
        Self::Body,
        Self::Group,
        Self::Examples,
        Self::Whole,
    ];

    /// Hands the text of each of [`TEXTS`] on, with its place.
    pub(crate) fn each_text(entry: &Entry, mut take: impl FnMut(usize, &str)) {
        take(0, &entry.name);
        take(1, &entry.description);
        take(2, &entry.body);
        if let Some(group) = &entry.group {
            take(3, group);
        }
        for tag in &entry.tags {
            take(3, tag);
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Body => "body",
            Self::Group => "group",
            Self::Examples => "examples",
            Self::Whole => "whole",
        })
    }
}
