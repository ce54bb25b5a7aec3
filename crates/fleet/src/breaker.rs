//! Spares an endpoint that fails: closed, open for a while, half open for a probe.
//!
//! It opens after a run of failures, or when too large a share of a window's calls failed. It stays open for a time that doubles
//! with each opening in a row, spread a little so that many replicas do not come back at once. Then one probe at a time is let
//! through: a few successes close it, a failure opens it again. A probe that never reports (its client went away) frees its
//! place after the shortest open time.
//!
//! While all is well nothing takes a lock: [`Breaker::admits`] is two atomic loads, [`Breaker::succeeded`] one more and a count.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use fingerpost_core::Timestamp;
use rand::{Rng, rngs::SmallRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an endpoint is spared, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row that open it; 0 turns this trigger off. Default 5.
    pub consecutive_failures: u32,
    /// Share of a window's calls that must fail to open it, from 0 to 1; above 1 turns this trigger off. Default 0.5.
    pub failure_rate: f64,
    /// Calls that a window must have before its share counts. Default 20.
    pub min_calls: u32,
    /// Length of a window. Default `10s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub window: Duration,
    /// How long it stays open the first time. Default `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub open_for: Duration,
    /// The longest it stays open. Default `2m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_open_for: Duration,
    /// Successful probes in a row that close it. Default 2.
    pub probes: u32,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No calls pass.
    Open,
    /// One call at a time passes, to see.
    HalfOpen,
}

/// The breaker of one endpoint. Shared by all workers.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    /// Until when it is open, in microseconds; 0 while closed.
    open_until: AtomicU64,
    /// Until when a probe holds the only place while half open, in microseconds.
    probe_until: AtomicU64,
    /// Successful calls of the window.
    successes: AtomicU32,
    /// Whether the last call to end had failed, so that a success has a run to end.
    troubled: AtomicBool,
    counts: Mutex<Counts>,
    openings: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    in_a_row: u32,
    window_began: Timestamp,
    failures: u32,
    /// Openings without a closing between them.
    reopened: u32,
    probes_ok: u32,
}

