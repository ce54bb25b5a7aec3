//! Boosted regression trees: small trees, each on what the ones before left wrong.
//!
//! Second-order boosting (Friedman 2001; Chen and Guestrin 2016) over binned features: a leaf's value is -sum of slopes over sum
//! of curvatures, a split is worth what it takes off the loss. Every tree sees a part of the lists and of the features, drawn by
//! the seed, so that two runs grow the same trees.

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::index::sample};
use serde::{Deserialize, Serialize};

use super::{Lists, Objective};

const BINS: usize = 64;
/// Curvature below which a leaf is too small.
const LIGHTEST: f32 = 0.5;

/// How trees grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    /// Trees.
    pub(crate) trees: usize,
    /// Splits from root to leaf.
    pub(crate) depth: usize,
    /// How much of a leaf's value is taken.
    pub(crate) rate: f32,
    /// What is added to a leaf's curvature.
    pub(crate) l2: f32,
    /// Share of the lists that a tree sees.
    pub(crate) lists: f32,
    /// Share of the features that a tree sees.
    pub(crate) features: f32,
}

/// Trees whose values are added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trees {
    trees: Vec<Tree>,
}

/// Nodes; the root is the first, the two children of a node stand beside each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    /// What decides; of a leaf, nothing does.
    feature: u16,
    /// Up to this the left child, above it the right one.
    threshold: f32,
    /// The left child; 0 for a leaf.
    left: u16,
    /// What a row that ends here gets, and of an inner node what it would get.
    value: f32,
}

/// Features as places of bins, column by column.
struct Binned {
    rows: usize,
    bins: Vec<u8>,
    /// The upper ends of each feature's bins but the last.
    ends: Vec<Vec<f32>>,
}

// === impl Trees ===

impl Trees {
    /// Grows trees on top of what rows score already; after each, `more` is told the scores and says whether to go on.
    pub(crate) fn fit(lists: &Lists, base: &[f32], objective: Objective, growth: Growth, seed: u64) -> Self {
        let mut this = Self::default();
        if lists.rows() == 0 || lists.width == 0 {
            return this;
        }
        let binned = Binned::new(lists);
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut scores = base.to_vec();
        let (mut slopes, mut bends) = (vec![0.0; lists.rows()], vec![0.0; lists.rows()]);
        for _ in 0..growth.trees {
            let mut seen = Vec::with_capacity(lists.rows());
            for span in lists.spans() {
                let (slopes, bends) = (&mut slopes[span.clone()], &mut bends[span.clone()]);
                objective.slopes(&scores[span.clone()], &lists.grades[span.clone()], slopes, bends);
                if rng.random::<f32>() < growth.lists {
                    seen.extend(span.map(|row| row as u32));
                }
            }
            let many = ((lists.width as f32 * growth.features).ceil() as usize).clamp(1, lists.width);
            let features = sample(&mut rng, lists.width, many).into_vec();
            let tree = Tree::grow(&binned, seen, &features, &slopes, &bends, growth);
            for (row, score) in scores.iter_mut().enumerate() {
                *score += tree.leaf(lists.row(row)).value;
            }
            this.trees.push(tree);
        }
        this
    }

    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        self.trees.iter().map(|tree| tree.leaf(row).value).sum()
    }

    /// Adds to each feature's place what its splits did to the row's value on its way down.
    pub(crate) fn explain(&self, row: &[f32], shares: &mut [f32]) {
        for tree in &self.trees {
            let mut node = tree.nodes[0];
            while node.left > 0 {
                let next = tree.nodes[node.next(row)];
                shares[node.feature as usize] += next.value - node.value;
                node = next;
            }
        }
    }

    /// Whether every node leads to nodes that are there, without end, by features that a row of this width has.
    pub(crate) fn is_sound(&self, width: usize) -> bool {
        self.trees.iter().all(|tree| {
            !tree.nodes.is_empty()
                && tree.nodes.iter().enumerate().all(|(place, node)| {
                    let left = node.left as usize;
                    left == 0
                        || (left > place && left + 1 < tree.nodes.len() && (node.feature as usize) < width)
                })
        })
    }
}

// === impl Tree ===

