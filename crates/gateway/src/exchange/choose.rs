//! Decides: which decision holds, and which models may answer, best first.

use std::sync::Arc;

use fingerpost_core::{
    Call, Candidate, CandidateId, Context, Decision, Evidence, Failure, HopId, Level, Limit, Limits, Name,
    NoRoute, Pick, Query, Reason, Step, Thread, TokenCount, Trace,
};
use fingerpost_models::{ModelRouter, Session};
use fingerpost_protocol::{ErrorBody, ErrorKind};
use fingerpost_signals::Extra;
use rand::rngs::SmallRng;
use smallvec::SmallVec;

use super::{Refusal, session};
use crate::{
    admin,
    snapshot::{DecisionSlot, Snapshot},
};

/// What the client asked for and which decision that came to.
pub(crate) struct Route {
    /// The model or alias that the client named; empty where it named none.
    pub(crate) asked: Name,
    /// The decision that held.
    pub(crate) decision: Option<Name>,
}

/// Where the decision leads.
pub(crate) enum Way<'s> {
    /// To the model that the client named.
    Named(&'s Candidate),
    /// To the models of a decision.
    Decision {
        /// The decision on the trace; `None` where none held.
        parent: Option<HopId>,
        slot: Arc<DecisionSlot>,
        /// What is remembered of the conversation, where it may stay with its model.
        session: Option<Session>,
    },
}

/// What was chosen.
pub(crate) enum Chosen {
    /// These models, in this order.
    Models {
        /// The decision that chose them.
        parent: HopId,
        /// Best first.
        models: SmallVec<[CandidateId; 4]>,
    },
    /// A router that asks before it decides.
    Asking(Box<Asking>),
}

/// What a router asks before it decides, or as it decides.
pub(crate) struct Asking {
    pub(crate) slot: Arc<DecisionSlot>,
    /// The decision that called for it.
    pub(crate) parent: Option<HopId>,
    pub(crate) limits: Limits,
    pub(crate) step: Asked,
}

/// A step that has calls.
pub(crate) enum Asked {
    /// These first.
    Calls(Vec<Call>, Thread),
    /// This is decided, and the answer to this call is the answer.
    Last(Box<Decision>, Call),
}

// === impl Asked ===

impl Asked {
    /// Its calls.
    pub(crate) fn calls(&self) -> &[Call] {
        match self {
            Self::Calls(calls, _) => calls,
            Self::Last(_, call) => std::slice::from_ref(call),
        }
    }
}

/// Images cost tokens too; this many each, about what the large providers count for one of medium size.
const TOKENS_PER_IMAGE: usize = 1000;
/// Bytes of text a token, on the low side so that a limit is rather met than broken.
pub(crate) const BYTES_PER_TOKEN: usize = 4;

/// Decides, and puts what was decided on the trace.
pub(crate) fn choose(
    snapshot: &Snapshot,
    query: &Query<'_>,
    trace: &mut Trace,
    rng: &mut SmallRng,
) -> Result<(Route, Chosen), Refusal> {
    let (route, way) = decide(snapshot, query, trace)?;
    Ok((route, select(snapshot, query, way, trace, rng)?))
}

/// Decides what is done with the request, and puts that on the trace.
pub(crate) fn decide<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    trace: &mut Trace,
) -> Result<(Route, Way<'s>), Refusal> {
    let mut route = Route {
        asked: snapshot.nameless(),
        decision: None,
    };
    let asked = query.model.as_ref();
    match snapshot.alias(asked) {
        Some(alias) => route.asked = alias.clone(),
        None if asked.is_empty() => {}
        None => {
            let id = snapshot.catalogue().id(asked);
            let candidate = id.and_then(|id| snapshot.catalogue().get(id));
            let candidate = candidate.ok_or_else(|| Refusal::from(admin::unknown(snapshot, asked)))?;
            route.asked = candidate.profile.name.clone();
            return Ok((route, Way::Named(candidate)));
        }
    }
    let extra = Extra {
        tokens: Some(input_tokens(query)),
        ..Extra::default()
    };
    let verdict = snapshot.policy().decide(query, &extra);
    let (parent, slot) = match verdict.decision() {
        Some(index) => {
            let slot = snapshot.decision(index);
            route.decision = Some(slot.name.clone());
            let decision = snapshot
                .policy()
                .to_decision(&verdict, CandidateId(u32::try_from(index).unwrap_or(u32::MAX)));
            (
                decision.map(|d| trace.push(None, Level::Decision, d)),
                Arc::clone(slot),
            )
        }
        None => (None, Arc::clone(snapshot.fallback().ok_or_else(no_model)?)),
    };
    let session = session::of(&slot, query).and_then(|key| snapshot.sessions().of(key));
    Ok((
        route,
        Way::Decision {
            parent,
            slot,
            session,
        },
    ))
}

