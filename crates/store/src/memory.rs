//! A store that forgets at the end of the process.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fingerpost_core::{Delivered, Learners, Ledger, Name, Outcome, Stage, Timestamp, Trace, TraceId};

use crate::{
    ResponseRecord, Retention, Stats, Store, StoreError, TraceRecord,
    learned::{self, Classroom},
};

/// A [`Store`] in memory, bounded by its [`Retention`] alone.
#[derive(Debug)]
pub struct Memory {
    retention: Retention,
    kept: Mutex<Kept>,
    classroom: Classroom,
}

#[derive(Debug, Default)]
struct Kept {
    traces: HashMap<TraceId, TraceRecord>,
    traces_by_age: BTreeSet<(Timestamp, TraceId)>,
    responses: HashMap<Name, Arc<ResponseRecord>>,
    responses_by_age: BTreeSet<(Timestamp, Name)>,
    claims: HashMap<(TraceId, Stage), Timestamp>,
    claims_by_age: BTreeSet<(Timestamp, TraceId, Stage)>,
    states: HashMap<Name, Vec<u8>>,
    newest: Timestamp,
}

// === impl Memory ===

impl Memory {
    /// An empty store.
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            kept: Mutex::default(),
            classroom: Classroom::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Memory {
    fn claim(&self, trace: TraceId, stage: Stage) -> bool {
        let mut kept = self.kept();
        let now = kept.newest;
        let first = kept.claims.insert((trace, stage), now).is_none();
        if first {
            kept.claims_by_age.insert((now, trace, stage));
            kept.prune(&self.retention);
        }
        first
    }
}

impl Store for Memory {
    fn put_trace(&self, record: TraceRecord) -> bool {
        let mut kept = self.kept();
        let (id, at) = (record.trace.id, record.trace.at);
        if let Some(old) = kept.traces.insert(id, record) {
            kept.traces_by_age.remove(&(old.trace.at, id));
        }
        kept.traces_by_age.insert((at, id));
        kept.newest = kept.newest.max(at);
        kept.prune(&self.retention);
        true
    }

    fn trace(&self, id: TraceId) -> Result<Option<TraceRecord>, StoreError> {
        Ok(self.kept().traces.get(&id).cloned())
    }

    fn put_response(&self, record: ResponseRecord) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let (id, at) = (record.id.clone(), record.at);
        if let Some(old) = kept.responses.insert(id.clone(), Arc::new(record)) {
            kept.responses_by_age.remove(&(old.at, id.clone()));
        }
        kept.responses_by_age.insert((at, id));
        kept.newest = kept.newest.max(at);
        kept.prune(&self.retention);
        Ok(())
    }

    fn response(&self, id: &str, owner: Option<&str>) -> Result<Option<Arc<ResponseRecord>>, StoreError> {
        Ok(self.kept().responses.get(id).filter(|r| r.is_of(owner)).cloned())
    }

    fn delete_response(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let mut kept = self.kept();
        if !kept.responses.get(id).is_some_and(|r| r.is_of(owner)) {
            return Ok(false);
        }
        if let Some(old) = kept.responses.remove(id) {
            kept.responses_by_age.remove(&(old.at, old.id.clone()));
        }
        Ok(true)
    }

    fn save_state(&self, name: &str, state: Vec<u8>) {
        self.kept().states.insert(name.into(), state);
    }

    fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().states.get(name).cloned())
    }

    fn prune(&self, now: Timestamp) {
        let mut kept = self.kept();
        kept.newest = kept.newest.max(now);
        kept.prune(&self.retention);
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn stats(&self) -> Stats {
        Stats::default()
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

// === impl Kept ===

impl Kept {
    fn prune(&mut self, retention: &Retention) {
        let oldest = retention.oldest_trace(self.newest);
        while let Some(&(at, id)) = self.traces_by_age.first() {
            if at >= oldest && self.traces.len() <= retention.traces as usize {
                break;
            }
            self.traces_by_age.pop_first();
            self.traces.remove(&id);
        }
        while let Some(&(at, trace, stage)) = self.claims_by_age.first() {
            if at >= oldest && self.claims.len() as u64 <= retention.claims() {
                break;
            }
            self.claims_by_age.pop_first();
            self.claims.remove(&(trace, stage));
        }
        let oldest = retention.oldest_response(self.newest);
        while let Some((at, id)) = self.responses_by_age.first() {
            if *at >= oldest && self.responses.len() <= retention.responses as usize {
                break;
            }
            self.responses.remove(id);
            self.responses_by_age.pop_first();
        }
    }
}
