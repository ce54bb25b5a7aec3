//! A tree over a catalogue: groups of at most so many entries, each with a short descriptor, so that whoever chooses never looks
//! at more than a page.
//!
//! [`SkillTree::build`] groups entries bottom-up by likeness ([`Grouping::Alike`]: entries that are easily confused stand in one
//! group, where they are compared side by side) or by their owners ([`Grouping::Owner`], naive), and groups again until no more
//! than a page of groups is left at the top. A group is described by key terms (frequent in it, rare in its siblings) and by its
//! most typical members. [`SkillTree::walk`] descends it for a vector: a group counts as near as the nearest of its faces, which
//! are its centre, the middles of its parts and the members that stand for them; close seconds are followed too ([`Beam`]).
//! Source: the hierarchy of "When Single-Agent with Skills Replace Multi-Agent Systems"; the grouping is ours (the paper gives
//! none).
//!
//! ```
//! use fingerpost_agents::{Beam, Entry, Kind, SkillTree, TreeOptions};
//! let entries = ["sun", "rain", "loan", "card"].map(|name| Entry::named(name, Kind::Skill));
//! let vectors = [1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.9];
//! let tree = SkillTree::build(&entries, &vectors, &TreeOptions { group_size: 2, ..TreeOptions::default() })?;
//! let walk = tree.walk(&[0.0, 1.0], Beam::default());
//! assert_eq!(walk.leaves[0].0, 2);
//! # Ok::<(), fingerpost_agents::TreeError>(())
//! ```

mod describe;
mod grouping;
mod picture;
mod router;
mod walk;

use fingerpost_core::Name;
use serde::Serialize;
use thiserror::Error;

pub use self::{
    grouping::Grouping,
    picture::tree_svg,
    router::{SkillTreeConfig, SkillTreeConfigError, SkillTreeRouter},
    walk::{Beam, Stage, Walk},
};
use crate::Entry;

/// How a tree is grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// Most members of a group, at every level; at least 2.
    pub group_size: usize,
    /// Which entries come together.
    pub grouping: Grouping,
    /// Members that stand for a group beside its centre, in its descriptor and when it is compared with a query; at least 1. A
    /// group of groups is stood for by two members of each.
    pub faces: usize,
}

/// A tree over a catalogue. Entries are numbered by their places in it.
#[derive(Debug, Clone)]
pub struct SkillTree {
    names: Vec<Name>,
    lines: Vec<String>,
    vectors: Vec<f32>,
    dimension: usize,
    groups: Vec<Group>,
    top: Vec<Child>,
    depth: usize,
}

/// What stands under a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Child {
    /// Another group, by its number.
    Group(u32),
    /// An entry, by its place in the catalogue.
    Entry(u32),
}

/// A group of entries or of groups.
#[derive(Debug, Clone)]
pub struct Group {
    /// Key terms.
    pub title: String,
    /// Entries that stand for it, the most typical first.
    pub typical: Vec<u32>,
    /// What it consists of.
    pub children: Vec<Child>,
    /// All entries below it.
    pub entries: Vec<u32>,
    /// Unit vectors that a query is compared with: the centre, the middles of its parts or groups, the typical entries.
    faces: Vec<f32>,
}

/// Why a tree cannot be grown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Not one vector an entry.
    #[error("{values} values are not one vector of equal length for each of {entries} entries")]
    Shape {
        /// Values given.
        values: usize,
        /// Entries given.
        entries: usize,
    },
    /// A value that is no number.
    #[error("the vector of entry `{0}` holds a value that is not finite; encode its text again")]
    NotFinite(Name),
    /// Two entries of one id.
    #[error("the id `{0}` stands twice in the catalogue; ids must differ")]
    Duplicate(Name),
    /// A setting out of range.
    #[error("{key} must be {allowed}, found {found}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// What is allowed.
        allowed: &'static str,
        /// What was found.
        found: usize,
    },
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            group_size: 16,
            grouping: Grouping::Alike,
            faces: 4,
        }
    }
}

// === impl SkillTree ===

