//! What became of the calls of each tool, and of each server's reads, prompts and completions: how many, how they ended, how long
//! they took, what they cost.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use serde::Serialize;

/// Last calls of a tool of which quantiles are told.
const REMEMBERED: usize = 256;

/// Bounds of the histogram's classes, in seconds.
const CLASSES: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// What a server was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Asked<'a> {
    /// A call of `server::tool`, which costs so many US dollars.
    Tool { id: &'a str, cost: f64 },
    /// Something else. It counts for its server: there may be more URIs than could be counted.
    Other { server: &'a str, method: Method },
}

/// What servers are asked for beside calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Read,
    Prompt,
    Complete,
}

/// How a call of a tool ended, or another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// With a result.
    Answered,
    /// With a result that says the tool failed.
    ToolError,
    /// Its server answered with an error.
    Refused,
    /// It did not reach its server.
    Unreached,
    /// Its server took no call then.
    TurnedAway,
    /// The connection ended while it was under way.
    Lost,
    /// It took longer than it may.
    Late,
    /// Its result was larger than it may be, or none that is understood.
    Unusable,
    /// Its client took it back.
    Cancelled,
}

/// Counts of all tools and servers.
pub(crate) struct Stats {
    tools: Mutex<BTreeMap<String, Counts>>,
    others: Mutex<BTreeMap<(String, Method), Counts>>,
    registry: Registry,
    calls: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    cost: Family<Labels, Counter<f64, std::sync::atomic::AtomicU64>>,
    reroutes: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    request_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    up: Family<Labels, Gauge>,
}

type Labels = Vec<(&'static str, String)>;

/// Counts of one tool, or of one method of one server.
#[derive(Debug, Clone, Default)]
struct Counts {
    endings: BTreeMap<Ending, u64>,
    rerouted: u64,
    cost: f64,
    /// In milliseconds, the oldest first.
    took: VecDeque<f64>,
}

/// What is told of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Calls that were begun.
    pub(crate) calls: u64,
    /// How they ended.
    pub(crate) endings: BTreeMap<Ending, u64>,
    /// Share of calls, of those not taken back, that brought no result or one that says the tool failed.
    pub(crate) error_rate: f64,
    /// Calls that another tool took over.
    pub(crate) rerouted: u64,
    /// Half of the last calls took no longer, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// Nineteen in twenty of the last calls took no longer, in milliseconds.
    pub(crate) p95_ms: Option<f64>,
    /// US dollars.
    pub(crate) cost_usd: f64,
}

// === impl Method ===

impl Method {
    /// As MCP calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "resources/read",
            Self::Prompt => "prompts/get",
            Self::Complete => "completion/complete",
        }
    }
}

// === impl Ending ===

impl Ending {
    /// Whether its server took it.
    fn is_taken(self) -> bool {
        !matches!(self, Self::Unreached | Self::TurnedAway)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ToolError => "tool_error",
            Self::Refused => "refused",
            Self::Unreached => "unreached",
            Self::TurnedAway => "turned_away",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Unusable => "unusable",
            Self::Cancelled => "cancelled",
        }
    }
}

// === impl Stats ===

impl Default for Stats {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fingerpost_mcp");
        let (calls, cost, reroutes, requests, up) = (
            Family::default(),
            Family::default(),
            Family::default(),
            Family::default(),
            Family::default(),
        );
        let histogram = (|| Histogram::new(CLASSES)) as fn() -> Histogram;
        let seconds = Family::new_with_constructor(histogram);
        let request_seconds = Family::new_with_constructor(histogram);
        registry.register("calls", "Calls of tools, by how they ended", calls.clone());
        registry.register(
            "call_duration_seconds",
            "How long calls of tools took",
            seconds.clone(),
        );
        registry.register(
            "cost_usd",
            "What calls of tools cost, in US dollars",
            cost.clone(),
        );
        registry.register("reroutes", "Calls that another tool took over", reroutes.clone());
        registry.register(
            "requests",
            "Reads, prompts and completions, by how they ended",
            requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "How long reads, prompts and completions took",
            request_seconds.clone(),
        );
        registry.register("server_up", "Whether the server is connected", up.clone());
        Self {
            tools: Mutex::default(),
            others: Mutex::default(),
            registry,
            calls,
            seconds,
            cost,
            reroutes,
            requests,
            request_seconds,
            up,
        }
    }
}

impl Stats {
    /// A request ended.
    pub(crate) fn ended(&self, asked: &Asked<'_>, ending: Ending, took: Duration) {
        match *asked {
            Asked::Tool { id, cost } => self.call_ended(id, ending, took, cost),
            Asked::Other { server, method } => self.other_ended(server, method, ending, took),
        }
    }

    /// A call of a tool (`server::tool`) ended. One that its server did not take costs nothing.
    fn call_ended(&self, id: &str, ending: Ending, took: Duration, cost: f64) {
        let cost = if ending.is_taken() { cost } else { 0.0 };
        let mut tools = self.lock();
        let counts = tools.entry(id.to_owned()).or_default();
        counts.cost += cost;
        if counts.add(ending, took) {
            let seconds = self.seconds.get_or_create(&labels(id));
            seconds.observe(took.as_secs_f64());
        }
        drop(tools);
        let mut labelled = labels(id);
        if cost > 0.0 {
            self.cost.get_or_create(&labelled).inc_by(cost);
        }
        labelled.push(("ending", ending.name().to_owned()));
        self.calls.get_or_create(&labelled).inc();
    }

