//! A store in one file, for one process.
//!
//! Writes go into a [`Batch`] in memory and are committed by a background thread, a batch at a time; a read looks into the
//! waiting batch, then into the one being committed, then into the file. Records of one id that meet in a batch cost one
//! write.

mod batch;
mod file;
mod queue;

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

use fingerpost_core::{Delivered, Learners, Ledger, Outcome, Stage, Timestamp, Trace, TraceId};

use self::{file::File, queue::Queue};
use crate::{
    ResponseRecord, Stats, Store, StoreConfig, StoreError, TraceRecord,
    learned::{self, Classroom},
};

/// The name of the file within its folder.
const FILE: &str = "fingerpost.redb";

/// How long the first record of a batch waits for others: long enough that a busy gateway commits twenty times a second
/// and not for every request, short enough that a crash loses next to nothing.
const LINGER: Duration = Duration::from_millis(50);

/// A [`Store`] in one file.
#[derive(Debug)]
pub struct Embedded {
    queue: Arc<Queue>,
    file: Arc<File>,
    writer: Option<thread::JoinHandle<()>>,
    classroom: Classroom,
}

// === impl Embedded ===

impl Embedded {
    /// Opens the store in `folder`, or makes one.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be made, or the file is in use, damaged or of a later version.
    pub fn open(folder: &Path, config: &StoreConfig) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|e| StoreError::io(folder, e))?;
        let path = folder.join(FILE);
        let cache = (config.cache_mib.max(1) as usize) << 20;
        let file = Arc::new(File::open(path.clone(), cache)?);
        let queue = Arc::new(Queue::new(config.queue as usize, file.newest()?));
        let writer = {
            let (queue, file, retention) = (queue.clone(), file.clone(), config.retention.clone());
            let run = move || queue.write_to(LINGER, |batch| file.commit(batch, &retention));
            let writer = thread::Builder::new().name("fingerpost-store".to_owned());
            writer.spawn(run).map_err(|e| StoreError::io(&path, e))?
        };
        Ok(Self {
            queue,
            file,
            writer: Some(writer),
            classroom: Classroom::default(),
        })
    }
}

impl Drop for Embedded {
    /// Commits what waits.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to say that `Stats::failure` has not said.
            drop(writer.join());
        }
    }
}

impl Ledger for Embedded {
    fn claim(&self, trace: TraceId, stage: Stage) -> bool {
        if !self.queue.claim(trace, stage) {
            return false;
        }
        // The claim stands in the queue, where any other caller meets it; now see whether it is in the file from before.
        if !matches!(self.file.is_claimed(trace, stage), Ok(false)) {
            return false;
        }
        match stage {
            Stage::Run => true,
            Stage::Feedback => self.queue.wait().is_ok(),
        }
    }
}

impl Store for Embedded {
    fn put_trace(&self, record: TraceRecord) -> bool {
        self.queue.put(|batch| {
            batch.newest = batch.newest.max(record.trace.at);
            batch.traces.insert(record.trace.id, Arc::new(record));
        })
    }

    fn trace(&self, id: TraceId) -> Result<Option<TraceRecord>, StoreError> {
        match self.queue.find(|batch| batch.traces.get(&id).cloned()) {
            Some(record) => Ok(Some(TraceRecord::clone(&record))),
            None => self.file.trace(id),
        }
    }

    fn put_response(&self, record: ResponseRecord) -> Result<(), StoreError> {
        let accepted = self.queue.put(|batch| {
            batch.newest = batch.newest.max(record.at);
            batch.responses.insert(record.id.clone(), Some(Arc::new(record)));
        });
        if accepted { Ok(()) } else { Err(StoreError::Full) }
    }

    fn response(&self, id: &str, owner: Option<&str>) -> Result<Option<Arc<ResponseRecord>>, StoreError> {
        let found = match self.queue.find(|batch| batch.responses.get(id).cloned()) {
            Some(waiting) => waiting,
            None => self.file.response(id)?.map(Arc::new),
        };
        Ok(found.filter(|r| r.is_of(owner)))
    }

    fn delete_response(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let found = self.response(id, owner)?.is_some();
        if found {
            self.queue.must_put(|batch| {
                batch.responses.insert(id.into(), None);
            });
        }
        Ok(found)
    }

    fn save_state(&self, name: &str, state: Vec<u8>) {
        self.queue.must_put(|batch| {
            batch.states.insert(name.into(), state.into());
        });
    }

    fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.queue.find(|batch| batch.states.get(name).cloned()) {
            Some(state) => Ok(Some(state.to_vec())),
            None => self.file.state(name),
        }
    }

    fn prune(&self, now: Timestamp) {
        self.queue.must_put(|batch| batch.newest = batch.newest.max(now));
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.queue.wait()
    }

    fn stats(&self) -> Stats {
        self.queue.stats()
    }

    fn teach(
        &self,
        trace: &Trace,
        stage: Stage,
        outcome: &Outcome,
        learners: &Learners,
    ) -> Result<Delivered, StoreError> {
        self.classroom.teach(self, (trace, stage, outcome), learners)
    }

    fn follow(&self, replace: &mut dyn FnMut() -> Option<Learners>) {
        self.classroom.replace(replace);
    }

    fn save_learned(&self, learners: &Learners) -> Result<usize, StoreError> {
        learned::save(self, learners)
    }

    fn restore_learned(&self, learners: &Learners) -> Result<usize, StoreError> {
        learned::restore(self, learners)
    }
}

/// The guarded value, also after a panic elsewhere: every writer leaves the state whole between two statements.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
