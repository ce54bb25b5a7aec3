//! What chance alone would show: the same degrees, the ends of the edges drawn anew.

use rand::{Rng, rngs::SmallRng};
use rustc_hash::FxHashSet;

use crate::Graph;

/// Attempts for each edge. Each is drawn six times on the mean then, so that one in 400 stays as it was.
const ATTEMPTS: usize = 3;

/// A random simple graph with the degree of every node kept: two edges a-b and c-d become a-d and c-b again and again, except
/// where that would make a loop or a double. An edge keeps its weight. Time and memory O(edges).
pub(super) fn rewired(graph: &Graph, rng: &mut SmallRng) -> Graph {
    let mut edges: Vec<(u32, u32)> = Vec::with_capacity(graph.edge_count());
    let mut weights = Vec::new();
    for a in 0..graph.nodes() as u32 {
        let weighted = graph.weights(a);
        for (i, &b) in graph.neighbours(a).iter().enumerate() {
            if a < b {
                edges.push((a, b));
                weights.extend(weighted.map(|w| w[i]));
            }
        }
    }
    let name = |a: u32, b: u32| (a.min(b), a.max(b));
    let mut present: FxHashSet<(u32, u32)> = edges.iter().copied().collect();
    let attempts = if edges.len() < 2 {
        0
    } else {
        ATTEMPTS * edges.len()
    };
    for _ in 0..attempts {
        let (i, j) = (rng.random_range(0..edges.len()), rng.random_range(0..edges.len()));
        let (a, b) = edges[i];
        // Either end may come first, or low numbers would stay with high ones.
        let (c, d) = if rng.random() {
            edges[j]
        } else {
            (edges[j].1, edges[j].0)
        };
        let (one, two) = (name(a, d), name(c, b));
        if i == j || a == d || c == b || present.contains(&one) || present.contains(&two) {
            continue;
        }
        present.remove(&name(a, b));
        present.remove(&name(c, d));
        present.extend([one, two]);
        (edges[i], edges[j]) = ((a, d), (c, b));
    }
    Graph::new(graph.nodes(), &edges, (!weights.is_empty()).then_some(&weights))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::communities::BlockModel;

    #[test]
    fn degrees_stay_and_communities_go() {
        let model = BlockModel::geometric(2, 1, 100, 20.0, 0.05);
        let graph = model.draw(1);
        let chance = rewired(&graph, &mut SmallRng::seed_from_u64(2));
        assert_eq!(chance.edge_count(), graph.edge_count());
        for v in 0..graph.nodes() as u32 {
            assert_eq!(chance.degree(v), graph.degree(v));
        }
        let inside = |g: &Graph| g.edges().filter(|(a, b)| (*a < 100) == (*b < 100)).count() as f64;
        let share = |g: &Graph| inside(g) / g.edge_count() as f64;
        assert!(share(&graph) > 0.9 && (0.45..0.55).contains(&share(&chance)));
        // Nothing to swap.
        for edges in [&[][..], &[(0, 1)], &[(0, 1), (1, 2), (0, 2)]] {
            let small = Graph::new(3, edges, None);
            assert_eq!(rewired(&small, &mut SmallRng::seed_from_u64(1)), small);
        }
    }
}
