//! What is left to save when the forest stands (`systems/30-slugger.md`, pruning).
//!
//! The paper takes out supernodes without edges, and roots with a single edge. Both are cases of one move that is tried at every
//! supernode: its edges go to its children, where opposite signs cancel, and it is taken out, if the cost does not rise.
//! Between trees, and within one, the edges are then compared with the best flat encoding; at the end, all of them together.

use super::{
    draft::{Draft, NONE},
    lift::lift_all,
    recode::{recode, unnest},
};
use crate::Graph;

/// Edges times children up to which the move is tried: with more it hardly ever pays.
const MOST_PUSHED: usize = 20_000;

/// Takes out what does not pay, and encodes pairs of trees flat where that is cheaper.
pub(super) fn prune(draft: &mut Draft, graph: &Graph) {
    dissolve_all(draft, &[false]);
    recode(draft, graph, false);
    // What is lifted may leave children that do not pay, and what is taken out gives its parent more children.
    while lift_all(draft) {
        dissolve_all(draft, &[false]);
    }
    dissolve_all(draft, &[false, true]);
    unnest(draft, graph);
}

/// Tries the move at every supernode, from the roots down, until none pays.
pub(super) fn dissolve_all(draft: &mut Draft, passes: &[bool]) {
    for equal_too in passes.iter().copied() {
        loop {
            let mut changed = false;
            for id in (draft.nodes as u32..draft.parents.len() as u32).rev() {
                if !draft.children[id as usize].is_empty() {
                    changed |= dissolve(draft, id, equal_too);
                }
            }
            if !changed {
                break;
            }
        }
    }
}

/// Pushes the edges of a supernode to its children and takes it out, if that saves; or costs as much, if `equal_too`.
fn dissolve(draft: &mut Draft, id: u32, equal_too: bool) -> bool {
    let children = &draft.children[id as usize];
    let edges = &draft.edges[id as usize];
    if edges.len() * children.len() > MOST_PUSHED {
        return false;
    }
    let links = if draft.parents[id as usize] == NONE {
        children.len()
    } else {
        1
    };
    let mut saved = (links + edges.len()) as i64;
    let mut changes = Vec::new();
    let mut change = |x: u32, y: u32, sign: i8| {
        if x == y && draft.is_leaf(x) {
            return true;
        }
        let old = draft.sign(x, y);
        saved += i64::from(old.abs()) - i64::from((old + sign).abs());
        changes.push((x, y, old + sign));
        (-1..=1).contains(&(old + sign))
    };
    for &(other, sign) in edges {
        if other == id {
            for (at, &child) in children.iter().enumerate() {
                for &sibling in &children[at..] {
                    if !change(child, sibling, sign) {
                        return false;
                    }
                }
            }
            continue;
        }
        // An edge to its own ancestor covers the pairs of two children once, their edges to the ancestor would twice.
        if draft.is_above(other, id) {
            return false;
        }
        for &child in children {
            if !change(child, other, sign) {
                return false;
            }
        }
    }
    // A loop and an edge to a child may both arrive at the same pair: then the sums above are wrong.
    let mut pairs: Vec<(u32, u32)> = changes.iter().map(|&(x, y, _)| (x.min(y), x.max(y))).collect();
    pairs.sort_unstable();
    if pairs.windows(2).any(|w| w[0] == w[1]) || saved < i64::from(!equal_too) {
        return false;
    }
    for (other, _) in std::mem::take(&mut draft.edges[id as usize]) {
        if other != id {
            draft.edges[other as usize].retain(|e| e.0 != id);
        }
    }
    for (x, y, sign) in changes {
        draft.set_sign(x, y, sign);
    }
    draft.remove(id);
    true
}
