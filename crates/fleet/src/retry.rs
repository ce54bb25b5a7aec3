//! Trying again without making an overload worse: a budget, and a wait between tries.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use fingerpost_core::Timestamp;
use rand::{Rng, rngs::SmallRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often and how soon a call is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Further tries at one model after the first. Default 2.
    pub max_retries: u32,
    /// Retries as a share of requests, over the long run. Default 0.2.
    pub budget_ratio: f64,
    /// Retries a second that are always allowed, so that light traffic can retry at all. Default 5.
    pub min_per_second: u32,
    /// Shortest wait before a retry at the same endpoint. Default `50ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub base_delay: Duration,
    /// Longest wait. Default `2s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_delay: Duration,
    /// Longest `Retry-After` of an upstream that is waited for; past it the next model is asked, or the client told. Default
    /// `10s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_retry_after: Duration,
}

/// How many retries may be made: requests pay in, retries take out, and a trickle flows in by itself.
///
/// Without it, three tries a request triple the load on upstreams that are failing from load.
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths of a retry.
    balance: AtomicI64,
    trickled: AtomicU64,
    ratio: i64,
    per_second: i64,
    most: i64,
}

/// The wait between tries: random between the base and three times the wait before, so that clients that failed together do not
/// come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    most: Duration,
}

const WHOLE: i64 = 1000;
/// Seconds of trickle that can be saved up.
const SAVED_SECONDS: i64 = 10;

// === impl RetryConfig ===

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 2,
            budget_ratio: 0.2,
            min_per_second: 5,
            base_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
            max_retry_after: Duration::from_secs(10),
        }
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget that begins with ten seconds of its trickle.
    pub fn new(ratio: f64, per_second: u32) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "clamped to 0..=1000")]
        let ratio = (ratio.clamp(0.0, 1.0) * 1e3) as i64;
        let per_second = i64::from(per_second) * WHOLE;
        let saved = per_second.saturating_mul(SAVED_SECONDS);
        let most = saved.max(100 * WHOLE);
        Self {
            balance: AtomicI64::new(saved),
            trickled: AtomicU64::new(0),
            ratio,
            per_second,
            most,
        }
    }

    /// A request pays in.
    pub fn deposit(&self) {
        if self.ratio > 0 && self.balance.load(Ordering::Relaxed) < self.most {
            self.balance.fetch_add(self.ratio, Ordering::Relaxed);
        }
    }

    /// Takes one retry out at `now`, if there is one.
    pub fn withdraw(&self, now: Timestamp) -> bool {
        self.trickle(now);
        let take = |balance: i64| (balance >= WHOLE).then_some(balance - WHOLE);
        self.balance
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
            .is_ok()
    }

    fn trickle(&self, now: Timestamp) {
        let last = self.trickled.load(Ordering::Acquire);
        let micros = now.micros().saturating_sub(last);
        if last == 0 || micros >= 10_000 {
            let mine = self
                .trickled
                .compare_exchange(last, now.micros(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
            if mine && last > 0 {
                let seconds = i64::try_from(micros)
                    .unwrap_or(i64::MAX)
                    .min(SAVED_SECONDS * 1_000_000);
                let earned = self.per_second.saturating_mul(seconds) / 1_000_000;
                let add = |balance: i64| Some(balance.saturating_add(earned).min(self.most));
                let _ = self
                    .balance
                    .fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
            }
        }
    }
}

// === impl Backoff ===

impl Backoff {
    /// Waits between `base` and `most`.
    pub fn new(base: Duration, most: Duration) -> Self {
        Self {
            base: base.min(most),
            most,
        }
    }

    /// The next wait, after `before` (zero for the first).
    pub fn next(&self, before: Duration, rng: &mut SmallRng) -> Duration {
        let high = before.saturating_mul(3).clamp(self.base, self.most);
        if high <= self.base {
            self.base
        } else {
            rng.random_range(self.base..=high)
        }
    }
}

/// Reads a `Retry-After` value: seconds, or an HTTP date, which is measured from `now`. `None` for anything else.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let budget = RetryBudget::new(0.2, 0);
        let now = Timestamp::from_millis(1000);
        assert!(!budget.withdraw(now));
        (0..50).for_each(|_| budget.deposit());
        let taken = (0..50).filter(|_| budget.withdraw(now)).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn light_traffic_can_retry_too() {
        let budget = RetryBudget::new(0.0, 2);
        let at = |ms: u64| Timestamp::from_millis(1_000_000 + ms);
        assert_eq!((0..100).filter(|_| budget.withdraw(at(0))).count(), 20);
        assert_eq!((0..100).filter(|_| budget.withdraw(at(1500))).count(), 3);
    }

    #[test]
    fn waits_grow_and_stay_in_bounds() {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut rng = SmallRng::seed_from_u64(5);
        assert_eq!(backoff.next(Duration::ZERO, &mut rng), Duration::from_millis(50));
        let mut wait = Duration::ZERO;
        for _ in 0..200 {
            let next = backoff.next(wait, &mut rng);
            assert!(next >= Duration::from_millis(50) && next <= Duration::from_secs(2));
            assert!(next <= (wait * 3).max(Duration::from_millis(50)));
            wait = next;
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(parse_retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now),
            Some(Duration::ZERO)
        );
        for bad in ["", "soon", "-1", "NaN", "inf"] {
            assert_eq!(parse_retry_after(bad, now), None, "{bad}");
        }
    }
}
