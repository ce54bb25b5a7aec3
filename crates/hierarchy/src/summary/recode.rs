//! Every pair of trees, and every tree within, against its best flat encoding: the edges of the graph one by one, or one edge
//! between the roots and the missing pairs (`systems/30-slugger.md`, pruning, third step).

use super::{
    draft::{Draft, NONE},
    flat::flat_size,
};
use crate::Graph;

/// The root above each supernode.
fn roots(draft: &Draft) -> Vec<u32> {
    let mut roots: Vec<u32> = (0..draft.parents.len() as u32).collect();
    let mut order: Vec<u32> = (0..draft.parents.len() as u32).collect();
    // Parents are made after their children.
    order.reverse();
    for id in order {
        let parent = draft.parents[id as usize];
        if parent != NONE {
            roots[id as usize] = roots[parent as usize];
        }
    }
    roots
}

/// Takes all that is nested in the trees out, if that saves: links that pay pair by pair may not pay in all, where there is
/// little to find.
pub(super) fn unnest(draft: &mut Draft, graph: &Graph) {
    let roots = roots(draft);
    let flat = flat_size(graph, &roots[..draft.nodes]);
    if flat.links + flat.edges >= draft.cost() {
        return;
    }
    recode(draft, graph, true);
    for id in draft.nodes as u32..draft.parents.len() as u32 {
        if draft.parents[id as usize] != NONE {
            draft.remove(id);
        }
    }
}

/// Encodes pairs of trees flat: those where that costs no more, or all.
pub(super) fn recode(draft: &mut Draft, graph: &Graph, all: bool) {
    let roots = roots(draft);
    let key = |a: u32, b: u32| {
        let (x, y) = (roots[a as usize], roots[b as usize]);
        (x.min(y), x.max(y))
    };
    let plain = |pair: (u32, u32)| draft.is_leaf(pair.0) && draft.is_leaf(pair.1);
    let mut real: Vec<((u32, u32), (u32, u32))> = graph
        .edges()
        .map(|(a, b)| (key(a, b), (a, b)))
        .filter(|(pair, _)| !plain(*pair))
        .collect();
    real.sort_unstable();
    let mut coded: Vec<((u32, u32), (u32, u32))> = Vec::new();
    for (id, edges) in (0_u32..).zip(&draft.edges) {
        for &(other, _) in edges.iter().filter(|e| id <= e.0) {
            let pair = key(id, other);
            if !plain(pair) {
                coded.push((pair, (id, other)));
            }
        }
    }
    coded.sort_unstable();
    let mut sizes = vec![0_u64; draft.parents.len()];
    let mut leaves: Vec<Vec<u32>> = vec![Vec::new(); draft.parents.len()];
    for node in 0..draft.nodes as u32 {
        let root = roots[node as usize];
        sizes[root as usize] += 1;
        if root != node {
            leaves[root as usize].push(node);
        }
    }
    let mut at = 0;
    for group in coded.chunk_by(|a, b| a.0 == b.0) {
        let (a, b) = group[0].0;
        while real.get(at).is_some_and(|r| r.0 < (a, b)) {
            at += 1;
        }
        let from = at;
        while real.get(at).is_some_and(|r| r.0 == (a, b)) {
            at += 1;
        }
        let edges = &real[from..at];
        let (x, y) = (sizes[a as usize], sizes[b as usize]);
        let pairs = if a == b { x * (x - 1) / 2 } else { x * y };
        let missing = pairs - edges.len() as u64;
        let (listed, covered) = (edges.len() as u64, missing + 1);
        if !all && listed.min(covered) > group.len() as u64 {
            continue;
        }
        clear(draft, group);
        if listed <= covered {
            for &(_, (u, v)) in edges {
                draft.set_sign(u, v, 1);
            }
        } else {
            draft.set_sign(a, b, 1);
            let members = |root: u32| match &leaves[root as usize] {
                none if none.is_empty() => vec![root],
                some => some.clone(),
            };
            for u in members(a) {
                for v in members(b) {
                    if (a != b || u < v) && !graph.has_edge(u, v) {
                        draft.set_sign(u, v, -1);
                    }
                }
            }
        }
    }
}

/// Two supernodes, the lower first.
type Pair = (u32, u32);

fn clear(draft: &mut Draft, group: &[(Pair, Pair)]) {
    for &(_, (x, y)) in group {
        draft.set_sign(x, y, 0);
    }
}
