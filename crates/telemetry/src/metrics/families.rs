//! The families that records are counted in, and the kept handles of their series.

use std::{borrow::Cow, sync::atomic::AtomicU64};

use fingerpost_core::{Level, Name};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use rustc_hash::FxHashMap;

use super::{
    Known,
    labels::{Labels, labels},
};
use crate::{CallRecord, Record, attempt::Attempt};

/// Dollars are counted in fractions.
type Dollars = Counter<f64, AtomicU64>;
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// The families, and the handles of the series in use.
pub(super) struct Families {
    requests: Family<Labels<4>, Counter>,
    errors: Family<Labels<1>, Counter>,
    tokens: Family<Labels<2>, Counter>,
    cost: Family<Labels<1>, Dollars>,
    first_token: Histograms,
    prediction_error: Histograms,
    per_token: Histograms,
    duration: Histograms,
    routing: Histogram,
    calls: Family<Labels<2>, Counter>,
    call_duration: Histograms,
    retries: Family<Labels<1>, Counter>,
    fallbacks: Family<Labels<2>, Counter>,
    hedges: Family<Labels<1>, Counter>,
    decisions: Places,
    models: Places,
    endpoints: Places,
    series: Series,
}

/// The place of each known name; those of unknown and of absent ones are the first two.
#[derive(Default)]
struct Places {
    names: Vec<Name>,
    of: FxHashMap<Name, u16>,
}

/// The handles of the series in use, by the places of their labels.
#[derive(Default)]
struct Series {
    requests: FxHashMap<RequestKey, Counter>,
    errors: FxHashMap<&'static str, Counter>,
    models: FxHashMap<u16, OfModel>,
    endpoints: FxHashMap<u16, Histogram>,
    results: FxHashMap<(u16, &'static str), Counter>,
    fallbacks: FxHashMap<(u16, u16), Counter>,
}

#[derive(PartialEq, Eq, Hash)]
struct RequestKey {
    format: &'static str,
    decision: u16,
    model: u16,
    class: u8,
}

/// The series of one model.
struct OfModel {
    input: Counter,
    cached_input: Counter,
    output: Counter,
    reasoning: Counter,
    cost: Dollars,
    first_token: Histogram,
    prediction_error: Histogram,
    per_token: Histogram,
    duration: Histogram,
    retries: Counter,
    hedges: Counter,
}

/// Streams begin within milliseconds on a warm cache and within a minute on a busy one.
const FIRST_TOKEN: [f64; 16] = [
    0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// From a small local model to a long chain of thought over a loaded one.
const PER_TOKEN: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5,
];
/// From an answer out of this process to one that takes minutes.
const DURATION: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0,
];
/// From one microsecond: routing is budgeted in tens of them.
const ROUTING: [f64; 18] = [
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0, 10.0,
];

