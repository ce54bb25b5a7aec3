//! What waits to be exported: encoded spans, one after another, bounded in bytes.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::TracesStats;

/// Filled by the recorder, emptied whole by the exporter.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the exporter.
    due: Condvar,
    /// Wakes those who wait for a flush.
    settled: Condvar,
    most: usize,
    exported: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    spans: u64,
    /// Spans ever taken in, and spans whose export is over.
    added: u64,
    over: u64,
    flushing: bool,
    /// Until when the last exports may take.
    stopped: Option<Instant>,
}

/// Spans to be exported together.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) spans: u64,
    /// How long the export may take at most.
    pub(super) within: Duration,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            state: Mutex::default(),
            due: Condvar::new(),
            settled: Condvar::new(),
            most,
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds spans, which `write` appends; where the queue is full they are dropped and `write` is not called.
    pub(super) fn add(&self, spans: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if state.stopped.is_some() || state.bytes.len() >= self.most {
            drop(state);
            self.dropped.fetch_add(spans, Ordering::Relaxed);
            return;
        }
        let before = state.bytes.len();
        write(&mut state.bytes);
        state.spans += spans;
        state.added += spans;
        let half = self.most / 2;
        if before < half && state.bytes.len() >= half {
            self.due.notify_all();
        }
    }

    /// Waits until there is something to export: after `every`, or at once where the queue is half full or shall be emptied.
    /// `None` when the queue is stopped and empty.
    pub(super) fn take(&self, every: Duration, timeout: Duration) -> Option<Batch> {
        let mut due = Instant::now() + every;
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let wanted = state.flushing || state.stopped.is_some() || state.bytes.len() >= self.most / 2;
            if state.spans > 0 && (wanted || now >= due) {
                break;
            }
            state.flushing = false;
            if state.stopped.is_some() {
                return None;
            }
            if now >= due {
                due = now + every;
            }
            let wait = due - now;
            state = self
                .due
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.flushing = false;
        // The next batch will be about as long as this one.
        let room = Vec::with_capacity(state.bytes.len());
        let bytes = std::mem::replace(&mut state.bytes, room);
        let within = state.stopped.map_or(timeout, |end| {
            timeout.min(end.saturating_duration_since(Instant::now()))
        });
        Some(Batch {
            bytes,
            spans: std::mem::take(&mut state.spans),
            within,
        })
    }

    /// The export of so many spans is over; so many of them were lost.
    pub(super) fn settle(&self, spans: u64, lost: u64) {
        let lost = lost.min(spans);
        self.exported.fetch_add(spans - lost, Ordering::Relaxed);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        self.state().over += spans;
        self.settled.notify_all();
    }

    /// Waits before another try; `false` where there shall be none because the queue is stopped.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = self.state();
        while state.stopped.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self
                .due
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        false
    }

    /// Whether everything added so far was exported or dropped within `limit`.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.state();
        let goal = state.added;
        if state.over >= goal {
            return true;
        }
        state.flushing = true;
        self.due.notify_all();
        let waited = self.settled.wait_timeout_while(state, limit, |s| s.over < goal);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Takes nothing in any more; what waits may take until `limit` is over.
    pub(super) fn stop(&self, limit: Duration) {
        self.state().stopped.get_or_insert_with(|| Instant::now() + limit);
        self.due.notify_all();
    }

    pub(super) fn stats(&self) -> TracesStats {
        TracesStats {
            exported: self.exported.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn past_its_bound_it_drops_and_counts() {
        let queue = Queue::new(10);
        for _ in 0..5 {
            queue.add(3, |bytes| bytes.extend_from_slice(&[0; 6]));
        }
        assert_eq!(
            queue.stats(),
            TracesStats {
                exported: 0,
                dropped: 9
            }
        );
        let batch = queue.take(LONG, LONG).unwrap();
        assert_eq!((batch.bytes.len(), batch.spans), (12, 6));
        queue.settle(6, 1);
        assert_eq!(
            queue.stats(),
            TracesStats {
                exported: 5,
                dropped: 10
            }
        );
        assert!(queue.flush(Duration::ZERO));
    }

    #[test]
    fn a_stopped_queue_is_emptied_once_and_takes_nothing_in() {
        let queue = Queue::new(1000);
        queue.add(1, |bytes| bytes.push(1));
        queue.stop(Duration::ZERO);
        queue.add(1, |bytes| bytes.push(2));
        let batch = queue.take(LONG, LONG).unwrap();
        assert_eq!(
            (batch.bytes, batch.spans, batch.within),
            (vec![1], 1, Duration::ZERO)
        );
        assert!(queue.take(LONG, LONG).is_none());
        assert!(!queue.pause(LONG), "nobody waits for a retry at the end");
        assert_eq!(queue.stats().dropped, 1);
    }

    #[test]
    fn a_flush_that_nobody_serves_ends_at_its_limit() {
        let queue = Queue::new(1000);
        queue.add(1, |bytes| bytes.push(1));
        assert!(!queue.flush(Duration::from_millis(1)));
    }
}
