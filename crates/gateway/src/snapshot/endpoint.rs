//! One server of a model: where it is, how it fares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fingerpost_core::{Failure, Live, Name, Timestamp};
use fingerpost_fleet::{Breaker, BreakerState, Service};
use http::HeaderValue;
use rand::rngs::SmallRng;

use super::ProviderSlot;
use crate::{engine::Engine, kv_events::Source};

/// One server of a model.
pub(crate) struct EndpointSlot {
    /// `model@provider`, with a number where that is not unique.
    pub(crate) name: Name,
    pub(crate) header: HeaderValue,
    /// The model's name there.
    pub(crate) upstream_model: Name,
    pub(crate) provider: Arc<ProviderSlot>,
    pub(crate) breaker: Arc<Breaker>,
    /// Whether it is there, and since when.
    pub(crate) service: Arc<Service>,
    /// Whether its breaker was not closed when it was last looked at.
    pub(crate) was_out: AtomicBool,
    /// How long it takes to its full share after it came.
    pub(crate) slow_start: Duration,
    /// It takes no new calls.
    pub(crate) drain: bool,
    pub(crate) live: Arc<Live>,
    /// Most calls at once.
    pub(crate) max_in_flight: Option<u32>,
    /// Where it publishes what its cache holds, where that is followed.
    pub(crate) kv_events: Option<Source>,
    /// The model itself, where it is inside this process.
    pub(crate) engine: Option<Arc<dyn Engine>>,
}

// === impl EndpointSlot ===

impl EndpointSlot {
    /// Brings availability up to date with the breaker, the health checks and the bound on calls. Returns whether it could take a call
    /// if it had to: one that starts slowly does not take all of its turns.
    pub(crate) fn refresh(&self, now: Timestamp) -> bool {
        let is_closed = self.breaker.state(now) == BreakerState::Closed;
        if !is_closed {
            self.was_out.store(true, Ordering::Relaxed);
        } else if self.was_out.load(Ordering::Relaxed) && self.was_out.swap(false, Ordering::Relaxed) {
            self.service.began(now);
        }
        let could = self.could(now);
        self.set_available(could && self.service.takes_turn(now, self.slow_start));
        could
    }

    /// Whether it could take a call.
    pub(crate) fn could(&self, now: Timestamp) -> bool {
        !self.drain && self.service.is_up() && self.breaker.admits(now) && !self.is_full()
    }

    pub(crate) fn set_available(&self, available: bool) {
        if self.live.is_available() != available {
            self.live.set_available(available);
        }
    }

    /// Whether it has as many calls as it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.max_in_flight
            .is_some_and(|most| self.live.in_flight() >= most)
    }

    /// Lets a call pass, or not: while the breaker is half open only one does.
    pub(crate) fn enter(&self, now: Timestamp) -> bool {
        self.breaker.enter(now)
    }

    /// A call came to an answer.
    pub(crate) fn succeeded(&self, now: Timestamp) {
        self.breaker.succeeded(now);
    }

    /// A call failed. Only what speaks against the endpoint counts: a refusal of the request does not (it is an answer), nor a
    /// client that left.
    pub(crate) fn failed(&self, failure: &Failure, now: Timestamp, rng: &mut SmallRng) {
        let counts = match failure {
            Failure::Refused(status) if !matches!(status, 401..=404) => {
                // It answered, and the fault is the request's: as good as any other answer, for a probe too.
                self.breaker.succeeded(now);
                false
            }
            Failure::Cancelled | Failure::NoRoute => false,
            _ => true,
        };
        if counts && self.breaker.failed(now, rng) {
            tracing::warn!(endpoint = %self.name, %failure, "the circuit breaker opened");
        }
    }

    pub(crate) fn breaker_state(&self, now: Timestamp) -> BreakerState {
        self.breaker.state(now)
    }
}
