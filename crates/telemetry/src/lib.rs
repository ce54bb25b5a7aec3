//! What is told of the traffic: metrics, access log, OpenTelemetry.

mod record;

pub use record::{CallRecord, Record, Tokens};
