//! A taxonomy from vectors and texts, without a language model.
//!
//! 1. Vectors are smoothed over the graph of nearest neighbours: each moves towards the mean of its neighbours, which draws
//!    paraphrases together.
//! 2. Ward's tree over the items is cut into leaves, and every item goes to the nearest leaf until none moves: the tree finds
//!    good centres, which k-means from chance does not, and k-means undoes what early merges got wrong.
//! 3. Ward's tree over these leaves is cut into top categories, and below them into steps of at most `max_children`.
//! 4. Names are terms that tell siblings apart.
//! 5. A category's confidence is the share of its items that are nearer to its centre than to its siblings'.
//!
//! Card 54's offline version, with linkage of leaves in place of recursive k-means.

use fingerpost_index::{Adaptive, Error as IndexError, Metric, Options as HnswOptions};
use rand::{SeedableRng, rngs::SmallRng};
use rayon::prelude::*;
use thiserror::Error;

use super::{Category, Taxonomy, naming};
use crate::{
    Criterion, Dendrogram,
    kmeans::{Effort, k_means, refine},
    linkage::to_unit,
    vector_linkage,
};

/// Items up to which neighbours are looked up exactly.
const EXACT: usize = 20_000;

/// Items up to which Ward's tree grows over single items.
const TREE: usize = 20_000;
/// Groups of k-means a leaf where it does not.
const FINE: usize = 20;
/// Texts of a leaf for each neighbour that smooths; chosen on the development sets of the example `taxonomy`.
const SMOOTHED_SHARE: usize = 12;
/// Rounds of k-means that make them.
const FINE_ROUNDS: usize = 10;

/// How a taxonomy is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Leaf categories. Default: the square root of the number of items.
    pub leaves: Option<usize>,
    /// Top categories. Default: the square root of the number of leaves, at most `max_children`.
    pub top: Option<usize>,
    /// Most children of a category, 2 and more. Default: 10.
    pub max_children: usize,
    /// Neighbours that smooth a vector, no more than a twelfth of a leaf's mean size; 0: no smoothing. Default: 5.
    pub neighbours: usize,
    /// Rounds of smoothing. Default: 2.
    pub smoothing: usize,
    /// Most rounds in which items go to the nearest leaf. Default: 30.
    pub rounds: usize,
    /// Seed of the starts.
    pub seed: u64,
    /// Title of the taxonomy.
    pub title: String,
}

/// A taxonomy with the tree it was cut from.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The categories; every item stands under one leaf and all above it.
    pub taxonomy: Taxonomy,
    /// The leaf of each item.
    pub leaves: Vec<usize>,
    /// The binary tree over the leaves.
    pub tree: Dendrogram,
}

// === impl Built ===

impl Built {
    /// The group of each item once only `groups` are left.
    pub fn cut(&self, groups: usize) -> Vec<usize> {
        let groups = self.tree.cut(groups);
        self.leaves.iter().map(|&leaf| groups[leaf]).collect()
    }
}

/// What keeps a taxonomy from being built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Vectors and texts do not fit.
    #[error("{values} values are not {texts} texts of {dimension} values each; give one vector a text")]
    Shape {
        /// Texts given.
        texts: usize,
        /// Values given.
        values: usize,
        /// Values a vector.
        dimension: usize,
    },
    /// No text at all.
    #[error("there is nothing to build a taxonomy of; give at least one text")]
    Empty,
    /// A setting out of range.
    #[error("{name} is {found}; allowed is {allowed}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What was found.
        found: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A value that is no number.
    #[error("the vector of text {text} (from 0) holds a value that is not finite; leave the text out")]
    NotFinite {
        /// Which text.
        text: usize,
    },
    /// A vector the index refuses.
    #[error(transparent)]
    Vector(#[from] IndexError),
    /// The callback said stop.
    #[error("stopped after {done} of {all} steps, as asked")]
    Stopped {
        /// Steps done.
        done: usize,
        /// Steps at most.
        all: usize,
    },
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            leaves: None,
            top: None,
            max_children: 10,
            neighbours: 5,
            smoothing: 2,
            rounds: 30,
            seed: 1,
            title: "taxonomy".to_owned(),
        }
    }
}