// === impl Families ===

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds = |buckets: fn() -> Histogram| Histograms::new_with_constructor(buckets);
        let families = Self {
            requests: Family::default(),
            errors: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            first_token: seconds(|| Histogram::new(FIRST_TOKEN)),
            prediction_error: seconds(|| Histogram::new(FIRST_TOKEN)),
            per_token: seconds(|| Histogram::new(PER_TOKEN)),
            duration: seconds(|| Histogram::new(DURATION)),
            routing: Histogram::new(ROUTING),
            calls: Family::default(),
            call_duration: seconds(|| Histogram::new(DURATION)),
            retries: Family::default(),
            fallbacks: Family::default(),
            hedges: Family::default(),
            decisions: Places::default(),
            models: Places::default(),
            endpoints: Places::default(),
            series: Series::default(),
        };
        let Self {
            requests,
            errors,
            tokens,
            cost,
            first_token,
            prediction_error,
            per_token,
            duration,
            routing,
            ..
        } = &families;
        registry.register("requests", "Requests that are over", requests.clone());
        registry.register("errors", "Requests that failed", errors.clone());
        registry.register(
            "tokens",
            "Tokens of answers; input includes cached_input, output includes reasoning",
            tokens.clone(),
        );
        registry.register("cost_usd", "US dollars that answers cost", cost.clone());
        let mut timed = |name: &str, help: &str, family: &Histograms| {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        };
        timed(
            "time_to_first_token",
            "From the request to the first token of a stream",
            first_token,
        );
        timed(
            "time_to_first_token_prediction_error",
            "By how much the first token of a stream came earlier or later than its endpoint's policy had predicted",
            prediction_error,
        );
        timed(
            "time_per_output_token",
            "Between the tokens of a stream",
            per_token,
        );
        timed(
            "request_duration",
            "From the request to the end of the answer",
            duration,
        );
        timed(
            "upstream_duration",
            "Of calls that succeeded",
            &families.call_duration,
        );
        let help = "From the request to the choice of the first endpoint";
        registry.register_with_unit("routing_duration", help, Unit::Seconds, routing.clone());
        let Self {
            calls,
            retries,
            fallbacks,
            hedges,
            ..
        } = &families;
        registry.register("upstream_calls", "Calls to endpoints", calls.clone());
        registry.register(
            "retries",
            "Calls made because one to the same model had failed",
            retries.clone(),
        );
        registry.register(
            "fallbacks",
            "Calls made because one to another model had failed",
            fallbacks.clone(),
        );
        registry.register(
            "hedges",
            "Calls made beside one that was still under way",
            hedges.clone(),
        );
        families
    }

    /// Forgets the series whose names are known no longer; the others keep their counts.
    pub(super) fn configure(&mut self, known: &Known) {
        let decisions = Places::of(&known.decisions);
        let models = Places::of(&known.models);
        let endpoints = Places::of(&known.endpoints);
        let mut kept = Series::default();
        let series = std::mem::take(&mut self.series);
        kept.errors = series.errors;
        for (key, counter) in series.requests {
            let decision = self.decisions.moved(key.decision, &decisions);
            match (decision, self.models.moved(key.model, &models)) {
                (Some(decision), Some(model)) => {
                    kept.requests.insert(
                        RequestKey {
                            decision,
                            model,
                            ..key
                        },
                        counter,
                    );
                }
                _ => drop(self.requests.remove(&self.request_labels(&key))),
            }
        }
        for (place, of) in series.models {
            match self.models.moved(place, &models) {
                Some(place) => drop(kept.models.insert(place, of)),
                None => self.remove_model(self.models.name(place)),
            }
        }
        for ((from, to), counter) in series.fallbacks {
            match (self.models.moved(from, &models), self.models.moved(to, &models)) {
                (Some(from), Some(to)) => drop(kept.fallbacks.insert((from, to), counter)),
                _ => drop(self.fallbacks.remove(&self.fallback_labels(from, to))),
            }
        }
        for (place, of) in series.endpoints {
            match self.endpoints.moved(place, &endpoints) {
                Some(place) => drop(kept.endpoints.insert(place, of)),
                None => drop(
                    self.call_duration
                        .remove(&labels([("endpoint", self.endpoints.name(place))])),
                ),
            }
        }
        for ((place, result), counter) in series.results {
            match self.endpoints.moved(place, &endpoints) {
                Some(place) => drop(kept.results.insert((place, result), counter)),
                None => drop(self.calls.remove(&self.result_labels(place, result))),
            }
        }
        (self.decisions, self.models, self.endpoints, self.series) = (decisions, models, endpoints, kept);
    }

    pub(super) fn observe(&mut self, record: &Record) {
        let model = record
            .answered_by()
            .map_or(Places::NONE, |c| self.models.place(&c.model));
        let decision = record
            .decision
            .as_ref()
            .map_or(Places::NONE, |d| self.decisions.place(d));
        let class = u8::try_from(record.status / 100).unwrap_or(0);
        let key = RequestKey {
            format: record.format,
            decision,
            model,
            class,
        };
        if let Some(counter) = self.series.requests.get(&key) {
            counter.inc();
        } else {
            let counter = self.requests.get_or_create_owned(&self.request_labels(&key));
            counter.inc();
            self.series.requests.insert(key, counter);
        }
        if let Some(reason) = reason(record) {
            let errors = &self.errors;
            let create = || errors.get_or_create_owned(&labels([("reason", &reason.into())]));
            self.series.errors.entry(reason).or_insert_with(create).inc();
        }
        self.routing.observe(record.routing.as_secs_f64());
        self.answered(model).count(record);
        for (i, call) in record.calls.iter().enumerate() {
            self.observe_call(&record.calls, i, call);
        }
    }

    fn observe_call(&mut self, all: &[CallRecord], index: usize, call: &CallRecord) {
        let endpoint = self.endpoints.place(&call.endpoint);
        let result = call.failure.as_ref().map_or("ok", |f| f.kind());
        if let Some(counter) = self.series.results.get(&(endpoint, result)) {
            counter.inc();
        } else {
            let counter = self
                .calls
                .get_or_create_owned(&self.result_labels(endpoint, result));
            counter.inc();
            self.series.results.insert((endpoint, result), counter);
        }
        if call.failure.is_none() {
            let (durations, name) = (&self.call_duration, self.endpoints.name(endpoint));
            let create = || durations.get_or_create_owned(&labels([("endpoint", name)]));
            let duration = self.series.endpoints.entry(endpoint).or_insert_with(create);
            duration.observe(call.took.as_secs_f64());
        }
        match Attempt::of(all, index) {
            Attempt::First | Attempt::Next => {}
            Attempt::Retry => {
                let model = self.models.place(&call.model);
                self.answered(model).retries.inc();
            }
            Attempt::Hedge => {
                let model = self.models.place(&call.model);
                self.answered(model).hedges.inc();
            }
            Attempt::Fallback => {
                let (from, to) = (
                    self.models.place(&all[index - 1].model),
                    self.models.place(&call.model),
                );
                let counter = self
                    .fallbacks
                    .get_or_create_owned(&self.fallback_labels(from, to));
                self.series.fallbacks.entry((from, to)).or_insert(counter).inc();
            }
        }
    }

    /// The series of the model at this place, made at its first use.
    fn answered(&mut self, place: u16) -> &OfModel {
        if !self.series.models.contains_key(&place) {
            let made = self.create_model(self.models.name(place));
            self.series.models.insert(place, made);
        }
        &self.series.models[&place]
    }

    fn create_model(&self, name: &Name) -> OfModel {
        let of = labels([("model", name)]);
        let tokens = |kind: &str| {
            self.tokens
                .get_or_create_owned(&labels([("model", name), ("kind", &kind.into())]))
        };
        OfModel {
            input: tokens("input"),
            cached_input: tokens("cached_input"),
            output: tokens("output"),
            reasoning: tokens("reasoning"),
            cost: self.cost.get_or_create_owned(&of),
            first_token: self.first_token.get_or_create_owned(&of),
            prediction_error: self.prediction_error.get_or_create_owned(&of),
            per_token: self.per_token.get_or_create_owned(&of),
            duration: self.duration.get_or_create_owned(&of),
            retries: self.retries.get_or_create_owned(&of),
            hedges: self.hedges.get_or_create_owned(&of),
        }
    }

    fn remove_model(&self, name: &Name) {
        let of = labels([("model", name)]);
        for kind in ["input", "cached_input", "output", "reasoning"] {
            self.tokens
                .remove(&labels([("model", name), ("kind", &kind.into())]));
        }
        self.cost.remove(&of);
        self.first_token.remove(&of);
        self.prediction_error.remove(&of);
        self.per_token.remove(&of);
        self.duration.remove(&of);
        self.retries.remove(&of);
        self.hedges.remove(&of);
    }

    fn result_labels(&self, endpoint: u16, result: &str) -> Labels<2> {
        labels([
            ("endpoint", self.endpoints.name(endpoint)),
            ("result", &result.into()),
        ])
    }

    fn fallback_labels(&self, from: u16, to: u16) -> Labels<2> {
        labels([("from", self.models.name(from)), ("to", self.models.name(to))])
    }

    fn request_labels(&self, key: &RequestKey) -> Labels<4> {
        let status = match key.class {
            1..=9 => Cow::Owned(format!("{}xx", key.class)),
            _ => Cow::Borrowed("unknown"),
        };
        labels([
            ("format", &key.format.into()),
            ("decision", self.decisions.name(key.decision)),
            ("model", self.models.name(key.model)),
            ("status", &(*status).into()),
        ])
    }
}

