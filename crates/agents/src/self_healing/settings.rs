//! Settings of a graph of tools.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use super::defect::GraphError;

/// When a tool is spared, what counts as risk, who is asked. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The candidate that is asked where no path is left or the risk is high. Default `planner`.
    pub llm: Name,
    /// The candidate that a task is handed to where nothing else helps. Default: the one that is asked.
    pub human: Option<Name>,
    /// A task about a larger amount is a risk: it is asked about before anything is called. Default 10,000.
    pub risk_amount: f64,
    /// From which priority on a risk is asked about, 0 to 1. Default 0.95.
    pub risk_at: f64,
    /// More failures than this in one walk are too many. Default: no limit; each tool fails only so often anyway.
    pub max_failures: Option<u32>,
    /// More calls of tools than this in one walk are too many. Default 1,000.
    pub max_calls: u32,
    /// Bytes that the answer of a tool may have. Default 1 MiB.
    pub max_answer_bytes: usize,
    /// Bytes of answers that are kept for later tools; the oldest go first. Default 4 MiB.
    pub max_kept_bytes: usize,
    /// How long a call of a tool usually takes that does not say it. Default 500.
    pub latency_ms: f64,
    /// How far back calls of a tool are looked at. Default 15 minutes.
    pub window_ms: f64,
    /// How many calls of a tool are looked at, at least 1. Default 100.
    pub window_calls: usize,
    /// What is known of tools bears on the paths once in this time, so that they do not flap. Default 30 s.
    pub cooldown_ms: f64,
    /// Failures in a row after which a tool is spared. Default 3.
    pub trip_after: u32,
    /// How long it is spared the first time, doubled with each time in a row; at least `cooldown_ms`. Default 30 s.
    pub open_ms: f64,
    /// The longest it is spared. Default 5 minutes.
    pub max_open_ms: f64,
    /// Probes in a row that must succeed before it counts as well. Default 2.
    pub probes: u32,
    /// How often a spared tool whose time has come should be probed, by whoever can. Default 10 s.
    pub probe_every_ms: f64,
    /// Most states that one search looks at. Default 2,000,000.
    pub max_states: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            llm: "planner".into(),
            human: None,
            risk_amount: 10_000.0,
            risk_at: 0.95,
            max_failures: None,
            max_calls: 1000,
            max_answer_bytes: 1 << 20,
            max_kept_bytes: 4 << 20,
            latency_ms: 500.0,
            window_ms: 15.0 * 60e3,
            window_calls: 100,
            cooldown_ms: 30e3,
            trip_after: 3,
            open_ms: 30e3,
            max_open_ms: 300e3,
            probes: 2,
            probe_every_ms: 10e3,
            max_states: 2_000_000,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Looks whether every setting is in its range.
    ///
    /// # Errors
    /// [`GraphError::Setting`] with the first that is not.
    pub fn check(&self) -> Result<(), GraphError> {
        let times = [
            ("latency_ms", self.latency_ms),
            ("window_ms", self.window_ms),
            ("open_ms", self.open_ms),
            ("max_open_ms", self.max_open_ms),
            ("probe_every_ms", self.probe_every_ms),
        ];
        // A year: longer times are mistakes, and would run over where times are counted in microseconds.
        let most = 366.0 * 86_400e3;
        let fail = |setting, allowed, found| {
            Err(GraphError::Setting {
                setting,
                allowed,
                found,
            })
        };
        for (setting, ms) in times {
            if !(ms > 0.0 && ms <= most) {
                return fail(setting, "above 0, a year at most (in milliseconds)", ms);
            }
        }
        let counts = [
            ("max_calls", self.max_calls as usize),
            ("window_calls", self.window_calls),
            ("trip_after", self.trip_after as usize),
            ("probes", self.probes as usize),
            ("max_states", self.max_states),
        ];
        if let Some((setting, found)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return fail(setting, "at least 1", found as f64);
        }
        if !(0.0..=most).contains(&self.cooldown_ms) {
            return fail("cooldown_ms", "0 to a year (in milliseconds)", self.cooldown_ms);
        }
        if self.open_ms < self.cooldown_ms {
            return fail(
                "open_ms",
                "at least `cooldown_ms`, or tools would flap",
                self.open_ms,
            );
        }
        if self.max_open_ms < self.open_ms {
            return fail("max_open_ms", "at least `open_ms`", self.max_open_ms);
        }
        if !(0.0..=1.0).contains(&self.risk_at) {
            return fail("risk_at", "0 to 1", self.risk_at);
        }
        if !(self.risk_amount >= 0.0 && self.risk_amount.is_finite()) {
            return fail("risk_amount", "a finite number of at least 0", self.risk_amount);
        }
        Ok(())
    }
}
