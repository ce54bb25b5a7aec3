//! Whether a server takes calls, beside what its [`Breaker`](crate::Breaker) says: it answers health checks, and after it came (back)
//! it gets its full share only little by little.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use fingerpost_core::Timestamp;

/// Share of its turns that a server has when it has just come: without any, nobody would learn how it does.
const LEAST_SHARE: f64 = 0.1;
/// Turns are spread evenly by the golden ratio: of any few in a row about the share is taken.
const GOLDEN: u32 = 0x9e37_79b9;

/// The state of one server. Lock-free.
#[derive(Debug, Default)]
pub struct Service {
    /// Health checks missed in a row.
    missed: AtomicU32,
    is_down: AtomicBool,
    /// When it came (back), in microseconds; 0 where it was always there.
    since: AtomicU64,
    turns: AtomicU32,
}

// === impl Service ===

impl Service {
    /// It came, or came back: from here on its share grows.
    pub fn began(&self, now: Timestamp) {
        self.since.store(now.micros().max(1), Ordering::Relaxed);
    }

    /// It answered a health check. Returns whether it was out of service until now.
    pub fn answered(&self, now: Timestamp) -> bool {
        self.missed.store(0, Ordering::Relaxed);
        let was_down = self.is_down.swap(false, Ordering::Relaxed);
        if was_down {
            self.began(now);
        }
        was_down
    }

    /// It missed a health check; after `most` in a row it is out of service. Returns whether that is so from now on.
    pub fn missed(&self, most: u32) -> bool {
        let missed = self.missed.load(Ordering::Relaxed).saturating_add(1);
        self.missed.store(missed, Ordering::Relaxed);
        missed >= most.max(1) && !self.is_down.swap(true, Ordering::Relaxed)
    }

    /// Whether its health checks say that it is there; true where it was never asked.
    pub fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }

    /// The share of its turns that it takes at `now`, from .1 when it has just come to 1 after `slow_start`.
    pub fn share(&self, now: Timestamp, slow_start: Duration) -> f64 {
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 || slow_start.is_zero() {
            return 1.0;
        }
        let age = now.since(Timestamp::from_micros(since));
        (age.as_secs_f64() / slow_start.as_secs_f64()).clamp(LEAST_SHARE, 1.0)
    }

    /// Whether it takes this turn.
    pub fn takes_turn(&self, now: Timestamp, slow_start: Duration) -> bool {
        let share = self.share(now, slow_start);
        if share >= 1.0 {
            return true;
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN);
        f64::from(turn) < share * f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000 * seconds)
    }

    #[test]
    fn so_many_misses_in_a_row_put_it_out_of_service() {
        let service = Service::default();
        assert!(!service.missed(3) && !service.missed(3) && service.is_up());
        assert!(!service.answered(at(1)));
        assert!(
            !service.missed(3) && !service.missed(3) && service.is_up(),
            "the count began anew"
        );
        assert!(service.missed(3) && !service.is_up());
        assert!(!service.missed(3), "it was already");
        assert!(service.answered(at(2)) && service.is_up());
    }

    #[test]
    fn its_share_grows_after_it_came() {
        let (service, slow) = (Service::default(), Duration::from_secs(10));
        assert!((0..100).all(|_| service.takes_turn(at(0), slow)), "always there");
        service.began(at(100));
        for (second, share) in [(100, 0.1), (105, 0.5), (110, 1.0), (500, 1.0)] {
            assert!((service.share(at(second), slow) - share).abs() < 1e-9);
            let taken = (0..1_000)
                .filter(|_| service.takes_turn(at(second), slow))
                .count();
            assert!(
                (taken as f64 / 1_000.0 - share).abs() < 0.01,
                "{taken} at {second}"
            );
        }
        assert!(service.takes_turn(at(100), Duration::ZERO));
    }
}
