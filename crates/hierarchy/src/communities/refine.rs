//! Nodes moved to the group that explains their edges best.

use rustc_hash::FxHashMap;

use super::densely_numbered;
use crate::Graph;

/// Rounds at most; most graphs settle in fewer than ten.
const MOST_ROUNDS: usize = 20;

/// Moves every node to the group under which its edges are likeliest, given the weights between the groups as they stand at
/// the start of the round, until none moves: the local correction that brings a nearly right grouping to the limit of exact
/// recovery (Abbe and Sandon 2015; Gao, Ma, Zhang and Zhou 2017). The likelihood is that of the block model with degrees of
/// their own (Karrer and Newman 2011), under which the score of group g is sum over h of e_vh ln(m_gh / (k_g k_h)), with e_vh
/// the node's weight towards h, m_gh the weight between the groups and k their degrees. Groups may vanish, none is made. Only
/// groups among the neighbours are looked at; of equals the present one stays. Time a round: O(edges + nodes * groups around
/// a node squared), memory O(groups^2).
pub(super) fn refine(graph: &Graph, groups: &[usize]) -> Vec<usize> {
    let mut groups = densely_numbered(groups);
    for _ in 0..MOST_ROUNDS {
        let count = groups.iter().max().map_or(0, |g| g + 1);
        if count < 2 {
            break;
        }
        let mut between = vec![vec![0.0_f64; count]; count];
        for (v, &from) in groups.iter().enumerate() {
            for (u, weight) in graph.weighted_neighbours(v as u32) {
                between[from][groups[u as usize]] += weight;
            }
        }
        let degrees: Vec<f64> = between.iter().map(|row| row.iter().sum()).collect();
        let total: f64 = degrees.iter().sum();
        // A half edge more than was seen, so that what was never seen is unlikely, not impossible.
        let affinity = |g: usize, h: usize, seen: f64| {
            ((seen.max(0.0) + 0.5) * total / (degrees[g] * degrees[h]).max(f64::MIN_POSITIVE)).ln()
        };
        let mut moved = false;
        let mut next = groups.clone();
        let mut around: FxHashMap<usize, f64> = FxHashMap::default();
        for v in 0..graph.nodes() {
            around.clear();
            for (u, weight) in graph.weighted_neighbours(v as u32) {
                *around.entry(groups[u as usize]).or_default() += weight;
            }
            let mut around: Vec<(usize, f64)> = around.iter().map(|(&g, &w)| (g, w)).collect();
            around.sort_unstable_by_key(|(g, _)| *g);
            let score = |g: usize| -> f64 {
                around
                    .iter()
                    .map(|&(h, weight)| weight * affinity(g, h, between[g][h]))
                    .sum()
            };
            let (mut best, mut most) = (groups[v], score(groups[v]));
            for &(g, _) in &around {
                let found = score(g);
                if found > most + 1e-9 * most.abs() {
                    (best, most) = (g, found);
                }
            }
            moved |= best != groups[v];
            next[v] = best;
        }
        groups = densely_numbered(&next);
        if !moved {
            break;
        }
    }
    groups
}
