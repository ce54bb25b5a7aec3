//! A model, ready to be called: its endpoints and how one of them is picked.

use std::{sync::Arc, time::Duration};

use fingerpost_core::{Candidate, CandidateId, Catalogue, Name, Router, Timestamp};
use fingerpost_fleet::{Gate, InstanceQuery};
use http::HeaderValue;

use super::{EndpointSlot, Snapshot};

/// A model, ready to be called.
pub(crate) struct ModelSlot {
    pub(super) id: CandidateId,
    pub(super) name: Name,
    pub(super) header: HeaderValue,
    /// Its endpoints as candidates, ids in the order of the configuration.
    pub(super) endpoints: Catalogue,
    pub(super) ids: Vec<CandidateId>,
    pub(super) slots: Vec<Arc<EndpointSlot>>,
    pub(super) picker: Arc<dyn Router<InstanceQuery>>,
    /// Bounds those who wait while every endpoint is full.
    pub(crate) queue: Gate,
}

// === impl ModelSlot ===

impl ModelSlot {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(crate) fn candidate<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Candidate> {
        snapshot.catalogue().get(self.id)
    }

    pub(crate) fn endpoints(&self) -> &Catalogue {
        &self.endpoints
    }

    pub(crate) fn ids(&self) -> &[CandidateId] {
        &self.ids
    }

    pub(crate) fn slots(&self) -> &[Arc<EndpointSlot>] {
        &self.slots
    }

    pub(crate) fn slot(&self, id: CandidateId) -> Option<&Arc<EndpointSlot>> {
        self.slots.get(id.0 as usize)
    }

    pub(crate) fn id_of(&self, endpoint: &EndpointSlot) -> Option<CandidateId> {
        self.endpoints.id(&endpoint.name)
    }

    pub(crate) fn picker(&self) -> &dyn Router<InstanceQuery> {
        &*self.picker
    }

    /// Brings every endpoint's availability up to date with its breaker.
    pub(crate) fn refresh(&self, now: Timestamp) {
        for slot in &self.slots {
            slot.refresh(now);
        }
    }

    /// How long until some endpoint whose breaker is open may be asked again; `None` where none is.
    pub(crate) fn soonest(&self, now: Timestamp) -> Option<Duration> {
        self.slots
            .iter()
            .map(|s| s.breaker.wait(now))
            .filter(|w| !w.is_zero())
            .min()
    }

    /// Whether some endpoint is only full: waiting may help.
    pub(crate) fn is_only_full(&self, now: Timestamp) -> bool {
        self.slots.iter().any(|s| s.is_full() && s.breaker.admits(now))
    }
}
