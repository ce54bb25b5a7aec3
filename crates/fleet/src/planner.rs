//! Workload, router and pool planned together (Workload-Router-Pool; card: `systems/13`).

mod trace;

pub use trace::{LoggedRequest, Trace, TraceError};
