//! What is known of each tool, over all tasks: `W = base · latency · reliability · rate limit · availability`.
//!
//! - latency: mean of the window over what is usual for the tool, from 0.5 to 10.
//! - reliability: calls until one is expected to succeed, `1 / (1 - errors)`, from 1 to 50; two successes are imagined beside the
//!   window, so that one failure does not weigh like a hundred.
//! - rate limit: `1 + 0.05 u / (1 - u)` at the used share `u` of the quota: about 2 at 95 %, infinite at the quota.
//! - availability: 1, or infinite while the tool is spared. It is spared after a few failures in a row, or at once when it cannot be
//!   connected to; for a time that doubles; then one probe at a time is let through. Once enough of them succeeded it comes back
//!   slowly: at 4 times its weight, then 2, then 1, with each success.
//!
//! **No flapping**: the first three bear on the paths once a cooldown; availability at once, which begins a new cooldown. A tool
//! is spared for at least a cooldown. So paths change at most once in a cooldown, but for tools that fail.
//!
//! Reading takes no lock: two atomic loads a tool. Writing takes that of one tool.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use fingerpost_core::{Failure, Millis, Timestamp};
use serde::{Deserialize, Serialize};

use super::{file::Quota, graph::ToolGraph, settings::Settings};

/// What was seen of one call of a tool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, where known.
    pub latency: Option<Millis>,
    /// How it ended.
    pub end: End,
}

/// How a call ended, as far as the tool's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer that counts.
    Well,
    /// It failed in a way that may pass, or its answer does not count.
    Badly,
    /// It cannot be reached at all.
    Gone,
    /// It has had enough calls.
    Limited,
    /// Through no fault of the tool.
    Elsewhere,
}

/// Where a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is called.
    Closed,
    /// It is spared.
    Open,
    /// One call at a time is let through.
    HalfOpen,
}

/// The tools of one graph, by node. Shared by all tasks.
#[derive(Debug)]
pub struct Health {
    settings: Settings,
    tools: Vec<ToolHealth>,
    /// Latency, reliability and rate limit of each node as they bear on the paths now.
    soft: ArcSwap<Vec<f64>>,
    /// When they were last taken up, or a tool began to be spared, in microseconds; 0: never.
    settled: AtomicU64,
}

#[derive(Debug)]
struct ToolHealth {
    usual_ms: f64,
    quota: Option<Quota>,
    /// Until when it is spared, in microseconds; 0 while it is not.
    open_until: AtomicU64,
    /// Until when a probe holds the only place.
    probe_until: AtomicU64,
    /// Until when its quota is used up.
    spent_until: AtomicU64,
    window: Mutex<Window>,
}

/// The last calls of a tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    calls: VecDeque<(u64, Option<f64>, bool)>,
    failures: u32,
    timed: u32,
    total_ms: f64,
    in_a_row: u32,
    /// Times it was spared without recovering in between.
    openings: u32,
    probes_ok: u32,
    /// Successes that are still wanted before it weighs what it did.
    recovering: u32,
    quota_began: u64,
    quota_used: u32,
    probed: u64,
}

/// What is kept over a restart.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    tools: Vec<(String, u64, Window)>,
}

const VERSION: u32 = 1;
/// Weight at which a tool comes back: 2 to this power.
const RECOVERING: u32 = 2;

// === impl End ===

impl End {
    /// How a failed call bears on its tool.
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Connect(_) => Self::Gone,
            Failure::RateLimited => Self::Limited,
            // What the request lacks, or its client gave up, says nothing of the tool; a missing or locked one is gone.
            Failure::Refused(401 | 403 | 404 | 410) => Self::Gone,
            Failure::Refused(_) | Failure::Cancelled | Failure::NoRoute => Self::Elsewhere,
            _ => Self::Badly,
        }
    }
}

// === impl Window ===

impl Window {
    fn push(&mut self, at: Timestamp, latency: Option<Millis>, ok: bool, settings: &Settings) {
        let latency = latency.map(Millis::get);
        self.calls.push_back((at.micros(), latency, ok));
        self.failures += u32::from(!ok);
        if let Some(ms) = latency {
            self.timed += 1;
            self.total_ms += ms;
        }
        while self.calls.len() > settings.window_calls {
            self.shift();
        }
        self.expire(at, settings);
    }

    fn expire(&mut self, now: Timestamp, settings: &Settings) {
        let oldest = now.micros().saturating_sub(micros(settings.window_ms));
        while self.calls.front().is_some_and(|call| call.0 < oldest) {
            self.shift();
        }
    }

    fn shift(&mut self) {
        if let Some((_, latency, ok)) = self.calls.pop_front() {
            self.failures = self.failures.saturating_sub(u32::from(!ok));
            if let Some(ms) = latency {
                self.timed = self.timed.saturating_sub(1);
                self.total_ms = if self.timed == 0 {
                    0.0
                } else {
                    (self.total_ms - ms).max(0.0)
                };
            }
        }
    }