    fn other_ended(&self, server: &str, method: Method, ending: Ending, took: Duration) {
        let mut labelled = vec![
            ("server", server.to_owned()),
            ("method", method.name().to_owned()),
        ];
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = others.entry((server.to_owned(), method)).or_default();
        if counts.add(ending, took) {
            let seconds = self.request_seconds.get_or_create(&labelled);
            seconds.observe(took.as_secs_f64());
        }
        drop(others);
        labelled.push(("ending", ending.name().to_owned()));
        self.requests.get_or_create(&labelled).inc();
    }

    /// Another tool took a call of this one over.
    pub(crate) fn rerouted(&self, id: &str, to: &str) {
        self.lock().entry(id.to_owned()).or_default().rerouted += 1;
        let mut labelled = labels(id);
        labelled.push(("to", to.to_owned()));
        self.reroutes.get_or_create(&labelled).inc();
    }

    /// A server came or went.
    pub(crate) fn is_up(&self, server: &str, is_up: bool) {
        let labels = vec![("server", server.to_owned())];
        self.up.get_or_create(&labels).set(i64::from(is_up));
    }

    /// What is known of a tool that was called.
    pub(crate) fn of(&self, id: &str) -> Option<Summary> {
        self.lock().get(id).map(Counts::summary)
    }

    /// What is known of what else than calls a server was asked for.
    pub(crate) fn of_server(&self, server: &str) -> BTreeMap<&'static str, Summary> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let own = others.iter().filter(|((name, _), _)| name == server);
        own.map(|((_, method), counts)| (method.name(), counts.summary()))
            .collect()
    }

    /// In the text format of Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels(id: &str) -> Labels {
    let (server, tool) = id.split_once("::").unwrap_or((id, ""));
    vec![("server", server.to_owned()), ("tool", tool.to_owned())]
}

// === impl Counts ===

impl Counts {
    /// Counts one more; whether it tells how long one takes.
    fn add(&mut self, ending: Ending, took: Duration) -> bool {
        *self.endings.entry(ending).or_default() += 1;
        let tells = ending.is_taken() && ending != Ending::Cancelled;
        if tells {
            if self.took.len() == REMEMBERED {
                self.took.pop_front();
            }
            self.took.push_back(took.as_secs_f64() * 1000.0);
        }
        tells
    }

    fn summary(&self) -> Summary {
        let calls = self.endings.values().sum();
        let of = |ending| self.endings.get(&ending).copied().unwrap_or_default();
        let judged = calls - of(Ending::Cancelled);
        let failed = judged - of(Ending::Answered);
        let mut took: Vec<f64> = self.took.iter().copied().collect();
        took.sort_unstable_by(f64::total_cmp);
        Summary {
            calls,
            endings: self.endings.clone(),
            error_rate: if judged == 0 {
                0.0
            } else {
                failed as f64 / judged as f64
            },
            rerouted: self.rerouted,
            p50_ms: quantile(&took, 0.5),
            p95_ms: quantile(&took, 0.95),
            cost_usd: self.cost,
        }
    }
}

/// The least of the sorted values that so large a share does not exceed; to a thousandth.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1))?;
    Some((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let stats = Stats::default();
        let ms = Duration::from_millis;
        for i in 1..=20 {
            stats.call_ended("a::x", Ending::Answered, ms(i), 0.5);
        }
        stats.call_ended("a::x", Ending::Late, ms(1000), 0.5);
        stats.call_ended("a::x", Ending::Unreached, ms(5), 0.5);
        stats.call_ended("a::x", Ending::Cancelled, ms(5), 0.5);
        stats.rerouted("a::x", "b::x");
        let summary = stats.of("a::x").unwrap();
        assert_eq!((summary.calls, summary.rerouted), (23, 1));
        // Late and unreached of 22 that were not taken back.
        assert!((summary.error_rate - 2.0 / 22.0).abs() < 1e-12);
        // Of 21: the 11th, and the 20th.
        assert_eq!((summary.p50_ms, summary.p95_ms), (Some(11.0), Some(20.0)));
        assert!((summary.cost_usd - 11.0).abs() < 1e-12);
        assert_eq!(stats.of("a::y"), None);
        let read = Asked::Other {
            server: "a",
            method: Method::Read,
        };
        stats.ended(&read, Ending::Answered, ms(2));
        stats.ended(&read, Ending::Unreached, ms(9));
        let reads = stats.of_server("a")["resources/read"].clone();
        assert_eq!((reads.calls, reads.p95_ms, reads.error_rate), (2, Some(2.0), 0.5));
        assert!(stats.of_server("b").is_empty());
        stats.is_up("a", true);
        let text = stats.metrics();
        for line in [
            "fingerpost_mcp_calls_total{server=\"a\",tool=\"x\",ending=\"answered\"} 20",
            "fingerpost_mcp_reroutes_total{server=\"a\",tool=\"x\",to=\"b::x\"} 1",
            "fingerpost_mcp_cost_usd_total{server=\"a\",tool=\"x\"} 11",
            "fingerpost_mcp_requests_total{server=\"a\",method=\"resources/read\",ending=\"unreached\"} 1",
            "fingerpost_mcp_request_duration_seconds_count{server=\"a\",method=\"resources/read\"} 1",
            "fingerpost_mcp_server_up{server=\"a\"} 1",
            "fingerpost_mcp_call_duration_seconds_count{server=\"a\",tool=\"x\"} 21",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn only_the_last_calls_count_for_quantiles() {
        let stats = Stats::default();
        for i in 0..1000 {
            let took = if i < 500 { 1000 } else { 1 };
            stats.call_ended("a::x", Ending::Answered, Duration::from_millis(took), 0.0);
        }
        assert_eq!(stats.of("a::x").unwrap().p95_ms, Some(1.0));
    }
}