/// Chooses among the models that the decision left, and puts the choice on the trace.
pub(crate) fn select(
    snapshot: &Snapshot,
    query: &Query<'_>,
    way: Way<'_>,
    trace: &mut Trace,
    rng: &mut SmallRng,
) -> Result<Chosen, Refusal> {
    let (parent, slot, session) = match way {
        Way::Named(candidate) => return Ok(named(snapshot, candidate, trace)),
        Way::Decision {
            parent,
            slot,
            session,
        } => (parent, slot, session),
    };
    let limits = limits(query);
    let step = {
        let mut cx = Context::new(snapshot.catalogue(), &limits, trace.at, rng);
        match &slot.router {
            ModelRouter::Router(router) => router
                .route(query, &slot.among, &mut cx)
                .map_or_else(Step::Fail, Step::Done),
            ModelRouter::Deliberate(router) => session::locked(&slot, session.as_ref(), query, &cx)
                .map_or_else(|| router.start(query, &slot.among, &mut cx), Step::Done),
        }
    };
    match step {
        Step::Fail(none) => Err(unroutable(&none)),
        Step::Ask(calls, thread) => Ok(Chosen::Asking(Box::new(Asking {
            slot,
            parent,
            limits,
            step: Asked::Calls(calls, thread),
        }))),
        Step::Finish(decision, call) => Ok(Chosen::Asking(Box::new(Asking {
            slot,
            parent,
            limits,
            step: Asked::Last(Box::new(decision), call),
        }))),
        // A router that has asked nothing yet has nothing to serve: the models answer.
        Step::Done(decision) | Step::Serve(decision, _) => {
            let cx = Context::new(snapshot.catalogue(), &limits, trace.at, rng);
            let decision = session::pass(decision, &slot, session.as_ref(), query, &cx);
            let models = in_order(&decision, &slot, &limits, snapshot);
            let parent = trace.push(parent, Level::Model, decision);
            Ok(Chosen::Models { parent, models })
        }
    }
}

/// The models to ask, in order: those picked, then, unless the router forbids it, the others of the decision that the limits
/// admit, to fall back on.
pub(crate) fn in_order(
    decision: &Decision,
    slot: &DecisionSlot,
    limits: &Limits,
    snapshot: &Snapshot,
) -> SmallVec<[CandidateId; 4]> {
    let mut models: SmallVec<[CandidateId; 4]> = decision.picks.iter().map(|p| p.id).collect();
    let others = if decision.only { &[][..] } else { &slot.among };
    for id in others {
        let admitted = snapshot
            .catalogue()
            .get(*id)
            .is_some_and(|c| limits.admit(c).is_ok());
        if admitted && !models.contains(id) {
            models.push(*id);
        }
    }
    models
}

/// The client named a model: nothing is left to decide at this level, but the choice is on the trace all the same.
fn named(snapshot: &Snapshot, candidate: &Candidate, trace: &mut Trace) -> Chosen {
    let evidence = Evidence::of(snapshot.named_router());
    let decision = Decision::single(
        Pick::of(candidate, 1.0),
        Reason::new("named by the client"),
        evidence,
    );
    let parent = trace.push(None, Level::Model, decision);
    Chosen::Models {
        parent,
        models: SmallVec::from_slice(&[candidate.id]),
    }
}

/// Input tokens, estimated.
pub(crate) fn input_tokens(query: &Query<'_>) -> TokenCount {
    let images: usize = query.turns.iter().map(|t| t.images as usize).sum();
    let input = query.text_bytes() / BYTES_PER_TOKEN + images * TOKENS_PER_IMAGE;
    TokenCount(u32::try_from(input).unwrap_or(u32::MAX))
}

/// What the request itself asks of a model.
fn limits(query: &Query<'_>) -> Limits {
    let output = query.max_output.map_or(0, |t| t.0);
    let tokens = TokenCount(input_tokens(query).0.saturating_add(output));
    Limits {
        needs: query.needs(),
        tokens,
        ..Limits::NONE
    }
}

/// No model can take the request: its own fault where no configured model could (too long, an image for models that read
/// none), ours where those that could are out of service.
pub(crate) fn unroutable(none: &NoRoute) -> Refusal {
    let passing = none.excluded.is_empty()
        || none
            .excluded
            .iter()
            .any(|e| matches!(e.limit, Limit::Unavailable | Limit::InFlight { .. }));
    let kind = if passing {
        ErrorKind::Overloaded
    } else {
        ErrorKind::InvalidRequest
    };
    Refusal {
        error: ErrorBody::new(kind, &none.to_string()),
        failure: Failure::NoRoute,
        retry_after: None,
    }
}

fn no_model() -> Refusal {
    let message = "no decision matches this request and no model is configured to answer it (default_model)";
    Refusal {
        error: ErrorBody::new(ErrorKind::Overloaded, message),
        failure: Failure::NoRoute,
        retry_after: None,
    }
}
