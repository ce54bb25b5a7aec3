//! Which children come together: look-alikes, or what one owner has.

use fingerpost_core::Name;
use fingerpost_hierarchy::vector_tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Child, SkillTree, TreeOptions};

/// Which entries come together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Those that are alike, the most alike first, so that what is easily confused is compared side by side.
    #[default]
    Alike,
    /// Those of one owner, cut to size in the order of the catalogue, and the owners' groups in that order again. Naive: for
    /// comparison, and where owners mean something.
    Owner,
}

// === impl SkillTree ===

impl SkillTree {
    /// Packs a level into groups of at most `group_size`.
    pub(super) fn pack(
        &self,
        level: &[Child],
        owners: &[Option<&Name>],
        options: &TreeOptions,
    ) -> Vec<Vec<Child>> {
        match options.grouping {
            Grouping::Alike => {
                let rows: Vec<f32> = level.iter().flat_map(|child| self.centre(*child)).collect();
                pack_alike(&rows, self.dimension, options.group_size)
                    .into_iter()
                    .map(|group| group.into_iter().map(|at| level[at]).collect())
                    .collect()
            }
            Grouping::Owner => self.pack_owners(level, owners, options.group_size),
        }
    }

    fn pack_owners(&self, level: &[Child], owners: &[Option<&Name>], most: usize) -> Vec<Vec<Child>> {
        let owner = |child: Child| {
            let entry = self.below(child).first().copied();
            entry.and_then(|e| owners.get(e as usize).copied().flatten())
        };
        let mut order: Vec<(Option<&Name>, Child)> = level.iter().map(|&c| (owner(c), c)).collect();
        order.sort_by_key(|(owner, _)| *owner);
        let mut groups: Vec<Vec<Child>> = Vec::new();
        // Owners' own groups first; above them, and where no owners are known, simply page after page.
        let by_owner = level.iter().any(|child| matches!(child, Child::Entry(_)));
        let mut last: Option<&Name> = None;
        for (owner, child) in order {
            let fits = groups.last().is_some_and(|g| g.len() < most) && (!by_owner || owner == last);
            match groups.last_mut() {
                Some(group) if fits => group.push(child),
                _ => groups.push(vec![child]),
            }
            last = owner;
        }
        if groups.len() < level.len() {
            return groups;
        }
        level.chunks(most).map(<[Child]>::to_vec).collect()
    }
}

/// Packs rows into groups of at most `most`: up the tree of average linkage, what fits stays together. A branch that does not
/// fit is left in pieces; pieces below a quarter of a group join the smallest that has room, as low in the tree as they can.
fn pack_alike(rows: &[f32], dimension: usize, most: usize) -> Vec<Vec<usize>> {
    let tree = vector_tree(rows, dimension);
    let mut pieces: Vec<Vec<Vec<usize>>> = (0..tree.leaves).map(|leaf| vec![vec![leaf]]).collect();
    for merge in &tree.merges {
        let (a, b) = merge.children;
        let mut both = std::mem::take(&mut pieces[a]);
        both.append(&mut pieces[b]);
        both.sort_by_key(Vec::len);
        let total: usize = both.iter().map(Vec::len).sum();
        if total <= most {
            both = vec![both.concat()];
        }
        while let Some(first) = both.first() {
            let (crumb, room) = (first.len(), most - first.len().min(most));
            let fits = both.iter().skip(1).position(|other| other.len() <= room);
            let Some(at) = fits.filter(|_| crumb * 4 < most) else {
                break;
            };
            let crumb = both.remove(0);
            both[at].extend(crumb);
            both.sort_by_key(Vec::len);
        }
        pieces.push(both);
    }
    let mut groups = pieces.pop().unwrap_or_default();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort();
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn look_alikes_stay_together() {
        // Two pairs and a single one; at most two a group.
        let rows = [1.0, 0.0, 0.99, 0.1, 0.0, 1.0, 0.1, 0.99, -1.0, -1.0];
        assert_eq!(pack_alike(&rows, 2, 2), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(pack_alike(&rows, 2, 9), [vec![0, 1, 2, 3, 4]]);
        assert!(pack_alike(&[], 2, 3).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_group_of_bounded_size(
            values in prop::collection::vec(-1.0..1.0_f32, 2..120),
            most in 2_usize..9,
        ) {
            let rows = values.len() / 2;
            let groups = pack_alike(&values[..rows * 2], 2, most);
            let mut all = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
            prop_assert!(groups.iter().all(|g| (1..=most).contains(&g.len())));
        }
    }
}