/// Builds a taxonomy of `texts` with their unit `vectors` (row after row, `dimension` values each).
///
/// The same input and seed give the same result. `progress` hears the steps done and the most there can be, and stops the
/// work by returning false. Cost: items^2 x dimension for neighbours and tree; beyond 20,000 items neighbours are looked up in an
/// HNSW graph, and the tree grows over groups of k-means (20 a leaf, 20,000 at most); items x leaves x dimension a round.
///
/// # Errors
/// [`BuildError`]: shapes, settings, vectors that are not finite, or stopped.
pub fn build(
    texts: &[&str],
    vectors: &[f32],
    dimension: usize,
    options: &Options,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Built, BuildError> {
    let items = texts.len();
    if items == 0 {
        return Err(BuildError::Empty);
    }
    if dimension == 0 || vectors.len() != items * dimension {
        return Err(BuildError::Shape {
            texts: items,
            values: vectors.len(),
            dimension,
        });
    }
    if let Some(at) = vectors.iter().position(|value| !value.is_finite()) {
        return Err(BuildError::NotFinite { text: at / dimension });
    }
    let setting = |name, found, allowed| Err(BuildError::Setting { name, found, allowed });
    if options.max_children < 2 {
        return setting("max_children", options.max_children, "2 and more");
    }
    if options.leaves == Some(0) {
        return setting("leaves", 0, "1 and more");
    }
    let all = 4 + options.rounds + if items > TREE { FINE_ROUNDS } else { 0 };
    let mut done = 0;
    let mut step = || {
        let go_on = progress(done, all);
        done += usize::from(go_on);
        if go_on {
            Ok(())
        } else {
            Err(BuildError::Stopped { done, all })
        }
    };
    step()?;
    let leaves = options
        .leaves
        .unwrap_or_else(|| (items as f64).sqrt().ceil() as usize)
        .min(items);
    // Neighbours from other leaves draw leaves into each other: small ones (14 texts) are better left alone, large ones (90) are
    // better smoothed.
    let near = options.neighbours.min(items / leaves / SMOOTHED_SHARE);
    let smooth = smoothed(vectors, dimension, near, options.smoothing)?;
    step()?;
    let mut stopped = None;
    let mut go_on = || step().map_err(|error| stopped = Some(error)).is_ok();
    let groups = grouped(&smooth, dimension, leaves, options, &mut go_on);
    let Some(groups) = groups else {
        return Err(stopped.unwrap_or(BuildError::Empty));
    };
    step()?;
    let leaves = groups.iter().max().map_or(0, |g| g + 1);
    let mut members = vec![Vec::new(); leaves];
    (0..)
        .zip(&groups)
        .for_each(|(item, &leaf)| members[leaf].push(item));
    let maker = Maker {
        texts,
        vectors: &smooth,
        dimension,
        most: options.max_children,
    };
    let (means, sizes) = means(&smooth, dimension, &groups);
    let tree = vector_linkage(&means, dimension, &sizes, Criterion::Ward);
    let top = options
        .top
        .unwrap_or_else(|| ((leaves as f64).sqrt().round() as usize).min(options.max_children));
    let nodes = Nodes {
        tree: &tree,
        members: &members,
    };
    let categories = maker.split(&nodes, nodes.root(), top.clamp(1, leaves), &options.title);
    let taxonomy = Taxonomy {
        title: options.title.clone(),
        items: items as u32,
        categories,
    };
    Ok(Built {
        taxonomy,
        leaves: groups,
        tree,
    })
}

/// Groups of vectors by plain k-means (the best of several starts): what a taxonomy without a tree would be, to compare with. A
/// group for each row, numbered from 0 as they appear; at most `groups`.
#[must_use]
pub fn flat_k_means(vectors: &[f32], dimension: usize, groups: usize, seed: u64) -> Vec<usize> {
    let effort = Effort {
        starts: 4,
        rounds: 30,
    };
    let mut rng = SmallRng::seed_from_u64(seed);
    k_means(vectors, dimension, groups, effort, &mut rng, &mut || true).unwrap_or_default()
}

/// A leaf for each item: Ward's tree is cut, then every item goes to the nearest centre. Beyond [`TREE`] items the tree grows over
/// the groups of k-means, several a leaf, in place of single items. `None` once `go_on` says no.
fn grouped(
    vectors: &[f32],
    dimension: usize,
    leaves: usize,
    options: &Options,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Vec<usize>> {
    let items = vectors.len() / dimension;
    let fine: Vec<usize> = if items <= TREE {
        (0..items).collect()
    } else {
        let mut rng = SmallRng::seed_from_u64(options.seed);
        let effort = Effort {
            starts: 1,
            rounds: FINE_ROUNDS,
        };
        k_means(
            vectors,
            dimension,
            (FINE * leaves).min(TREE),
            effort,
            &mut rng,
            go_on,
        )?
    };
    if !go_on() {
        return None;
    }
    let (means, sizes) = means(vectors, dimension, &fine);
    let cut = vector_linkage(&means, dimension, &sizes, Criterion::Ward).cut(leaves);
    let groups: Vec<usize> = fine.iter().map(|&group| cut[group]).collect();
    refine(vectors, dimension, &groups, options.rounds, go_on)
}

/// The mean and the size of each group.
fn means(vectors: &[f32], dimension: usize, groups: &[usize]) -> (Vec<f32>, Vec<usize>) {
    let count = groups.iter().max().map_or(0, |most| most + 1);
    let (mut means, mut sizes) = (vec![0.0_f32; count * dimension], vec![0; count]);
    for (vector, &group) in vectors.chunks_exact(dimension).zip(groups) {
        sizes[group] += 1;
        let mean = &mut means[group * dimension..(group + 1) * dimension];
        mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    for (mean, &size) in means.chunks_exact_mut(dimension).zip(&sizes) {
        mean.iter_mut().for_each(|sum| *sum /= size as f32);
    }
    (means, sizes)
}

/// Each vector moved towards the mean of its `near` neighbours, weighted by their similarity, so many times.
fn smoothed(vectors: &[f32], dimension: usize, near: usize, rounds: usize) -> Result<Vec<f32>, BuildError> {
    let rows = vectors.len() / dimension;
    let mut now = vectors.to_vec();
    if near == 0 || rounds == 0 || rows < 3 {
        return Ok(now);
    }
    let near = neighbours(vectors, dimension, near.min(rows - 1))?;
    for _ in 0..rounds {
        let next: Vec<Vec<f32>> = near
            .par_iter()
            .enumerate()
            .map(|(row, near)| {
                let mut mean = now[row * dimension..(row + 1) * dimension].to_vec();
                for &(other, weight) in near {
                    let other = &now[other as usize * dimension..(other as usize + 1) * dimension];
                    mean.iter_mut()
                        .zip(other)
                        .for_each(|(sum, value)| *sum += weight * value);
                }
                to_unit(&mut mean);
                mean
            })
            .collect();
        now = next.concat();
    }
    Ok(now)
}

/// For every row its nearest others with their similarity (not below 0).
fn neighbours(vectors: &[f32], dimension: usize, k: usize) -> Result<Vec<Vec<(u32, f32)>>, BuildError> {
    let rows: Vec<&[f32]> = vectors.chunks_exact(dimension).collect();
    // Texts without any known word have no direction, and so no neighbours.
    let blank = |row: &[f32]| row.iter().all(|&value| value == 0.0);
    let ids: Vec<u64> = (0..rows.len() as u64)
        .filter(|&id| !blank(rows[id as usize]))
        .collect();
    let options = HnswOptions {
        metric: Metric::Cosine,
        ..HnswOptions::default()
    };
    let mut index = Adaptive::new(dimension, options, EXACT)?;
    for &id in &ids {
        index.insert(id, rows[id as usize])?;
    }
    rows.par_iter()
        .enumerate()
        .map(|(at, row)| {
            if blank(row) {
                return Ok(Vec::new());
            }
            let found = index.search(row, k + 1, None)?;
            let others = found
                .neighbours
                .iter()
                .filter(|near| near.id != at as u64)
                .take(k);
            Ok(others
                .map(|near| (near.id as u32, (1.0 - near.distance).max(0.0)))
                .collect())
        })
        .collect()
}

/// The tree over the leaves, with the items below each node.
struct Nodes<'a> {
    tree: &'a Dendrogram,
    members: &'a [Vec<u32>],
}

// === impl Nodes ===

impl Nodes<'_> {
    fn root(&self) -> usize {
        (self.tree.leaves + self.tree.merges.len()).saturating_sub(1)
    }

    fn children(&self, node: usize) -> Option<(usize, usize)> {
        let merge = node.checked_sub(self.tree.leaves)?;
        Some(self.tree.merges[merge].children)
    }

    /// The nodes that a node falls into: the last merges undone first, until there are so many.
    fn parts(&self, node: usize, count: usize) -> Vec<usize> {
        let mut parts = vec![node];
        while parts.len() < count {
            // A later merge has a higher number and is less similar.
            let Some(at) = (0..parts.len()).max_by_key(|&at| parts[at]) else {
                break;
            };
            let Some((a, b)) = self.children(parts[at]) else {
                break;
            };
            parts.splice(at..=at, [a, b]);
        }
        parts
    }

    fn leaves(&self, node: usize) -> Vec<usize> {
        let (mut open, mut leaves) = (vec![node], Vec::new());
        while let Some(node) = open.pop() {
            match self.children(node) {
                Some((a, b)) => open.extend([b, a]),
                None => leaves.push(node),
            }
        }
        leaves
    }

    fn items(&self, node: usize) -> Vec<u32> {
        let leaves = self.leaves(node).into_iter();
        leaves
            .flat_map(|leaf| self.members[leaf].iter().copied())
            .collect()
    }
}

/// Makes categories of the tree over the leaves.
struct Maker<'a> {
    texts: &'a [&'a str],
    vectors: &'a [f32],
    dimension: usize,
    most: usize,
}

