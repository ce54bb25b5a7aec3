//! How good routers are.
//!
//! - [`routers`]: [`DataSet`] reads logged outcomes, [`Plan`] trains routers on one part of them and judges them on another, beside
//!   the [`Baseline`]s, by [`metrics`]; [`report`] shows it.
//! - [`twin`]: routers that choose a tier at every step of an agent's run: bank, prices, scorer, a trained router, how labels are
//!   found, the bill of live runs.
//! - [`counterfactual`]: what a policy would have earned, from the log of another.
//! - [`skills`]: finding skills, tools and agents: catalogues with labelled requests, folds, hits and ranks, abstention, latency.
//! - [`strategies`]: the registry of all strategies of routing and cascading that the surveys name, and what this product offers.

pub mod baseline;
pub mod counterfactual;
pub mod dataset;
pub mod lines;
pub mod metrics;
pub mod report;
pub mod routers;
pub mod skills;
pub mod strategies;
pub mod twin;

pub use baseline::Baseline;
pub use dataset::{CostSource, DataError, DataSet};
pub use lines::{LinesError, read_lines};
pub use routers::{BenchError, Plan, Report, Row};
