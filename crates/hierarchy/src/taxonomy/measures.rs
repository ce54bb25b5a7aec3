//! The measures of card 54: T1 parent and child, T2 coherence of siblings, T3 assignment of documents.
//!
//! An item may stand under many categories, so assignment is judged by pairs of category and item, never by a single label.

use serde::Serialize;
use thiserror::Error;

use super::{Category, Taxonomy};

/// Right, found and true pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Pairs that were found and are true.
    pub right: usize,
    /// Pairs that were found.
    pub found: usize,
    /// Pairs that are true.
    pub truth: usize,
}

/// How one category stands to another (T1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The first is above the second.
    ParentOf,
    /// The first is below the second.
    ChildOf,
    /// Neither.
    Neither,
}

/// Two taxonomies that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the taxonomies have other categories at place {place} ({found:?} and {truth:?}); compare two states of one taxonomy"
)]
pub struct Mismatch {
    /// Where in the walk.
    pub place: usize,
    /// The name found there.
    pub found: Option<String>,
    /// The name that is true there.
    pub truth: Option<String>,
}

// === impl Counts ===

impl Counts {
    /// Right over found; 1 where nothing was found.
    #[must_use]
    pub fn precision(&self) -> f64 {
        ratio(self.right, self.found)
    }

    /// Right over true; 1 where nothing is true.
    #[must_use]
    pub fn recall(&self) -> f64 {
        ratio(self.right, self.truth)
    }

    /// The harmonic mean of both.
    #[must_use]
    pub fn f1(&self) -> f64 {
        ratio(2 * self.right, self.found + self.truth)
    }

    /// Counts one judgement of a yes-or-no question in.
    pub fn judge(&mut self, found: bool, truth: bool) {
        self.right += usize::from(found && truth);
        self.found += usize::from(found);
        self.truth += usize::from(truth);
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.found += other.found;
        self.truth += other.truth;
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}

/// T3: pairs of category and item of `found` against those of `truth`, two states of one tree of categories.
///
/// # Errors
/// [`Mismatch`] with the first category that the other does not have at its place.
pub fn assignments(found: &Taxonomy, truth: &Taxonomy) -> Result<Counts, Mismatch> {
    let (a, b) = (found.walk(), truth.walk());
    let mut counts = Counts::default();
    for place in 0..a.len().max(b.len()) {
        match (a.get(place), b.get(place)) {
            (Some(a), Some(b)) if a.category.name == b.category.name && a.depth == b.depth => {
                counts.right += a
                    .category
                    .items
                    .iter()
                    .filter(|&&item| b.category.holds(item))
                    .count();
                counts.found += a.category.items.len();
                counts.truth += b.category.items.len();
            }
            (a, b) => {
                return Err(Mismatch {
                    place,
                    found: a.map(|visit| visit.category.name.clone()),
                    truth: b.map(|visit| visit.category.name.clone()),
                });
            }
        }
    }
    Ok(counts)
}

/// T1 from items alone: the first is above the second if it is the larger and holds at least half of the second's items.
#[must_use]
pub fn relation(a: &Category, b: &Category) -> Relation {
    let shared = a.items.iter().filter(|&&item| b.holds(item)).count();
    let least = a.items.len().min(b.items.len());
    if 2 * shared < least || least == 0 {
        return Relation::Neither;
    }
    match a.items.len().cmp(&b.items.len()) {
        std::cmp::Ordering::Greater => Relation::ParentOf,
        std::cmp::Ordering::Less => Relation::ChildOf,
        std::cmp::Ordering::Equal => Relation::Neither,
    }
}

/// T2 from items alone: children belong together if each has at least half of its items in the parent.
#[must_use]
pub fn coherent(parent: &Category, children: &[&Category]) -> bool {
    children.iter().all(|child| {
        let inside = child.items.iter().filter(|&&item| parent.holds(item)).count();
        2 * inside >= child.items.len()
    })
}

/// What labels of the items say about a taxonomy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Labelled {
    /// T1: share of the links between parent and child in which both have the same commonest label, 0 to 1; 1 without links.
    pub parent_child: f64,
    /// T2: share of the categories with children in which all children have one commonest label, 0 to 1; 1 without any.
    pub siblings: f64,
    /// Named-node precision: share of the items of all leaf categories that have the leaf's commonest label, 0 to 1.
    pub leaves: f64,
}

