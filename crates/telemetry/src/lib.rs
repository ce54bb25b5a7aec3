//! What is told of the traffic: metrics, access log, OpenTelemetry.
//!
//! All three read one thing, the [`Record`] of a request that is over, on the recorder's thread and never on the way of a
//! request:
//!
//! - [`Metrics`] counts it and writes OpenMetrics text when scraped; what is true only at this moment (requests in flight,
//!   breakers, queues) is asked for then through a callback ([`Moment`]);
//! - [`AccessLog`] writes it as one line of JSON;
//! - [`Traces`] turns it into the spans of one OpenTelemetry trace and sends them to a collector from a thread of its own.
//!
//! [`TraceParent`] and [`SpanIds`] tie the trace to those of the client before and the provider behind.
//!
//! ```
//! use fingerpost_core::{Name, Timestamp};
//! use fingerpost_telemetry::{AccessLog, Build, Known, Metrics, Moment};
//!
//! let known = Known { models: vec!["large".into()], ..Known::default() };
//! let metrics = Metrics::new(&Build { version: "0.1.0", revision: "abc" }, Timestamp::from_millis(0), &known);
//! metrics.watch(|| Moment { snapshot: 1, ..Moment::default() });
//! let mut log = AccessLog::new(std::io::sink());
//! # let batch: Vec<fingerpost_telemetry::Record> = Vec::new();
//! for record in &batch {
//!     metrics.observe(record);
//!     log.note(record);
//! }
//! log.flush()?;
//! assert!(metrics.encode().contains("fingerpost_snapshot_version 1"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod access_log;
mod attempt;
mod metrics;
mod otlp;
mod record;
mod span_ids;
mod trace_parent;

pub use access_log::AccessLog;
pub use metrics::{
    Breaker, Build, CacheMoment, InFlight, Known, METRICS_CONTENT_TYPE, Metrics, Moment, Reported,
    StoreMoment,
};
pub use otlp::{Servers, Traces, TracesConfig, TracesError, TracesStats};
pub use record::{CacheUse, CallRecord, Record, Tokens};
pub use span_ids::SpanIds;
pub use trace_parent::TraceParent;
