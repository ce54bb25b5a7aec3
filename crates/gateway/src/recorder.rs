//! Where records go: a thread of its own that counts, logs, exports, stores, and teaches every router on the trace.
//!
//! Workers hand over batches and never wait: where the queue is full a batch is dropped and counted, because a request must
//! not slow down so that its own record may be kept.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use fingerpost_core::Stage;
use fingerpost_store::{Store, TraceRecord};
use fingerpost_telemetry::Record;

use crate::{snapshot::Snapshot, telemetry::Outlets};

/// A request's record and the snapshot that decided it.
pub(crate) type Recorded = (Arc<Snapshot>, Record);

/// The way to the recording thread.
pub(crate) struct Recorder {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Batch(Vec<Recorded>),
    /// Answer when everything before this is dealt with.
    Flush(SyncSender<()>),
    /// Keep what is left and end.
    Stop,
}

/// What the recording thread works with.
struct Desk {
    store: Arc<dyn Store>,
    outlets: Arc<Outlets>,
    /// The snapshot in place: its routers learn, whichever snapshot decided.
    snapshots: Arc<ArcSwap<Snapshot>>,
    /// Whether something was learned since the state was last kept.
    learned: bool,
    kept: Instant,
}

/// Batches that may wait.
const QUEUE: usize = 1024;
/// How often learned state is kept.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a flush may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

// === impl Recorder ===

impl Recorder {
    /// Starts the recording thread.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        outlets: Arc<Outlets>,
        snapshots: Arc<ArcSwap<Snapshot>>,
    ) -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let mut desk = Desk {
            store,
            outlets,
            snapshots,
            learned: false,
            kept: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || desk.work(&messages))?;
        Ok(Self {
            queue,
            dropped: Arc::default(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands a batch over; never waits.
    pub(crate) fn send(&self, batch: Vec<Recorded>) {
        if let Err(
            TrySendError::Full(Message::Batch(batch)) | TrySendError::Disconnected(Message::Batch(batch)),
        ) = self.queue.try_send(Message::Batch(batch))
        {
            self.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }

    /// Records lost because the thread could not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns when everything handed over so far is dealt with and learned state is kept.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            // Past the limit the thread goes on by itself; there is nobody to tell.
            let _ = wait.recv_timeout(FLUSH_WITHIN);
        }
    }

    /// Whether the thread is alive.
    pub(crate) fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|t| !t.is_finished())
    }
}

impl Drop for Recorder {
    /// Waits for the thread, so that whoever comes next finds the store closed.
    fn drop(&mut self) {
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Ok(()), Some(thread)) = (self.queue.send(Message::Stop), thread) {
            // Where it panicked, that has been told.
            drop(thread.join());
        }
    }
}

// === impl Desk ===

impl Desk {
    fn work(&mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(KEEP_EVERY) {
                Ok(Message::Batch(batch)) => self.take(batch),
                Ok(Message::Flush(done)) => {
                    self.keep();
                    self.outlets.flush();
                    if let Err(error) = self.store.flush() {
                        tracing::error!(%error, "the store did not keep everything");
                    }
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.kept.elapsed() >= KEEP_EVERY {
                self.keep();
            }
        }
        self.keep();
    }

    fn take(&mut self, batch: Vec<Recorded>) {
        for (_, record) in &batch {
            self.outlets.observe(record);
        }
        self.outlets.batch_done();
        // What conversations did is noted where they run; it is kept with what routers learn.
        self.learned |= batch.iter().any(|(snapshot, _)| snapshot.remembers());
        for (snapshot, record) in batch {
            self.teach(&snapshot, &record);
            if snapshot.keeps(&record.trace) {
                let Record { trace, outcome, .. } = record;
                // A full queue is counted by the store itself and shown in the metrics.
                self.store.put_trace(TraceRecord {
                    trace,
                    outcome: Some(outcome),
                });
            }
        }
    }

    /// Every router on the trace learns from what the run itself showed.
    fn teach(&mut self, snapshot: &Snapshot, record: &Record) {
        if !snapshot.learns(&record.trace) {
            return;
        }
        let now = self.snapshots.load_full();
        if let Err(error) = self
            .store
            .teach(&record.trace, Stage::Run, &record.outcome, now.learners())
        {
            tracing::error!(%error, "the outcome of a run was not learned from");
        }
        self.learned = true;
    }

    fn keep(&mut self) {
        self.kept = Instant::now();
        if std::mem::take(&mut self.learned)
            && let Err(error) = self.store.save_learned(self.snapshots.load().learners())
        {
            tracing::error!(%error, "what routers have learned was not kept");
        }
    }
}