impl Tree {
    fn grow(
        binned: &Binned,
        rows: Vec<u32>,
        features: &[usize],
        slopes: &[f32],
        bends: &[f32],
        growth: Growth,
    ) -> Self {
        let value = |rows: &[u32]| {
            let (g, h) = sums(rows, slopes, bends);
            -growth.rate * g / (h + growth.l2)
        };
        let mut tree = Self {
            nodes: vec![Node {
                value: value(&rows),
                ..Node::default()
            }],
        };
        let mut open = vec![(0_usize, rows)];
        for _ in 0..growth.depth {
            let mut next = Vec::new();
            for (place, rows) in open {
                let Some((feature, bin)) = binned.split(&rows, features, slopes, bends, growth.l2) else {
                    continue;
                };
                let column = binned.column(feature);
                let (left, right): (Vec<u32>, Vec<u32>) =
                    rows.into_iter().partition(|&row| column[row as usize] <= bin);
                let children = tree.nodes.len();
                for rows in [&left, &right] {
                    tree.nodes.push(Node {
                        value: value(rows),
                        ..Node::default()
                    });
                }
                let node = &mut tree.nodes[place];
                node.feature = feature as u16;
                node.threshold = binned.ends[feature][bin as usize];
                node.left = children as u16;
                next.push((children, left));
                next.push((children + 1, right));
            }
            open = next;
        }
        tree
    }

    fn leaf(&self, row: &[f32]) -> Node {
        let mut node = self.nodes[0];
        while node.left > 0 {
            node = self.nodes[node.next(row)];
        }
        node
    }
}

// === impl Node ===

impl Node {
    fn next(&self, row: &[f32]) -> usize {
        self.left as usize + usize::from(row[self.feature as usize] > self.threshold)
    }
}

// === impl Binned ===

impl Binned {
    fn new(lists: &Lists) -> Self {
        let rows = lists.rows();
        let mut this = Self {
            rows,
            bins: Vec::with_capacity(rows * lists.width),
            ends: Vec::with_capacity(lists.width),
        };
        for feature in 0..lists.width {
            let value = |row: usize| lists.values[row * lists.width + feature];
            let step = (rows / 20_000).max(1);
            let mut sorted: Vec<f32> = (0..rows).step_by(step).map(value).collect();
            sorted.sort_unstable_by(f32::total_cmp);
            let highest = sorted.last().copied().unwrap_or(0.0);
            let mut ends: Vec<f32> = (1..BINS)
                .map(|bin| sorted[(sorted.len() - 1) * bin / BINS])
                .collect();
            ends.dedup();
            ends.retain(|end| *end < highest);
            this.bins
                .extend((0..rows).map(|row| ends.partition_point(|end| *end < value(row)) as u8));
            this.ends.push(ends);
        }
        this
    }

    fn column(&self, feature: usize) -> &[u8] {
        &self.bins[feature * self.rows..(feature + 1) * self.rows]
    }

    /// The feature and bin whose split takes most off the loss, where any does.
    fn split(
        &self,
        rows: &[u32],
        features: &[usize],
        slopes: &[f32],
        bends: &[f32],
        l2: f32,
    ) -> Option<(usize, u8)> {
        let (g, h) = sums(rows, slopes, bends);
        let worth = |g: f32, h: f32| g * g / (h + l2);
        let whole = worth(g, h);
        let mut found = None;
        let mut most = 1e-4;
        for &feature in features {
            let ends = self.ends[feature].len();
            if ends == 0 {
                continue;
            }
            let column = self.column(feature);
            let mut bins = [(0.0_f32, 0.0_f32); BINS];
            for &row in rows {
                let bin = &mut bins[column[row as usize] as usize];
                bin.0 += slopes[row as usize];
                bin.1 += bends[row as usize];
            }
            let (mut left_g, mut left_h) = (0.0, 0.0);
            for (bin, sums) in bins[..ends].iter().enumerate() {
                left_g += sums.0;
                left_h += sums.1;
                if left_h < LIGHTEST || h - left_h < LIGHTEST {
                    continue;
                }
                let gain = worth(left_g, left_h) + worth(g - left_g, h - left_h) - whole;
                if gain > most {
                    most = gain;
                    found = Some((feature, bin as u8));
                }
            }
        }
        found
    }
}

fn sums(rows: &[u32], slopes: &[f32], bends: &[f32]) -> (f32, f32) {
    rows.iter().fold((0.0, 0.0), |(g, h), &row| {
        (g + slopes[row as usize], h + bends[row as usize])
    })
}
