//! How well groups agree with a graph.

use rustc_hash::FxHashMap;

use crate::Graph;

/// Modularity of a grouping of the graph's nodes, -0.5 to 1: the share of edge weight inside groups less what chance would put
/// there (Newman and Girvan 2004).
pub fn modularity(graph: &Graph, groups: &[usize]) -> f64 {
    let mut inside: FxHashMap<usize, f64> = FxHashMap::default();
    let mut ends: FxHashMap<usize, f64> = FxHashMap::default();
    let mut total = 0.0;
    for a in 0..graph.nodes() as u32 {
        let weights = graph.weights(a);
        for (i, &b) in graph.neighbours(a).iter().enumerate() {
            let weight = weights.map_or(1.0, |w| f64::from(w[i]));
            total += weight;
            *ends.entry(groups[a as usize]).or_default() += weight;
            if groups[a as usize] == groups[b as usize] {
                *inside.entry(groups[a as usize]).or_default() += weight;
            }
        }
    }
    if total == 0.0 {
        return 0.0;
    }
    let share = |group| inside.get(group).copied().unwrap_or(0.0) / total;
    ends.iter()
        .map(|(group, ends)| share(group) - (ends / total).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modularity_by_hand() {
        // Two triangles and a bridge: 7 edges; inside 3 each, ends 7 each: 2 * (3/7 - 1/4).
        let graph = Graph::new(6, &[(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3)], None);
        assert!((modularity(&graph, &[0, 0, 0, 1, 1, 1]) - 2.0 * (3.0 / 7.0 - 0.25)).abs() < 1e-12);
        assert_eq!(modularity(&Graph::new(2, &[], None), &[0, 1]), 0.0);
    }
}
