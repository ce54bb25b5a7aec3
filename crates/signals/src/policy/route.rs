//! A policy as a router whose candidates are its decisions.

use fingerpost_core::{CandidateId, Context, Decision, Learn, NoRoute, Query, Router};

use super::Policy;
use crate::Extra;

/// Rules learn nothing.
impl Learn for Policy {}

/// Picks the decision that wins among the admitted candidates, matched with decisions by name. Scores are confidences, 0
/// to 1. Ties cannot remain: names differ.
impl Router<Query<'_>> for Policy {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let mut admitted = vec![false; self.len()];
        for candidate in cx.admitted(among) {
            if let Some(index) = self.index(&candidate.profile.name) {
                admitted[index] = true;
            }
        }
        // The limits' number of tokens has room for the answer in it, so it is not what `context` asks for.
        let verdict = self.decide_among(query, &Extra::default(), Some(&admitted));
        let id = verdict.name().and_then(|name| cx.catalogue.id(name));
        id.and_then(|id| self.to_decision(&verdict, id))
            .ok_or_else(|| cx.no_route(among))
    }
}
