//! The greedy merging of roots (`systems/30-slugger.md`, steps 2 and 3).
//!
//! A root keeps for each adjacent root what the edges between the two trees cost, and of those that may still be re-encoded
//! (between the roots and their children) the pattern and the signs. Edges further down are final and go straight to the
//! result. A merge keeps the slot of the root with more neighbours, so that fewer of them have to be told.
//!
//! Only roots with a common neighbour, or an edge between them, gain by a merge. So a group lists its members by neighbour,
//! and a root meets those members that share one, each as often as it shares.

mod join;
mod root;

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use self::root::{Link, Root, side_by_side};
use super::{
    SummaryError, SummaryOptions,
    candidates::{Members, groups},
    draft::Draft,
    tables::{Inner, Tables},
};
use crate::Graph;

/// A member of the group at a common neighbour.
#[derive(Debug, Clone, Copy)]
struct Member {
    slot: u32,
    is_leaf: bool,
    pattern: u8,
    cost: u8,
}

struct Merging {
    tables: Tables,
    roots: Vec<Root>,
    members: Members,
    draft: Draft,
    /// Which group a slot waits in; 0 if none.
    group_of: Vec<u32>,
    /// By slot: the members of the group that are adjacent.
    shared: Vec<Vec<Member>>,
    /// By slot: what a merge gains at common neighbours.
    gains: Vec<i64>,
}

