//! Graphs whose communities are known: the hierarchical stochastic block model, and when they can be recovered at all.

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::Graph;

/// A full tree whose leaves are communities of one size; two nodes are linked by a chance that depends on the depth of their
/// lowest common ancestor alone.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockModel {
    /// Children of an inner node, 2 and more.
    pub branching: usize,
    /// Nodes of a community.
    pub leaf_size: usize,
    /// Chance of a link by depth of the lowest common ancestor: 0 (the root) to the depth of the leaves (inside a community).
    pub chances: Vec<f64>,
}

// === impl BlockModel ===

impl BlockModel {
    /// The model of the card: p_k = a_last * beta^(depth - k) * ln N / N with N nodes in all.
    pub fn geometric(branching: usize, depth: usize, leaf_size: usize, a_last: f64, beta: f64) -> Self {
        let nodes = (branching.pow(depth as u32) * leaf_size) as f64;
        let chance = |k: usize| a_last * beta.powi((depth - k) as i32) * nodes.ln() / nodes;
        Self {
            branching,
            leaf_size,
            chances: (0..=depth).map(|k| chance(k).min(1.0)).collect(),
        }
    }

    /// Depth of the leaves.
    pub fn depth(&self) -> usize {
        self.chances.len().saturating_sub(1)
    }

    /// Communities.
    pub fn leaves(&self) -> usize {
        self.branching.pow(self.depth() as u32)
    }

    /// Nodes in all.
    pub fn nodes(&self) -> usize {
        self.leaves() * self.leaf_size
    }

    /// The super-community of each node at a depth, 0 (all one) to the depth of the leaves.
    pub fn truth(&self, depth: usize) -> Vec<usize> {
        let size = self.nodes() / self.branching.pow(depth as u32).max(1);
        (0..self.nodes()).map(|v| v / size.max(1)).collect()
    }

    /// A graph of the model. Time: the number of edges and of pairs of communities.
    pub fn draw(&self, seed: u64) -> Graph {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut edges = Vec::new();
        let size = self.leaf_size;
        for a in 0..self.leaves() {
            for b in a..self.leaves() {
                let chance = self.chances[self.common_depth(a, b)];
                let pairs = if a == b {
                    size * size.saturating_sub(1) / 2
                } else {
                    size * size
                };
                for pair in chosen(pairs, chance, &mut rng) {
                    let (x, y) = if a == b {
                        triangle(pair)
                    } else {
                        (pair / size, pair % size)
                    };
                    edges.push(((a * size + x) as u32, (b * size + y) as u32));
                }
            }
        }
        Graph::new(self.nodes(), &edges, None)
    }

    /// Depth of the lowest common ancestor of two leaves.
    fn common_depth(&self, mut a: usize, mut b: usize) -> usize {
        let mut depth = self.depth();
        while a != b {
            a /= self.branching;
            b /= self.branching;
            depth -= 1;
        }
        depth
    }

    /// The Chernoff-Hellinger divergence, in units of ln N / N, between the nearest two super-communities of a depth (1 and
    /// more): above 1, all nodes can be told apart exactly as N grows; below, none can do it (Abbe and Sandon 2015).
    ///
    /// Two sibling super-communities differ in the chances towards their own members only, equally on both sides, so the
    /// maximum over t of sum pi_c (t a_c + (1 - t) b_c - a_c^t b_c^(1 - t)) lies at t = 1/2 and is
    /// sum over k >= depth of w_k (sqrt a_k - sqrt a_(depth - 1))^2, with w_k the share of nodes whose lowest common ancestor
    /// with a given one lies at depth k. This is derived from the definition, not copied from a statement for trees.
    pub fn divergence(&self, depth: usize) -> f64 {
        let (nodes, last) = (self.nodes() as f64, self.depth());
        if depth == 0 || depth > last {
            return 0.0;
        }
        let rate = |k: usize| (self.chances[k] * nodes / nodes.ln().max(f64::MIN_POSITIVE)).sqrt();
        let below = |k: usize| (self.branching as f64).powi(-(k as i32));
        (depth..=last)
            .map(|k| {
                let share = if k == last {
                    below(k)
                } else {
                    below(k) - below(k + 1)
                };
                share * (rate(k) - rate(depth - 1)).powi(2)
            })
            .sum()
    }
}

/// Numbers below `pairs`, each with the same chance, by jumping over those left out.
fn chosen(pairs: usize, chance: f64, rng: &mut SmallRng) -> Vec<usize> {
    if chance >= 1.0 {
        return (0..pairs).collect();
    }
    let mut found = Vec::new();
    if chance <= 0.0 {
        return found;
    }
    let skip = (1.0 - chance).ln();
    let mut at = 0.0;
    loop {
        at += ((1.0 - rng.random::<f64>()).ln() / skip).floor();
        if at >= pairs as f64 {
            return found;
        }
        found.push(at as usize);
        at += 1.0;
    }
}

/// The pair x > y with the number x (x - 1) / 2 + y.
fn triangle(pair: usize) -> (usize, usize) {
    let mut x = ((1.0 + (1.0 + 8.0 * pair as f64).sqrt()) / 2.0) as usize;
    while x * (x - 1) / 2 > pair {
        x -= 1;
    }
    while x * (x + 1) / 2 <= pair {
        x += 1;
    }
    (x, pair - x * (x - 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_numbered_without_gaps() {
        let pairs: Vec<_> = (0..6).map(triangle).collect();
        assert_eq!(pairs, [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]);
    }

    #[test]
    fn densities_are_those_of_the_model() {
        let model = BlockModel {
            branching: 2,
            leaf_size: 200,
            chances: vec![0.01, 0.05, 0.3],
        };
        let graph = model.draw(5);
        let truth = model.truth(2);
        assert_eq!((model.leaves(), graph.nodes(), truth[799]), (4, 800, 3));
        let mut counts = [0.0; 3];
        for (a, b) in graph.edges() {
            counts[model.common_depth(truth[a as usize], truth[b as usize])] += 1.0;
        }
        // 160,000 pairs across the root, 80,000 across the middle, 79,600 inside.
        for (count, (pairs, chance)) in
            counts
                .iter()
                .zip([(160_000.0, 0.01), (80_000.0, 0.05), (79_600.0, 0.3)])
        {
            let spread = 5.0 * f64::sqrt(pairs * chance * (1.0 - chance));
            assert!((count - pairs * chance).abs() < spread, "{counts:?}");
        }
        assert_eq!(model.draw(5), graph);
    }

    #[test]
    fn the_divergence_of_two_communities_is_the_known_one() {
        // (sqrt a - sqrt b)^2 / 2 for two communities.
        let n = 1_000.0_f64;
        let chance = |a: f64| a * n.ln() / n;
        let model = BlockModel {
            branching: 2,
            leaf_size: 500,
            chances: vec![chance(1.0), chance(9.0)],
        };
        assert!((model.divergence(1) - 2.0).abs() < 1e-9);
        // A level of its own above: w_1 = 1/4 at sqrt 4, w_2 = 1/4 at sqrt 9, against sqrt 1.
        let model = BlockModel {
            branching: 2,
            leaf_size: 250,
            chances: [1.0, 4.0, 9.0].map(chance).to_vec(),
        };
        assert!((model.divergence(1) - (0.25 + 1.0)).abs() < 1e-9);
        assert!((model.divergence(2) - 0.25).abs() < 1e-9);
    }
}
