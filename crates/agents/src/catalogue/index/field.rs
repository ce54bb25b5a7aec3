//! The fields of an entry that words are looked for in.

use std::fmt;

use serde::Serialize;

use crate::entry::Entry;

/// Saturation of BM25F, the usual.
pub(super) const K1: f32 = 1.2;
/// Bytes of a head: what the encoders' windows hold, and no more than would drown the description.
const HEAD: usize = 1_000;

/// A field of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// What its owner calls it.
    Name,
    /// When to use it.
    Description,
    /// The rest of its text.
    Body,
    /// Requests that it is meant for.
    Examples,
    /// Words it is filed under.
    Tags,
}

// === impl Field ===

impl Field {
    /// All of them, in the order of every list of scores by field.
    pub const ALL: [Self; 5] = [
        Self::Name,
        Self::Description,
        Self::Body,
        Self::Examples,
        Self::Tags,
    ];

    /// How much it counts.
    pub(super) fn counts(self) -> fingerpost_index::Field {
        let weight = match self {
            Self::Name => 2.0,
            Self::Description | Self::Examples => 1.0,
            Self::Body | Self::Tags => 0.5,
        };
        fingerpost_index::Field { weight, b: 0.75 }
    }

    /// Its texts.
    pub fn texts(self, entry: &Entry) -> Vec<&str> {
        match self {
            Self::Name => vec![&entry.name],
            Self::Description => vec![&entry.description],
            Self::Body => vec![&entry.body],
            Self::Examples => entry.examples.iter().map(String::as_str).collect(),
            Self::Tags => entry.tags.iter().map(String::as_str).collect(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Body => "body",
            Self::Examples => "examples",
            Self::Tags => "tags",
        })
    }
}

/// What an entry is encoded as: its name and description, and of its body what there is room for.
pub(super) fn head(entry: &Entry) -> String {
    let mut head = String::with_capacity(HEAD);
    for text in [&entry.name, &entry.description, &entry.body] {
        let room = HEAD.saturating_sub(head.len() + 2);
        if room == 0 || text.is_empty() {
            continue;
        }
        if !head.is_empty() {
            head.push_str(". ");
        }
        let end = (0..=room.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        head.push_str(&text[..end.unwrap_or(0)]);
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;

    #[test]
    fn a_head_is_cut_at_a_character() {
        let mut entry = Entry::named("é".repeat(10), Kind::Skill);
        entry.description = "€".repeat(500);
        assert!(head(&entry).len() <= HEAD);
        entry.description.clear();
        entry.body = "do".to_owned();
        assert_eq!(head(&entry), format!("{}. do", "é".repeat(10)));
    }
}