    fn latency_factor(&self, usual_ms: f64) -> f64 {
        match self.timed {
            0 => 1.0,
            n => (self.total_ms / f64::from(n) / usual_ms).clamp(0.5, 10.0),
        }
    }

    fn reliability_factor(&self) -> f64 {
        let errors = f64::from(self.failures) / (self.calls.len() as f64 + 2.0);
        (1.0 / (1.0 - errors)).clamp(1.0, 50.0)
    }

    fn rate_factor(&self, quota: Option<Quota>, now: Timestamp) -> f64 {
        let Some(quota) = quota.filter(|q| now.micros() < self.quota_began.saturating_add(micros(q.per_ms)))
        else {
            return 1.0;
        };
        let used = f64::from(self.quota_used) / f64::from(quota.calls);
        if used >= 1.0 {
            f64::INFINITY
        } else {
            1.0 + 0.05 * used / (1.0 - used)
        }
    }

    /// With nothing left in the window it has been spared long enough.
    fn recovery_factor(&self) -> f64 {
        if self.calls.is_empty() {
            return 1.0;
        }
        f64::from(1u32 << self.recovering.min(RECOVERING))
    }
}

// === impl ToolHealth ===

impl ToolHealth {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, now: Timestamp) -> Standing {
        match self.open_until.load(Ordering::Acquire) {
            0 => Standing::Closed,
            until if now.micros() < until => Standing::Open,
            _ => Standing::HalfOpen,
        }
    }

    fn is_callable(&self, now: Timestamp) -> bool {
        let now_us = now.micros();
        self.spent_until.load(Ordering::Acquire) <= now_us
            && match self.standing(now) {
                Standing::Closed => true,
                Standing::Open => false,
                Standing::HalfOpen => self.probe_until.load(Ordering::Acquire) <= now_us,
            }
    }

    fn open(&self, window: &mut Window, at: Timestamp, settings: &Settings) {
        let doubled = settings.open_ms * f64::from(1u32 << window.openings.min(20));
        let until = at
            .micros()
            .saturating_add(micros(doubled.min(settings.max_open_ms)))
            .max(1);
        window.openings += 1;
        window.in_a_row = 0;
        window.probes_ok = 0;
        window.recovering = RECOVERING;
        self.probe_until.store(0, Ordering::Release);
        self.open_until.store(until, Ordering::Release);
    }
}

// === impl Health ===

impl Health {
    /// Of a graph's tools, nothing of which is known yet.
    pub fn new(graph: &ToolGraph) -> Self {
        let settings = graph.settings().clone();
        let tool = |node: &super::graph::Node| ToolHealth {
            usual_ms: node
                .tool
                .as_ref()
                .and_then(|t| t.latency_ms)
                .unwrap_or(settings.latency_ms),
            quota: node.tool.as_ref().and_then(|t| t.quota),
            open_until: AtomicU64::new(0),
            probe_until: AtomicU64::new(0),
            spent_until: AtomicU64::new(0),
            window: Mutex::default(),
        };
        let tools: Vec<ToolHealth> = graph.nodes().map(tool).collect();
        Self {
            soft: ArcSwap::from_pointee(vec![1.0; tools.len()]),
            settled: AtomicU64::new(0),
            tools,
            settings,
        }
    }

    /// Takes up what is known by now, where the cooldown is over.
    pub(crate) fn settle(&self, now: Timestamp) {
        let last = self.settled.load(Ordering::Acquire);
        let due = last == 0 || now.micros() >= last.saturating_add(micros(self.settings.cooldown_ms));
        let mine = || {
            self.settled
                .compare_exchange(last, now.micros().max(1), Ordering::AcqRel, Ordering::Acquire)
        };
        if !due || mine().is_err() {
            return;
        }
        let factor = |tool: &ToolHealth| {
            let mut window = tool.window();
            window.expire(now, &self.settings);
            window.latency_factor(tool.usual_ms)
                * window.reliability_factor()
                * window.rate_factor(tool.quota, now)
                * window.recovery_factor()
        };
        let soft: Vec<f64> = self.tools.iter().map(factor).collect();
        self.soft.store(Arc::new(soft));
    }

    /// The factors that hold now, by node; availability apart.
    pub(crate) fn soft(&self) -> Arc<Vec<f64>> {
        self.soft.load_full()
    }

    /// Whether a node's tool may be called now.
    pub(crate) fn is_callable(&self, node: u32, now: Timestamp) -> bool {
        self.tools
            .get(node as usize)
            .is_some_and(|tool| tool.is_callable(now))
    }

    /// Where a node's tool stands.
    pub fn standing(&self, node: u32, now: Timestamp) -> Option<Standing> {
        Some(self.tools.get(node as usize)?.standing(now))
    }

