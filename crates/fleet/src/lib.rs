//! The level below the model: which of its instances to ask, when to spare one, when to try again, when to turn away.
//!
//! Everything here is arithmetic on a clock and a source of chance that are passed in, so the simulator and the tests run the
//! very objects that serve. Waiting and calling are the gateway's.
//!
//! - [`policy`]: routers over instances, one file each ([`PowerOfTwo`], [`LeastLoad`], [`RoundRobin`], [`RandomPick`]);
//! - [`Breaker`]: spares an endpoint that fails;
//! - [`RetryBudget`], [`Backoff`], [`HedgeBudget`]: trying again without making an overload worse;
//! - [`Gate`]: bounded concurrency and a bounded queue;
//! - [`polar`]: which adapters are loaded, and which one serves a request;
//! - [`planner`]: how many instances a workload needs, and how it is divided among them;
//! - [`zeppelin`]: balance of sequences over the devices of a training cluster.

pub mod breaker;
pub mod chart;
pub mod hedge;
pub mod planner;
pub mod polar;
pub mod policy;
pub mod retry;
pub mod shed;
pub mod zeppelin;

pub use breaker::{Breaker, BreakerConfig, BreakerState};
pub use hedge::{HedgeBudget, HedgeConfig};
pub use policy::{FleetPolicy, InstanceQuery, LeastLoad, PowerOfTwo, RandomPick, RoundRobin};
pub use retry::{Backoff, RetryBudget, RetryConfig, parse_retry_after};
pub use shed::{Gate, Permit, Place, ShedConfig};
