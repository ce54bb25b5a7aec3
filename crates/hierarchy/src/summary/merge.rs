//! The greedy merging of roots (`systems/30-slugger.md`, steps 2 and 3).
//!
//! A root keeps for each adjacent root what the edges between the two trees cost, and of those that may still be re-encoded
//! (between the roots and their children) the pattern and the signs. Edges further down are final and go straight to the
//! result. A merge keeps the slot of the root with more neighbours, so that fewer of them have to be told.
//!
//! Only roots with a common neighbour, or an edge between them, gain by a merge. So a group lists its members by neighbour,
//! and a root meets those members that share one, each as often as it shares.

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use super::{
    SummaryError, SummaryOptions,
    candidates::{Members, groups},
    draft::Draft,
    tables::{Adds, Inner, Shape, Tables},
};
use crate::Graph;

/// A root's side of a pair of adjacent roots.
#[derive(Debug, Clone, Copy)]
struct Link {
    slot: u32,
    /// Edges that are final.
    deep: u32,
    top: Top,
}

/// Signs of the edges between a root and its children, and another and its children; pattern and cost of these.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Top {
    /// Row: this root, its first child, its second; column: the other.
    signs: [[i8; 3]; 3],
    /// Bit 2i + j: this root's child i to the other's child j.
    pattern: u8,
    cost: u8,
}

/// A root.
#[derive(Debug, Clone)]
struct Root {
    /// Itself and its children; a leaf's are itself.
    ids: [u32; 3],
    shape: Shape,
    /// Signs within: with itself, itself and each child, first and first, first and second, second and second child.
    within: [i8; 6],
    /// Which of the three blocks within these fill.
    pattern: u8,
    within_cost: u8,
    /// All edges at the tree's supernodes, and from parents to children.
    cost: i64,
    links: Vec<Link>,
}

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
            slots.retain(|&slot| merging.roots[slot as usize].cost >= 0);
        }
    }
    progress(options.iterations, options.iterations);
    Ok(merging.finish())
}

// === impl Top ===

impl Top {
    fn turned(&self) -> Self {
        let p = self.pattern;
        Self {
            signs: std::array::from_fn(|row| std::array::from_fn(|column| self.signs[column][row])),
            pattern: p & 0b1001 | (p & 2) << 1 | (p & 4) >> 1,
            cost: self.cost,
        }
    }
}

/// The signs of the edges to a root and its children that add this to the children.
fn row(adds: Adds) -> [i8; 3] {
    if adds[0] == adds[1] {
        [adds[0], 0, 0]
    } else {
        [0, adds[0], adds[1]]
    }
}

// === impl Merging ===

impl Merging {
    fn new(graph: &Graph) -> Self {
        let link = |&slot: &u32| Link {
            slot,
            deep: 0,
            top: Top {
                signs: [[1, 0, 0], [0; 3], [0; 3]],
                pattern: 0b1111,
                cost: 1,
            },
        };
        let nodes = graph.nodes();
        let roots = (0..nodes as u32).map(|node| Root {
            ids: [node; 3],
            shape: Shape::LEAF,
            within: [0; 6],
            pattern: 0,
            within_cost: 0,
            cost: graph.degree(node) as i64,
            links: graph.neighbours(node).iter().map(link).collect(),
        });
        Self {
            tables: Tables::new(),
            roots: roots.collect(),
            members: Members::new(nodes),
            draft: Draft::new(nodes),
            group_of: vec![0; nodes],
            shared: vec![Vec::new(); nodes],
            gains: vec![0; nodes],
        }
    }