/// Merges roots for all iterations.
pub(super) fn merge(
    graph: &Graph,
    options: &SummaryOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Draft, SummaryError> {
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut merging = Merging::new(graph);
    let mut slots: Vec<u32> = (0..graph.nodes() as u32)
        .filter(|&n| graph.degree(n) > 0)
        .collect();
    let mut group_number = 0;
    for iteration in 1..=options.iterations {
        if !progress(iteration - 1, options.iterations) {
            return Err(SummaryError::Stopped);
        }
        let last = iteration == options.iterations;
        // Edges and the share of edges that a merge saves, its links counted. One that saves nothing may still help the
        // pruning, but would stand in the way of better ones before the last round.
        let least = if last {
            (0, 0.0)
        } else {
            (1, 1.0 / (1.0 + iteration as f64))
        };
        let mut merged = false;
        for group in groups(
            graph,
            &merging.members,
            slots.clone(),
            options.group_size,
            &mut random,
        ) {
            group_number += 1;
            merged |= merging.merge_group(group, group_number, least, &mut random);
        }
        if merged {
            slots.retain(|&slot| !merging.roots[slot as usize].is_gone());
        }
    }
    progress(options.iterations, options.iterations);
    Ok(merging.finish())
}

// === impl Merging ===

impl Merging {
    fn new(graph: &Graph) -> Self {
        let nodes = graph.nodes();
        Self {
            tables: Tables::new(),
            roots: (0..nodes as u32).map(|node| Root::of_node(graph, node)).collect(),
            members: Members::new(nodes),
            draft: Draft::new(nodes),
            group_of: vec![0; nodes],
            shared: vec![Vec::new(); nodes],
            gains: vec![0; nodes],
        }
    }

    fn member(&self, slot: u32, link: &Link) -> Member {
        Member {
            slot,
            is_leaf: self.roots[slot as usize].shape.is_leaf(),
            pattern: link.top.pattern,
            cost: link.top.cost,
        }
    }

    fn merge_group(
        &mut self,
        mut group: Vec<u32>,
        number: u32,
        least: (i64, f64),
        random: &mut SmallRng,
    ) -> bool {
        group.shuffle(random);
        let mut touched = Vec::new();
        for &slot in &group {
            self.group_of[slot as usize] = number;
            for at in 0..self.roots[slot as usize].links.len() {
                let link = self.roots[slot as usize].links[at];
                let member = self.member(slot, &link);
                self.shared[link.slot as usize].push(member);
                touched.push(link.slot);
            }
        }
        let mut merged = false;
        while group.len() > 1 {
            let slot = group.swap_remove(random.random_range(0..group.len()));
            self.group_of[slot as usize] = 0;
            let Some((partner, new_links)) = self.best_partner(slot, number, least) else {
                continue;
            };
            merged = true;
            let kept = self.join(slot, partner, new_links, number);
            if let Some(place) = group.iter_mut().find(|s| **s == partner) {
                *place = kept;
            }
        }
        for slot in touched {
            self.shared[slot as usize].clear();
        }
        for slot in group {
            self.group_of[slot as usize] = 0;
        }
        merged
    }

    /// The waiting member whose merge with this root saves the largest share, if that is `least`, and the links that stay new.
    fn best_partner(&mut self, slot: u32, number: u32, least: (i64, f64)) -> Option<(u32, i64)> {
        let root = &self.roots[slot as usize];
        let mut met = Vec::new();
        for link in &root.links {
            let third_is_leaf = self.roots[link.slot as usize].shape.is_leaf();
            for member in &self.shared[link.slot as usize] {
                if self.group_of[member.slot as usize] != number {
                    continue;
                }
                let at = Tables::cross_at(
                    [root.shape.is_leaf(), member.is_leaf, third_is_leaf],
                    link.top.pattern,
                    member.pattern,
                );
                let gain = &mut self.gains[member.slot as usize];
                if *gain == 0 {
                    met.push(member.slot);
                    // Far below any sum of gains: tells a member that was met from one that was not.
                    *gain = 1 << 40;
                }
                *gain += i64::from(link.top.cost + member.cost) - i64::from(self.tables.cross_cost(at));
            }
            if self.group_of[link.slot as usize] == number && self.gains[link.slot as usize] == 0 {
                met.push(link.slot);
                self.gains[link.slot as usize] = 1 << 40;
            }
        }
        let mut best: Option<(f64, u32, i64)> = None;
        for other in met {
            let gain = std::mem::take(&mut self.gains[other as usize]) - (1 << 40);
            let (a, b) = (&self.roots[slot as usize], &self.roots[other as usize]);
            let between = a.link(other);
            let (pattern, cost, deep) = between.map_or((0, 0, 0), |l| (l.top.pattern, l.top.cost, l.deep));
            let inner = self
                .tables
                .inner([a.shape, b.shape], [a.pattern, b.pattern], pattern);
            let before = a.cost + b.cost - i64::from(cost) - i64::from(deep);
            let edges = gain + i64::from(a.within_cost + b.within_cost + cost) - i64::from(inner.cost);
            let pays = |saved: i64| {
                let share = saved as f64 / before as f64;
                (saved >= least.0 && share >= least.1 && best.is_none_or(|(most, ..)| share > most))
                    .then_some(share)
            };
            // The links are counted only where there is a chance: it takes a walk over both lists.
            if pays(edges).is_none() {
                continue;
            }
            let new_links = self.new_links([a, b], [slot, other], &inner);
            if let Some(share) = pays(edges - new_links) {
                best = Some((share, other, new_links));
            }
        }
        best.map(|(_, other, new_links)| (other, new_links))
    }

    /// Links that stay from two halves to their merged root. A half that is left without edges of its own will be taken out by
    /// pruning, and its children, linked anyway, take its place.
    fn new_links(&self, halves: [&Root; 2], slots: [u32; 2], inner: &Inner) -> i64 {
        let [mut a, mut b] = halves.map(|h| h.shape.is_leaf());
        a |= inner.top[1] != 0 || inner.top[3] != 0 || inner.top[4] != 0;
        b |= inner.top[2] != 0 || inner.top[4] != 0 || inner.top[5] != 0;
        let leaves = halves.map(|h| h.shape.is_leaf());
        for (third, sides) in side_by_side(&halves[0].links, &halves[1].links) {
            if a && b {
                break;
            }
            if slots.contains(&third) {
                continue;
            }
            let patterns = sides.map(|l| l.map_or(0, |l| l.top.pattern));
            let third_is_leaf = self.roots[third as usize].shape.is_leaf();
            let at = Tables::cross_at([leaves[0], leaves[1], third_is_leaf], patterns[0], patterns[1]);
            let found = self.tables.cross(at);
            a |= found.top[1] != [0; 2];
            b |= found.top[2] != [0; 2];
        }
        i64::from(a) + i64::from(b)
    }
}
