//! What must outlive a request or a process: traces, stored responses, what routers have learned, and which outcomes have
//! been delivered.
//!
//! One trait, [`Store`]. Three back ends: [`Embedded`], one file in a data folder; [`Memory`], which forgets at the end of the
//! process; [`Redis`], a server that several replicas share, which then learn from each other.
//!
//! Nothing on the way of a request waits for a disk or a server: `put_*` hands the record to a background thread that commits batches,
//! and a read sees what waits there, so that a record can be read as soon as it was put. The one exception is the claim of a
//! [`Stage::Feedback`](fingerpost_core::Stage): it returns once it is on disk, so that feedback sent twice counts once
//! whatever happens in between.
//!
//! ```
//! use fingerpost_core::{Ledger, Stage, Timestamp, Trace, TraceId};
//! use fingerpost_store::{Memory, Retention, Store, TraceRecord};
//!
//! let store = Memory::new(Retention::default());
//! let trace = Trace::new(TraceId(7), Timestamp::from_millis(1));
//! assert!(store.put_trace(TraceRecord { trace, outcome: None }));
//! assert!(store.trace(TraceId(7)).unwrap().is_some());
//! assert!(store.claim(TraceId(7), Stage::Feedback));
//! assert!(!store.claim(TraceId(7), Stage::Feedback));
//! ```

mod config;
mod embedded;
mod error;
mod learned;
mod memory;
mod record;
mod redis;

use std::{path::Path, sync::Arc};

use fingerpost_core::{Delivered, Learners, Ledger, Outcome, Stage, Timestamp, Trace, TraceId};

pub use config::{BackEnd, Retention, ServerUrl, StoreConfig};
pub use embedded::Embedded;
pub use error::StoreError;
pub use memory::Memory;
pub use record::{ResponseRecord, Sharing, Stats, TraceRecord};

pub use self::redis::Redis;

/// Keeps traces, responses, learned state, and (as a [`Ledger`]) the record of delivered outcomes.
///
/// Callers may rely on this:
/// - **Read your writes**: what was accepted by a `put_*`, a `save_*` or a `delete_*` is what later reads see.
/// - **No waiting** in [`put_trace`](Store::put_trace) and [`put_response`](Store::put_response): where the queue is full the
///   record is refused, which is told and counted ([`Stats::dropped`]).
/// - **Claims** are atomic: of any number of callers one gets true. A feedback claim is durable when it returns; a run claim
///   is durable with the next batch (its outcome is delivered by the process that ran the request, and by no other). Where a
///   claim cannot be kept it is refused: an outcome may go unlearned, but is never learned twice.
/// - **Retention**: records past the age or the count of [`Retention`] vanish, oldest first. Age is counted against the newest
///   time that the store was given; it reads no clock.
pub trait Store: Ledger {
    /// Keeps a trace, in place of an earlier record of the same id. Returns whether it was accepted.
    fn put_trace(&self, record: TraceRecord) -> bool;

    /// The trace of this id; `None` where it is unknown or past its retention.
    ///
    /// # Errors
    /// [`StoreError`] where the back end cannot be read.
    fn trace(&self, id: TraceId) -> Result<Option<TraceRecord>, StoreError>;

    /// Keeps a response, in place of an earlier one of the same id.
    ///
    /// # Errors
    /// [`StoreError::Full`] where too much waits to be written.
    fn put_response(&self, record: ResponseRecord) -> Result<(), StoreError>;

    /// The response of this id, if `owner` is its owner. Somebody else's response looks like none at all.
    ///
    /// # Errors
    /// [`StoreError`] where the back end cannot be read.
    fn response(&self, id: &str, owner: Option<&str>) -> Result<Option<Arc<ResponseRecord>>, StoreError>;

    /// Deletes the response of this id, if `owner` is its owner. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] where the back end cannot be read.
    fn delete_response(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError>;

    /// Keeps what a router has learned, under the router's name. Durable after [`Store::flush`].
    fn save_state(&self, name: &str, state: Vec<u8>);

    /// What was last kept under this name.
    ///
    /// # Errors
    /// [`StoreError`] where the back end cannot be read.
    fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes what is past its retention at `now`. Happens by itself as records are written; call it now and then where long
    /// silences are to be expected.
    fn prune(&self, now: Timestamp);

    /// Returns when all that was accepted so far is kept.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be.
    fn flush(&self) -> Result<(), StoreError>;

    /// What can be seen from outside, for metrics.
    fn stats(&self) -> Stats;

    /// Hands an outcome to every router on the trace, once, and to the routers of other replicas where the store is shared.
    /// What was learned from feedback is kept when this returns. `learners` are the routers in place.
    ///
    /// # Errors
    /// [`StoreError`] where it is not known whether the outcome was delivered before ([`StoreError::is_passing`]: it may be
    /// handed over again), or where what was learned could not be kept.
    fn teach(
        &self,
        trace: &Trace,
        stage: Stage,
        outcome: &Outcome,
        learners: &Learners,
    ) -> Result<Delivered, StoreError>;

    /// Runs `replace`, which puts other routers in place and returns them, or nothing where it could not. No outcome is learned
    /// while it runs, so that none is lost between the old routers and the new. A shared store lets the routers in place learn
    /// from other replicas.
    fn follow(&self, replace: &mut dyn FnMut() -> Option<Learners>);

    /// Keeps what every router has learned. Returns how many had something new to keep. Called now and then, and when the
    /// process ends.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be kept.
    fn save_learned(&self, learners: &Learners) -> Result<usize, StoreError>;

    /// Gives every router what was kept under its name. Returns how many took it up; a router that does not understand its
    /// state (it is of another version, or the name is another router's now) begins anew. A shared store that cannot be asked
    /// does this by itself later.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn restore_learned(&self, learners: &Learners) -> Result<usize, StoreError>;
}

/// Opens the store of a configuration. `data` is the data folder for an embedded store whose configuration names no path.
///
/// # Errors
/// [`StoreError`], which says what is in the way and how to get it out.
pub fn open(config: &StoreConfig, data: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config.back_end {
        BackEnd::Memory => Arc::new(Memory::new(config.retention.clone())),
        BackEnd::Redis => Arc::new(Redis::open(config, &|name| std::env::var(name).ok())?),
        BackEnd::Embedded => Arc::new(Embedded::open(config.path.as_deref().unwrap_or(data), config)?),
    })
}
