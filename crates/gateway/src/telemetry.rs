//! Where a request's record goes: metrics always, access log and OpenTelemetry where they are switched on.

use std::{
    io::Stderr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use fingerpost_fleet::BreakerState;
use fingerpost_store::Stats;
use fingerpost_telemetry::{
    AccessLog, Breaker, Build, InFlight, Known, METRICS_CONTENT_TYPE, Metrics, Moment, Record, Reported,
    Servers, StoreMoment, Traces, TracesConfig,
};

use crate::{config::Telemetry, snapshot::Snapshot, upstream, worker::now};

/// The media type of the metrics.
pub(crate) const METRICS_TYPE: &str = METRICS_CONTENT_TYPE;
/// How long a flush waits for the collector.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Where records go.
pub(crate) struct Outlets {
    metrics: Metrics,
    moment: std::sync::Arc<Mutex<Moment>>,
    access_log: Option<Mutex<AccessLog<Stderr>>>,
    traces: Option<Traces>,
}

// === impl Outlets ===

impl Outlets {
    /// Opens what the configuration switches on. A collector that cannot be used is told of and left out: routing goes on.
    pub(crate) fn new(config: &Telemetry) -> Self {
        let build = Build {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("FINGERPOST_REVISION").unwrap_or("unknown"),
        };
        let metrics = Metrics::new(&build, now(), &Known::default());
        let moment = std::sync::Arc::new(Mutex::new(Moment::default()));
        let seen = std::sync::Arc::clone(&moment);
        metrics.watch(move || seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let traces = config.otlp_endpoint.as_ref().and_then(|endpoint| {
            let options = TracesConfig {
                sample: config.otlp_sample.unwrap_or(1.0),
                tls: Some(upstream::tls_config()),
                ..TracesConfig::new(endpoint)
            };
            Traces::start(&options)
                .inspect_err(|error| tracing::error!(%error, "no traces are exported"))
                .ok()
        });
        Self {
            metrics,
            moment,
            access_log: config
                .access_log
                .then(|| Mutex::new(AccessLog::new(std::io::stderr()))),
            traces,
        }
    }

    /// Another snapshot is in place.
    pub(crate) fn installed(&self, snapshot: &Snapshot) {
        let mut known = Known::default();
        let mut servers = Servers::default();
        known.decisions = snapshot.decision_names().cloned().collect();
        for model in snapshot.models() {
            known.models.push(model.name().clone());
            for slot in model.slots() {
                known.endpoints.push(slot.name.clone());
                if let Some(address) = &slot.provider.address {
                    servers.insert(slot.name.clone(), (address.host.clone(), address.port));
                }
            }
        }
        self.metrics.configure(&known);
        if let Some(traces) = &self.traces {
            traces.set_servers(servers);
        }
        let mut moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        reloaded(&mut moment, true);
        moment.snapshot = snapshot.version();
    }

    /// A configuration was refused.
    pub(crate) fn reload_failed(&self) {
        reloaded(
            &mut self.moment.lock().unwrap_or_else(PoisonError::into_inner),
            false,
        );
    }

    /// Takes a record.
    pub(crate) fn observe(&self, record: &Record) {
        self.metrics.observe(record);
        if let Some(log) = &self.access_log {
            log.lock().unwrap_or_else(PoisonError::into_inner).note(record);
        }
        if let Some(traces) = &self.traces {
            traces.export(record);
        }
    }

    /// A batch is over: what was logged is written out.
    pub(crate) fn batch_done(&self) {
        if let Some(log) = &self.access_log
            && let Err(error) = log.lock().unwrap_or_else(PoisonError::into_inner).flush()
        {
            tracing::warn!(%error, "lines of the access log were lost");
        }
    }

    /// Sends out what waits.
    pub(crate) fn flush(&self) {
        self.batch_done();
        if let Some(traces) = &self.traces {
            traces.flush(FLUSH_WITHIN);
        }
    }

    /// Everything counted, and what holds at this moment.
    pub(crate) fn metrics(&self, snapshot: &Snapshot, dropped: u64, store: &Stats) -> String {
        let at = now();
        {
            let mut moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
            moment.snapshot = snapshot.version();
            moment.records_dropped = dropped + store.dropped;
            moment.store = StoreMoment {
                up: store.failure.is_none(),
                waiting: store.waiting,
                dropped: store.dropped,
                behind: store.shared.and_then(|shared| shared.behind),
                exchange: store.shared.map(|shared| (shared.learned, shared.missed)),
            };
            moment.queued = u64::from(snapshot.waiting());
            moment.traces = self.traces.as_ref().map(Traces::stats);
            let caches = snapshot
                .decisions()
                .iter()
                .filter_map(|d| Some(d.cache.as_ref()?.moment(d.name.clone())));
            moment.caches = caches.collect();
            moment.in_flight.clear();
            moment.breakers.clear();
            moment.reported.clear();
            for model in snapshot.models() {
                for slot in model.slots() {
                    moment.in_flight.push(InFlight {
                        model: model.name().clone(),
                        endpoint: slot.name.clone(),
                        calls: u64::from(slot.live.in_flight()),
                    });
                    let state = match slot.breaker_state(at) {
                        BreakerState::Closed => Breaker::Closed,
                        BreakerState::Open => Breaker::Open,
                        BreakerState::HalfOpen => Breaker::HalfOpen,
                    };
                    moment.breakers.push((slot.name.clone(), state));
                    let instances = model.fleet().instances();
                    let told = model.id_of(slot).and_then(|id| Some(instances.get(id)?.told()));
                    for (value, told, age) in told.iter().flat_map(|told| told.values(at)) {
                        moment.reported.push(Reported {
                            endpoint: slot.name.clone(),
                            value,
                            told,
                            age,
                        });
                    }
                }
            }
        }
        self.metrics.encode()
    }
}

fn reloaded(moment: &mut Moment, ok: bool) {
    let count = if ok {
        &mut moment.reloads_ok
    } else {
        &mut moment.reloads_failed
    };
    *count += 1;
    moment.last_reload = Some((now(), ok));
}
