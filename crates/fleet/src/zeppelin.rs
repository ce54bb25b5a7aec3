//! Balance of sequences of very different lengths over the devices of a training cluster (Zeppelin; card: `systems/14`).
//!
//! Attention costs the square of a length, linear modules cost the length itself, and a sequence that is cut over devices costs
//! transfers. So a batch is laid out in three zones: the longest sequences are cut over several nodes, those in the middle over
//! the devices of one node, and the short ones stay whole ([`partition`]). Transfers between nodes are spread over all
//! network cards ([`transfer`]). Between attention and linear modules tokens are moved, so that both see a balanced layout
//! ([`remap`]). Where the zones begin is searched for by predicted time ([`predict`]), and the same prediction judges the
//! baselines ([`Baseline`]); where one of them is faster, the plan is that baseline, and says so.
//!
//! The card confirms the three parts only. All equations are a reconstruction, and what they predict is a model: kernels of
//! uneven efficiency, stragglers and the gradients' exchange are not in it.
//!
//! ```
//! use fingerpost_fleet::zeppelin::{Cluster, Costs, PlanOptions, plan};
//!
//! let lengths = [90_000, 12_000, 3_000, 800, 700, 500];
//! let cluster = Cluster { nodes: 2, ..Cluster::default() };
//! let plan = plan(&lengths, &cluster, &Costs::default(), &PlanOptions::default())?;
//! assert!(plan.baselines.iter().all(|b| !b.fits || plan.times.step_ms <= b.step_ms));
//! # Ok::<(), fingerpost_fleet::zeppelin::ZeppelinError>(())
//! ```

mod baseline;
mod cluster;
mod layout;
mod lengths;
mod partition;
mod picture;
mod plan;
mod predict;
mod remap;
mod transfer;

pub use baseline::Baseline;
pub use cluster::{Cluster, ClusterSpec, Costs, ZeppelinError};
pub use layout::Zone;
pub use lengths::read_lengths;
pub use picture::timeline_svg;
pub use plan::{
    BaselineTimes, Chunk, PLAN_VERSION, Placement, Plan, PlanOptions, PlannedGroup, Times, Transfer, plan,
};
pub use predict::Span;
pub use remap::{Move, remap};
pub use transfer::{spread, transfer_ms};