impl SkillTree {
    /// Grows a tree over `entries` with a vector each (row after row, any length above 0; compared by cosine). A catalogue of at
    /// most `group_size` entries has no groups at all. The same input gives the same tree. Cost: entries^2 x dimension.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn build(entries: &[Entry], vectors: &[f32], options: &TreeOptions) -> Result<Self, TreeError> {
        let mut tree = Self::flat(entries, vectors)?;
        for (key, found, allowed, least) in [
            ("group_size", options.group_size, "at least 2", 2),
            ("faces", options.faces, "at least 1", 1),
        ] {
            if found < least {
                return Err(TreeError::Setting { key, allowed, found });
            }
        }
        let owners: Vec<Option<&Name>> = entries.iter().map(|entry| entry.group.as_ref()).collect();
        let mut level: Vec<Child> = tree.top.clone();
        while level.len() > options.group_size {
            let packed = tree.pack(&level, &owners, options);
            // Groups of one member each would never become fewer.
            if packed.len() >= level.len() {
                break;
            }
            level = tree.raise(packed, options.faces);
            tree.depth += 1;
        }
        tree.top = level;
        tree.entitle();
        Ok(tree)
    }

    /// A tree without groups: everything on one page.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn flat(entries: &[Entry], vectors: &[f32]) -> Result<Self, TreeError> {
        let dimension = vectors.len() / entries.len().max(1);
        if vectors.len() != dimension * entries.len() || (dimension == 0 && !entries.is_empty()) {
            return Err(TreeError::Shape {
                values: vectors.len(),
                entries: entries.len(),
            });
        }
        let mut unit = vectors.to_vec();
        let mut seen = rustc_hash::FxHashSet::default();
        for (entry, row) in entries.iter().zip(unit.chunks_mut(dimension.max(1))) {
            if row.iter().any(|value| !value.is_finite()) {
                return Err(TreeError::NotFinite(entry.id.clone()));
            }
            if !seen.insert(&entry.id) {
                return Err(TreeError::Duplicate(entry.id.clone()));
            }
            fingerpost_encode::normalize(row);
        }
        Ok(Self {
            names: entries.iter().map(|entry| entry.id.clone()).collect(),
            lines: entries.iter().map(describe::line).collect(),
            vectors: unit,
            dimension,
            groups: Vec::new(),
            top: (0..entries.len() as u32).map(Child::Entry).collect(),
            depth: 1,
        })
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Pages between the top and an entry: 1 where there are no groups.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The first page.
    pub fn top(&self) -> &[Child] {
        &self.top
    }

    /// All groups, by number.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The page under a child: its own for a group, nothing for an entry.
    pub fn under(&self, child: Child) -> &[Child] {
        match child {
            Child::Group(group) => self.groups.get(group as usize).map_or(&[], |g| &g.children),
            Child::Entry(_) => &[],
        }
    }

    /// The id of an entry.
    pub fn id(&self, entry: u32) -> Option<&Name> {
        self.names.get(entry as usize)
    }

    /// The unit vector of an entry; empty for one that is not there.
    pub fn vector(&self, entry: u32) -> &[f32] {
        let start = entry as usize * self.dimension;
        self.vectors
            .get(start..start + self.dimension)
            .unwrap_or_default()
    }

    /// Values in a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// One line that tells a child from its siblings: an entry's name and when to use it; a group's key terms, the
    /// beginnings of its typical members, and the key terms of its groups or the names of its other members. Parts are set off by
    /// ` | `.
    pub fn line(&self, child: Child) -> String {
        match child {
            Child::Entry(entry) => self.lines.get(entry as usize).cloned().unwrap_or_default(),
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .map_or_else(String::new, |group| describe::group(self, group)),
        }
    }

    /// The same with a group shown by its key terms and the beginnings of the `nearest` members that come nearest to a query (a unit
    /// vector): shorter, and another line for another query. Cost: a cosine a member.
    pub fn line_for(&self, child: Child, query: &[f32], nearest: usize) -> String {
        match child {
            Child::Entry(_) => self.line(child),
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .map_or_else(String::new, |group| describe::near(self, group, query, nearest)),
        }
    }

    /// Whether an entry stands below a child.
    pub fn holds(&self, child: Child, entry: u32) -> bool {
        match child {
            Child::Entry(own) => own == entry,
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .is_some_and(|group| group.entries.contains(&entry)),
        }
    }

    /// How near a query (a unit vector) is to a child: the cosine to an entry, the highest to a face of a group.
    pub fn likeness(&self, query: &[f32], child: Child) -> f32 {
        match child {
            Child::Entry(entry) => fingerpost_encode::dot(query, self.vector(entry)),
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .map_or(f32::NEG_INFINITY, |group| {
                    let faces = group.faces.chunks(self.dimension.max(1));
                    faces
                        .map(|face| fingerpost_encode::dot(query, face))
                        .fold(f32::NEG_INFINITY, f32::max)
                }),
        }
    }

    /// Vectors that a child is compared by.
    pub fn faces(&self, child: Child) -> usize {
        match child {
            Child::Entry(_) => 1,
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .map_or(0, |group| group.faces.len() / self.dimension.max(1)),
        }
    }

    /// Makes groups of packed children; gives the level above.
    fn raise(&mut self, packed: Vec<Vec<Child>>, faces: usize) -> Vec<Child> {
        let mut level = Vec::with_capacity(packed.len());
        for children in packed {
            if let [only] = children.as_slice() {
                level.push(*only);
                continue;
            }
            let mut entries: Vec<u32> = children.iter().flat_map(|child| self.below(*child)).collect();
            entries.sort_unstable();
            let (typical, vectors) = describe::faces(self, &children, &entries, faces);
            level.push(Child::Group(self.groups.len() as u32));
            self.groups.push(Group {
                title: String::new(),
                typical,
                children,
                entries,
                faces: vectors,
            });
        }
        level
    }

    /// The entries below a child.
    fn below(&self, child: Child) -> Vec<u32> {
        match child {
            Child::Entry(entry) => vec![entry],
            Child::Group(group) => self
                .groups
                .get(group as usize)
                .map_or_else(Vec::new, |g| g.entries.clone()),
        }
    }

    /// The mean direction of a child.
    fn centre(&self, child: Child) -> Vec<f32> {
        describe::centre(self, &self.below(child))
    }
}

#[cfg(test)]
mod tests;
