//! What one worker thread keeps to itself: its view of the snapshot, its connections, its source of chance, the records it
//! has not handed on yet. Never shared, so nothing here needs a lock.

use std::{
    cell::{Cell, RefCell},
    hash::{BuildHasher, Hasher, RandomState},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, Cache};
use fingerpost_core::{Timestamp, TraceId};
use fingerpost_store::{Store, StoreError};
use fingerpost_telemetry::Record;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    recorder::Recorder,
    shared::Shared,
    snapshot::Snapshot,
    upstream::{Connector, Pool},
};

/// One worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// What decisions leave to chance, by the configured seed.
    rng: RefCell<SmallRng>,
    /// What ids are drawn from. Not the seed's: replicas with one seed, and a process that starts again with it, would give
    /// traces of different requests one id, and what is said of the second would count as said before.
    ids: RefCell<SmallRng>,
    records: RefCell<Vec<(Arc<Snapshot>, Record)>>,
    in_flight: Cell<u64>,
    index: usize,
}

/// Counts a request under way for as long as it lives.
pub(crate) struct UnderWay(Rc<Worker>);

/// Records handed on at once: waking the recorder for each would cost more than the record.
const BATCH: usize = 64;
/// Longest that a record waits for its batch to fill.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Idle connections are kept this long. Servers close theirs after 60 to 75 seconds by custom.
const KEEP_IDLE: Duration = Duration::from_secs(50);

// === impl Worker ===

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let seed = shared.seed().wrapping_add(index as u64);
        Self {
            pool: Rc::new(Pool::new(Connector::new(), KEEP_IDLE)),
            snapshot: RefCell::new(Cache::new(shared.snapshots())),
            rng: RefCell::new(SmallRng::seed_from_u64(seed)),
            ids: RefCell::new(SmallRng::seed_from_u64(chance())),
            records: RefCell::new(Vec::with_capacity(BATCH)),
            in_flight: Cell::new(0),
            index,
            shared,
        }
    }

    /// The current snapshot. Costs one atomic load and a reference count.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    /// A source of chance for one request, split off the worker's own.
    pub(crate) fn rng(&self) -> SmallRng {
        SmallRng::from_rng(&mut *self.rng.borrow_mut())
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        TraceId(self.ids.borrow_mut().random::<u128>().max(1))
    }

    pub(crate) fn span_id(&self) -> u64 {
        self.ids.borrow_mut().random::<u64>().max(1)
    }

    /// Counts a request that begins.
    pub(crate) fn begin(self: &Rc<Self>) -> UnderWay {
        self.in_flight.set(self.in_flight.get() + 1);
        self.shared
            .count(self.index)
            .store(self.in_flight.get(), Ordering::Relaxed);
        UnderWay(Rc::clone(self))
    }

    /// Hands a record on with the next batch.
    pub(crate) fn record(&self, snapshot: Arc<Snapshot>, record: Record) {
        let mut records = self.records.borrow_mut();
        records.push((snapshot, record));
        if records.len() >= BATCH {
            let batch = std::mem::replace(&mut *records, Vec::with_capacity(BATCH));
            drop(records);
            self.recorder().send(batch);
        }
    }

    /// Asks the store something that may take a while: on a thread apart, so that no other request waits.
    pub(crate) async fn ask_store<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self.shared.store());
        let asked = tokio::task::spawn_blocking(move || ask(&*store)).await;
        asked.unwrap_or_else(|error| Err(StoreError::Stopped(error.to_string())))
    }

    /// Hands on what has gathered.
    pub(crate) fn flush(&self) {
        let batch = self.records.take();
        if !batch.is_empty() {
            self.recorder().send(batch);
        }
    }

    /// Flushes records and lets old connections go, until the worker ends.
    pub(crate) async fn housekeeping(self: Rc<Self>, tidy_every: Duration) {
        let mut since_tidy = Duration::ZERO;
        loop {
            tokio::time::sleep(FLUSH_EVERY).await;
            self.flush();
            since_tidy += FLUSH_EVERY;
            if since_tidy >= tidy_every {
                since_tidy = Duration::ZERO;
                self.pool.tidy();
            }
        }
    }

    fn recorder(&self) -> &Recorder {
        self.shared.recorder()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let worker = &self.0;
        worker.in_flight.set(worker.in_flight.get() - 1);
        worker
            .shared
            .count(worker.index)
            .store(worker.in_flight.get(), Ordering::Relaxed);
    }
}

/// The time, for records and routers.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A number that nobody can foresee, to begin a source of chance with.
pub(crate) fn chance() -> u64 {
    // The keys of a fresh `RandomState` come from the system; hashing nothing with them gives 64 of their bits.
    RandomState::new().build_hasher().finish()
}
