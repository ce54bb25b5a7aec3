//! What a group looks like from outside: its line, its key terms, and the members that stand for it.

use fingerpost_hierarchy::{Effort, k_means, taxonomy::group_names};
use rand::{SeedableRng, rngs::SmallRng};

use super::{Child, Group, SkillTree};
use crate::{Entry, asking::one_line};

/// Characters that are kept of a description in a list: what tells entries apart stands at its beginning.
const LINE: usize = 160;
/// Members of each child that stand for a group of groups.
const FROM_EACH: usize = 2;
/// Words that are kept of a member in its group's descriptor.
const HEAD_WORDS: usize = 9;

/// An entry as one line: its name, and the beginning of when to use it.
pub(super) fn line(entry: &Entry) -> String {
    let text = one_line(&entry.description, LINE);
    let name = one_line(&entry.name, LINE);
    if text.is_empty() {
        name
    } else {
        format!("{name}: {text}")
    }
}

/// The first words of a line.
pub(super) fn head(line: &str) -> String {
    line.split_whitespace()
        .take(HEAD_WORDS)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A group as one line.
pub(super) fn group(tree: &SkillTree, group: &Group) -> String {
    let line = |entry: u32| tree.lines.get(entry as usize).map_or("", String::as_str);
    let mut parts = vec![group.title.clone()];
    parts.extend(group.typical.iter().map(|&entry| head(line(entry))));
    for child in &group.children {
        match child {
            Child::Group(below) => parts.extend(tree.groups.get(*below as usize).map(|g| g.title.clone())),
            Child::Entry(entry) if !group.typical.contains(entry) => {
                let name = line(*entry).split(": ").next().unwrap_or_default();
                parts.push(head(name));
            }
            Child::Entry(_) => {}
        }
    }
    parts.join(" | ")
}

/// A group as one line for a query: its key terms, and its members that come nearest.
pub(super) fn near(tree: &SkillTree, group: &Group, query: &[f32], nearest: usize) -> String {
    let likeness = |entry: u32| fingerpost_encode::dot(query, tree.vector(entry));
    let mut members = group.entries.clone();
    members.sort_by(|&a, &b| likeness(b).total_cmp(&likeness(a)).then(a.cmp(&b)));
    let heads = members.into_iter().take(nearest);
    let heads = heads.map(|entry| head(tree.lines.get(entry as usize).map_or("", String::as_str)));
    std::iter::once(group.title.clone())
        .chain(heads)
        .collect::<Vec<_>>()
        .join(" | ")
}

/// The mean direction of entries.
pub(super) fn centre(tree: &SkillTree, entries: &[u32]) -> Vec<f32> {
    let mut sum = vec![0.0; tree.dimension];
    for &entry in entries {
        for (total, value) in sum.iter_mut().zip(tree.vector(entry)) {
            *total += value;
        }
    }
    fingerpost_encode::normalize(&mut sum);
    sum
}

/// The entries that stand for a group, and the vectors that it is compared by: its centre, the middles of its parts, and the
/// member nearest to each middle, so that a group of mixed content can still be found by each part. The parts are `faces` of
/// k-means; those of a group of groups are its children, with two members each.
pub(super) fn faces(
    tree: &SkillTree,
    children: &[Child],
    entries: &[u32],
    faces: usize,
) -> (Vec<u32>, Vec<f32>) {
    if children.iter().any(|child| matches!(child, Child::Group(_))) {
        let (mut typical, mut vectors) = (Vec::new(), centre(tree, entries));
        for child in children {
            match child {
                Child::Entry(entry) => typical.push(*entry),
                Child::Group(group) => {
                    if let Some(group) = tree.groups.get(*group as usize) {
                        typical.extend(group.typical.iter().take(FROM_EACH));
                        vectors.extend_from_slice(&centre(tree, &group.entries));
                    }
                }
            }
        }
        vectors.extend(typical.iter().flat_map(|&entry| tree.vector(entry)));
        return (typical, vectors);
    }
    let centre = centre(tree, entries);
    let rows: Vec<f32> = entries.iter().flat_map(|&e| tree.vector(e)).copied().collect();
    // Parts are few and small, so a few starts find them; the seed makes the tree a function of its input.
    let effort = Effort {
        starts: 3,
        rounds: 30,
    };
    let mut rng = SmallRng::seed_from_u64(entries.len() as u64);
    let parts = k_means(&rows, tree.dimension, faces, effort, &mut rng, &mut || true)
        .unwrap_or_else(|| vec![0; entries.len()]);
    let mut vectors = centre;
    let mut typical = Vec::new();
    let mut by_size: Vec<Vec<u32>> = vec![Vec::new(); parts.iter().max().map_or(0, |most| most + 1)];
    for (&entry, &part) in entries.iter().zip(&parts) {
        by_size[part].push(entry);
    }
    by_size.sort_by_key(|part| std::cmp::Reverse(part.len()));
    for part in by_size.iter().filter(|part| !part.is_empty()) {
        let middle = self::centre(tree, part);
        let nearest = part.iter().copied().max_by(|&a, &b| {
            let near = |e| fingerpost_encode::dot(&middle, tree.vector(e));
            near(a).total_cmp(&near(b)).then(b.cmp(&a))
        });
        if let Some(entry) = nearest {
            typical.push(entry);
            vectors.extend_from_slice(tree.vector(entry));
            if part.len() > 1 {
                vectors.extend_from_slice(&middle);
            }
        }
    }
    (typical, vectors)
}

// === impl SkillTree ===

impl SkillTree {
    /// Gives groups their key terms, siblings together so that terms tell them apart.
    pub(super) fn entitle(&mut self) {
        let mut families: Vec<Vec<Child>> = vec![self.top.clone()];
        families.extend(self.groups.iter().map(|group| group.children.clone()));
        for family in families {
            let places: Vec<usize> = family
                .iter()
                .filter_map(|child| match child {
                    Child::Group(group) => Some(*group as usize),
                    Child::Entry(_) => None,
                })
                .collect();
            let members: Vec<&[u32]> = places
                .iter()
                .map(|&g| self.groups[g].entries.as_slice())
                .collect();
            let texts: Vec<&str> = self.lines.iter().map(String::as_str).collect();
            let titles = group_names(&texts, &members, "");
            for (place, title) in places.into_iter().zip(titles) {
                self.groups[place].title = title;
            }
        }
    }
}
