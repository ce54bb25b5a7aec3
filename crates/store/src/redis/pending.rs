//! What waits to be sent to the server, and the thread that sends it.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fingerpost_core::{Name, Timestamp, TraceId};

use super::{lock, progress::Learned};
use crate::{ResponseRecord, StoreError, TraceRecord};

/// Records that wait to be sent together, the last of each id.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) traces: HashMap<TraceId, Arc<TraceRecord>>,
    /// `None` deletes.
    pub(super) responses: HashMap<Name, Option<Arc<ResponseRecord>>>,
    pub(super) states: HashMap<Name, Arc<[u8]>>,
    /// In the order of their numbers.
    pub(super) runs: Vec<Run>,
    pub(super) learned: Option<Learned>,
    /// The newest time that the store was given so far.
    pub(super) newest: Timestamp,
}

/// An outcome of a run on its way to the log.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) origin: Arc<str>,
    pub(super) number: u64,
    pub(super) told: Vec<u8>,
}

/// The waiting batch and the one being sent. A lock guards both; it is never held over an exchange with the server.
#[derive(Debug)]
pub(super) struct Pending {
    state: Mutex<State>,
    /// The sender waits here for work, callers for the end of a sending.
    changed: Condvar,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    sending: Arc<Batch>,
    dirty: bool,
    /// Somebody waits for the sending: do not linger.
    hurry: bool,
    closed: bool,
    /// The number of the waiting batch.
    number: u64,
    /// One more than the number of the last batch that was sent.
    done: u64,
    sent: u64,
    /// Attempts that failed, and why the last one did.
    failures: u64,
    failure: Option<Arc<StoreError>>,
}

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(20);

// === impl Batch ===

impl Batch {
    fn len(&self) -> usize {
        self.traces.len() + self.responses.len() + self.states.len() + self.runs.len()
    }
}

// === impl Pending ===

impl Pending {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
            dropped: AtomicU64::new(0),
        }
    }

    /// Puts something into the waiting batch, if there is room; counts it as dropped otherwise.
    pub(super) fn put(&self, put: impl FnOnce(&mut Batch)) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.len() + state.sending.len() >= self.capacity {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        put(&mut state.waiting);
        self.announce(state);
        true
    }

    /// Puts something that is small or takes the place of an earlier one: the room is not asked for.
    pub(super) fn must_put(&self, put: impl FnOnce(&mut Batch)) {
        let mut state = lock(&self.state);
        put(&mut state.waiting);
        self.announce(state);
    }

    /// Looks into what waits, newest first.
    pub(super) fn find<T>(&self, look: impl Fn(&Batch) -> Option<T>) -> Option<T> {
        let state = lock(&self.state);
        look(&state.waiting).or_else(|| look(&state.sending))
    }

    /// Returns when all that waits now is sent, or cannot be for the time being.
    pub(super) fn wait(&self) -> Result<(), Arc<StoreError>> {
        let mut state = lock(&self.state);
        if !state.dirty && state.done == state.number {
            return Ok(());
        }
        let (number, failures) = (state.number, state.failures);
        (state.hurry, state.dirty) = (true, true);
        self.changed.notify_all();
        // Since an attempt failed the server is being left alone: there is no point in waiting for the next one.
        while state.done <= number && state.failure.is_none() && state.failures == failures {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.done > number {
            Ok(())
        } else {
            state.failure.clone().map_or(Ok(()), Err)
        }
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// Records that wait, batches sent, records dropped.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let state = lock(&self.state);
        let waiting = (state.waiting.len() + state.sending.len()) as u64;
        (waiting, state.sent, self.dropped.load(Ordering::Relaxed))
    }

    /// The sender: sends batch after batch until it is closed and empty. One that fails is sent again after `pause`, for as
    /// long as it takes; when closed, once more.
    pub(super) fn send_with(
        &self,
        send: impl Fn(&Batch) -> Result<(), StoreError>,
        pause: impl Fn() -> Option<Duration>,
    ) {
        while let Some(batch) = self.next() {
            loop {
                let last = lock(&self.state).closed;
                match send(&batch) {
                    Ok(()) => break self.sent(),
                    Err(error) => {
                        let state = self.failed(error);
                        if last {
                            let lost = state.waiting.len() + state.sending.len();
                            tracing::error!(
                                lost,
                                "the store was closed before the server could be told everything"
                            );
                            return;
                        }
                        let pause = pause().unwrap_or(LINGER);
                        let still = |state: &mut State| !state.closed;
                        drop(self.changed.wait_timeout_while(state, pause, still));
                    }
                }
            }
        }
    }

    /// The next batch, once there is one.
    fn next(&self) -> Option<Arc<Batch>> {
        let mut state = lock(&self.state);
        while !state.dirty {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let more = |state: &mut State| !state.hurry && !state.closed;
        let waited = self.changed.wait_timeout_while(state, LINGER, more);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let next = Batch {
            newest: state.waiting.newest,
            ..Batch::default()
        };
        let batch = Arc::new(mem::replace(&mut state.waiting, next));
        state.sending = Arc::clone(&batch);
        state.number += 1;
        (state.dirty, state.hurry) = (false, false);
        Some(batch)
    }

    fn sent(&self) {
        let mut state = lock(&self.state);
        state.sending = Arc::default();
        state.done = state.number;
        state.sent += 1;
        state.failure = None;
        drop(state);
        self.changed.notify_all();
    }

    fn failed(&self, error: StoreError) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.failures += 1;
        state.failure = Some(Arc::new(error));
        self.changed.notify_all();
        state
    }

    fn announce(&self, mut state: MutexGuard<'_, State>) {
        let first = !mem::replace(&mut state.dirty, true);
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }
}
