//! Makes a taxonomy consistent, and tells what was changed.
//!
//! In this order: 1. closure, from below: a category holds what its children hold (an item belongs to a category if it belongs
//! to one of its parts); 2. siblings whose items nearly agree (Jaccard similarity 0.8 and more) become one; 3. categories with
//! fewer than two items go; 4. categories with more than ten children get a level between. Card 54.
//!
//! What a category holds beside its children's items stays: the card's "parent = OR of the children" read strictly would drop
//! every document that is no part's but the whole's.

use serde::Serialize;

use super::{Category, MAX_DEPTH, Taxonomy};
use crate::average_linkage;

/// What is tidied, and from where on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TidyOptions {
    /// Siblings at least so alike are merged: shared items over all items of both, above 0 to 1. Above 1: none is. Default: 0.8.
    pub merge_at: f64,
    /// Fewest items of a category. Default: 2.
    pub min_items: usize,
    /// Most children of a category, and most top categories; brought to at least 2. Default: 10.
    pub max_children: usize,
}

/// One change. Categories are named by their path from the top, parts joined by " > ".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Edit {
    /// Items were added to a category: its children hold them, or a corrector judged so.
    Added {
        /// Where.
        category: String,
        /// Which.
        items: Vec<u32>,
    },
    /// Items were taken from a category.
    Removed {
        /// Where.
        category: String,
        /// Which.
        items: Vec<u32>,
    },
    /// A category became part of a sibling.
    Merged {
        /// Which.
        category: String,
        /// The sibling's name.
        into: String,
        /// How alike their items were.
        jaccard: f64,
    },
    /// A category went, with all below it, for want of items.
    Dropped {
        /// Which.
        category: String,
        /// What it held; the categories above hold it still.
        items: Vec<u32>,
    },
    /// Children got a level between them and their parent.
    Split {
        /// Whose children.
        category: String,
        /// Children before.
        children: usize,
        /// Names of the new categories between.
        groups: Vec<String>,
    },
}

// === impl TidyOptions ===

impl Default for TidyOptions {
    fn default() -> Self {
        Self {
            merge_at: 0.8,
            min_items: 2,
            max_children: 10,
        }
    }
}

// === impl Taxonomy ===

impl Taxonomy {
    /// Makes the taxonomy consistent; a second call changes nothing but where a level between was refused for depth.
    pub fn tidy(&mut self, options: &TidyOptions) -> Vec<Edit> {
        let mut edits = Vec::new();
        for category in &mut self.categories {
            close(category, "", &mut edits);
        }
        tidy_siblings(&mut self.categories, "", 0, options, &mut edits);
        edits
    }

    /// Gives every category what its children hold, from below. The first step of [`tidy`](Self::tidy).
    pub fn close(&mut self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for category in &mut self.categories {
            close(category, "", &mut edits);
        }
        edits
    }
}

/// The path of a category below `above`.
pub(super) fn path(above: &str, name: &str) -> String {
    if above.is_empty() {
        name.to_owned()
    } else {
        format!("{above} > {name}")
    }
}

fn close(category: &mut Category, above: &str, edits: &mut Vec<Edit>) {
    let here = path(above, &category.name);
    let mut missing = Vec::new();
    for child in &mut category.children {
        close(child, &here, edits);
        missing.extend(
            child
                .items
                .iter()
                .filter(|&&item| category.items.binary_search(&item).is_err()),
        );
    }
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        category.items.extend(&missing);
        category.items.sort_unstable();
        edits.push(Edit::Added {
            category: here,
            items: missing,
        });
    }
}

/// Shared items over all items of both; 0 where both are empty.
pub(super) fn jaccard(a: &Category, b: &Category) -> f64 {
    let shared = a.items.iter().filter(|&&item| b.holds(item)).count();
    let all = a.items.len() + b.items.len() - shared;
    shared as f64 / all.max(1) as f64
}

fn tidy_siblings(
    siblings: &mut Vec<Category>,
    above: &str,
    depth: usize,
    options: &TidyOptions,
    edits: &mut Vec<Edit>,
) {
    merge(siblings, above, options.merge_at, edits);
    siblings.retain(|category| {
        let stays = category.items.len() >= options.min_items;
        if !stays {
            edits.push(Edit::Dropped {
                category: path(above, &category.name),
                items: category.items.clone(),
            });
        }
        stays
    });
    for category in siblings.iter_mut() {
        let here = path(above, &category.name);
        tidy_siblings(&mut category.children, &here, depth + 1, options, edits);
    }
    split(siblings, above, depth, options.max_children.max(2), edits);
}

/// Merges the pair most alike again and again; of equals the first. The larger one keeps its name, of equals the first.
fn merge(siblings: &mut Vec<Category>, above: &str, at: f64, edits: &mut Vec<Edit>) {
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for a in 0..siblings.len() {
            for b in a + 1..siblings.len() {
                let alike = jaccard(&siblings[a], &siblings[b]);
                if alike > 0.0 && alike >= at && best.is_none_or(|(most, ..)| alike > most) {
                    best = Some((alike, a, b));
                }
            }
        }
        let Some((alike, a, b)) = best else { return };
        let mut gone = siblings.remove(b);
        if gone.items.len() > siblings[a].items.len() {
            std::mem::swap(&mut gone, &mut siblings[a]);
        }
        let kept = &mut siblings[a];
        edits.push(Edit::Merged {
            category: path(above, &gone.name),
            into: kept.name.clone(),
            jaccard: alike,
        });
        kept.items.extend(gone.items);
        kept.items.sort_unstable();
        kept.items.dedup();
        kept.children.append(&mut gone.children);
        kept.confidence = kept.confidence.min(gone.confidence);
    }
}

