//! Agglomerative clustering: average linkage of a matrix of similarities, average linkage and Ward's criterion of vectors.

use fingerpost_index::kernel::Kernel;
use rayon::prelude::*;

use crate::dendrogram::{Dendrogram, Merge};

/// Clusters up to which one thread looks for the nearest.
const SMALL: usize = 2_048;

/// Which clusters of vectors are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The mean inner product over all pairs of vectors.
    Average,
    /// 1 / (1 + growth of the squared distances to the mean) (Ward 1963).
    Ward,
}

/// Clusters that are still to be merged. Both criteria can be told from means and sizes alone (the mean inner product of two
/// groups is the inner product of their means), so no matrix is kept.
struct Clusters {
    kernel: Kernel,
    dimension: usize,
    means: Vec<f32>,
    squares: Vec<f32>,
    sizes: Vec<f32>,
    alive: Vec<u32>,
    criterion: Criterion,
}

/// Average linkage: merges the most similar pair again and again, the similarity of a merged pair to a third being the mean
/// weighted by sizes: p(a + b, c) = (|a| p(a, c) + |b| p(b, c)) / (|a| + |b|). `similarity` is a full symmetric matrix. Pairs
/// alike are merged smaller first, then lower numbers first. Time O(n^2) typical by nearest-neighbour lists, memory O(n^2).
///
/// # Panics
/// If the matrix is not square over the sizes.
pub fn average_linkage(mut similarity: Vec<Vec<f64>>, sizes: &[usize]) -> Dendrogram {
    let leaves = sizes.len();
    assert!(
        similarity.len() == leaves && similarity.iter().all(|row| row.len() == leaves),
        "a square matrix"
    );
    let mut sizes = sizes.to_vec();
    let mut names: Vec<usize> = (0..leaves).collect();
    let mut alive: Vec<usize> = (0..leaves).collect();
    let mut merges = Vec::with_capacity(leaves.saturating_sub(1));
    let nearest = |a: usize, alive: &[usize], similarity: &[Vec<f64>], sizes: &[usize]| {
        let key = |b: usize| {
            (
                similarity[a][b],
                std::cmp::Reverse(sizes[b]),
                std::cmp::Reverse(b),
            )
        };
        alive.iter().copied().filter(|&b| b != a).max_by(|&x, &y| {
            let (x, y) = (key(x), key(y));
            x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2)))
        })
    };
    let mut best: Vec<Option<usize>> = (0..leaves)
        .map(|a| nearest(a, &alive, &similarity, &sizes))
        .collect();
    while alive.len() > 1 {
        let key = |a: usize| {
            let b = best[a].unwrap_or(a);
            (
                similarity[a][b],
                std::cmp::Reverse(sizes[a] + sizes[b]),
                std::cmp::Reverse(a.min(b)),
            )
        };
        let Some(a) = alive.iter().copied().max_by(|&x, &y| {
            let (x, y) = (key(x), key(y));
            x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2)))
        }) else {
            break;
        };
        let Some(b) = best[a] else { break };
        let (a, b) = (a.min(b), a.max(b));
        let (na, nb) = (sizes[a] as f64, sizes[b] as f64);
        merges.push(Merge {
            children: (names[a].min(names[b]), names[a].max(names[b])),
            similarity: similarity[a][b],
            size: sizes[a] + sizes[b],
        });
        alive.retain(|&c| c != b);
        for &c in alive.iter().filter(|&&c| c != a) {
            let mean = (na * similarity[a][c] + nb * similarity[b][c]) / (na + nb);
            similarity[a][c] = mean;
            similarity[c][a] = mean;
        }
        sizes[a] += sizes[b];
        names[a] = leaves + merges.len() - 1;
        for &c in &alive {
            let stale = c == a || best[c] == Some(a) || best[c] == Some(b);
            if stale || best[c].is_some_and(|n| similarity[c][a] >= similarity[c][n]) {
                best[c] = nearest(c, &alive, &similarity, &sizes);
            }
        }
    }
    Dendrogram { leaves, merges }
}

