//! The layers: who is linked to whom, and how a search walks them (card 15: search_layer).

use std::{
    collections::BinaryHeap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Options,
    links::{Links, NARROW},
};
use crate::{
    block::Block,
    pool::{Near, Scratch},
    rows::{Precision, Rows},
};

/// Highest layer there can be: e^-15 of the nodes with M = 2 already reach it never.
const MAX_LEVEL: u8 = 24;
/// Locks that the nodes share.
const LOCKS: usize = 1024;

/// The links of all layers.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(super) base: Links,
    /// The lists of the layers above, those of one node behind each other, layer 1 first.
    pub(super) upper: Links,
    pub(super) levels: Block<u8>,
    /// The nodes with layers above the lowest, ascending: one in M, so that a search by halves is paid by few.
    pub(super) upper_slots: Block<u32>,
    /// Beside them: the node's first list in `upper`.
    pub(super) upper_at: Block<u32>,
    /// Level and slot of the entry point; all ones while there is none.
    entry: AtomicU64,
    /// Held while a node above the highest layer is linked in.
    pub(super) top: Mutex<()>,
    locks: Box<[Mutex<()>]>,
}

/// Where a search enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) level: u8,
}

// === impl Graph ===

impl Graph {
    pub(crate) fn new(options: &Options) -> Self {
        let narrow = options.precision != Precision::F32;
        Self::of(
            Links::new(2 * options.m, narrow),
            Links::new(options.m, false),
            Block::default(),
            <_>::default(),
        )
    }

