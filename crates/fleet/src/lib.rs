//! The level below the model: which of its instances to ask, when to spare one, when to try again, when to turn away.
//!
//! Everything here is arithmetic on a clock and a source of chance that are passed in, so the simulator and the tests run the
//! very objects that serve. Waiting and calling are the gateway's.
//!
//! - [`policy`]: routers over instances, one file each; [`FleetPolicy`] names them in the configuration;
//! - [`Fleet`]: a policy with its state, as whoever sends requests drives it;
//! - [`prefix`]: prompts as chains of block hashes, and how much of one makes a key; [`Ring`]: keys to instances;
//! - [`instance`]: what is known of instances: own counts, [`reports`], and a model of each one's prefix cache ([`CacheModel`]);
//! - [`kv_events`]: what instances tell of their caches as they change;
//! - [`queue`]: requests held back in front of their instances, their order, and how hot spots are evened out;
//! - [`simulate`]: the same objects over recorded or made-up traffic;
//! - [`Breaker`]: spares an endpoint that fails; [`Service`]: health checks, and a slow start after them;
//! - [`RetryBudget`], [`Backoff`], [`HedgeBudget`]: trying again without making an overload worse;
//! - [`Gate`]: bounded concurrency and a bounded queue;
//! - [`polar`]: which adapters are loaded, and which one serves a request;
//! - [`planner`]: how many instances a workload needs, and how it is divided among them;
//! - [`zeppelin`]: balance of sequences over the devices of a training cluster.

pub mod breaker;
mod cache;
pub mod chart;
mod fleet;
pub mod hedge;
pub mod instance;
pub mod kv_events;
pub mod planner;
pub mod polar;
pub mod policy;
pub mod prefix;
pub mod queue;
pub mod reports;
pub mod retry;
mod ring;
pub mod service;
pub mod shed;
pub mod simulate;
pub mod zeppelin;

pub use breaker::{Breaker, BreakerConfig, BreakerState};
pub use cache::CacheModel;
pub use fleet::{Call, Due, Fleet, Prefill};
pub use hedge::{HedgeBudget, HedgeConfig};
pub use instance::{Instance, Instances, LoadSource, StateConfig};
pub use policy::{
    BoundedHash, BoundedHashConfig, CacheAware, CacheAwareConfig, ConsistentHash, ConsistentHashConfig,
    DualMap, DualMapConfig, FleetPolicy, InstanceQuery, LeastLoad, LoadBy, LoadConfig, Loads, MinTtft,
    MinTtftConfig, NoOptions, PairChoice, PowerOfTwo, RandomPick, RoundRobin, TokenTime, TokenTimeError,
};
pub use prefix::{Prefix, PrefixHasher};
pub use queue::{QueueConfig, QueueOrder, Queues};
pub use reports::{Aged, Report};
pub use retry::{Backoff, RetryBudget, RetryConfig, parse_retry_after};
pub use ring::Ring;
pub use service::Service;
pub use shed::{Gate, Permit, Place, ShedConfig};
