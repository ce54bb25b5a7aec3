//! What holds at the moment of a scrape: asked for then, not kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use fingerpost_core::{Name, Timestamp};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::labels::{Labels, labels};
use crate::TracesStats;

/// What holds at the moment of a scrape.
///
/// | family | labels | field |
/// | --- | --- | --- |
/// | `fingerpost_in_flight` | model, endpoint | [`in_flight`](Self::in_flight) |
/// | `fingerpost_breaker` | endpoint, state | [`breakers`](Self::breakers): 1 for the state that it is in, 0 for the others |
/// | `fingerpost_endpoint_reported` | endpoint, value (`waiting`, `running`, `kv_usage`, `backlog_tokens`, `cached_tokens`) | [`reported`](Self::reported): what endpoints told last |
/// | `fingerpost_endpoint_report_age_seconds` | endpoint, value | [`reported`](Self::reported): how old that is |
/// | `fingerpost_queue_length` | | [`queued`](Self::queued) |
/// | `fingerpost_records_dropped_total` | | [`records_dropped`](Self::records_dropped) |
/// | `fingerpost_store_up` | | [`store`](Self::store): 1, or 0 while the store cannot be written or asked |
/// | `fingerpost_store_waiting` | | [`store`](Self::store): records that wait to be written |
/// | `fingerpost_store_dropped_total` | | [`store`](Self::store): records refused because too many waited |
/// | `fingerpost_store_lag_seconds` | | [`store`](Self::store): since all that other replicas taught was last read |
/// | `fingerpost_store_outcomes_total` | result (`learned`, `missed`) | [`store`](Self::store): outcomes of other replicas |
/// | `fingerpost_cache_requests_total` | decision, result (`hit`, `miss`, `bypass`) | [`caches`](Self::caches) |
/// | `fingerpost_cache_entries` | decision | [`caches`](Self::caches): answers kept |
/// | `fingerpost_cache_bytes` | decision | [`caches`](Self::caches): about how much memory they take |
/// | `fingerpost_snapshot_version` | | [`snapshot`](Self::snapshot) |
/// | `fingerpost_config_reloads_total` | result (`ok`, `failed`) | [`reloads_ok`](Self::reloads_ok), [`reloads_failed`](Self::reloads_failed) |
/// | `fingerpost_config_last_reload_ok` | | [`last_reload`](Self::last_reload): 1 or 0 |
/// | `fingerpost_config_last_reload_time_seconds` | | [`last_reload`](Self::last_reload) |
/// | `fingerpost_spans_total` | result (`exported`, `dropped`) | [`traces`](Self::traces) |
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Calls under way; several entries for one endpoint of one model add up.
    pub in_flight: Vec<InFlight>,
    /// The state of each endpoint's circuit breaker; of several for one endpoint the worst is shown.
    pub breakers: Vec<(Name, Breaker)>,
    /// What endpoints told of themselves last, each value of an endpoint once.
    pub reported: Vec<Reported>,
    /// Requests that wait for a place.
    pub queued: u64,
    /// Records lost because the recorder could not keep up, since the start.
    pub records_dropped: u64,
    /// What the store tells.
    pub store: StoreMoment,
    /// The caches of answers, one of a decision at most.
    pub caches: Vec<CacheMoment>,
    /// The number of the configuration in force: 1 at the start, one more at each successful reload.
    pub snapshot: u64,
    /// Reloads that succeeded since the start.
    pub reloads_ok: u64,
    /// Reloads that failed since the start.
    pub reloads_failed: u64,
    /// When the configuration was last read and whether it was taken; the start counts.
    pub last_reload: Option<(Timestamp, bool)>,
    /// What became of exported spans; absent where none are exported.
    pub traces: Option<TracesStats>,
}

/// What the store tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreMoment {
    /// Whether it can be written and asked.
    pub up: bool,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records refused because too many waited, since the start.
    pub dropped: u64,
    /// How long ago all that other replicas taught was last read; absent where there are none, or it never was.
    pub behind: Option<Duration>,
    /// Outcomes of other replicas that were learned from and that never came here; absent where the store is not shared.
    pub exchange: Option<(u64, u64)>,
}

