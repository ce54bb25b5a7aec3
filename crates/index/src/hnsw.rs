//! HNSW: a graph of neighbours in layers (Malkov and Yashunin, arXiv 1603.09320; card 15).
//!
//! Every vector has a node in the lowest layer and, with a chance of 1/M a layer, in those above. A search descends greedily
//! from the top and widens to the `ef` nearest in the lowest layer. Vectors, lists of the lowest layer and lists above lie in
//! one array each, by slot; a search holds the lock for reading, and inserts hold it for writing only to take their slot, so
//! searches and inserts go on side by side. Removed vectors are walked through until an eighth of the slots is dead; then all
//! are linked around at once and their slots are free.
//!
//! Differences from the paper: one sorted pool instead of two heaps; ties of the selection count as nearer (else equal vectors
//! would lose each other); by default discarded candidates do not fill the list; nodes that pruning left without a way are
//! found and linked again, after each batch and whenever an eighth came one by one; a search that asks for more than it can
//! reach looks at all.

mod find;
mod graph;
mod insert;
mod links;
mod options;
mod persist;
mod repair;
mod stats;

use std::sync::{
    Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;

use self::graph::Graph;
pub use self::{options::Options, stats::Stats};
use crate::{
    error::{Error, Item},
    items::Items,
    pool::Scratch,
    rows::Rows,
};

/// Slots there can be: the last number marks an empty place.
const MOST: usize = u32::MAX as usize - 1;
/// Dead slots that are not linked around yet, or slots whose links were not looked at since they were set, as a share of all:
/// one in so many starts the repair.
const REPAIR_AT: usize = 8;

/// An HNSW index. Shared by threads as it is.
#[derive(Debug)]
pub struct Hnsw {
    options: Options,
    state: RwLock<State>,
    scratches: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct State {
    rows: Rows,
    graph: Graph,
    items: Items,
    /// Dead slots that nobody links to.
    free: Vec<u32>,
    /// Inserted one by one since it was last seen that all can be reached.
    unproven: usize,
}

// === impl Hnsw ===

impl Hnsw {
    /// An empty index of vectors with so many components (1 to 65,536).
    ///
    /// # Errors
    /// [`Error::Parameter`] for an option out of range.
    pub fn new(dimension: usize, options: Options) -> Result<Self, Error> {
        options.check(dimension)?;
        let state = State {
            rows: Rows::new(options.metric, dimension, options.precision),
            graph: Graph::new(&options),
            items: Items::default(),
            free: Vec::new(),
            unproven: 0,
        };
        Ok(Self {
            options,
            state: RwLock::new(state),
            scratches: Mutex::default(),
        })
    }

    /// Adds many vectors, row after row in `values`, with the ids in their order (counting on from the largest slot if there
    /// are none), on so many threads (0: one a core). One thread gives the same index every time. `progress` hears how many
    /// are linked, now and then, and stops the build by returning false.
    ///
    /// # Errors
    /// What is wrong with a vector or an id; nothing was added then. [`Error::Stopped`]: the index is empty again.
    pub fn build(
        &self,
        values: &[f32],
        ids: Option<&[u64]>,
        threads: usize,
        progress: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<(), Error> {
        let slots = self.take_slots(values, ids)?;
        let linked = AtomicUsize::new(0);
        let stopped = |done: usize| done.is_multiple_of(256) && !progress(done);
        let link = |&slot: &u32| {
            self.link(slot);
            let done = linked.fetch_add(1, Ordering::Relaxed) + 1;
            (!stopped(done)).then_some(())
        };
        let whole = if threads == 1 {
            slots.iter().try_for_each(link)
        } else {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            match pool {
                Ok(pool) => pool.install(|| slots.par_iter().with_max_len(64).try_for_each(link)),
                // No threads to be had: the caller's own will do.
                Err(_) => slots.iter().try_for_each(link),
            }
        };
        if whole.is_none() {
            let mut state = self.write();
            let dimension = state.rows.dim();
            state.rows = Rows::new(self.options.metric, dimension, self.options.precision);
            state.graph = Graph::new(&self.options);
            state.items = Items::default();
            state.free.clear();
            state.unproven = 0;
            return Err(Error::Stopped {
                done: linked.into_inner(),
                total: slots.len(),
            });
        }
        self.write().reach_all(&self.options);
        progress(slots.len());
        Ok(())
    }

    /// Checks the vectors and gives each a slot of its own; all or none.
    fn take_slots(&self, values: &[f32], ids: Option<&[u64]>) -> Result<Vec<u32>, Error> {
        let mut state = self.write();
        let dim = state.rows.dim();
        let count = values.len().div_ceil(dim);
        let first = state.items.slots() as u64;
        let id = |i: usize| ids.map_or(first + i as u64, |ids| ids.get(i).copied().unwrap_or(u64::MAX));
        if let Some(ids) = ids.filter(|ids| ids.len() != count) {
            return Err(Error::Parameter {
                name: "number of ids",
                found: ids.len().to_string(),
                allowed: "as many as vectors",
            });
        }
        if state.items.slots() + count > MOST {
            return Err(Error::Full(MOST));
        }
        let mut admitted = Vec::with_capacity(values.len());
        let mut seen = rustc_hash::FxHashSet::default();
        for (i, vector) in values.chunks(dim).enumerate() {
            let id = id(i);
            if (ids.is_some() && !seen.insert(id)) || state.items.slot(id).is_some() {
                return Err(Error::DuplicateId(id));
            }
            self.options
                .metric
                .admit(Item::Id(id), vector, dim, &mut admitted)?;
        }
        state.graph.thaw();
        state.rows.reserve(count);
        state.graph.reserve(count);
        state.rows.push(&admitted);
        Ok((0..count)
            .map(|i| {
                state.graph.push(&self.options);
                state.items.push(id(i))
            })
            .collect())
    }

    /// Adds a vector. Searches and other inserts go on meanwhile.
    ///
    /// # Errors
    /// What is wrong with the vector; [`Error::DuplicateId`].
    pub fn insert(&self, id: u64, vector: &[f32]) -> Result<(), Error> {
        let mut admitted = Vec::new();
        self.options
            .metric
            .admit(Item::Id(id), vector, self.dimension(), &mut admitted)?;
        let slot = {
            let mut state = self.write();
            if state.items.slot(id).is_some() {
                return Err(Error::DuplicateId(id));
            }
            state.place(id, &admitted, &self.options)?
        };
        self.link(slot);
        Ok(())
    }

    /// Gives an id another vector. A search meanwhile finds the old one, or the id not at all.
    ///
    /// # Errors
    /// [`Error::UnknownId`], or what is wrong with the vector; the old one stays then.
    pub fn update(&self, id: u64, vector: &[f32]) -> Result<(), Error> {
        let mut admitted = Vec::new();
        self.options
            .metric
            .admit(Item::Id(id), vector, self.dimension(), &mut admitted)?;
        let slot = {
            let mut state = self.write();
            // One lock for both, so that nobody else takes the id in between.
            state.bury(id, &self.options)?;
            state.place(id, &admitted, &self.options)?
        };
        self.link(slot);
        Ok(())
    }

    /// Takes a vector out. Once in a while this links around all that are dead, which takes as long as linking in about as many
    /// as were removed since; searches wait for it.
    ///
    /// # Errors
    /// [`Error::UnknownId`].
    pub fn remove(&self, id: u64) -> Result<(), Error> {
        self.write().bury(id, &self.options)
    }

    /// The vector of an id, as it is kept (a cosine's as a unit vector, codes as what they stand for).
    pub fn vector(&self, id: u64) -> Option<Vec<f32>> {
        let mut state = self.write();
        let slot = state.items.slot(id)?;
        let mut query = crate::rows::Query::default();
        state.rows.prepare_slot(slot, &mut query);
        Some(query.floats)
    }

    fn link(&self, slot: u32) {
        let mut scratch = self.scratch();
        let state = self.read();
        let is_live = |slot| state.items.is_live(slot);
        // A build that was stopped meanwhile has emptied the index.
        if (slot as usize) < state.items.slots() && is_live(slot) {
            state
                .graph
                .link(&state.rows, slot, &self.options, &is_live, &mut scratch);
        }
        drop(state);
        self.give_back(scratch);
    }

    /// Live vectors.
    pub fn len(&self) -> usize {
        self.read().items.live()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Components of a vector.
    pub fn dimension(&self) -> usize {
        self.read().rows.dim()
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    // A thread that panicked while it held the lock left each part whole.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn scratch(&self) -> Scratch {
        self.scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    fn give_back(&self, scratch: Scratch) {
        self.scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scratch);
    }
}

// === impl State ===

impl State {
    /// Puts an admitted vector into a slot of its own.
    fn place(&mut self, id: u64, admitted: &[f32], options: &Options) -> Result<u32, Error> {
        self.graph.thaw();
        self.unproven += 1;
        if self.unproven * REPAIR_AT > self.items.slots() {
            self.reach_all(options);
        }
        if let Some(slot) = self.free.pop() {
            self.rows.replace(slot, admitted);
            self.items.reuse(slot, id);
            return Ok(slot);
        }
        if self.items.slots() >= MOST {
            return Err(Error::Full(MOST));
        }
        self.rows.push(admitted);
        self.graph.push(options);
        Ok(self.items.push(id))
    }

    /// Marks a vector dead, and links around all dead ones when they have become many.
    fn bury(&mut self, id: u64, options: &Options) -> Result<(), Error> {
        let slot = self.items.slot(id).ok_or(Error::UnknownId(id))?;
        self.graph.thaw();
        self.items.bury(slot);
        let waiting = self.items.slots() - self.items.live() - self.free.len();
        if waiting * REPAIR_AT > self.items.slots() {
            self.consolidate(options);
        }
        Ok(())
    }

    fn consolidate(&mut self, options: &Options) {
        repair::bypass_dead(&self.graph, &self.rows, &self.items, options);
        self.free = (0..self.items.slots() as u32)
            .filter(|&s| !self.items.is_live(s))
            .collect();
        self.reach_all(options);
    }

    fn reach_all(&mut self, options: &Options) {
        self.graph.thaw();
        self.unproven = 0;
        let mut scratch = Scratch::default();
        // Leading to one may cut the only way to another: again, until nobody is missing.
        for _ in 0..8 {
            if repair::reach_all(&self.graph, &self.rows, &self.items, options, &mut scratch) == 0 {
                break;
            }
        }
    }
}