    fn link(&self, from: u32, to: u32) -> Option<&Link> {
        let links = &self.roots[from as usize].links;
        links
            .binary_search_by_key(&to, |l| l.slot)
            .ok()
            .map(|at| &links[at])
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
            let links = &a.links;
            let between = links
                .binary_search_by_key(&other, |l| l.slot)
                .ok()
                .map(|at| links[at]);
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
        let (mut left, mut right) = (
            halves[0].links.iter().peekable(),
            halves[1].links.iter().peekable(),
        );
        while !(a && b) {
            let (from_a, from_b) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(l), Some(r)) if l.slot == r.slot => (left.next(), right.next()),
                (Some(l), Some(r)) if l.slot < r.slot => (left.next(), None),
                (Some(_), None) => (left.next(), None),
                _ => (None, right.next()),
            };
            let third = from_a.or(from_b).map_or(0, |l| l.slot);
            if slots.contains(&third) {
                continue;
            }
            let patterns = [from_a, from_b].map(|l| l.map_or(0, |l| l.top.pattern));
            let third_is_leaf = self.roots[third as usize].shape.is_leaf();
            let at = Tables::cross_at([leaves[0], leaves[1], third_is_leaf], patterns[0], patterns[1]);
            let found = self.tables.cross(at);
            a |= found.top[1] != [0; 2];
            b |= found.top[2] != [0; 2];
        }
        i64::from(a) + i64::from(b)
    }

    /// Merges two roots; the slot of the merged one.
    fn join(&mut self, a: u32, b: u32, new_links: i64, number: u32) -> u32 {
        let links = |slot: u32| self.roots[slot as usize].links.len();
        let (kept, gone) = if links(a) >= links(b) { (a, b) } else { (b, a) };
        let empty = Root {
            ids: [0; 3],
            shape: Shape::LEAF,
            within: [0; 6],
            pattern: 0,
            within_cost: 0,
            cost: -1,
            links: Vec::new(),
        };
        let a = std::mem::replace(&mut self.roots[kept as usize], empty.clone());
        let b = std::mem::replace(&mut self.roots[gone as usize], empty);
        let id = self.draft.add_parent(a.ids[0], b.ids[0]);
        let mut merged = Root {
            ids: [id, a.ids[0], b.ids[0]],
            shape: Shape::of_children(a.shape.is_leaf(), b.shape.is_leaf()),
            within: [0; 6],
            pattern: 0,
            within_cost: 0,
            cost: a.cost + b.cost + new_links,
            links: Vec::with_capacity(a.links.len().max(b.links.len())),
        };
        let mut between = None;
        let (mut left, mut right) = (a.links.iter().peekable(), b.links.iter().peekable());
        loop {
            let (from_a, from_b) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(l), Some(r)) if l.slot == r.slot => (left.next(), right.next()),
                (Some(l), Some(r)) if l.slot < r.slot => (left.next(), None),
                (Some(_), None) => (left.next(), None),
                _ => (None, right.next()),
            };
            let third = from_a.or(from_b).map_or(0, |l| l.slot);
            if third == gone || third == kept {
                between = from_a.or(between);
                continue;
            }
            let link = self.cross(&mut merged, [&a, &b], third, [from_a, from_b]);
            merged.links.push(link);
            self.tell(third, [kept, gone], &link);
        }
        self.inner(&mut merged, [&a, &b], between.copied());
        self.members.join(kept, gone);
        self.roots[kept as usize] = merged;
        self.group_of[gone as usize] = 0;
        self.group_of[kept as usize] = number;
        // The lists of neighbours of this group, as `merge_group` set them up.
        let slots: Vec<u32> = self.roots[kept as usize].links.iter().map(|l| l.slot).collect();
        self.shared[gone as usize].clear();
        self.shared[kept as usize].retain(|m| m.slot != gone);
        for third in slots {
            if let Some(&link) = self.link(kept, third) {
                let member = self.member(kept, &link);
                let shared = &mut self.shared[third as usize];
                shared.retain(|m| m.slot != kept && m.slot != gone);
                shared.push(member);
            }
            if self.group_of[third as usize] == number
                && let Some(&link) = self.link(third, kept)
            {
                let member = self.member(third, &link);
                let shared = &mut self.shared[kept as usize];
                shared.retain(|m| m.slot != third);
                shared.push(member);
            }
        }
        kept
    }

    /// The new link of the merged root to a third one.
    fn cross(&mut self, merged: &mut Root, halves: [&Root; 2], third: u32, old: [Option<&Link>; 2]) -> Link {
        let shape = self.roots[third as usize].shape;
        let patterns = old.map(|l| l.map_or(0, |l| l.top.pattern));
        let [a, b] = halves.map(|h| h.shape.is_leaf());
        let found = *self.tables.cross(Tables::cross_at(
            [a, b, shape.is_leaf()],
            patterns[0],
            patterns[1],
        ));
        let ids = self.roots[third as usize].ids;
        for (child, &adds) in found.deep.iter().enumerate() {
            let from = halves[child / 2].ids[1 + child % 2];
            for (to, sign) in ids.into_iter().zip(row(adds)) {
                self.draft.add_edge(from, to, sign);
            }
        }
        let before: u32 = old.iter().flatten().map(|l| u32::from(l.top.cost) + l.deep).sum();
        let link = Link {
            slot: third,
            deep: old.iter().flatten().map(|l| l.deep).sum::<u32>() + u32::from(found.deep_cost),
            top: Top {
                signs: found.top.map(row),
                pattern: found.pattern,
                cost: found.cost - found.deep_cost,
            },
        };
        let change = i64::from(link.deep) + i64::from(link.top.cost) - i64::from(before);
        merged.cost += change;
        self.roots[third as usize].cost += change;
        link
    }

    /// Puts the merged root in the place of its halves in a third root's list.
    fn tell(&mut self, third: u32, [kept, gone]: [u32; 2], link: &Link) {
        let back = Link {
            slot: kept,
            deep: link.deep,
            top: link.top.turned(),
        };
        let links = &mut self.roots[third as usize].links;
        if let Ok(at) = links.binary_search_by_key(&gone, |l| l.slot) {
            links.remove(at);
        }
        match links.binary_search_by_key(&kept, |l| l.slot) {
            Ok(at) => links[at] = back,
            Err(at) => links.insert(at, back),
        }
    }

    /// The encoding within the merged root.
    fn inner(&mut self, merged: &mut Root, [a, b]: [&Root; 2], between: Option<Link>) {
        let pattern = between.map_or(0, |l| l.top.pattern);
        let found: Inner = self
            .tables
            .inner([a.shape, b.shape], [a.pattern, b.pattern], pattern);
        let m = merged.ids[0];
        let children = [a.ids[1], a.ids[2], b.ids[1], b.ids[2]];
        for (child, &[own, across]) in found.rows.iter().enumerate() {
            let (half, other) = if child < 2 {
                (a.ids[0], b.ids[0])
            } else {
                (b.ids[0], a.ids[0])
            };
            for (to, sign) in [m, half, other].into_iter().zip(row([own, across])) {
                self.draft.add_edge(to, children[child], sign);
            }
        }
        const BLOCKS: [[usize; 2]; 10] = [
            [0, 0],
            [0, 1],
            [1, 1],
            [2, 2],
            [2, 3],
            [3, 3],
            [0, 2],
            [0, 3],
            [1, 2],
            [1, 3],
        ];
        for ([x, y], &sign) in BLOCKS.into_iter().zip(&found.blocks) {
            self.draft.add_edge(children[x], children[y], sign);
        }
        merged.within = found.top;
        merged.pattern = found.pattern;
        merged.within_cost = found.cost - found.deep_cost;
        let (old, deep) = between.map_or((0, 0), |l| (i64::from(l.top.cost), i64::from(l.deep)));
        // Both halves counted the edges between them.
        merged.cost += i64::from(found.cost) - i64::from(a.within_cost + b.within_cost) - 2 * old - deep;
    }

    /// Writes out what could still have been encoded again.
    fn finish(mut self) -> Draft {
        for (slot, root) in (0_u32..).zip(&self.roots) {
            let [m, a, b] = root.ids;
            for ([x, y], &sign) in [[m, m], [m, a], [m, b], [a, a], [a, b], [b, b]]
                .into_iter()
                .zip(&root.within)
            {
                self.draft.add_edge(x, y, sign);
            }
            for link in root.links.iter().filter(|l| slot < l.slot) {
                let to = self.roots[link.slot as usize].ids;
                for (from, signs) in root.ids.into_iter().zip(link.top.signs) {
                    for (to, sign) in to.into_iter().zip(signs) {
                        self.draft.add_edge(from, to, sign);
                    }
                }
            }
        }
        self.draft.connect();
        self.draft
    }
}