/// What a cache of answers tells. The counts begin anew when its settings change.
#[derive(Debug, Clone)]
pub struct CacheMoment {
    /// The decision whose answers it keeps.
    pub decision: Name,
    /// Requests that it answered.
    pub hits: u64,
    /// Requests that it had no answer for.
    pub misses: u64,
    /// Requests that it was not asked about.
    pub bypasses: u64,
    /// Answers kept.
    pub entries: u64,
    /// About how many bytes of memory they take.
    pub bytes: u64,
}

/// Calls under way to one endpoint of one model.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The model.
    pub model: Name,
    /// The endpoint.
    pub endpoint: Name,
    /// How many.
    pub calls: u64,
}

/// A value that an endpoint told of itself.
#[derive(Debug, Clone)]
pub struct Reported {
    /// Who told it.
    pub endpoint: Name,
    /// What it is called.
    pub value: &'static str,
    /// What was told.
    pub told: f64,
    /// How old it is.
    pub age: Duration,
}

/// The state of a circuit breaker, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breaker {
    /// Calls pass.
    Closed,
    /// A few calls pass as a trial.
    HalfOpen,
    /// No call passes.
    Open,
}

/// The callback.
pub(super) struct Live(pub(super) Box<dyn Fn() -> Moment + Send + Sync>);

/// Asks the callback, once there is one.
#[derive(Debug)]
pub(super) struct AtScrape(pub(super) Arc<OnceLock<Live>>);

// === impl Breaker ===

impl Breaker {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Closed, "closed"),
        (Self::HalfOpen, "half_open"),
        (Self::Open, "open"),
    ];
}

// === impl AtScrape ===

impl Collector for AtScrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(live) = self.0.get() else { return Ok(()) };
        let moment = (live.0)();
        let e = &mut encoder;
        // A series may stand in the text only once, however often the callback names it.
        let mut in_flight = BTreeMap::new();
        for each in &moment.in_flight {
            *in_flight.entry((&each.model, &each.endpoint)).or_insert(0) += each.calls;
        }
        let rows = in_flight.into_iter();
        let rows = rows
            .map(|((model, endpoint), calls)| (labels([("model", model), ("endpoint", endpoint)]), calls));
        gauges(e, "in_flight", "Calls under way", rows)?;
        let mut breakers = BTreeMap::new();
        for (endpoint, state) in &moment.breakers {
            let worst = breakers.entry(endpoint).or_insert(*state);
            *worst = (*worst).max(*state);
        }
        let states = breakers.into_iter().flat_map(|(endpoint, state)| {
            let row = move |(each, name): (Breaker, &str)| {
                (
                    labels([("endpoint", endpoint), ("state", &name.into())]),
                    u64::from(each == state),
                )
            };
            Breaker::ALL.into_iter().map(row)
        });
        gauges(
            e,
            "breaker",
            "State of the circuit breaker: 1 for the one that it is in",
            states,
        )?;
        reported(e, &moment.reported)?;
        gauge(
            e,
            "queue_length",
            "Requests that wait for a place",
            &ConstGauge::new(moment.queued),
        )?;
        let help = "Records lost because the recorder could not keep up";
        let metric = e.encode_descriptor("records_dropped", help, None, MetricType::Counter)?;
        ConstCounter::new(moment.records_dropped).encode(metric)?;
        store(e, &moment.store)?;
        caches(e, &moment.caches)?;
        gauge(
            e,
            "snapshot_version",
            "Number of the configuration in force",
            &ConstGauge::new(moment.snapshot),
        )?;
        let reloads = [("ok", moment.reloads_ok), ("failed", moment.reloads_failed)];
        counters(
            e,
            "config_reloads",
            "Reloads of the configuration",
            reloads.map(by_result),
        )?;
        if let Some((at, ok)) = moment.last_reload {
            let help = "Whether the last reading of the configuration was taken";
            gauge(e, "config_last_reload_ok", help, &ConstGauge::new(u64::from(ok)))?;
            #[expect(
                clippy::cast_precision_loss,
                reason = "a time since 1970 in microseconds has 51 bits until 2041"
            )]
            let seconds = at.micros() as f64 / 1e6;
            let help = "When the configuration was last read, in seconds since 1970";
            gauge(
                e,
                "config_last_reload_time_seconds",
                help,
                &ConstGauge::new(seconds),
            )?;
        }
        if let Some(traces) = moment.traces {
            let spans = [("exported", traces.exported), ("dropped", traces.dropped)];
            counters(
                e,
                "spans",
                "Spans sent to the collector, and spans lost on the way",
                spans.map(by_result),
            )?;
        }
        Ok(())
    }
}

