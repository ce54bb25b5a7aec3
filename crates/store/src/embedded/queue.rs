//! What waits for the writer, and the hand-over to it.

use std::{
    mem,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fingerpost_core::{Stage, Timestamp, TraceId};

use super::{batch::Batch, lock};
use crate::{Stats, StoreError};

/// The waiting batch and the one being committed. A lock guards both; it is held for a look-up or an insertion, never over a
/// commit.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for work, callers for the end of a commit.
    changed: Condvar,
    capacity: usize,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct State {
    waiting: Batch,
    committing: Arc<Batch>,
    /// Something waits, if only a later `newest` or a caller of [`Queue::wait`].
    dirty: bool,
    /// Somebody waits for the commit: do not linger.
    hurry: bool,
    closed: bool,
    /// The number of the waiting batch.
    number: u64,
    /// The number of the last batch that was committed or has failed.
    done: u64,
    commits: u64,
    failure: Option<String>,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(capacity: usize, newest: Timestamp) -> Self {
        let state = State {
            waiting: Batch {
                newest,
                ..Batch::default()
            },
            committing: Arc::default(),
            dirty: false,
            hurry: false,
            closed: false,
            number: 1,
            done: 0,
            commits: 0,
            failure: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity,
            dropped: AtomicU64::new(0),
        }
    }

    /// Puts something into the waiting batch, if there is room and the writer writes; counts it as dropped otherwise.
    pub(super) fn put(&self, put: impl FnOnce(&mut Batch)) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.len() >= self.capacity || state.failure.is_some() {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        put(&mut state.waiting);
        self.announce(state, false);
        true
    }

    /// Puts something that is small, rare and must not be lost: the room is not asked for.
    pub(super) fn must_put(&self, put: impl FnOnce(&mut Batch)) {
        let mut state = lock(&self.state);
        put(&mut state.waiting);
        self.announce(state, false);
    }

    /// Claims a delivery among what waits: false where it stands there already, or nothing can be written any more.
    pub(super) fn claim(&self, trace: TraceId, stage: Stage) -> bool {
        let mut state = lock(&self.state);
        let claim = (trace, stage);
        if state.failure.is_some()
            || state.committing.claims.contains(&claim)
            || !state.waiting.claims.insert(claim)
        {
            return false;
        }
        self.announce(state, false);
        true
    }

    /// Looks into what waits, newest first.
    pub(super) fn find<T>(&self, look: impl Fn(&Batch) -> Option<T>) -> Option<T> {
        let state = lock(&self.state);
        look(&state.waiting).or_else(|| look(&state.committing))
    }

    /// Returns when all that waits now is committed.
    pub(super) fn wait(&self) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let number = state.number;
        state.hurry = true;
        state.dirty = true;
        self.changed.notify_all();
        while state.done < number && state.failure.is_none() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state
            .failure
            .clone()
            .map_or(Ok(()), |f| Err(StoreError::Stopped(f)))
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    pub(super) fn stats(&self) -> Stats {
        let state = lock(&self.state);
        Stats {
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: (state.waiting.len() + state.committing.len()) as u64,
            commits: state.commits,
            failure: state.failure.clone(),
            shared: None,
        }
    }

    /// The writer: commits batch after batch until the queue is closed and empty, or a commit fails. A batch lingers for
    /// companions unless somebody waits for it.
    pub(super) fn write_to(&self, linger: Duration, commit: impl Fn(&Batch) -> Result<(), StoreError>) {
        loop {
            let mut state = lock(&self.state);
            while !state.dirty {
                if state.closed {
                    return;
                }
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            let more = |state: &mut State| !state.hurry && !state.closed;
            let waited = self.changed.wait_timeout_while(state, linger, more);
            let mut state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            let next = Batch {
                newest: state.waiting.newest,
                ..Batch::default()
            };
            let batch = Arc::new(mem::replace(&mut state.waiting, next));
            state.committing = batch.clone();
            let number = state.number;
            (state.number, state.dirty, state.hurry) = (number + 1, false, false);
            drop(state);

            let result = commit(&batch);

            let mut state = lock(&self.state);
            state.done = number;
            match result {
                Ok(()) => {
                    state.committing = Arc::default();
                    state.commits += 1;
                }
                // The batch stays readable. Writing ends here: after a failed write the file must be opened anew.
                Err(error) => state.failure = Some(error.to_string()),
            }
            let failed = state.failure.is_some();
            drop(state);
            self.changed.notify_all();
            if failed {
                return;
            }
        }
    }

    fn announce(&self, mut state: std::sync::MutexGuard<'_, State>, hurry: bool) {
        let first = !mem::replace(&mut state.dirty, true);
        state.hurry |= hurry;
        drop(state);
        if first {
            self.changed.notify_all();
        }
    }
}