// === impl Maker ===

impl Maker<'_> {
    /// Categories of so many parts of `node`.
    fn split(&self, nodes: &Nodes<'_>, node: usize, count: usize, above: &str) -> Vec<Category> {
        let parts = nodes.parts(node, count);
        let items: Vec<Vec<u32>> = parts.iter().map(|&part| nodes.items(part)).collect();
        let slices: Vec<&[u32]> = items.iter().map(Vec::as_slice).collect();
        let names = naming::names(self.texts, &slices, above);
        let confidences = self.confidences(&items);
        let mut categories = Vec::with_capacity(parts.len());
        for (((&part, items), name), confidence) in parts.iter().zip(&items).zip(names).zip(confidences) {
            let leaves = nodes.leaves(part).len();
            let steps = if leaves <= self.most {
                leaves
            } else {
                (leaves as f64).sqrt().ceil().min(self.most as f64) as usize
            };
            let children = if leaves < 2 {
                Vec::new()
            } else {
                self.split(nodes, part, steps, &name)
            };
            categories.push(Category {
                children,
                confidence,
                ..Category::new(name, items.iter().copied())
            });
        }
        categories
    }

    fn row(&self, item: u32) -> &[f32] {
        &self.vectors[item as usize * self.dimension..(item as usize + 1) * self.dimension]
    }

    fn mean(&self, items: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.dimension];
        for &item in items {
            sum.iter_mut()
                .zip(self.row(item))
                .for_each(|(sum, value)| *sum += value);
        }
        sum.iter_mut().for_each(|sum| *sum /= items.len().max(1) as f32);
        sum
    }

    /// Share of each group's items that are nearest to their own group's centre.
    fn confidences(&self, groups: &[Vec<u32>]) -> Vec<f32> {
        let centre = |group: &Vec<u32>| {
            let mut mean = self.mean(group);
            to_unit(&mut mean);
            mean
        };
        let centres: Vec<Vec<f32>> = groups.iter().map(centre).collect();
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let own = |at: usize, item: u32| {
            let row = self.row(item);
            let mine = product(row, &centres[at]);
            centres
                .iter()
                .enumerate()
                .all(|(other, centre)| other == at || product(row, centre) <= mine)
        };
        let share = |(at, group): (usize, &Vec<u32>)| {
            group.iter().filter(|&&item| own(at, item)).count() as f32 / group.len().max(1) as f32
        };
        groups.iter().enumerate().map(share).collect()
    }
}

#[cfg(test)]
mod tests;
