//! Workload, router and pool planned together (Workload-Router-Pool; card: `systems/13`): what arrives ([`Workload`], from a
//! [`Trace`]), how it is divided ([`Topology`], [`TokenBudget`]), and how many GPUs each part needs ([`size`]), checked by events
//! ([`simulate`]).
//!
//! Provisioning depends on the routing policy, so [`Optimiser`] puts the policies that serve in the loop: it sizes each with each
//! division of the requests, plays the best by events ([`replay`]) and corrects their numbers of GPUs until the objective is kept. What comes of it is
//! a configuration of the gateway and of its pools ([`gateway()`], [`pools()`]). [`watch`] tells when a log has drifted so far that it is to be
//! planned anew.
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
mod coupling;
mod drift;
mod emit;
mod gpu;
mod matrix;
mod mixes;
mod optimise;
mod pool;
mod queue;
mod replay;
mod sizing;
mod tokens;
mod trace;
mod workload;

use thiserror::Error;

pub use caps::{Cap, CapError, Conflict, conflicts};
pub use check::{Checked, simulate};
pub use coupling::{Combination, Coupled};
pub use drift::{Histogram, Watched, watch};
pub use emit::{gateway, pools};
pub use matrix::{Axis, Cell, page, table};
pub use mixes::Mix;
pub use optimise::{Candidate, Optimised, Optimiser, Verified, Wrp};
pub use pool::{GpuProfile, Load, Shape};
pub use queue::{Waiting, waiting};
pub use replay::{Asked, PoolReplay, Replay, Stream, replay};
pub use sizing::{FleetPlan, PoolPlan, Slo, Topology, size};
pub use tokens::{PoolQuery, TokenBudget};
pub use trace::{BLOCK_TOKENS, LoggedRequest, Trace, TraceError};
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
    /// No candidate that was played.
    #[error(
        "no plan that was played keeps the objective; play more of them, or allow a longer time to the first token"
    )]
    NotKept,
    /// More GPUs than anybody has.
    #[error("pool `{pool}` needs more than {most} GPUs; check the rate and the profile of the GPU")]
    TooMany {
        /// The pool.
        pool: String,
        /// The most that is planned.
        most: u32,
    },
}
