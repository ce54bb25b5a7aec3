//! Benchmarks: data sets, replay, metrics, reports.
//!
//! [`DataSet`] reads logged outcomes, [`Plan`] trains routers on one part of them and judges them on another, beside the
//! [`Baseline`]s; [`metrics`] says how well they did.

pub mod baseline;
pub mod dataset;
pub mod lines;
pub mod metrics;
pub mod report;
pub mod routers;

pub use baseline::Baseline;
pub use dataset::{CostSource, DataError, DataSet};
pub use lines::{LinesError, read_lines};
pub use routers::{BenchError, Plan, Report, Row};