    /// A call of a node's tool is about to be made.
    pub(crate) fn begin(&self, node: u32, now: Timestamp) {
        let Some(tool) = self.tools.get(node as usize) else {
            return;
        };
        if tool.standing(now) == Standing::HalfOpen {
            // A probe that never reports frees its place after the shortest time.
            let until = now.micros().saturating_add(micros(self.settings.open_ms));
            tool.probe_until.store(until, Ordering::Release);
        }
        if let Some(quota) = tool.quota {
            let mut window = tool.window();
            if now.micros() >= window.quota_began.saturating_add(micros(quota.per_ms)) {
                (window.quota_began, window.quota_used) = (now.micros(), 0);
            }
            window.quota_used += 1;
            if window.quota_used >= quota.calls {
                let until = window.quota_began.saturating_add(micros(quota.per_ms));
                tool.spent_until.store(until, Ordering::Release);
            }
        }
    }

    /// What was seen of a call of a node's tool, or of a probe.
    pub(crate) fn record(&self, node: u32, seen: Seen) {
        let Some(tool) = self.tools.get(node as usize) else {
            return;
        };
        let mut window = tool.window();
        let standing = tool.standing(seen.at);
        match seen.end {
            End::Elsewhere => tool.probe_until.store(0, Ordering::Release),
            End::Well => {
                window.push(seen.at, seen.latency, true, &self.settings);
                window.in_a_row = 0;
                if standing == Standing::Closed {
                    window.recovering = window.recovering.saturating_sub(1);
                    return;
                }
                window.probes_ok += 1;
                tool.probe_until.store(0, Ordering::Release);
                if window.probes_ok >= self.settings.probes {
                    (window.openings, window.probes_ok) = (0, 0);
                    tool.open_until.store(0, Ordering::Release);
                }
            }
            End::Badly | End::Gone | End::Limited => {
                window.push(seen.at, seen.latency, false, &self.settings);
                window.in_a_row += 1;
                if let (End::Limited, Some(quota)) = (seen.end, tool.quota) {
                    window.quota_used = quota.calls;
                    let until = window.quota_began.saturating_add(micros(quota.per_ms));
                    tool.spent_until.store(until, Ordering::Release);
                }
                let trips = seen.end == End::Gone || window.in_a_row >= self.settings.trip_after;
                if standing == Standing::HalfOpen || (standing == Standing::Closed && trips) {
                    tool.open(&mut window, seen.at, &self.settings);
                    self.settled.fetch_max(seen.at.micros(), Ordering::AcqRel);
                }
            }
        }
    }

    /// Nodes whose tools are spared, whose time has come and who were not probed lately, for whoever can probe them; they count
    /// as probed from now on.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<u32> {
        let due = |(node, tool): (usize, &ToolHealth)| {
            if tool.standing(now) != Standing::HalfOpen || !tool.is_callable(now) {
                return None;
            }
            let mut window = tool.window();
            if now.micros() < window.probed.saturating_add(micros(self.settings.probe_every_ms)) {
                return None;
            }
            window.probed = now.micros();
            u32::try_from(node).ok()
        };
        self.tools.iter().enumerate().filter_map(due).collect()
    }

    /// For [`fingerpost_core::Learn::save`].
    pub(crate) fn save(&self, graph: &ToolGraph) -> Option<Vec<u8>> {
        let kept = |(node, tool): (&super::graph::Node, &ToolHealth)| {
            let window = tool.window().clone();
            let until = tool.open_until.load(Ordering::Acquire);
            (window != Window::default()).then(|| (node.name.to_string(), until, window))
        };
        let tools = graph.nodes().zip(&self.tools).filter_map(kept).collect();
        serde_json::to_vec(&Saved {
            version: VERSION,
            tools,
        })
        .ok()
    }

    /// For [`fingerpost_core::Learn::restore`]: tools that the graph does not have any more are passed over.
    pub(crate) fn restore(&self, graph: &ToolGraph, state: &[u8]) -> bool {
        let Ok(saved) = serde_json::from_slice::<Saved>(state) else {
            return false;
        };
        if saved.version != VERSION {
            return false;
        }
        for (name, until, window) in saved.tools {
            if let Some(tool) = graph
                .by_name
                .get(name.as_str())
                .and_then(|n| self.tools.get(*n as usize))
            {
                tool.open_until.store(until, Ordering::Release);
                *tool.window() = window.recounted();
            }
        }
        true
    }
}

impl Window {
    /// The same, its sums taken from its calls: what is read from storage may not agree with itself.
    fn recounted(mut self) -> Self {
        self.calls.truncate(100_000);
        self.failures = self.calls.iter().filter(|c| !c.2).count() as u32;
        let timed: Vec<f64> = self
            .calls
            .iter()
            .filter_map(|c| c.1)
            .filter(|ms| ms.is_finite() && *ms >= 0.0)
            .collect();
        for call in &mut self.calls {
            call.1 = call.1.filter(|ms| ms.is_finite() && *ms >= 0.0);
        }
        (self.timed, self.total_ms) = (timed.len() as u32, timed.iter().sum());
        self
    }
}

fn micros(ms: f64) -> u64 {
    (ms * 1e3) as u64
}

#[cfg(test)]
mod tests;
