//! What is committed together.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use fingerpost_core::{Name, Stage, Timestamp, TraceId};

use crate::{ResponseRecord, TraceRecord};

/// Records that wait to be committed together, the last of each id.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) traces: HashMap<TraceId, Arc<TraceRecord>>,
    /// `None` deletes.
    pub(super) responses: HashMap<Name, Option<Arc<ResponseRecord>>>,
    pub(super) states: HashMap<Name, Arc<[u8]>>,
    pub(super) claims: HashSet<(TraceId, Stage)>,
    /// The newest time that the store was given so far.
    pub(super) newest: Timestamp,
}

// === impl Batch ===

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.traces.len() + self.responses.len() + self.states.len() + self.claims.len()
    }
}
