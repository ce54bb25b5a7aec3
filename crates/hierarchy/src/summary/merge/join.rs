//! One merge: two roots become the children of a new one, and what lies between them and others is encoded again.

use super::{
    Merging,
    root::{Link, Root, Top, row, side_by_side},
};
use crate::summary::{
    draft::Draft,
    tables::{Inner, Shape, Tables},
};

// === impl Merging ===

impl Merging {
    /// Merges two roots; the slot of the merged one.
    pub(super) fn join(&mut self, a: u32, b: u32, new_links: i64, number: u32) -> u32 {
        let links = |slot: u32| self.roots[slot as usize].links.len();
        let (kept, gone) = if links(a) >= links(b) { (a, b) } else { (b, a) };
        let a = std::mem::replace(&mut self.roots[kept as usize], Root::gone());
        let b = std::mem::replace(&mut self.roots[gone as usize], Root::gone());
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
        for (third, [from_a, from_b]) in side_by_side(&a.links, &b.links) {
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
        self.list_anew(kept, gone, number);
        kept
    }

    /// Puts the merged root in the place of its halves in the group's lists of members by neighbour.
    fn list_anew(&mut self, kept: u32, gone: u32, number: u32) {
        let slots: Vec<u32> = self.roots[kept as usize].links.iter().map(|l| l.slot).collect();
        self.shared[gone as usize].clear();
        self.shared[kept as usize].retain(|m| m.slot != gone);
        for third in slots {
            if let Some(&link) = self.roots[kept as usize].link(third) {
                let member = self.member(kept, &link);
                let shared = &mut self.shared[third as usize];
                shared.retain(|m| m.slot != kept && m.slot != gone);
                shared.push(member);
            }
            if self.group_of[third as usize] == number
                && let Some(&link) = self.roots[third as usize].link(kept)
            {
                let member = self.member(third, &link);
                let shared = &mut self.shared[kept as usize];
                shared.retain(|m| m.slot != third);
                shared.push(member);
            }
        }
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
    pub(super) fn finish(mut self) -> Draft {
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
