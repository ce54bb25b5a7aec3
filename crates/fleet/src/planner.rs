//! Workload, router and pool planned together (Workload-Router-Pool; card: `systems/13`): what arrives ([`Workload`], from a
//! [`Trace`]), how it is divided ([`Topology`], [`TokenBudget`]), and how many GPUs each part needs ([`size`]), checked by events
//! ([`simulate`]).
//!
//! A GPU's iteration grows with the sequences in it and their lengths ([`GpuProfile`]), and the slots of a GPU shrink with the longest context
//! that each must have room for. That is why a pool for short requests needs fewer GPUs than its share of a common one: with `α` the
//! share of the work that it takes over and `ρ` by how much more a GPU completes there, it saves `α (1 − 1/ρ)`.
//!
//! The card's paper is a frame and reports no result; equations are those of the project's documents, and what they predict is a model of
//! the GPU that was described, not of one that was measured. Other than there: the chance to wait comes from the pace at every
//! number of busy slots, not from that of full GPUs alone; where the pace is the same in all states both are Erlang's C.

mod caps;
mod check;
mod pool;
mod queue;
mod sizing;
mod tokens;
mod trace;
mod workload;

use thiserror::Error;

pub use caps::{Cap, CapError, Conflict, conflicts};
pub use check::{Checked, simulate};
pub use pool::{GpuProfile, Load, Shape};
pub use queue::{Waiting, waiting};
pub use sizing::{FleetPlan, PoolPlan, Slo, Topology, size};
pub use tokens::{PoolQuery, TokenBudget};
pub use trace::{LoggedRequest, Trace, TraceError};
pub use workload::{Classes, Classifier, Workload};

/// Why a fleet cannot be planned.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing to plan for.
    #[error("there are no requests to plan for; give a trace with at least one")]
    NoRequests,
    /// A number out of its range.
    #[error("{key} is {found}; it must be {allowed}")]
    OutOfRange {
        /// Which.
        key: &'static str,
        /// What it is.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A context that no GPU holds.
    #[error(
        "pool `{pool}` must admit contexts of {window} tokens and a GPU holds {kv_tokens}; raise `gpu.kv_tokens` or leave \
         longer requests out"
    )]
    Window {
        /// The pool.
        pool: String,
        /// Its longest context.
        window: u32,
        /// What a GPU holds.
        kv_tokens: u64,
    },
    /// An objective below what an empty GPU needs.
    #[error(
        "pool `{pool}`: even alone on a GPU one request in a hundred takes {floor_ms:.0} ms to its first token, and {asked_ms:.0} are \
         allowed; allow more, or describe a faster GPU"
    )]
    Objective {
        /// The pool.
        pool: String,
        /// What an empty GPU needs.
        floor_ms: f64,
        /// What is allowed.
        asked_ms: f64,
    },
    /// More GPUs than anybody has.
    #[error("pool `{pool}` needs more than {most} GPUs; check the rate and the profile of the GPU")]
    TooMany {
        /// The pool.
        pool: String,
        /// The most that is planned.
        most: u32,
    },
}
