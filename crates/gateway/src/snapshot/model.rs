//! A model, ready to be called: its endpoints and how one of them is picked.

use std::{sync::Arc, time::Duration};

use fingerpost_core::{Candidate, CandidateId, Catalogue, Name, Query, Router, Timestamp, TokenCount};
use fingerpost_fleet::{Fleet, Gate, InstanceQuery, Prefix, PrefixHasher};
use http::HeaderValue;

use super::{EndpointSlot, Snapshot};
use crate::dispatch::Dispatch;

/// Most bytes of a prompt that its prefix covers: beyond that, prompts that agree so far go to the same instances anyway.
const MOST_OF_PREFIX: usize = 1 << 20;

/// A model, ready to be called.
pub(crate) struct ModelSlot {
    pub(super) id: CandidateId,
    pub(super) name: Name,
    pub(super) header: HeaderValue,
    /// Its endpoints as candidates, ids in the order of the configuration.
    pub(super) endpoints: Catalogue,
    pub(super) ids: Vec<CandidateId>,
    pub(super) slots: Vec<Arc<EndpointSlot>>,
    pub(super) dispatch: Arc<Dispatch>,
    /// Bounds those who wait while every endpoint is full, or for their turn.
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
        &**self.fleet().router()
    }

    /// The policy with what it knows of the endpoints.
    pub(crate) fn fleet(&self) -> &Arc<Fleet> {
        self.dispatch.fleet()
    }

    /// The same, and who waits for them.
    pub(crate) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.dispatch
    }

    /// The request as the policy sees it: with its prefix where the policy looks at that.
    pub(crate) fn instance_query(&self, query: &Query<'_>, tokens: TokenCount) -> InstanceQuery {
        InstanceQuery {
            tokens,
            prefix: self.prefix(query),
        }
    }

    fn prefix(&self, query: &Query<'_>) -> Option<Prefix> {
        let policy = self.fleet().policy();
        let state = policy.state().filter(|_| policy.keeps_prefixes())?;
        let mut prompt = Vec::with_capacity(query.text_bytes().min(MOST_OF_PREFIX));
        for turn in &query.turns {
            // Who speaks is part of what a server computes.
            prompt.push(turn.role as u8);
            turn.texts
                .iter()
                .for_each(|text| prompt.extend_from_slice(text.as_bytes()));
            if prompt.len() >= MOST_OF_PREFIX {
                break;
            }
        }
        Some(PrefixHasher::new(state.block_tokens, None).text(&prompt))
    }

    /// Brings every endpoint's availability up to date. Where those that could take a call all start slowly, they all do.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let (mut could, mut takes) = (false, false);
        for slot in &self.slots {
            could |= slot.refresh(now);
            takes |= slot.live.is_available();
        }
        if could && !takes {
            self.slots
                .iter()
                .for_each(|slot| slot.set_available(slot.could(now)));
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
