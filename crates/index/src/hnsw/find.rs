//! Searching: the walk, the filter, and the ranking again.

use rayon::prelude::*;

use super::{Hnsw, State, graph::Entry};
use crate::{
    error::{Error, Item},
    exact,
    found::{Filter, Found, Neighbour},
    pool::Scratch,
};

/// Slots that a filter is tried on to estimate how many it passes.
const FILTER_SAMPLE: usize = 512;
/// A filter that passes fewer than one in so many is answered by looking at all that pass.
const FILTER_SCAN: usize = 32;

// === impl Hnsw ===

impl Hnsw {
    /// The `k` nearest vectors, looking at the `ef` nearest (at least `k`; more is slower and finds more). `k` above the size
    /// gives all there are.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn search(&self, query: &[f32], k: usize, ef: usize) -> Result<Found, Error> {
        self.find(query, Item::Query, k, ef, None)
    }

    /// The `k` nearest among those that the filter accepts. A filter that passes few is answered by looking at all that pass,
    /// so it costs a call for each vector of the index; one that passes many is asked about those met on the way.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn search_filtered(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        filter: Filter<'_>,
    ) -> Result<Found, Error> {
        self.find(query, Item::Query, k, ef, Some(filter))
    }

    /// [`search`](Self::search) for many queries, row after row, on so many threads (0: one a core).
    ///
    /// # Errors
    /// What is wrong with a bad query, which is named by its place ([`Item::QueryAt`]).
    pub fn search_batch(
        &self,
        queries: &[f32],
        k: usize,
        ef: usize,
        threads: usize,
    ) -> Result<Vec<Found>, Error> {
        let rows = queries.chunks(self.dimension()).enumerate();
        let one = |(at, query)| self.find(query, Item::QueryAt(at), k, ef, None);
        if threads == 1 {
            return rows.map(one).collect();
        }
        let rows: Vec<(usize, &[f32])> = rows.collect();
        let all = || rows.par_iter().copied().map(one).collect();
        match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(all),
            Err(_) => all(),
        }
    }

    fn find(
        &self,
        query: &[f32],
        item: Item,
        k: usize,
        ef: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Found, Error> {
        let mut scratch = self.scratch();
        let state = self.read();
        scratch.query.floats.clear();
        self.options
            .metric
            .admit(item, query, state.rows.dim(), &mut scratch.query.floats)?;
        state.rows.prepare(&mut scratch.query);
        let before = (scratch.evaluations, scratch.hops);
        state.collect(k, ef.max(k), filter, &mut scratch);
        if state.rows.can_rerank() {
            let Scratch {
                query,
                slots,
                distances,
                near,
                ..
            } = &mut scratch;
            slots.clear();
            slots.extend(near.iter().map(|n| n.slot));
            state.rows.original_distances(query, slots, distances);
            near.iter_mut()
                .zip(&*distances)
                .for_each(|(n, &d)| n.distance = d);
            near.sort_unstable();
        }
        let neighbours = scratch.near.iter().take(k).map(|n| Neighbour {
            id: state.items.id(n.slot),
            distance: n.distance,
        });
        let found = Found {
            neighbours: neighbours.collect(),
            evaluations: scratch.evaluations - before.0,
            hops: scratch.hops - before.1,
        };
        drop(state);
        self.give_back(scratch);
        Ok(found)
    }
}

// === impl State ===

impl State {
    /// Brings what was found into the scratch's `near`, nearest first, at most `ef` and at least `k` if there are so many.
    fn collect(&self, k: usize, ef: usize, filter: Option<Filter<'_>>, scratch: &mut Scratch) {
        scratch.near.clear();
        let Some(entry) = self.graph.entry().filter(|_| k > 0) else {
            return;
        };
        let ef = ef.min(self.items.live());
        let whole = if filter.is_none() && self.items.all_live() {
            let seed = self.graph.descend(&self.rows, entry, 0, scratch);
            self.graph.search_layer(&self.rows, 0, ef, &[seed], scratch);
            let Scratch { pool, near, .. } = scratch;
            near.extend_from_slice(pool.nodes());
            true
        } else {
            self.walk_accepted(ef, entry, filter, scratch)
        };
        // A walk that ends with fewer than were asked for met all it could reach: whoever is missing is out of reach.
        if !whole || scratch.near.len() < ef {
            let accept = |slot: &u32| filter.is_none_or(|f| f(self.items.id(*slot)));
            exact::scan(&self.rows, self.items.live_slots().filter(accept), ef, scratch);
        }
    }

    /// The nearest that are live and pass the filter, by a walk; false where looking at all that pass is cheaper.
    fn walk_accepted(
        &self,
        ef: usize,
        entry: Entry,
        filter: Option<Filter<'_>>,
        scratch: &mut Scratch,
    ) -> bool {
        let accept = |slot: u32| self.items.is_live(slot) && filter.is_none_or(|f| f(self.items.id(slot)));
        if filter.is_some() && self.passes_few(&accept) {
            return false;
        }
        let seed = self.graph.descend(&self.rows, entry, 0, scratch);
        // What passes may lie far from the query: then a walk would look at almost everything, and a scan is cheaper.
        let budget = if filter.is_none() {
            usize::MAX
        } else {
            self.items.slots() / 4
        };
        self.graph
            .search_accepted(&self.rows, ef, seed, budget, &accept, scratch)
    }

    fn passes_few(&self, accept: &dyn Fn(u32) -> bool) -> bool {
        let slots = self.items.slots();
        let stride = (slots / FILTER_SAMPLE).max(1);
        let (mut tried, mut passed) = (0, 0);
        for slot in (0..slots).step_by(stride) {
            tried += 1;
            passed += usize::from(accept(slot as u32));
        }
        passed * FILTER_SCAN < tried
    }
}

#[cfg(test)]
mod tests {
    use crate::{Hnsw, Options};

    #[test]
    fn whoever_asks_for_all_gets_all_even_those_out_of_reach() {
        let index = Hnsw::new(1, Options::default()).unwrap();
        for id in 0..5_u8 {
            index.insert(u64::from(id), &[f32::from(id)]).unwrap();
        }
        {
            let state = index.read();
            for slot in 0..5 {
                state.graph.base.set(slot, std::iter::empty());
            }
        }
        let all = |filter: crate::Filter<'_>| {
            let found = index.search_filtered(&[0.0], 9, 9, filter).unwrap();
            found.neighbours.iter().map(|n| n.id).collect::<Vec<_>>()
        };
        assert_eq!(index.search(&[0.0], 9, 9).unwrap().neighbours.len(), 5);
        assert_eq!(all(&|id| id != 2), [0, 1, 3, 4]);
        index.remove(3).unwrap();
        assert_eq!(index.search(&[0.0], 9, 9).unwrap().neighbours.len(), 4);
    }
}
