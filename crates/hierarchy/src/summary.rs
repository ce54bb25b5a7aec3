//! Lossless hierarchical summaries of graphs: SLUGGER (`systems/30-slugger.md`).
//!
//! [`summarize`] nests nodes into supernodes and joins these by positive and negative edges, so that the sum over a pair's
//! ancestors is 1 for an edge of the graph and 0 for none, in as few edges and links to parents as it can. Rounds of greedy
//! merges of roots with similar neighbourhoods are followed by pruning. A [`Summary`] answers neighbours without being decoded.
//!
//! What differs from the paper: local encodings are found in closed form and not by a search; the first two steps of pruning are
//! one move, tried at every supernode and not at roots only; what most children share is lifted to their parent; and an edge
//! between two nested supernodes means each pair once. [`sweg`] and [`flattened`] are what it is compared with.

mod candidates;
mod draft;
mod flat;
mod growth;
mod lift;
mod merge;
mod model;
mod picture;
mod prune;
mod recode;
mod saved;
mod tables;

use serde::{Deserialize, Serialize};

pub use self::{
    flat::{FlatSize, flat_size, flattened, sweg},
    growth::growth_svg,
    model::{Summary, SummaryStats},
    picture::svg,
    saved::SavedError,
};
use crate::Graph;

/// Nodes up to which graphs are summarised and summaries are read.
pub const MOST_NODES: usize = 1 << 26;

/// How to summarise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SummaryOptions {
    /// Rounds of merges, at least 1. More rounds ask more of the merges in early ones.
    pub iterations: usize,
    /// Of all random choices.
    pub seed: u64,
    /// Roots that are compared with each other at most, at least 2.
    pub group_size: usize,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The caller's progress function said so.
    #[error("summarising was stopped")]
    Stopped,
    /// An option out of range.
    #[error("{name} is {found}: at least {least} is needed")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: usize,
        /// What would do.
        least: usize,
    },
    /// The graph has more than [`MOST_NODES`] nodes.
    #[error("{found} nodes are too many: up to {MOST_NODES} can be summarised")]
    TooManyNodes {
        /// Its nodes.
        found: usize,
    },
}

impl Default for SummaryOptions {
    fn default() -> Self {
        Self {
            iterations: 20,
            seed: 0,
            group_size: 500,
        }
    }
}

impl SummaryOptions {
    fn check(&self, graph: &Graph) -> Result<(), SummaryError> {
        for (name, found, least) in [
            ("iterations", self.iterations, 1),
            ("group_size", self.group_size, 2),
        ] {
            if found < least {
                return Err(SummaryError::Option { name, found, least });
            }
        }
        if graph.nodes() > MOST_NODES {
            return Err(SummaryError::TooManyNodes { found: graph.nodes() });
        }
        Ok(())
    }
}

/// Summarises a graph; weights are left out. `progress` gets rounds done and rounds in all before each round and at the end, and
/// stops the work by returning false. The same graph and options give the same summary. Time: O(iterations x edges) for a bounded
/// group size. Memory: O(edges).
///
/// # Errors
/// [`SummaryError`]: stopped, an option out of range, too many nodes.
pub fn summarize(
    graph: &Graph,
    options: &SummaryOptions,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Summary, SummaryError> {
    options.check(graph)?;
    let mut draft = merge::merge(graph, options, progress)?;
    prune::prune(&mut draft, graph);
    Ok(Summary::from_draft(&draft, graph.edge_count() as u64))
}
