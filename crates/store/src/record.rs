//! What is kept.

use std::time::Duration;

use fingerpost_core::{Name, Outcome, Timestamp, Trace};
use serde::{Deserialize, Serialize};

/// A trace with what became of it, as far as known when it was put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRecord {
    /// The decisions.
    pub trace: Trace,
    /// What the run itself showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// A stored response of `/v1/responses`. The store does not look into the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRecord {
    /// Its id, as the client knows it.
    pub id: Name,
    /// The response that it continues.
    pub parent: Option<Name>,
    /// Whose it is: nobody else can read or delete it. `None` where requests carry no identity.
    pub owner: Option<Name>,
    /// When it was made.
    pub at: Timestamp,
    /// The gateway's bytes.
    pub body: Vec<u8>,
}

/// What can be seen of a store from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records refused because too many waited, since the store was opened.
    pub dropped: u64,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Batches committed since the store was opened.
    pub commits: u64,
    /// Why writing stopped, if it did. Serving goes on; what is put is refused, or waits where the store tries again by itself.
    pub failure: Option<String>,
    /// What a store shared by several replicas tells beyond that.
    pub shared: Option<Sharing>,
}

/// What can be seen of the exchange between replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sharing {
    /// How long ago this replica had last read all that others taught; `None` where it never has.
    pub behind: Option<Duration>,
    /// Outcomes learned from other replicas since the store was opened.
    pub learned: u64,
    /// Outcomes of other replicas that never came here: dropped there, or forgotten by the server before they were read.
    pub missed: u64,
}

// === impl ResponseRecord ===

impl ResponseRecord {
    pub(crate) fn is_of(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() == owner
    }
}