// === impl BreakerConfig ===

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_rate: 0.5,
            min_calls: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            max_open_for: Duration::from_secs(120),
            probes: 2,
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            open_until: AtomicU64::new(0),
            probe_until: AtomicU64::new(0),
            successes: AtomicU32::new(0),
            troubled: AtomicBool::new(false),
            counts: Mutex::default(),
            openings: AtomicU64::new(0),
        }
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Where it stands at `now`.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            until if now.micros() < until => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened since it was made.
    pub fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    /// How long until a call may pass; zero where one may pass now.
    pub fn wait(&self, now: Timestamp) -> Duration {
        match self.state(now) {
            BreakerState::Closed => Duration::ZERO,
            BreakerState::Open => until(self.open_until.load(Ordering::Acquire), now),
            BreakerState::HalfOpen => until(self.probe_until.load(Ordering::Acquire), now),
        }
    }

    /// Whether a call may pass at `now`. Takes no probe's place.
    pub fn admits(&self, now: Timestamp) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => now.micros() >= self.probe_until.load(Ordering::Acquire),
        }
    }

    /// Lets a call pass at `now`, or not. While half open it takes the probe's place.
    pub fn enter(&self, now: Timestamp) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => {
                let held = self.probe_until.load(Ordering::Acquire);
                let place = now.micros().saturating_add(micros(self.config.open_for));
                now.micros() >= held
                    && self
                        .probe_until
                        .compare_exchange(held, place, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok()
            }
        }
    }

    /// A call came to an answer.
    pub fn succeeded(&self, now: Timestamp) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        let half_open = self.state(now) == BreakerState::HalfOpen;
        if !half_open && !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.in_a_row = 0;
        self.troubled.store(false, Ordering::Release);
        if half_open {
            counts.probes_ok += 1;
            self.probe_until.store(0, Ordering::Release);
            if counts.probes_ok >= self.config.probes {
                *counts = Counts::default();
                self.open_until.store(0, Ordering::Release);
            }
        }
    }

    /// A call failed in a way that speaks against the endpoint. Returns whether this opened the breaker.
    pub fn failed(&self, now: Timestamp, rng: &mut SmallRng) -> bool {
        let state = self.state(now);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.troubled.store(true, Ordering::Release);
        counts.in_a_row += 1;
        if now.since(counts.window_began) > self.config.window {
            (counts.window_began, counts.failures) = (now, 0);
            self.successes.store(0, Ordering::Relaxed);
        }
        counts.failures += 1;
        let calls = self
            .successes
            .load(Ordering::Relaxed)
            .saturating_add(counts.failures);
        let opens = match state {
            // A call that was under way when it opened adds nothing.
            BreakerState::Open => false,
            BreakerState::HalfOpen => true,
            BreakerState::Closed => {
                let run = self.config.consecutive_failures > 0
                    && counts.in_a_row >= self.config.consecutive_failures;
                let share = f64::from(counts.failures) >= self.config.failure_rate * f64::from(calls);
                run || (calls >= self.config.min_calls.max(1) && share)
            }
        };
        if opens {
            let doubled = self.config.open_for.saturating_mul(1 << counts.reopened.min(16));
            let span = doubled
                .min(self.config.max_open_for)
                .max(Duration::from_millis(1));
            let spread = span.mul_f64(rng.random_range(0.9..1.1));
            let reopened = counts.reopened.saturating_add(1);
            *counts = Counts {
                reopened,
                ..Counts::default()
            };
            self.probe_until.store(0, Ordering::Release);
            self.open_until.store(
                now.micros().saturating_add(micros(spread)).max(1),
                Ordering::Release,
            );
            self.openings.fetch_add(1, Ordering::Relaxed);
        }
        opens
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn until(at: u64, now: Timestamp) -> Duration {
    Duration::from_micros(at.saturating_sub(now.micros()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1000)
    }

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(3)
    }

    fn open(breaker: &Breaker) {
        let opened = (0..5).filter(|_| breaker.failed(at(0), &mut rng())).count();
        assert_eq!(opened, 1);
    }

    #[test]
    fn a_run_of_failures_opens_it_and_probes_close_it() {
        let breaker = Breaker::new(BreakerConfig::default());
        for i in 0..5 {
            assert!(breaker.admits(at(0)));
            assert_eq!(breaker.failed(at(0), &mut rng()), i == 4);
        }
        assert_eq!(breaker.state(at(1)), BreakerState::Open);
        assert!(!breaker.enter(at(4)));
        assert!(breaker.wait(at(1)) > Duration::from_secs(3));
        // Open for 5 s, spread by a tenth: 5.5 s at most.
        assert_eq!(breaker.state(at(6)), BreakerState::HalfOpen);
        assert!(breaker.enter(at(6)));
        assert!(!breaker.enter(at(6)), "one probe at a time");
        breaker.succeeded(at(6));
        assert!(breaker.enter(at(6)));
        breaker.succeeded(at(7));
        assert_eq!(breaker.state(at(7)), BreakerState::Closed);
        assert_eq!(breaker.openings(), 1);
    }

    #[test]
    fn a_failed_probe_doubles_the_time() {
        let breaker = Breaker::new(BreakerConfig::default());
        open(&breaker);
        assert!(breaker.enter(at(6)));
        assert!(breaker.failed(at(6), &mut rng()));
        assert_eq!(
            breaker.state(at(6 + 8)),
            BreakerState::Open,
            "10 s less a tenth have not passed"
        );
        assert_eq!(breaker.state(at(6 + 12)), BreakerState::HalfOpen);
    }

    #[test]
    fn a_probe_that_never_reports_frees_its_place() {
        let breaker = Breaker::new(BreakerConfig::default());
        open(&breaker);
        assert!(breaker.enter(at(6)));
        assert!(!breaker.enter(at(10)));
        assert!(breaker.enter(at(11)));
    }

    #[test]
    fn a_share_of_failures_opens_it_too() {
        let breaker = Breaker::new(BreakerConfig {
            consecutive_failures: 0,
            ..BreakerConfig::default()
        });
        let mut opened = 0;
        for i in 1..=20 {
            // The window begins with its first failure.
            if i % 2 == 0 {
                breaker.succeeded(at(1));
            } else if breaker.failed(at(1), &mut rng()) {
                opened = i;
            }
        }
        assert_eq!(opened, 0, "20 calls are not reached by a failure");
        assert!(breaker.failed(at(2), &mut rng()), "11 of 21 failed");
    }

    #[test]
    fn old_windows_are_forgotten() {
        let breaker = Breaker::new(BreakerConfig {
            consecutive_failures: 0,
            ..BreakerConfig::default()
        });
        (0..19).for_each(|_| assert!(!breaker.failed(at(0), &mut rng())));
        assert!(!breaker.failed(at(60), &mut rng()), "the window began anew");
    }
}