/// Puts more than `most` siblings under new categories: runs of about equal length, in the order in which average linkage of
/// their items' similarity brings them together. Runs rather than the linkage's own groups, which may be one giant and a dust.
fn split(siblings: &mut Vec<Category>, above: &str, depth: usize, most: usize, edits: &mut Vec<Edit>) {
    let count = siblings.len();
    let deepest = siblings.iter().map(Category::height).max().unwrap_or(0);
    if count <= most || depth + deepest + 1 > MAX_DEPTH {
        return;
    }
    let runs = count.div_ceil(most).min(most);
    let order = in_order_of_likeness(siblings);
    let mut waiting: Vec<Option<Category>> = siblings.drain(..).map(Some).collect();
    let mut names = Vec::with_capacity(runs);
    for run in 0..runs {
        let places = &order[run * count / runs..(run + 1) * count / runs];
        let mut children: Vec<Category> = places.iter().filter_map(|&at| waiting[at].take()).collect();
        let mut group = Category::new(
            joined_name(&children),
            children.iter().flat_map(|child| child.items.iter().copied()),
        );
        group.confidence = children.iter().map(|child| child.confidence).fold(1.0, f32::min);
        split(&mut children, &path(above, &group.name), depth + 1, most, edits);
        group.children = children;
        names.push(group.name.clone());
        siblings.push(group);
    }
    edits.push(Edit::Split {
        category: above.to_owned(),
        children: count,
        groups: names,
    });
}

/// "first, second and 4 more", the largest first.
fn joined_name(children: &[Category]) -> String {
    let mut largest: Vec<&Category> = children.iter().collect();
    largest.sort_by_key(|child| std::cmp::Reverse(child.items.len()));
    let named: Vec<&str> = largest.iter().take(2).map(|child| child.name.as_str()).collect();
    match children.len() {
        0..=2 => named.join(" and "),
        more => format!("{} and {} more", named.join(", "), more - 2),
    }
}

/// Places of the siblings, those with the most alike items beside each other.
fn in_order_of_likeness(siblings: &[Category]) -> Vec<usize> {
    let matrix: Vec<Vec<f64>> = siblings
        .iter()
        .map(|a| siblings.iter().map(|b| jaccard(a, b)).collect())
        .collect();
    let tree = average_linkage(matrix, &vec![1; siblings.len()]);
    let mut order = Vec::with_capacity(siblings.len());
    let mut open = vec![tree.leaves + tree.merges.len() - 1];
    while let Some(node) = open.pop() {
        match node.checked_sub(tree.leaves) {
            Some(merge) => {
                let (a, b) = tree.merges[merge].children;
                open.extend([b, a]);
            }
            None => order.push(node),
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(categories: Vec<Category>) -> Taxonomy {
        Taxonomy {
            title: "t".into(),
            items: 100,
            categories,
        }
    }

    #[test]
    fn closure_goes_up_to_the_top() {
        let mut low = Category::new("low", [1, 2]);
        low.children = vec![Category::new("lowest", [2, 3])];
        let mut top = Category::new("top", [0, 1]);
        top.children = vec![low];
        let mut taxonomy = tree(vec![top]);
        let edits = taxonomy.close();
        assert_eq!(taxonomy.categories[0].items, [0, 1, 2, 3]);
        assert_eq!(taxonomy.categories[0].children[0].items, [1, 2, 3]);
        let added = |category: &str, items: &[u32]| Edit::Added {
            category: category.into(),
            items: items.to_vec(),
        };
        assert_eq!(edits, [added("top > low", &[3]), added("top", &[2, 3])]);
        assert_eq!(taxonomy.close(), []);
    }

    #[test]
    fn near_twins_merge_and_the_lonely_go() {
        // 4 shared of 5: 0.8. The second is larger and keeps its name.
        let mut twin = Category::new("twin", [0, 1, 2, 3]);
        twin.children = vec![Category::new("part", [0, 1])];
        let other = Category::new("other", [0, 1, 2, 3, 4]);
        let near = Category::new("near", [0, 1, 2, 9]);
        let lonely = Category::new("lonely", [7]);
        let mut taxonomy = tree(vec![twin, other, near, lonely]);
        let edits = taxonomy.tidy(&TidyOptions::default());
        let names: Vec<&str> = taxonomy.categories.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["other", "near"]);
        assert_eq!(taxonomy.categories[0].children[0].name, "part");
        assert_eq!(
            edits,
            [
                Edit::Merged {
                    category: "twin".into(),
                    into: "other".into(),
                    jaccard: 0.8
                },
                Edit::Dropped {
                    category: "lonely".into(),
                    items: vec![7]
                },
            ]
        );
    }

    #[test]
    fn too_many_children_get_a_level_between() {
        let child = |n: u32| Category::new(format!("c{n}"), [2 * (n % 2), 2 * (n % 2) + 1, 10 + n]);
        let mut top = Category::new("top", 0..40);
        top.children = (0..23).map(child).collect();
        let mut taxonomy = tree(vec![top]);
        let before = taxonomy.covered();
        let edits = taxonomy.tidy(&TidyOptions::default());
        let groups = &taxonomy.categories[0].children;
        assert_eq!(groups.len(), 3);
        assert!(taxonomy.walk().iter().all(|v| v.category.children.len() <= 10));
        assert_eq!(taxonomy.walk().len(), 1 + 23 + 3);
        assert_eq!(taxonomy.covered(), before);
        assert!(matches!(&edits[..], [Edit::Split { category, children: 23, .. }] if category == "top"));
        assert!(taxonomy.validate().is_ok());
        assert_eq!(taxonomy.tidy(&TidyOptions::default()), []);
    }
}
