//! Counts what records tell and writes it as OpenMetrics text.
//!
//! Only names of the configuration become labels ([`Known`]), so that no client can make the number of series grow: any other
//! model, endpoint or decision is counted under `unknown`, and what a request never reached under `none`. The handle of every
//! series is looked up once and kept, so that counting a record costs a few look-ups of short names and atomic additions, and
//! no allocation.
//!
//! | family | labels | what |
//! | --- | --- | --- |
//! | `fingerpost_requests_total` | format, decision, model, status (`2xx` …) | requests that are over |
//! | `fingerpost_errors_total` | reason | requests that failed, by [`fingerpost_core::Failure::kind`]; `request` (4xx) or `internal` (5xx) where no call failed |
//! | `fingerpost_tokens_total` | model, kind | tokens of answers: `input` (of which `cached_input`) and `output` (of which `reasoning`) |
//! | `fingerpost_cost_usd_total` | model | US dollars, under the model that answered |
//! | `fingerpost_time_to_first_token_seconds` | model | of streams, from the request |
//! | `fingerpost_time_to_first_token_prediction_error_seconds` | model | of streams whose endpoint was picked by a predicted time: by how much it was off |
//! | `fingerpost_time_per_output_token_seconds` | model | of streams, after the first token |
//! | `fingerpost_request_duration_seconds` | model | from the request to the end of the answer |
//! | `fingerpost_routing_duration_seconds` | | from the request to the choice of the first endpoint |
//! | `fingerpost_upstream_calls_total` | endpoint, result (`ok` or the failure's kind) | calls to endpoints |
//! | `fingerpost_upstream_duration_seconds` | endpoint | of calls that succeeded |
//! | `fingerpost_retries_total` | model | calls made because one to the same model had failed |
//! | `fingerpost_fallbacks_total` | from, to | calls made because one to another model had failed |
//! | `fingerpost_hedges_total` | model | calls made beside one to the same model that was still under way |
//!
//! What holds at the moment of the scrape is listed at [`Moment`]. `process_start_time_seconds` and `fingerpost_build_info`
//! never change.

mod families;
mod labels;
mod moment;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use fingerpost_core::{Name, Timestamp};
use prometheus_client::{
    encoding::text,
    metrics::{gauge::ConstGauge, info::Info},
    registry::Registry,
};

use self::{families::Families, labels::labels, moment::Live};
use crate::Record;

pub use moment::{Breaker, CacheMoment, InFlight, Moment, Reported, StoreMoment};

/// The media type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The names that may become labels: those of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Decisions.
    pub decisions: Vec<Name>,
    /// Models.
    pub models: Vec<Name>,
    /// Endpoints.
    pub endpoints: Vec<Name>,
}

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The version, as in the package.
    pub version: &'static str,
    /// The revision of the source, or `unknown`.
    pub revision: &'static str,
}

/// Counts what records tell. Shared by the recorder, which counts, and whoever answers scrapes.
pub struct Metrics {
    registry: Registry,
    families: Mutex<Families>,
    live: Arc<OnceLock<Live>>,
}

// === impl Metrics ===

impl Metrics {
    /// Metrics with every count at zero.
    pub fn new(build: &Build, started: Timestamp, known: &Known) -> Self {
        let mut registry = Registry::default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a time since 1970 in microseconds has 51 bits until 2041"
        )]
        let seconds = started.micros() as f64 / 1e6;
        let help = "When the process began, in seconds since 1970";
        registry.register("process_start_time_seconds", help, ConstGauge::new(seconds));
        let ours = registry.sub_registry_with_prefix("fingerpost");
        let about = labels([
            ("version", &build.version.into()),
            ("revision", &build.revision.into()),
        ]);
        ours.register("build", "Which program this is", Info::new(about));
        let mut families = Families::register(ours);
        families.configure(known);
        let live = Arc::default();
        ours.register_collector(Box::new(moment::AtScrape(Arc::clone(&live))));
        Self {
            registry,
            families: Mutex::new(families),
            live,
        }
    }

    /// From now on these names are the known ones. Series of names that are known no longer disappear, so that the number of
    /// series never exceeds what one configuration allows.
    pub fn configure(&self, known: &Known) {
        self.locked().configure(known);
    }

    /// What to ask at each scrape for what holds then. It must not block. Only the first callback counts.
    pub fn watch(&self, moment: impl Fn() -> Moment + Send + Sync + 'static) {
        // A second one has no meaning, and nothing to report to.
        let _ = self.live.set(Live(Box::new(moment)));
    }

    /// Counts one record.
    pub fn observe(&self, record: &Record) {
        self.locked().observe(record);
    }

    /// Counts a batch of records.
    pub fn observe_all<'a>(&self, records: impl IntoIterator<Item = &'a Record>) {
        let mut families = self.locked();
        for record in records {
            families.observe(record);
        }
    }

    /// Everything counted, as OpenMetrics text ([`METRICS_CONTENT_TYPE`]).
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string fails only where a metric refuses to be encoded, which those registered above never do.
        if text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be encoded");
        }
        text
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Families> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
