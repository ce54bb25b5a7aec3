//! What a summary without nesting takes: the baseline (SWeG as in `systems/30-slugger.md`).
//!
//! Supernodes are a partition. The pairs between two of them, or within one, are stored as their edges one by one, or as one
//! superedge and the pairs that are missing. [`sweg`] merges greedily under that cost, in the groups and rounds of
//! [`summarize`](super::summarize); [`flat_size`] is the cost of a given partition.

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{
    Summary, SummaryError, SummaryOptions,
    candidates::{Members, groups},
};
use crate::Graph;

/// The size of a flat summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FlatSize {
    /// Links from nodes to supernodes of two nodes and more.
    pub links: usize,
    /// Superedges and the edges and missing pairs that are listed.
    pub edges: usize,
    /// Both by edges of the graph; 0 without edges.
    pub relative_size: f64,
}

/// A partition that is merged on.
struct Flat {
    /// By slot: nodes, none if it was merged away; edges within; edges to other supernodes.
    sizes: Vec<u64>,
    within: Vec<u64>,
    links: Vec<FxHashMap<u32, u64>>,
}

/// What the pairs between two supernodes take, or within one.
fn cost(pairs: u64, edges: u64) -> u64 {
    if edges == 0 {
        0
    } else {
        edges.min(1 + pairs - edges)
    }
}

/// The cost of a partition that is named by a supernode for each node.
///
/// # Panics
/// If there is not a supernode for each node.
pub fn flat_size(graph: &Graph, supernodes: &[u32]) -> FlatSize {
    assert_eq!(supernodes.len(), graph.nodes(), "a supernode for each node");
    let mut sizes: FxHashMap<u32, u64> = FxHashMap::default();
    for &supernode in supernodes {
        *sizes.entry(supernode).or_default() += 1;
    }
    let mut pairs: Vec<(u32, u32)> = graph
        .edges()
        .map(|(a, b)| (supernodes[a as usize], supernodes[b as usize]))
        .map(|(a, b)| (a.min(b), a.max(b)))
        .collect();
    pairs.sort_unstable();
    let edges = pairs.chunk_by(|x, y| x == y).map(|same| {
        let (a, b) = same[0];
        let (x, y) = (sizes[&a], sizes[&b]);
        let all = if a == b { x * (x - 1) / 2 } else { x * y };
        cost(all, same.len() as u64)
    });
    let edges = edges.sum::<u64>() as usize;
    let links = sizes.values().filter(|size| **size > 1).sum::<u64>() as usize;
    FlatSize {
        links,
        edges,
        relative_size: (links + edges) as f64 / (graph.edge_count() as f64).max(1.0),
    }
}

/// A flat summary of the merges of another: its trees, without what is nested in them.
pub fn flattened(graph: &Graph, summary: &Summary) -> FlatSize {
    let root = |node: u32| summary.ancestors(node).last().unwrap_or(node);
    let roots: Vec<u32> = (0..graph.nodes() as u32).map(root).collect();
    flat_size(graph, &roots)
}

/// A flat summary, merged greedily in the groups and under the thresholds that these options give a nested one. Time:
/// O(iterations x edges) for a bounded group size and bounded degrees.
///
/// # Errors
/// [`SummaryError`]: an option out of range, too many nodes.
pub fn sweg(graph: &Graph, options: &SummaryOptions) -> Result<FlatSize, SummaryError> {
    options.check(graph)?;
    let mut random = SmallRng::seed_from_u64(options.seed);
    let (mut flat, mut members) = (Flat::new(graph), Members::new(graph.nodes()));
    let mut slots: Vec<u32> = (0..graph.nodes() as u32)
        .filter(|&n| graph.degree(n) > 0)
        .collect();
    for iteration in 1..=options.iterations {
        let least = if iteration == options.iterations {
            0.0
        } else {
            1.0 / (1.0 + iteration as f64)
        };
        for mut group in groups(graph, &members, slots.clone(), options.group_size, &mut random) {
            group.shuffle(&mut random);
            while group.len() > 1 {
                let slot = group.swap_remove(random.random_range(0..group.len()));
                let best = (0..group.len())
                    .map(|at| (at, flat.saving(slot, group[at])))
                    .max_by(|a, b| a.1.total_cmp(&b.1));
                if let Some((at, saving)) = best
                    && saving > 0.0
                    && saving >= least
                {
                    flat.merge(group[at], slot);
                    members.join(group[at], slot);
                }
            }
        }
        slots.retain(|&slot| flat.sizes[slot as usize] > 0);
    }
    let mut supernodes: Vec<u32> = (0..graph.nodes() as u32).collect();
    for slot in slots {
        for node in members.of(slot) {
            supernodes[node as usize] = slot;
        }
    }
    Ok(flat_size(graph, &supernodes))
}

