//! What keeps the graph whole: nodes that died are linked around, nodes that nobody leads to are led to again.

use rayon::prelude::*;

use super::{
    Options,
    graph::{Entry, Graph},
    insert::select,
};
use crate::{
    items::Items,
    pool::{Near, Scratch},
    rows::{Query, Rows},
};

/// Takes the dead nodes out of all lists. Who led to one chooses anew among its own neighbours and those of the dead
/// (consolidation after FreshDiskANN), so recall holds over churn. Each list is written by one thread and lists of dead
/// nodes by none, so the result does not depend on the number of threads.
pub(super) fn bypass_dead(graph: &Graph, rows: &Rows, items: &Items, options: &Options) {
    let nodes = graph.nodes();
    let live: Vec<u32> = items.live_slots().collect();
    live.par_iter().for_each_init(Query::default, |query, &slot| {
        for layer in 0..=graph.level(slot) {
            let (links, list) = graph.at(layer, slot);
            let own = links.list(list, nodes);
            if own.iter().all(|&n| items.is_live(n)) {
                continue;
            }
            let mut slots: Vec<u32> = Vec::new();
            for &neighbour in &own {
                if items.is_live(neighbour) {
                    slots.push(neighbour);
                } else {
                    let (links, list) = graph.at(layer, neighbour);
                    links.each(list, nodes, |n| {
                        if n != slot && items.is_live(n) {
                            slots.push(n);
                        }
                    });
                }
            }
            slots.sort_unstable();
            slots.dedup();
            rows.prepare_slot(slot, query);
            let mut distances = Vec::new();
            rows.distances(query, &slots, &mut distances);
            let mut near: Vec<Near> = slots
                .iter()
                .zip(&distances)
                .map(|(&slot, &distance)| Near { distance, slot })
                .collect();
            near.sort_unstable();
            let kept = select(rows, &near, links.degree(), options.keep_pruned);
            links.set(list, kept.iter().map(|n| n.slot));
        }
    });
    for slot in (0..nodes as u32).filter(|&s| !items.is_live(s)) {
        for layer in 0..=graph.level(slot) {
            let (links, list) = graph.at(layer, slot);
            links.set(list, std::iter::empty());
        }
    }
    if graph.entry().is_none_or(|e| !items.is_live(e.slot)) {
        let highest = items
            .live_slots()
            .max_by_key(|&s| (graph.level(s), std::cmp::Reverse(s)));
        graph.set_entry(highest.map(|slot| Entry {
            slot,
            level: graph.level(slot),
        }));
    }
}

/// Leads to every live node from the entry point, through the lowest layer. Returns how many had been out of reach.
pub(super) fn reach_all(
    graph: &Graph,
    rows: &Rows,
    items: &Items,
    options: &Options,
    scratch: &mut Scratch,
) -> usize {
    let Some(entry) = graph.entry() else { return 0 };
    let mut reached = vec![false; graph.nodes()];
    spread(graph, entry.slot, &mut reached);
    let mut repaired = 0;
    for slot in 0..graph.nodes() as u32 {
        if reached[slot as usize] || !items.is_live(slot) {
            continue;
        }
        repaired += 1;
        rows.prepare_slot(slot, &mut scratch.query);
        let seed = graph.descend(rows, entry, 0, scratch);
        graph.search_layer(rows, 0, options.ef_construction, &[seed], scratch);
        // Everyone found is reached. The nearest with room leads to the node; if none has room, whoever has it nearby.
        let found: Vec<u32> = scratch
            .pool
            .nodes()
            .iter()
            .map(|n| n.slot)
            .filter(|&n| n != slot)
            .collect();
        let Some(&nearest) = found.first() else { continue };
        let has_room = |n: &u32| graph.base.list(*n as usize, graph.nodes()).len() < graph.base.degree();
        let guide = found
            .iter()
            .copied()
            .find(has_room)
            .or_else(|| nearby(graph, nearest, has_room));
        // Where nobody has room, the nearest gives up its last link; should that have been the only way to somebody, the next
        // pass leads to them.
        let guide = guide.unwrap_or(nearest);
        let mut list = graph.base.list(guide as usize, graph.nodes());
        list.truncate(graph.base.degree() - 1);
        list.push(slot);
        graph.base.set(guide as usize, list.into_iter());
        spread(graph, slot, &mut reached);
    }
    repaired
}

/// The first node that fits, breadth first, among the 10,000 around one.
fn nearby(graph: &Graph, from: u32, fits: impl Fn(&u32) -> bool) -> Option<u32> {
    let mut seen = rustc_hash::FxHashSet::from_iter([from]);
    let mut open = std::collections::VecDeque::from([from]);
    while let Some(slot) = open.pop_front() {
        if fits(&slot) {
            return Some(slot);
        }
        if seen.len() < 10_000 {
            graph.base.each(slot as usize, graph.nodes(), |n| {
                if seen.insert(n) {
                    open.push_back(n);
                }
            });
        }
    }
    None
}

/// Marks what can be reached from a node.
pub(super) fn spread(graph: &Graph, from: u32, reached: &mut [bool]) {
    let mut open = vec![from];
    reached[from as usize] = true;
    while let Some(slot) = open.pop() {
        graph.base.each(slot as usize, reached.len(), |n| {
            if !std::mem::replace(&mut reached[n as usize], true) {
                open.push(n);
            }
        });
    }
}

/// Whether exactly the nodes above the lowest layer have lists there, as many as their level says; for files.
pub(super) fn uppers_fit(graph: &Graph) -> bool {
    let levels = graph.levels.as_slice();
    let above = (0_u32..).zip(levels).filter(|(_, level)| **level > 0);
    let mut listed = graph.upper_slots.as_slice().iter().zip(graph.upper_at.as_slice());
    let mut next = 0;
    let fit = above.into_iter().all(|(slot, &level)| {
        let fits = listed
            .next()
            .is_some_and(|(&s, &at)| s == slot && at as usize == next);
        next += usize::from(level);
        fits
    });
    fit && listed.next().is_none() && next == graph.upper.len()
}