    pub(super) fn of(
        base: Links,
        upper: Links,
        levels: Block<u8>,
        (upper_slots, upper_at): (Block<u32>, Block<u32>),
    ) -> Self {
        Self {
            base,
            upper,
            levels,
            upper_slots,
            upper_at,
            entry: AtomicU64::new(u64::MAX),
            top: Mutex::default(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.levels.as_slice().len()
    }

    pub(crate) fn level(&self, slot: u32) -> u8 {
        self.levels.as_slice()[slot as usize]
    }

    pub(crate) fn entry(&self) -> Option<Entry> {
        let packed = self.entry.load(Ordering::Acquire);
        (packed != u64::MAX).then_some(Entry {
            slot: packed as u32,
            level: (packed >> 32) as u8,
        })
    }

    pub(super) fn set_entry(&self, entry: Option<Entry>) {
        let packed = entry.map_or(u64::MAX, |e| u64::from(e.level) << 32 | u64::from(e.slot));
        self.entry.store(packed, Ordering::Release);
    }

    pub(crate) fn reserve(&mut self, nodes: usize) {
        self.base.reserve(nodes);
        self.levels.to_mut().reserve_exact(nodes);
    }

    /// Makes room for one more node, at a level drawn from the seed and its slot.
    pub(crate) fn push(&mut self, options: &Options) {
        let slot = self.nodes() as u64;
        let level = if options.hierarchy {
            draw_level(options.seed, slot, options.m)
        } else {
            0
        };
        if self.nodes() >= NARROW {
            self.base.widen();
        }
        if level > 0 {
            self.upper_slots.to_mut().push(slot as u32);
            self.upper_at.to_mut().push(self.upper.len() as u32);
        }
        self.upper.grow(usize::from(level));
        self.base.grow(1);
        self.levels.to_mut().push(level);
    }

    /// Makes lists that lie in a file ready to be changed.
    pub(crate) fn thaw(&mut self) {
        self.base.thaw();
        self.upper.thaw();
    }

    /// The links of a layer, and the node's list there.
    #[inline]
    pub(super) fn at(&self, layer: u8, slot: u32) -> (&Links, usize) {
        if layer == 0 {
            (&self.base, slot as usize)
        } else {
            // Lists above the lowest layer lead to nodes of their layer only.
            let nth = self.upper_slots.as_slice().partition_point(|&s| s < slot);
            let first = self.upper_at.as_slice()[nth] as usize;
            (&self.upper, first + usize::from(layer) - 1)
        }
    }

    /// Whether every list of a layer leads only to nodes of that layer.
    pub(super) fn links_fit(&self) -> bool {
        (0..self.nodes() as u32).all(|slot| {
            (1..=self.level(slot)).all(|layer| {
                let (links, list) = self.at(layer, slot);
                let mut fits = true;
                links.each(list, self.nodes(), |n| fits &= self.level(n) >= layer);
                fits
            })
        })
    }

    pub(super) fn lock(&self, slot: u32) -> MutexGuard<'_, ()> {
        // Lists are whole between any two statements that can panic.
        self.locks[slot as usize % LOCKS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Walks from the entry down to `layer` exclusive, always to the nearest neighbour. The query is in the scratch.
    pub(crate) fn descend(&self, rows: &Rows, entry: Entry, layer: u8, scratch: &mut Scratch) -> Near {
        let Scratch {
            query,
            slots,
            distances,
            evaluations,
            hops,
            ..
        } = scratch;
        rows.distances(query, &[entry.slot], distances);
        *evaluations += 1;
        let mut best = Near {
            distance: distances[0],
            slot: entry.slot,
        };
        for layer in (layer + 1..=entry.level).rev() {
            loop {
                let (links, list) = self.at(layer, best.slot);
                slots.clear();
                links.each(list, self.nodes(), |id| {
                    rows.prefetch(id);
                    slots.push(id);
                });
                rows.distances(query, slots, distances);
                *evaluations += slots.len() as u64;
                *hops += 1;
                let nearest = slots
                    .iter()
                    .zip(&*distances)
                    .map(|(&slot, &distance)| Near { distance, slot })
                    .min();
                match nearest {
                    Some(nearest) if nearest < best => best = nearest,
                    _ => break,
                }
            }
        }
        best
    }

    /// Finds the `ef` nearest nodes of a layer from the seeds on. They are in the pool then.
    pub(crate) fn search_layer(
        &self,
        rows: &Rows,
        layer: u8,
        ef: usize,
        seeds: &[Near],
        scratch: &mut Scratch,
    ) {
        let nodes = self.nodes();
        let Scratch {
            query,
            pool,
            seen,
            slots,
            distances,
            evaluations,
            hops,
            ..
        } = scratch;
        pool.start(ef);
        seen.start(nodes);
        for &seed in seeds {
            if seen.mark(seed.slot) {
                pool.offer(seed);
            }
        }
        while let Some(slot) = pool.take() {
            let (links, list) = self.at(layer, slot);
            slots.clear();
            links.each(list, nodes, |id| {
                if seen.mark(id) {
                    rows.prefetch(id);
                    slots.push(id);
                }
            });
            if let Some(next) = pool.peek() {
                let (links, list) = self.at(layer, next);
                links.prefetch(list);
            }
            rows.distances(query, slots, distances);
            *evaluations += slots.len() as u64;
            *hops += 1;
            for (&slot, &distance) in slots.iter().zip(&*distances) {
                pool.offer(Near { distance, slot });
            }
        }
    }

    /// As [`search_layer`](Self::search_layer), in the lowest layer, but only accepted nodes count as found; the others are
    /// walked through. Gives up and returns false when `budget` distances did not suffice. The finds are in `near`.
    pub(crate) fn search_accepted(
        &self,
        rows: &Rows,
        ef: usize,
        seed: Near,
        budget: usize,
        accept: &dyn Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> bool {
        let nodes = self.nodes();
        let mut taken = 0;
        let mut found = BinaryHeap::with_capacity(ef + 1);
        let mut open = BinaryHeap::from([std::cmp::Reverse(seed)]);
        scratch.seen.start(nodes);
        scratch.seen.mark(seed.slot);
        if accept(seed.slot) {
            found.push(seed);
        }
        while let Some(std::cmp::Reverse(node)) = open.pop() {
            if found.len() >= ef && found.peek().is_some_and(|worst| node > *worst) {
                break;
            }
            if taken > budget {
                return false;
            }
            let Scratch { seen, slots, .. } = scratch;
            slots.clear();
            self.base.each(node.slot as usize, nodes, |id| {
                if seen.mark(id) {
                    rows.prefetch(id);
                    slots.push(id);
                }
            });
            rows.distances(&mut scratch.query, &scratch.slots, &mut scratch.distances);
            taken += scratch.slots.len();
            scratch.evaluations += scratch.slots.len() as u64;
            scratch.hops += 1;
            for (&slot, &distance) in scratch.slots.iter().zip(&scratch.distances) {
                let near = Near { distance, slot };
                if found.len() >= ef && found.peek().is_some_and(|worst| near >= *worst) {
                    continue;
                }
                open.push(std::cmp::Reverse(near));
                if accept(slot) {
                    found.push(near);
                    if found.len() > ef {
                        found.pop();
                    }
                }
            }
        }
        scratch.near.clear();
        scratch.near.extend(found.into_sorted_vec());
        true
    }
}

/// floor(-ln(u) / ln(m)) with u in (0, 1] from the seed and the slot alone, so that threads draw as one would.
fn draw_level(seed: u64, slot: u64, m: usize) -> u8 {
    // splitmix64
    let mut z = seed.wrapping_add(slot.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let u = ((z >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let level = -u.ln() / (m as f64).ln();
    (level as u8).min(MAX_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_thin_out_by_m() {
        let mut counts = [0; 8];
        for slot in 0..100_000 {
            counts[usize::from(draw_level(42, slot, 16)).min(7)] += 1;
        }
        // 15 of 16 in the lowest layer, 15 of 16 of the rest in the next.
        assert!((93_400..94_100).contains(&counts[0]), "{counts:?}");
        assert!((5_600..6_100).contains(&counts[1]), "{counts:?}");
    }
}