// === impl Flat ===

impl Flat {
    fn new(graph: &Graph) -> Self {
        let nodes = 0..graph.nodes() as u32;
        Self {
            sizes: vec![1; graph.nodes()],
            within: vec![0; graph.nodes()],
            links: nodes
                .map(|node| graph.neighbours(node).iter().map(|&to| (to, 1)).collect())
                .collect(),
        }
    }

    fn loop_cost(size: u64, within: u64) -> u64 {
        cost(size * (size - 1) / 2, within)
    }

    /// What a supernode takes: its links to nodes, and the pairs with all others and within.
    fn cost_of(&self, slot: u32) -> u64 {
        let size = self.sizes[slot as usize];
        let links = if size > 1 { size } else { 0 };
        let across = self.links[slot as usize].iter();
        links
            + Self::loop_cost(size, self.within[slot as usize])
            + across
                .map(|(&to, &edges)| cost(size * self.sizes[to as usize], edges))
                .sum::<u64>()
    }

    /// The share that a merge saves of what both take.
    fn saving(&self, a: u32, b: u32) -> f64 {
        let (x, y) = (self.sizes[a as usize], self.sizes[b as usize]);
        let (from_a, from_b) = (&self.links[a as usize], &self.links[b as usize]);
        let between = from_a.get(&b).copied().unwrap_or(0);
        let size = x + y;
        let with = |to: u32, edges: u64| cost(size * self.sizes[to as usize], edges);
        let mut after =
            size + Self::loop_cost(size, self.within[a as usize] + self.within[b as usize] + between);
        for (&to, &edges) in from_a.iter().filter(|e| *e.0 != b) {
            after += with(to, edges + from_b.get(&to).copied().unwrap_or(0));
        }
        for (&to, &edges) in from_b.iter().filter(|e| *e.0 != a && !from_a.contains_key(e.0)) {
            after += with(to, edges);
        }
        let before = self.cost_of(a) + self.cost_of(b) - cost(x * y, between);
        1.0 - after as f64 / (before as f64).max(1.0)
    }

    /// Adds `gone` to `kept`.
    fn merge(&mut self, kept: u32, gone: u32) {
        for (to, edges) in std::mem::take(&mut self.links[gone as usize]) {
            self.links[to as usize].remove(&gone);
            if to == kept {
                self.within[kept as usize] += edges;
            } else {
                *self.links[kept as usize].entry(to).or_default() += edges;
                *self.links[to as usize].entry(kept).or_default() += edges;
            }
        }
        self.within[kept as usize] += std::mem::take(&mut self.within[gone as usize]);
        self.sizes[kept as usize] += std::mem::take(&mut self.sizes[gone as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_costs_edges_or_what_is_missing() {
        // A clique of four without an edge, and a fifth node at two of them.
        let edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (4, 0), (4, 1)];
        let graph = Graph::new(5, &edges, None);
        let apart = flat_size(&graph, &[0, 1, 2, 3, 4]);
        assert_eq!((apart.links, apart.edges, apart.relative_size), (0, 7, 1.0));
        // Four links; a superedge and what is missing; two edges.
        let joined = flat_size(&graph, &[7, 7, 7, 7, 4]);
        assert_eq!((joined.links, joined.edges), (4, 4));
    }

    #[test]
    fn twins_are_merged() {
        let edges: Vec<_> = (0..6).flat_map(|a| (6..12).map(move |b| (a, b))).collect();
        let graph = Graph::new(12, &edges, None);
        let flat = sweg(&graph, &SummaryOptions::default()).unwrap();
        // One side: to merge the other too would take six links to save five superedges.
        assert_eq!((flat.links, flat.edges), (6, 6));
    }
}