fn store(e: &mut DescriptorEncoder<'_>, store: &StoreMoment) -> Result<(), fmt::Error> {
    let help = "Whether the store can be written and asked";
    gauge(e, "store_up", help, &ConstGauge::new(u64::from(store.up)))?;
    let help = "Records that wait to be written to the store";
    gauge(e, "store_waiting", help, &ConstGauge::new(store.waiting))?;
    let help = "Records refused because too many waited for the store";
    let metric = e.encode_descriptor("store_dropped", help, None, MetricType::Counter)?;
    ConstCounter::new(store.dropped).encode(metric)?;
    if let Some(behind) = store.behind {
        let help = "Time since all that other replicas taught was last read";
        gauge(
            e,
            "store_lag_seconds",
            help,
            &ConstGauge::new(behind.as_secs_f64()),
        )?;
    }
    if let Some((learned, missed)) = store.exchange {
        let outcomes = [("learned", learned), ("missed", missed)];
        counters(
            e,
            "store_outcomes",
            "Outcomes of other replicas",
            outcomes.map(by_result),
        )?;
    }
    Ok(())
}

fn caches(e: &mut DescriptorEncoder<'_>, caches: &[CacheMoment]) -> Result<(), fmt::Error> {
    if caches.is_empty() {
        return Ok(());
    }
    let counts = caches.iter().flat_map(|cache| {
        let row = |(result, count): (&str, u64)| {
            (
                labels([("decision", &cache.decision), ("result", &result.into())]),
                count,
            )
        };
        [
            ("hit", cache.hits),
            ("miss", cache.misses),
            ("bypass", cache.bypasses),
        ]
        .map(row)
    });
    counters(
        e,
        "cache_requests",
        "Requests of decisions with a cache, by what it did",
        counts,
    )?;
    let of = |count: fn(&CacheMoment) -> u64| {
        caches
            .iter()
            .map(move |c| (labels([("decision", &c.decision)]), count(c)))
    };
    gauges(e, "cache_entries", "Answers that are kept", of(|c| c.entries))?;
    let help = "About how many bytes of memory the answers that are kept take";
    gauges(e, "cache_bytes", help, of(|c| c.bytes))
}

fn reported(e: &mut DescriptorEncoder<'_>, all: &[Reported]) -> Result<(), fmt::Error> {
    // A series may stand in the text only once.
    let once: BTreeMap<_, _> = all.iter().map(|r| ((&r.endpoint, r.value), r)).collect();
    let help = "What an endpoint told of itself last";
    let mut metric = e.encode_descriptor("endpoint_reported", help, None, MetricType::Gauge)?;
    for ((endpoint, value), r) in &once {
        let labels = labels([("endpoint", *endpoint), ("value", &(*value).into())]);
        ConstGauge::new(r.told).encode(metric.encode_family(&labels)?)?;
    }
    let help = "How old what an endpoint told of itself last is";
    let mut metric = e.encode_descriptor("endpoint_report_age_seconds", help, None, MetricType::Gauge)?;
    for ((endpoint, value), r) in &once {
        let labels = labels([("endpoint", *endpoint), ("value", &(*value).into())]);
        ConstGauge::new(r.age.as_secs_f64()).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn by_result((result, count): (&str, u64)) -> (Labels<1>, u64) {
    (labels([("result", &result.into())]), count)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn gauges<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (Labels<N>, u64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl IntoIterator<Item = (Labels<N>, u64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in rows {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}
