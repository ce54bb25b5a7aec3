//! Entries that say the same, or nearly: families of duplicates, each with its best member.
//!
//! Two entries of one kind belong together if their content is equal, their names are the same words, their prose shares more
//! than .6 of its trigrams of words (Jaccard), or their vectors' cosine is above .92; and so on through chains (union-find). The
//! joins of trigrams are exact (prefix and length filters, Bayardo, Ma and Srikant 2007); neighbours by vector are those that the
//! index finds.

mod join;
mod union;

use std::{collections::HashMap, fmt};

use fingerpost_core::Name;
use serde::Serialize;

use self::union::Union;
use super::{
    content::ContentHash,
    index::{Field, Index},
};
use crate::entry::{Entry, Kind};

/// Neighbours by vector that are looked at.
const NEIGHBOURS: usize = 16;

/// What near means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearness {
    /// Whether names of the same words are enough. Default: true.
    pub by_name: bool,
    /// Shared trigrams of words above which two texts are one, 0 to 1. Default: .6.
    pub words: f32,
    /// Cosine above which two entries mean the same; 1 turns it off. Default: .92.
    pub meaning: f32,
}

/// Why two entries belong together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "score")]
pub enum Reason {
    /// All they say is equal.
    Content,
    /// Their names are the same words.
    Name,
    /// The share of trigrams in common.
    Words(f32),
    /// The cosine of their vectors.
    Meaning(f32),
}

/// Entries that belong together, two or more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Family {
    /// The one to keep: the one with most of its fields filled, the longer description, the shorter id.
    pub best: Name,
    /// All of them, the best one first, then by id.
    pub members: Vec<Name>,
    /// What joined them: one fewer than members.
    pub joins: Vec<Join>,
}

/// Two entries that were found to belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Join {
    /// The one.
    pub one: Name,
    /// The other.
    pub other: Name,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

// === impl Nearness ===

impl Default for Nearness {
    fn default() -> Self {
        Self {
            by_name: true,
            words: 0.6,
            meaning: 0.92,
        }
    }
}

/// The families of an index, the largest first. `progress` hears how many entries were compared and stops by returning false:
/// none then. Cost: about one search an entry.
pub fn families(
    index: &Index,
    nearness: &Nearness,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Option<Vec<Family>> {
    let mut entries: Vec<&Entry> = index.entries().collect();
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let places: HashMap<&str, usize> = entries
        .iter()
        .enumerate()
        .map(|(at, e)| (e.id.as_str(), at))
        .collect();
    let mut union = Union::new(entries.len());
    let mut joins: Vec<(usize, usize, Reason)> = Vec::new();
    let mut join = |union: &mut Union, one: usize, other: usize, reason: Reason| {
        if union.join(one, other) {
            joins.push((one, other, reason));
        }
    };
    let mut contents: HashMap<ContentHash, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let first = *contents.entry(ContentHash::of(entry)).or_insert(at);
        join(&mut union, first, at, Reason::Content);
    }
    if nearness.by_name {
        let mut names: HashMap<(Kind, String), usize> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            let name = normalised(&entry.name);
            if !name.is_empty() {
                let first = *names.entry((entry.kind, name)).or_insert(at);
                join(&mut union, first, at, Reason::Name);
            }
        }
    }
    for kind in [Kind::Skill, Kind::Tool, Kind::Agent] {
        let own: Vec<usize> = (0..entries.len())
            .filter(|at| entries[*at].kind == kind)
            .collect();
        let texts: Vec<&str> = own.iter().map(|at| prose(entries[*at])).collect();
        join::pairs(&texts, nearness.words, &mut |one, other, score| {
            let is_new = !union.is_one(own[one], own[other]);
            if let Some(score) = score.filter(|_| is_new) {
                join(&mut union, own[one], own[other], Reason::Words(score));
            }
            is_new
        });
    }
    if nearness.meaning < 1.0 {
        for (at, entry) in entries.iter().enumerate() {
            if at % 64 == 0 && !progress(at, entries.len()) {
                return None;
            }
            for (other, cosine) in index.nearest(&entry.id, NEIGHBOURS) {
                let Some(place) = places.get(other.id.as_str()).filter(|_| other.kind == entry.kind) else {
                    continue;
                };
                if cosine > nearness.meaning {
                    join(&mut union, at, *place, Reason::Meaning(cosine));
                }
            }
        }
    }
    progress(entries.len(), entries.len());
    let mut by_root: HashMap<usize, (Vec<usize>, Vec<Join>)> = HashMap::new();
    for at in 0..entries.len() {
        by_root.entry(union.root(at)).or_default().0.push(at);
    }
    for (one, other, reason) in joins {
        let join = Join {
            one: entries[one].id.clone(),
            other: entries[other].id.clone(),
            reason,
        };
        by_root.entry(union.root(one)).or_default().1.push(join);
    }
    let mut families: Vec<Family> = by_root
        .into_values()
        .filter(|(members, _)| members.len() > 1)
        .map(|(members, joins)| family(&entries, members, joins))
        .collect();
    families.sort_unstable_by(|a, b| {
        b.members
            .len()
            .cmp(&a.members.len())
            .then_with(|| a.best.cmp(&b.best))
    });
    Some(families)
}

fn family(entries: &[&Entry], members: Vec<usize>, joins: Vec<Join>) -> Family {
    let worth = |entry: &Entry| {
        let filled = Field::ALL
            .iter()
            .filter(|f| f.texts(entry).iter().any(|t| !t.trim().is_empty()))
            .count();
        // Beyond a few sentences a longer description is no better one.
        (
            filled,
            entry.description.len().min(400),
            std::cmp::Reverse(entry.id.len()),
        )
    };
    let best = members.iter().copied().max_by(|a, b| {
        let (a, b) = (entries[*a], entries[*b]);
        worth(a).cmp(&worth(b)).then_with(|| b.id.cmp(&a.id))
    });
    let best = best.unwrap_or_default();
    let others = members.into_iter().filter(|at| *at != best);
    Family {
        best: entries[best].id.clone(),
        members: std::iter::once(best)
            .chain(others)
            .map(|at| entries[at].id.clone())
            .collect(),
        joins,
    }
}

/// A name as its words.
fn normalised(name: &str) -> String {
    let mut all = String::new();
    fingerpost_index::words(name, &mut |word| {
        all.push_str(word);
        all.push(' ');
    });
    all
}

/// The text that tells an entry from others. A tool's arguments do not: those of one server share its description.
fn prose(entry: &Entry) -> &str {
    match entry.kind {
        Kind::Skill | Kind::Agent if !entry.body.is_empty() => &entry.body,
        _ => &entry.description,
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content => f.write_str("same content"),
            Self::Name => f.write_str("same name"),
            Self::Words(score) => write!(f, "{:.0} % of words", score * 100.0),
            Self::Meaning(score) => write!(f, "cosine {score:.2}"),
        }
    }
}

#[cfg(test)]
mod tests;