/// When the policy that picked the endpoint which answered expected the first token, in seconds; most policies do not.
fn predicted_first_token(record: &Record) -> Option<f64> {
    let hop = record.trace.hops.iter().rfind(|hop| hop.level == Level::Fleet)?;
    let facts = &hop.decision.reason.facts;
    facts
        .iter()
        .find(|(name, _)| name == "ttft_s")
        .map(|(_, seconds)| *seconds)
}

// === impl OfModel ===

impl OfModel {
    fn count(&self, record: &Record) {
        let tokens = record.tokens;
        for (counter, count) in [
            (&self.input, tokens.input),
            (&self.cached_input, tokens.cached_input),
            (&self.output, tokens.output),
            (&self.reasoning, tokens.reasoning),
        ] {
            if count.0 > 0 {
                counter.inc_by(u64::from(count.0));
            }
        }
        if let Some(cost) = record.outcome.cost.filter(|c| c.get() > 0.0) {
            self.cost.inc_by(cost.get());
        }
        self.duration.observe(record.total.as_secs_f64());
        if record.stream {
            if let Some(first) = record.outcome.first_token {
                self.first_token.observe(first.get() / 1e3);
                if let Some(predicted) = predicted_first_token(record) {
                    self.prediction_error
                        .observe((first.get() / 1e3 - predicted).abs());
                }
            }
            if let Some(each) = record.outcome.time_per_output_token() {
                self.per_token.observe(each.get() / 1e3);
            }
        }
    }
}