/// The tree over clusters of vectors given by their means (row after row) and sizes. Chains of nearest neighbours, which give the
/// tree of merging the nearest pair again and again, since neither criterion ever brings a merged cluster nearer to a third than
/// both its parts were. Time O(n^2 * dimension), memory O(n * dimension). Of equals the lower number is nearer.
///
/// # Panics
/// If there is not one row of values a size.
pub fn vector_linkage(means: &[f32], dimension: usize, sizes: &[usize], criterion: Criterion) -> Dendrogram {
    assert_eq!(means.len(), sizes.len() * dimension, "a row a size");
    let mut clusters = Clusters::new(means, dimension, sizes, criterion);
    let mut merged: Vec<(u32, u32, f32)> = Vec::with_capacity(sizes.len().saturating_sub(1));
    let mut chain: Vec<u32> = Vec::new();
    while clusters.alive.len() > 1 {
        let tip = chain.last().copied().unwrap_or(clusters.alive[0]);
        if chain.is_empty() {
            chain.push(tip);
        }
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        let Some((near, similarity)) = clusters.nearest(tip, before) else {
            break;
        };
        if before == Some(near) {
            chain.truncate(chain.len() - 2);
            let (a, b) = (tip.min(near), tip.max(near));
            merged.push((a, b, similarity));
            clusters.merge(a, b);
        } else {
            chain.push(near);
        }
    }
    merged.sort_by(|x, y| y.2.total_cmp(&x.2));
    in_order(&merged, sizes)
}

/// The tree over vectors (row after row): average linkage of their cosines. Routing walks it top down.
///
/// # Panics
/// If the values are not whole rows.
pub fn vector_tree(values: &[f32], dimension: usize) -> Dendrogram {
    assert!(
        values.is_empty() || (dimension > 0 && values.len().is_multiple_of(dimension)),
        "whole rows"
    );
    let mut unit = values.to_vec();
    unit.chunks_mut(dimension.max(1)).for_each(to_unit);
    vector_linkage(
        &unit,
        dimension,
        &vec![1; values.len() / dimension.max(1)],
        Criterion::Average,
    )
}

/// Brings a vector to length 1; zero stays zero.
pub(crate) fn to_unit(row: &mut [f32]) {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|x| *x /= length);
    }
}

/// Merges of clusters named by one leaf of each, numbered as the nodes of a tree.
fn in_order(merged: &[(u32, u32, f32)], sizes: &[usize]) -> Dendrogram {
    let leaves = sizes.len();
    let mut root: Vec<usize> = (0..leaves + merged.len()).collect();
    let mut below = sizes.to_vec();
    let mut merges = Vec::with_capacity(merged.len());
    for (i, &(a, b, similarity)) in merged.iter().enumerate() {
        let (a, b) = (find(&mut root, a as usize), find(&mut root, b as usize));
        root[a] = leaves + i;
        root[b] = leaves + i;
        below.push(below[a] + below[b]);
        merges.push(Merge {
            children: (a.min(b), a.max(b)),
            similarity: f64::from(similarity),
            size: below[leaves + i],
        });
    }
    Dendrogram { leaves, merges }
}

fn find(root: &mut [usize], mut node: usize) -> usize {
    while root[node] != node {
        root[node] = root[root[node]];
        node = root[node];
    }
    node
}

// === impl Clusters ===

impl Clusters {
    fn new(means: &[f32], dimension: usize, sizes: &[usize], criterion: Criterion) -> Self {
        let kernel = Kernel::detect();
        let row = |at: usize| &means[at * dimension..(at + 1) * dimension];
        Self {
            kernel,
            dimension,
            means: means.to_vec(),
            squares: (0..sizes.len()).map(|at| kernel.dot(row(at), row(at))).collect(),
            sizes: sizes.iter().map(|&s| s as f32).collect(),
            alive: (0..sizes.len() as u32).collect(),
            criterion,
        }
    }

    fn row(&self, cluster: u32) -> &[f32] {
        let start = cluster as usize * self.dimension;
        &self.means[start..start + self.dimension]
    }

    fn similarity(&self, a: u32, b: u32, product: f32) -> f32 {
        let (a, b) = (a as usize, b as usize);
        match self.criterion {
            Criterion::Average => product,
            Criterion::Ward => {
                let apart = (self.squares[a] + self.squares[b] - 2.0 * product).max(0.0);
                1.0 / (1.0 + self.sizes[a] * self.sizes[b] / (self.sizes[a] + self.sizes[b]) * apart)
            }
        }
    }

    /// The nearest other cluster; of equals the one `before` in the chain, which ends it, or else the lowest number.
    fn nearest(&self, tip: u32, before: Option<u32>) -> Option<(u32, f32)> {
        let query = self.row(tip);
        let better = |x: (u32, f32), y: (u32, f32)| {
            let order = y.1.total_cmp(&x.1);
            let order = order.then_with(|| (before != Some(x.0)).cmp(&(before != Some(y.0))));
            if order.then(x.0.cmp(&y.0)).is_le() { x } else { y }
        };
        let best = |slots: &[u32]| {
            let mut products = vec![0.0; slots.len()];
            self.kernel.dot_rows(query, &self.means, slots, &mut products);
            let others = slots.iter().zip(products).filter(|(slot, _)| **slot != tip);
            others
                .map(|(&slot, product)| (slot, self.similarity(tip, slot, product)))
                .reduce(better)
        };
        if self.alive.len() < SMALL {
            best(&self.alive)
        } else {
            self.alive
                .par_chunks(SMALL / 2)
                .filter_map(best)
                .reduce_with(better)
        }
    }

