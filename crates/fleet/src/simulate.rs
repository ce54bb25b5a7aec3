//! A fleet under recorded or made-up traffic: discrete events over the very objects that serve.
//!
//! [`Trace`] is the traffic, [`Setting`] the fleet and what goes wrong with it, [`run`] one run, [`Sweep`] many of them and the
//! capacity of each policy.
//!
//! The servers are a model: a prompt takes its tokens that are not in the instance's cache times a fixed time each, one prompt after
//! another in the order in which they were sent; its first token is there when that is done, and only then is it in the cache; its answer
//! then takes a fixed time a token beside whatever else runs, and may slow prompts down ([`Setting::interference`]).
//!
//! **What a policy may see.** With no staleness and one router it sees its own counts, which are the truth. Else loads are what was told last,
//! every [`Setting::stale_s`] seconds: all that was on its way to each instance then, whoever had sent it and wherever it waited. What
//! was sent since is not in it, the router's own requests neither, as if many others were sending as well; [`Setting::own_sends`] adds a
//! router's own. What each router believes of caches comes from its own requests and is fresh, and so are its own queues: their order, what is
//! sent from them and what is moved between them is the router's to know.

mod named;
mod picture;
mod report;
mod routers;
mod run;
mod servers;
mod sweep;
mod trace;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use named::Named;
pub use picture::svg;
pub use report::{Capacity, Report, Row};
pub use run::{Summary, run};
pub use sweep::Sweep;
pub use trace::{Request, Synthetic, Trace, TraceError};

use crate::TokenTime;

/// A fleet, and what goes wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setting {
    /// How many instances. Default 8.
    pub instances: usize,
    /// Mean arrivals a second. Default 8.
    pub qps: f64,
    /// Seconds between two looks at loads; 0: they are always known. Default 0.
    pub stale_s: f64,
    /// Whether a router adds to a look what it has itself sent since. Default false.
    pub own_sends: bool,
    /// Routers that share the traffic, each with its own view. Default 1.
    pub routers: usize,
    /// The longest time to first token that is wanted, in seconds. Default 5.
    pub slo_s: f64,
    /// Seconds that a prompt token takes that is not cached. Default 0.00016.
    pub seconds_per_token: TokenTime,
    /// Seconds that a token of an answer takes. Default 0.02.
    pub seconds_per_output: f64,
    /// By how much each answer under way slows a prompt down: 0.01 is one percent each. Default 0.
    pub interference: f64,
    /// Tokens that an instance's cache holds. Default 2,340 blocks of 512.
    pub cached_tokens: u64,
    /// Adapters that an instance keeps loaded. Default 8.
    pub adapters: usize,
    /// Seconds that loading another one takes. Default 0.5.
    pub adapter_load_s: f64,
    /// Instances that fail, and when.
    pub outages: Vec<Outage>,
    /// Seconds at which each router forgets all it knows, as after a restart.
    pub restarts: Vec<f64>,
    /// Share of looks at an instance that come to nothing, from 0 to 1. Default 0.
    pub lost_reports: f64,
    /// First requests that are not counted. Default 500.
    pub warm_up: usize,
    /// Of everything that is drawn: arrivals within a tick, names of instances (and with them their places on rings), choices.
    pub seed: u64,
}

/// An instance that fails: what it has and holds is lost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Which one, from 0.
    pub instance: usize,
    /// Seconds from the start.
    pub from_s: f64,
    /// When it is back, empty.
    pub until_s: f64,
}

/// Why there is no simulation.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// Nobody to send to.
    #[error("a fleet of no instances or with no router serves nobody; at least 1 of each")]
    Nobody,
    /// An outage of somebody who is not there.
    #[error("an outage names instance {instance}, but the fleet has {instances}, numbered from 0")]
    UnknownInstance {
        /// The one named.
        instance: usize,
        /// How many there are.
        instances: usize,
    },
    /// A number that makes no sense.
    #[error("{what} must be {allowed}, found {found}")]
    Number {
        /// Which.
        what: &'static str,
        /// What is allowed.
        allowed: &'static str,
        /// What was found.
        found: f64,
    },
    /// Too little traffic to count anything.
    #[error(
        "the trace has {found} requests, and the first {warm_up} are not counted; give more, or a shorter warm-up"
    )]
    TooShort {
        /// How many there are.
        found: usize,
        /// How many are not counted.
        warm_up: usize,
    },
    /// No such policy.
    #[error("unknown policy `{name}`; allowed: all, ablations, {allowed}")]
    UnknownPolicy {
        /// The one named.
        name: String,
        /// Those that there are.
        allowed: String,
    },
    /// Whoever looked on wanted no more.
    #[error("the simulation was interrupted")]
    Interrupted,
}

// === impl Setting ===

impl Default for Setting {
    fn default() -> Self {
        Self {
            instances: 8,
            qps: 8.0,
            stale_s: 0.0,
            own_sends: false,
            routers: 1,
            slo_s: 5.0,
            seconds_per_token: TokenTime::default(),
            seconds_per_output: 0.02,
            interference: 0.0,
            cached_tokens: 2340 * 512,
            adapters: 8,
            adapter_load_s: 0.5,
            outages: Vec::new(),
            restarts: Vec::new(),
            lost_reports: 0.0,
            warm_up: 500,
            seed: 0,
        }
    }
}

impl Setting {
    /// Whether it makes sense, for a trace of `requests` requests.
    ///
    /// # Errors
    /// [`SimulateError`] names what does not.
    pub fn check(&self, requests: usize) -> Result<(), SimulateError> {
        if self.instances == 0 || self.routers == 0 {
            return Err(SimulateError::Nobody);
        }
        if requests <= self.warm_up {
            return Err(SimulateError::TooShort {
                found: requests,
                warm_up: self.warm_up,
            });
        }
        let number = |what, allowed, found, is_allowed: bool| match is_allowed {
            true => Ok(()),
            false => Err(SimulateError::Number { what, allowed, found }),
        };
        let at_least_0 = |what, n: f64| {
            number(
                what,
                "a finite number of at least 0",
                n,
                n >= 0.0 && n.is_finite(),
            )
        };
        let above_0 = |what, n: f64| number(what, "a finite number above 0", n, n > 0.0 && n.is_finite());
        above_0("qps", self.qps)?;
        above_0("slo_s", self.slo_s)?;
        at_least_0("stale_s", self.stale_s)?;
        at_least_0("seconds_per_output", self.seconds_per_output)?;
        at_least_0("interference", self.interference)?;
        at_least_0("adapter_load_s", self.adapter_load_s)?;
        let share = self.lost_reports;
        number(
            "lost_reports",
            "a number from 0 to 1",
            share,
            (0.0..=1.0).contains(&share),
        )?;
        self.restarts
            .iter()
            .try_for_each(|at| at_least_0("restarts", *at))?;
        for outage in &self.outages {
            if outage.instance >= self.instances {
                return Err(SimulateError::UnknownInstance {
                    instance: outage.instance,
                    instances: self.instances,
                });
            }
            at_least_0("from_s", outage.from_s)?;
            let until = outage.until_s;
            number(
                "until_s",
                "a finite number of at least from_s",
                until,
                until >= outage.from_s && until.is_finite(),
            )?;
        }
        Ok(())
    }
}

/// Seconds as microseconds; what is no time is 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// Microseconds as seconds.
#[allow(clippy::cast_precision_loss, reason = "centuries are below 2^52 microseconds")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
