//! How a node is linked in (card 15: insert, select).

use std::sync::PoisonError;

use super::{
    Options,
    graph::{Entry, Graph},
};
use crate::{
    pool::{Near, Scratch},
    rows::Rows,
};

impl Graph {
    /// Links a node in whose vector is in its slot. `is_live` says who may become a neighbour.
    pub(crate) fn link(
        &self,
        rows: &Rows,
        slot: u32,
        options: &Options,
        is_live: &dyn Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) {
        let level = self.level(slot);
        let mut entry = self.entry();
        let mut top = None;
        if entry.is_none_or(|e| level > e.level) {
            top = Some(self.top.lock().unwrap_or_else(PoisonError::into_inner));
            entry = self.entry();
        }
        let Some(entry) = entry else {
            self.set_entry(Some(Entry { slot, level }));
            return;
        };
        rows.prepare_slot(slot, &mut scratch.query);
        let mut seeds = vec![self.descend(rows, entry, level, scratch)];
        let shared = level.min(entry.level);
        let mut chosen = vec![Vec::new(); usize::from(shared) + 1];
        for layer in (0..=shared).rev() {
            self.search_layer(rows, layer, options.ef_construction, &seeds, scratch);
            seeds.clear();
            seeds.extend_from_slice(scratch.pool.nodes());
            let mut candidates = seeds.clone();
            candidates.retain(|n| n.slot != slot && is_live(n.slot));
            if candidates.is_empty() {
                // Better led to through the dead than not at all.
                candidates = seeds.clone();
                candidates.retain(|n| n.slot != slot);
            }
            if options.extend_candidates {
                self.extend(rows, layer, slot, is_live, &mut candidates, scratch);
            }
            chosen[usize::from(layer)] = select(rows, &candidates, options.m, options.keep_pruned);
        }
        // A node can be found from the moment somebody links to it: its own lists come first, on all layers.
        for (layer, neighbours) in (0..).zip(&chosen) {
            let (links, list) = self.at(layer, slot);
            let _guard = self.lock(slot);
            links.set(list, neighbours.iter().map(|n| n.slot));
        }
        for (layer, neighbours) in (0..).zip(&chosen) {
            for near in neighbours {
                self.link_back(rows, layer, near.slot, Near { slot, ..*near }, options, scratch);
            }
        }
        if top.is_some() && level > entry.level {
            self.set_entry(Some(Entry { slot, level }));
        }
    }

    /// Adds the neighbours of candidates to the candidates.
    fn extend(
        &self,
        rows: &Rows,
        layer: u8,
        slot: u32,
        is_live: &dyn Fn(u32) -> bool,
        candidates: &mut Vec<Near>,
        scratch: &mut Scratch,
    ) {
        let Scratch {
            query,
            seen,
            slots,
            distances,
            ..
        } = scratch;
        seen.start(self.nodes());
        seen.mark(slot);
        for candidate in &*candidates {
            seen.mark(candidate.slot);
        }
        slots.clear();
        for candidate in &*candidates {
            let (links, list) = self.at(layer, candidate.slot);
            links.each(list, self.nodes(), |id| {
                if seen.mark(id) && is_live(id) {
                    slots.push(id);
                }
            });
        }
        rows.distances(query, slots, distances);
        candidates.extend(
            slots
                .iter()
                .zip(&*distances)
                .map(|(&slot, &distance)| Near { distance, slot }),
        );
        candidates.sort_unstable();
    }

    /// Adds a link to `to.slot` into the list of `from`, and selects anew if it is full.
    fn link_back(
        &self,
        rows: &Rows,
        layer: u8,
        from: u32,
        to: Near,
        options: &Options,
        scratch: &mut Scratch,
    ) {
        let (links, list) = self.at(layer, from);
        let _guard = self.lock(from);
        let Scratch {
            other,
            slots,
            distances,
            near,
            ..
        } = scratch;
        slots.clear();
        links.each(list, self.nodes(), |id| slots.push(id));
        if slots.contains(&to.slot) {
            return;
        }
        if slots.len() < links.degree() {
            links.set(list, slots.iter().copied().chain([to.slot]));
            return;
        }
        rows.prepare_slot(from, other);
        rows.distances(other, slots, distances);
        near.clear();
        near.extend(
            slots
                .iter()
                .zip(&*distances)
                .map(|(&slot, &distance)| Near { distance, slot }),
        );
        near.push(to);
        near.sort_unstable();
        let kept = select(rows, near, links.degree(), options.keep_pruned);
        links.set(list, kept.iter().map(|n| n.slot));
    }
}

/// The selection heuristic: a candidate is kept if it is nearer to the query than to everyone kept before it.
/// A tie counts as nearer, so that equal vectors may be each other's neighbours. With `keep_pruned` the places left are filled
/// with the nearest of the discarded. `candidates` come nearest first; at most `m` are returned.
pub(super) fn select(rows: &Rows, candidates: &[Near], m: usize, keep_pruned: bool) -> Vec<Near> {
    let mut kept: Vec<Near> = Vec::with_capacity(m);
    let mut pruned = Vec::new();
    for &candidate in candidates {
        if kept.len() == m {
            break;
        }
        if kept
            .iter()
            .all(|k| rows.between(candidate.slot, k.slot) >= candidate.distance)
        {
            kept.push(candidate);
        } else if keep_pruned && pruned.len() < m {
            pruned.push(candidate);
        }
    }
    let places = m - kept.len();
    kept.extend(pruned.into_iter().take(places));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metric::Metric, rows::Precision};

    #[test]
    fn selection_prefers_directions_over_nearness() {
        // The query is at 0; 1 and 1.5 lie on one side, -2 on the other.
        let mut rows = Rows::new(Metric::L2, 1, Precision::F32);
        rows.push(&[1.0, 1.5, -2.0]);
        let near = |slot, x: f32| Near {
            distance: x * x,
            slot,
        };
        let candidates = [near(0, 1.0), near(1, 1.5), near(2, -2.0)];
        let slots = |m, keep| {
            select(&rows, &candidates, m, keep)
                .iter()
                .map(|n| n.slot)
                .collect::<Vec<_>>()
        };
        assert_eq!(slots(2, false), [0, 2]);
        assert_eq!(slots(3, false), [0, 2]);
        assert_eq!(slots(3, true), [0, 2, 1]);
        assert_eq!(slots(1, true), [0]);
    }
}