// === impl Places ===

impl Places {
    const UNKNOWN: u16 = 0;
    const NONE: u16 = 1;

    /// The place of each name; past 65,534 of them the rest is unknown.
    fn of(known: &[Name]) -> Self {
        let fixed: [Name; 2] = ["unknown".into(), "none".into()];
        let others = known.iter().filter(|name| !fixed.contains(name)).cloned();
        let names: Vec<Name> = fixed.iter().cloned().chain(others).collect();
        let of = (0..u16::MAX)
            .zip(&names)
            .skip(fixed.len())
            .map(|(place, name)| (name.clone(), place))
            .collect();
        Self { names, of }
    }

    fn place(&self, name: &Name) -> u16 {
        self.of.get(name).copied().unwrap_or(Self::UNKNOWN)
    }

    fn name(&self, place: u16) -> &Name {
        &self.names[usize::from(place)]
    }

    /// Where the name at this place is now.
    fn moved(&self, place: u16, to: &Self) -> Option<u16> {
        if place <= Self::NONE {
            Some(place)
        } else {
            to.of.get(self.name(place)).copied()
        }
    }
}

/// Why a request counts as failed: what failed it, else the side at fault.
fn reason(record: &Record) -> Option<&'static str> {
    match (&record.outcome.failure, record.status) {
        (Some(failure), _) => Some(failure.kind()),
        (None, 400..=499) => Some("request"),
        (None, 500..) => Some("internal"),
        (None, _) => None,
    }
}
