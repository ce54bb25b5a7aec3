//! OpenTelemetry: a record becomes the spans of one trace, and they travel to a collector over OTLP/HTTP (protobuf).
//!
//! ```text
//! export(&Record)  →  spans encoded at the end of a shared buffer  →  the exporter's thread takes the buffer whole every
//! (recorder)          (queue, bounded in bytes)                       `every`, puts the resource before it, posts it
//! ```
//!
//! Protobuf lets messages of a list stand one after another in any number, so a span is encoded once, where it will be sent
//! from: no tree of owned strings is built, nothing is cloned, and no thread is woken for a record. That is why the message
//! types of the OpenTelemetry crates are used only in the tests, which read what was sent; they and the SDK behind them would
//! also take longer to build than all else here.
//!
//! Nothing waits for the collector: past the bound records are dropped and counted, a collector that is away costs a warning
//! in a while, and a batch is tried again only as OTLP/HTTP says that it may be (429, 502, 503, 504, no connection).

mod exporter;
mod post;
mod queue;
mod spans;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use fingerpost_core::{Name, TraceId};
use rustc_hash::FxHashMap;
use thiserror::Error;

use self::{post::Target, queue::Queue, spans::Writer};
use crate::Record;

/// Where traces go and how.
#[derive(Clone)]
pub struct TracesConfig {
    /// Base URL of the collector, as in `http://localhost:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// Headers sent with every export, such as a key.
    pub headers: Vec<(String, String)>,
    /// Share of traces that are exported, from 0 to 1. The choice follows from the trace id, as OpenTelemetry's ratio sampler
    /// makes it, so that all who handle a trace choose alike.
    pub sample: f64,
    /// What this service is called.
    pub service_name: String,
    /// Its version.
    pub service_version: String,
    /// Which of its replicas this is, where there are several.
    pub service_instance: Option<String>,
    /// Time between exports. A half-full queue is exported at once.
    pub every: Duration,
    /// How long one export may take, from connecting to the answer.
    pub timeout: Duration,
    /// Bytes of encoded spans that may wait. A request takes about one kilobyte.
    pub queue_bytes: usize,
    /// For an `https` endpoint: whom to trust.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// Why traces cannot be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TracesError {
    /// The endpoint is no URL of a collector.
    #[error(
        "`{0}` is no URL of a collector; it looks like http://localhost:4318 or https://collector.example/base"
    )]
    Endpoint(String),
    /// The endpoint is `https` and there is nobody to trust.
    #[error("the collector's URL begins with https, but no trusted certificates were given")]
    NoTls,
    /// A header cannot be sent.
    #[error("`{0}` cannot be sent as a header's name or has a value that cannot be sent")]
    Header(String),
    /// The thread could not be started.
    #[error("the exporter's thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TracesStats {
    /// Spans that the collector took.
    pub exported: u64,
    /// Spans lost: the queue was full, or the collector refused them or was away for too long.
    pub dropped: u64,
}

/// The address and port of each endpoint, for `server.address` and `server.port`.
pub type Servers = FxHashMap<Name, (String, u16)>;

/// Sends the traces of records to a collector, from a thread of its own.
pub struct Traces {
    queue: Arc<Queue>,
    writer: Mutex<Writer>,
    keep_below: u64,
    done: Mutex<mpsc::Receiver<()>>,
}

// === impl TracesConfig ===

impl TracesConfig {
    /// All traces to this collector, under the name `fingerpost`, every two seconds, with at most 4 MiB waiting.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            sample: 1.0,
            service_name: "fingerpost".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            service_instance: None,
            every: Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            queue_bytes: 4 << 20,
            tls: None,
        }
    }
}

/// Without the values of headers, which may be keys.
impl fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("TracesConfig")
            .field("endpoint", &self.endpoint)
            .field("headers", &headers)
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}

// === impl Traces ===

impl Traces {
    /// Starts the exporter's thread. The collector need not be there yet.
    ///
    /// # Errors
    /// [`TracesError`] where the configuration cannot work, whatever the collector does.
    pub fn start(config: &TracesConfig) -> Result<Self, TracesError> {
        let target = Target::of(config)?;
        let queue = Arc::new(Queue::new(config.queue_bytes));
        let (finished, done) = mpsc::channel();
        exporter::start(config, target, Arc::clone(&queue), finished).map_err(TracesError::Thread)?;
        Ok(Self {
            queue,
            writer: Mutex::default(),
            keep_below: keep_below(config.sample),
            done: Mutex::new(done),
        })
    }

    /// Where each endpoint is; replaces what was said before.
    pub fn set_servers(&self, servers: Servers) {
        self.writer().set_servers(servers);
    }

    /// Whether the trace with this id is exported: the `sampled` flag to send on.
    pub const fn samples(&self, trace: TraceId) -> bool {
        // The lower 63 bits of the trace id's second half against the ratio, as in OpenTelemetry's `TraceIdRatioBased`.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "only the lower half is random in every version"
        )]
        let random = trace.0 as u64;
        random >> 1 < self.keep_below
    }

    /// Queues the spans of a record; never waits for the collector.
    pub fn export(&self, record: &Record) {
        if self.samples(record.trace.id) {
            let mut writer = self.writer();
            self.queue
                .add(Writer::spans_of(record), |bytes| writer.write(record, bytes));
        }
    }

    /// What became of spans so far.
    pub fn stats(&self) -> TracesStats {
        self.queue.stats()
    }

    /// Exports what waits, within `limit`; whether all of it was taken or dropped by then.
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }

    /// Exports what waits and ends the thread, within `limit`; whether it ended by then. What comes later is dropped.
    pub fn shutdown(&self, limit: Duration) -> bool {
        self.queue.stop(limit);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: it has ended before.
        !matches!(done.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.queue.stop(Duration::ZERO);
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of 2^63 fits"
)]
fn keep_below(share: f64) -> u64 {
    const ALL: u64 = 1 << 63;
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let below = share.clamp(0.0, 1.0) * ALL as f64;
    below as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_share_of_trace_ids() {
        assert_eq!(keep_below(1.0), 1 << 63);
        assert_eq!(keep_below(0.0), 0);
        assert_eq!(keep_below(f64::NAN), 0);
        assert_eq!(keep_below(0.25), 1 << 61);
    }

    #[test]
    fn what_cannot_work_is_said_at_the_start() {
        let start = |endpoint: &str| Traces::start(&TracesConfig::new(endpoint));
        assert!(matches!(start("localhost"), Err(TracesError::Endpoint(_))));
        assert!(matches!(start("ftp://host"), Err(TracesError::Endpoint(_))));
        assert!(matches!(start("https://host"), Err(TracesError::NoTls)));
        let mut config = TracesConfig::new("http://127.0.0.1:4318");
        config
            .headers
            .push(("x key".to_owned(), "secret-value".to_owned()));
        let error = Traces::start(&config).unwrap_err();
        assert!(matches!(&error, TracesError::Header(name) if name == "x key"));
        assert!(!format!("{config:?} {error}").contains("secret-value"));
    }
}