/// Judges a taxonomy by a coarse label of each item (links and siblings) and a fine one (leaves).
///
/// # Panics
/// If there is not one label of each kind an item.
#[must_use]
pub fn labelled(taxonomy: &Taxonomy, coarse: &[usize], fine: &[usize]) -> Labelled {
    let items = taxonomy.items as usize;
    assert!(coarse.len() == items && fine.len() == items, "two labels an item");
    let visits = taxonomy.walk();
    let commonest: Vec<Option<usize>> = visits
        .iter()
        .map(|visit| majority(&visit.category.items, coarse).0)
        .collect();
    let (mut links, mut agreeing) = (0, 0);
    let mut together: Vec<Option<bool>> = vec![None; visits.len()];
    let mut first: Vec<Option<usize>> = vec![None; visits.len()];
    let mut precision = Counts::default();
    for (place, visit) in visits.iter().enumerate() {
        if let Some(parent) = visit.parent {
            links += 1;
            agreeing += usize::from(commonest[place] == commonest[parent]);
            let seen = *first[parent].get_or_insert(place);
            let so_far = together[parent].unwrap_or(true);
            together[parent] = Some(so_far && commonest[seen] == commonest[place]);
        }
        if visit.category.children.is_empty() {
            precision.right += majority(&visit.category.items, fine).1;
            precision.found += visit.category.items.len();
        }
    }
    let families: Vec<bool> = together.into_iter().flatten().collect();
    Labelled {
        parent_child: ratio(agreeing, links),
        siblings: ratio(
            families.iter().filter(|&&together| together).count(),
            families.len(),
        ),
        leaves: precision.precision(),
    }
}

/// The commonest label of the items and how many have it; of equals the lowest.
fn majority(items: &[u32], labels: &[usize]) -> (Option<usize>, usize) {
    let mut counts = std::collections::BTreeMap::new();
    for &item in items {
        *counts.entry(labels[item as usize]).or_insert(0) += 1;
    }
    let best = counts
        .into_iter()
        .max_by(|x, y| x.1.cmp(&y.1).then(y.0.cmp(&x.0)));
    best.map_or((None, 0), |(label, count)| (Some(label), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(categories: Vec<Category>) -> Taxonomy {
        Taxonomy {
            title: "t".into(),
            items: 6,
            categories,
        }
    }

    #[test]
    fn assignments_by_hand() {
        let found = tree(vec![Category::new("a", [0, 1, 2]), Category::new("b", [3])]);
        let truth = tree(vec![Category::new("a", [1, 2, 4, 5]), Category::new("b", [])]);
        let counts = assignments(&found, &truth).unwrap();
        assert_eq!((counts.right, counts.found, counts.truth), (2, 4, 4));
        assert_eq!(
            (counts.precision(), counts.recall(), counts.f1()),
            (0.5, 0.5, 0.5)
        );
        let other = tree(vec![Category::new("a", [])]);
        assert_eq!(assignments(&found, &other).unwrap_err().place, 1);
    }

    #[test]
    fn relations_and_coherence_by_hand() {
        let (all, half, apart) = (
            Category::new("all", [0, 1, 2, 3]),
            Category::new("half", [2, 3]),
            Category::new("apart", [4, 5]),
        );
        assert_eq!(relation(&all, &half), Relation::ParentOf);
        assert_eq!(relation(&half, &all), Relation::ChildOf);
        assert_eq!(relation(&half, &apart), Relation::Neither);
        assert!(coherent(&all, &[&half]) && !coherent(&all, &[&half, &apart]));
    }

    #[test]
    fn labels_judge_links_siblings_and_leaves() {
        let mut top = Category::new("top", 0..6);
        top.children = vec![Category::new("x", [0, 1, 2]), Category::new("y", [3, 4, 5])];
        let judged = labelled(&tree(vec![top]), &[0, 0, 0, 0, 1, 1], &[7, 7, 8, 9, 9, 9]);
        // The commonest label of top is 0, of x 0, of y 1; leaves: 2 of 3 and 3 of 3.
        assert_eq!((judged.parent_child, judged.siblings), (0.5, 0.0));
        assert!((judged.leaves - 5.0 / 6.0).abs() < 1e-12);
    }
}
