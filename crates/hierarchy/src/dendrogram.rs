//! Trees of merges: what linkage makes, how it is cut and measured.

use serde::{Deserialize, Serialize};

use crate::Graph;

/// A binary tree over leaves 0, 1, 2 ...; the merge number i makes the node `leaves + i`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Dendrogram {
    /// Leaves: communities, or vectors.
    pub leaves: usize,
    /// Merges in their order, `leaves - 1` of them (none for no leaf).
    pub merges: Vec<Merge>,
}

/// Two nodes become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    /// The nodes.
    pub children: (usize, usize),
    /// The similarity at which they merge: a density of edges for communities, a cosine for vectors. The lower, the higher up.
    pub similarity: f64,
    /// Items below it.
    pub size: usize,
}

// === impl Dendrogram ===

impl Dendrogram {
    /// Groups of leaves once only `groups` are left (1 to `leaves`; others are brought into that range): a number from 0 for
    /// each leaf, in the order in which leaves name them.
    pub fn cut(&self, groups: usize) -> Vec<usize> {
        let undone = groups.clamp(1, self.leaves.max(1)) - 1;
        let kept = self.merges.len().saturating_sub(undone);
        let mut above: Vec<usize> = (0..self.leaves + self.merges.len()).collect();
        for (i, merge) in self.merges.iter().enumerate().take(kept) {
            above[merge.children.0] = self.leaves + i;
            above[merge.children.1] = self.leaves + i;
        }
        let mut names = rustc_hash::FxHashMap::default();
        (0..self.leaves)
            .map(|leaf| {
                let mut node = leaf;
                while above[node] != node {
                    node = above[node];
                }
                let next = names.len();
                *names.entry(node).or_insert(next)
            })
            .collect()
    }

    /// The number of groups at which the similarity falls most from one merge to the next, as a ratio; 1 for fewer than two
    /// merges.
    pub fn widest_gap(&self) -> usize {
        let fall =
            |i: usize| self.merges[i].similarity / self.merges[i + 1].similarity.max(f64::MIN_POSITIVE);
        let best = (0..self.merges.len().saturating_sub(1)).max_by(|&a, &b| fall(a).total_cmp(&fall(b)));
        best.map_or(1, |i| self.merges.len() - i)
    }

    /// Merges that are more similar than a merge below them: a tree that contradicts itself. Average linkage has none.
    pub fn inversions(&self) -> usize {
        let below = |node: usize| node.checked_sub(self.leaves).map(|i| self.merges[i].similarity);
        let contradicts = |m: &Merge, child| below(child).is_some_and(|s| m.similarity > s * (1.0 + 1e-12));
        self.merges
            .iter()
            .filter(|m| contradicts(m, m.children.0) || contradicts(m, m.children.1))
            .count()
    }

    /// Dasgupta's cost of the tree for a graph: over all edges, weight times the number of nodes below the edge's lowest common
    /// ancestor. `labels` gives each node's leaf; nodes of one leaf meet in it. The lower the better.
    ///
    /// # Panics
    /// If there are not as many labels as nodes, or a label that is no leaf.
    pub fn dasgupta_cost(&self, graph: &Graph, labels: &[usize]) -> f64 {
        assert_eq!(labels.len(), graph.nodes(), "a label for each node");
        let total = self.leaves + self.merges.len();
        let mut parent = vec![usize::MAX; total];
        let mut size = vec![0_usize; total];
        labels.iter().for_each(|&l| size[l] += 1);
        for (i, merge) in self.merges.iter().enumerate() {
            let node = self.leaves + i;
            size[node] = size[merge.children.0] + size[merge.children.1];
            parent[merge.children.0] = node;
            parent[merge.children.1] = node;
        }
        let meet = |mut a: usize, mut b: usize| {
            // A parent's number is greater than its children's.
            while a != b {
                if a < b {
                    a = parent[a];
                } else {
                    b = parent[b];
                }
                if a == usize::MAX || b == usize::MAX {
                    return labels.len();
                }
            }
            size[a]
        };
        let mut cost = 0.0;
        for a in 0..graph.nodes() as u32 {
            let weights = graph.weights(a);
            for (i, &b) in graph.neighbours(a).iter().enumerate() {
                if a < b {
                    let weight = weights.map_or(1.0, |w| f64::from(w[i]));
                    cost += weight * meet(labels[a as usize], labels[b as usize]) as f64;
                }
            }
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_by_hand() {
        // A path of three; the tree joins 0 and 1 first: 2 + 3.
        let graph = Graph::new(3, &[(0, 1), (1, 2)], None);
        let merge = |a, b, size| Merge {
            children: (a, b),
            similarity: 1.0,
            size,
        };
        let tree = Dendrogram {
            leaves: 3,
            merges: vec![merge(0, 1, 2), merge(2, 3, 3)],
        };
        assert_eq!(tree.dasgupta_cost(&graph, &[0, 1, 2]), 5.0);
        // All in one leaf: every edge costs all nodes.
        let one = Dendrogram {
            leaves: 1,
            merges: vec![],
        };
        assert_eq!(one.dasgupta_cost(&graph, &[0, 0, 0]), 6.0);
    }
}
