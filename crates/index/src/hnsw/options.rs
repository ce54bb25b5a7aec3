//! How a graph is built.

use serde::{Deserialize, Serialize};

use crate::{error::Error, metric::Metric, rows::Precision};

/// How an index is built. What is not said has the default of the paper's authors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What near means. Default: L2.
    pub metric: Metric,
    /// How components are kept. Default: f32.
    pub precision: Precision,
    /// Links that a new node makes a layer, 2 to 512; twice as many places in the lowest layer. Default: 16.
    pub m: usize,
    /// Candidates that an insert looks at, 1 to 65,536. Default: 200.
    pub ef_construction: usize,
    /// Seed of the levels. Default: 100.
    pub seed: u64,
    /// Also considers the neighbours of candidates; for heavily clustered sets. Default: false.
    pub extend_candidates: bool,
    /// Fills lists with discarded candidates: more memory traffic, a little more recall. Default: false.
    pub keep_pruned: bool,
    /// Layers above the lowest. Without: a flat navigable small world. Default: true.
    pub hierarchy: bool,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            metric: Metric::default(),
            precision: Precision::default(),
            m: 16,
            ef_construction: 200,
            seed: 100,
            extend_candidates: false,
            keep_pruned: false,
            hierarchy: true,
        }
    }
}

impl Options {
    pub(super) fn check(&self, dimension: usize) -> Result<(), Error> {
        let range = |name, found: usize, fits: bool, allowed| {
            if fits {
                return Ok(());
            }
            let found = found.to_string();
            Err(Error::Parameter { name, found, allowed })
        };
        range("m", self.m, (2..=512).contains(&self.m), "2 to 512")?;
        let ef = self.ef_construction;
        range("ef_construction", ef, (1..=65_536).contains(&ef), "1 to 65536")?;
        range(
            "dimension",
            dimension,
            (1..=65_536).contains(&dimension),
            "1 to 65536",
        )
    }
}