    /// The lower number goes on as the merged cluster.
    fn merge(&mut self, a: u32, b: u32) {
        let (wide, one, two) = (self.dimension, a as usize, b as usize);
        let (na, nb) = (self.sizes[one], self.sizes[two]);
        for i in 0..wide {
            self.means[one * wide + i] =
                (na * self.means[one * wide + i] + nb * self.means[two * wide + i]) / (na + nb);
        }
        self.sizes[one] = na + nb;
        self.squares[one] = self.kernel.dot(self.row(a), self.row(a));
        if let Ok(at) = self.alive.binary_search(&b) {
            self.alive.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn linkage_by_hand() {
        // Sizes 1, 2, 1; 0 and 1 merge at .8, then p(01, 2) = (1 * .2 + 2 * .5) / 3 = .4.
        let p = vec![vec![0.0, 0.8, 0.2], vec![0.8, 0.0, 0.5], vec![0.2, 0.5, 0.0]];
        let tree = average_linkage(p, &[1, 2, 1]);
        assert_eq!(
            tree.merges[0],
            Merge {
                children: (0, 1),
                similarity: 0.8,
                size: 3
            }
        );
        assert_eq!(tree.merges[1].children, (2, 3));
        assert!((tree.merges[1].similarity - 0.4).abs() < 1e-12);
        assert_eq!(tree.cut(2), [0, 0, 1]);
        assert_eq!((tree.cut(1), tree.cut(9)), (vec![0, 0, 0], vec![0, 1, 2]));
        assert_eq!((tree.inversions(), tree.widest_gap()), (0, 2));
        let mut upside_down = tree;
        upside_down.merges[1].similarity = 0.9;
        assert_eq!(upside_down.inversions(), 1);
    }

    #[test]
    fn ward_by_hand() {
        // On a line 0, 1, 4: 0 and 1 merge at a growth of 1/2; then sizes 2 and 1, 3.5 apart: 2/3 * 12.25.
        let tree = vector_linkage(&[0.0, 1.0, 4.0], 1, &[1, 1, 1], Criterion::Ward);
        assert_eq!(tree.merges[0].children, (0, 1));
        assert!((tree.merges[0].similarity - 1.0 / 1.5).abs() < 1e-6);
        assert_eq!((tree.merges[1].children, tree.merges[1].size), ((2, 3), 3));
        assert!((tree.merges[1].similarity - 1.0 / (1.0 + 2.0 / 3.0 * 12.25)).abs() < 1e-6);
    }

    #[test]
    fn chains_give_the_tree_of_the_matrix() {
        let values: Vec<f32> = (0..60).map(|i| ((i * 37 % 101) as f32).sin()).collect();
        let mut unit = values.clone();
        unit.chunks_mut(3).for_each(to_unit);
        let product = |a: usize, b: usize| -> f64 {
            (0..3)
                .map(|i| f64::from(unit[a * 3 + i]) * f64::from(unit[b * 3 + i]))
                .sum()
        };
        let matrix = (0..20)
            .map(|a| (0..20).map(|b| product(a, b)).collect())
            .collect();
        let (chains, matrix) = (vector_tree(&values, 3), average_linkage(matrix, &[1; 20]));
        for groups in 1..20 {
            assert_eq!(chains.cut(groups), matrix.cut(groups), "{groups} groups");
        }
    }

    #[test]
    fn vectors_that_point_alike_meet_first() {
        let tree = vector_tree(&[1.0, 0.0, 0.0, 1.0, 0.9, 0.1, 0.1, 0.9], 2);
        assert_eq!(tree.cut(2), [0, 1, 0, 1]);
        assert_eq!(vector_tree(&[], 3).leaves, 0);
    }

    proptest! {
        #[test]
        fn average_linkage_has_no_inversions(values in prop::collection::vec(-1.0..1.0_f32, 2..90)) {
            let rows = values.len() / 2 * 2;
            let tree = vector_tree(&values[..rows], 2);
            prop_assert_eq!(tree.inversions(), 0);
            prop_assert_eq!(tree.merges.len() + 1, tree.leaves);
            prop_assert_eq!(tree.merges.last().map_or(1, |m| m.size), tree.leaves);
        }
    }
}
