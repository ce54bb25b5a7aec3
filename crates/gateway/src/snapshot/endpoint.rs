//! One server of a model: where it is, how it fares.

use std::sync::Arc;

use fingerpost_core::{Failure, Live, Name, Timestamp};
use fingerpost_fleet::{Breaker, BreakerState};
use http::HeaderValue;
use rand::rngs::SmallRng;

use super::ProviderSlot;
use crate::engine::Engine;

/// One server of a model.
pub(crate) struct EndpointSlot {
    /// `model@provider`, with a number where that is not unique.
    pub(crate) name: Name,
    pub(crate) header: HeaderValue,
    /// The model's name there.
    pub(crate) upstream_model: Name,
    pub(crate) provider: Arc<ProviderSlot>,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) live: Arc<Live>,
    /// Most calls at once.
    pub(crate) max_in_flight: Option<u32>,
    /// The model itself, where it is inside this process.
    pub(crate) engine: Option<Arc<dyn Engine>>,
}

// === impl EndpointSlot ===

impl EndpointSlot {
    /// Brings availability up to date with the breaker and the bound on calls.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let available = self.breaker.admits(now) && !self.is_full();
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
