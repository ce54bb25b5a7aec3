//! What is kept of one request while it is under way, and told when it is over.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_core::{
    CallId, CandidateId, Decision, Evidence, Failure, Hop, HopId, Level, Millis, Name, Outcome, Pick, Reason,
    Timestamp, TokenCount, Trace, Usd,
};
use fingerpost_fleet::Permit;
use fingerpost_protocol::{Format, Usage};
use fingerpost_telemetry::{CacheUse, CallRecord, Record, Tokens};
use smallvec::SmallVec;

use super::{ask::Ask, run::Picked, session::Seat};
use crate::{
    dispatch::Sent,
    snapshot::{EndpointSlot, ModelSlot, Snapshot},
    worker::{UnderWay, Worker, now},
};

/// One request under way. When it is finished, or dropped because the client went away, its record goes to the recorder.
pub(crate) struct Journey {
    pub(crate) worker: Rc<Worker>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) format: Format,
    /// The way so far.
    pub(crate) leg: Leg,
    pub(crate) at: Timestamp,
    pub(crate) parent_span: Option<u64>,
    pub(crate) span: u64,
    pub(crate) asked: Name,
    pub(crate) decision: Option<Name>,
    pub(crate) stream: bool,
    /// What the cache of the decision did.
    pub(crate) cache: Option<CacheUse>,
    /// What the calls so far cost, the one that answers left out.
    pub(crate) spent: Usd,
    /// Its place among the requests of the whole process, kept until the last byte of the answer.
    pub(crate) permit: Option<Permit>,
    /// Its conversation, where that may stay with its model.
    pub(crate) seat: Option<Seat>,
    first_token: Option<Duration>,
    over: bool,
    _under_way: UnderWay,
}

/// A stretch of the way: what was decided and called on it. Calls that are made at the same time have a leg each, and are joined to
/// the journey's in the order in which they were asked for.
pub(crate) struct Leg {
    pub(crate) trace: Trace,
    /// The calls so far.
    pub(crate) calls: SmallVec<[CallRecord; 1]>,
    arrived: Instant,
    routing: Option<Duration>,
    /// The last model to be fallen back on: the decision for it, and when its turn began, since the request arrived.
    turn: Option<(HopId, Duration)>,
    plan: Option<Plan>,
}

/// What a leg knows that was made for one call of a router's plan.
struct Plan {
    call: CallId,
    /// Calls under way, so that they are on the record where they are given up.
    open: Vec<(HopId, Instant, CallRecord)>,
}

/// A call to an endpoint under way: counted as load there until it is over.
pub(crate) struct CallUnderWay {
    pub(crate) record: CallRecord,
    endpoint: Arc<EndpointSlot>,
    /// The same as the policy knows it, where that follows requests.
    sent: Option<Sent>,
    /// The decision that picked it.
    hop: HopId,
    began: Instant,
    is_over: bool,
}

// === impl Journey ===

impl Journey {
    pub(crate) fn new(worker: &Rc<Worker>, snapshot: Arc<Snapshot>, format: Format, trace: Trace) -> Self {
        Self {
            worker: Rc::clone(worker),
            format,
            at: trace.at,
            leg: Leg {
                trace,
                calls: SmallVec::new(),
                arrived: Instant::now(),
                routing: None,
                turn: None,
                plan: None,
            },
            parent_span: None,
            span: worker.span_id(),
            asked: snapshot.nameless(),
            decision: None,
            stream: false,
            cache: None,
            spent: Usd::ZERO,
            permit: None,
            seat: None,
            first_token: None,
            over: false,
            _under_way: worker.begin(),
            snapshot,
        }
    }

    /// Notes that the first token, or a whole answer, has come.
    pub(crate) fn first_token(&mut self) {
        self.first_token.get_or_insert_with(|| self.leg.arrived.elapsed());
    }

    /// The request is over: hands its record on. Later calls do nothing.
    pub(crate) fn finish(&mut self, status: u16, usage: &Usage, failure: Option<Failure>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(seat) = self.seat.take() {
            seat.over(&self.leg.trace, failure.as_ref(), now());
        }
        let total = self.leg.arrived.elapsed();
        let cost = match self.cache {
            Some(CacheUse::Hit(_)) => Some(Usd::ZERO),
            _ => self.cost(usage),
        };
        let known = usage.input > 0 || usage.output > 0;
        let outcome = Outcome {
            quality: None,
            // What was spent is known, where the last call came to nothing too.
            cost: cost
                .or((self.spent > Usd::ZERO).then_some(Usd::ZERO))
                .map(|c| c + self.spent),
            latency: Some(Millis::from(total)),
            first_token: self.first_token.map(Millis::from),
            tokens_in: known.then_some(TokenCount(usage.input)),
            tokens_out: known.then_some(TokenCount(usage.output)),
            failure,
            verdict: None,
        };
        if let Some((hop, before)) = self.leg.turn {
            // What was lost on the models before it says nothing of this one.
            let own = Outcome {
                cost,
                latency: Some(Millis::from(total.saturating_sub(before))),
                first_token: self.first_token.map(|t| Millis::from(t.saturating_sub(before))),
                ..outcome.clone()
            };
            self.leg.trace.ended(hop, own);
        }
        let over = Trace::new(self.leg.trace.id, self.at);
        let record = Record {
            trace: std::mem::replace(&mut self.leg.trace, over),
            at: self.at,
            format: self.format.name(),
            stream: self.stream,
            status,
            parent_span: self.parent_span,
            span: self.span,
            asked: self.asked.clone(),
            decision: self.decision.take(),
            cache: self.cache,
            calls: std::mem::take(&mut self.leg.calls),
            outcome,
            tokens: Tokens {
                input: TokenCount(usage.input),
                cached_input: TokenCount(usage.cached_input),
                output: TokenCount(usage.output),
                reasoning: TokenCount(usage.reasoning),
            },
            routing: self.leg.routing.unwrap_or(total),
            total,
        };
        self.worker.record(Arc::clone(&self.snapshot), record);
    }

    /// What the answer of the last call cost, where its model has a price and the usage is known.
    fn cost(&self, usage: &Usage) -> Option<Usd> {
        price(&self.snapshot, &self.leg.calls.last()?.model, usage)
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        self.finish(CLIENT_CLOSED, &Usage::default(), Some(Failure::Cancelled));
    }
}

/// The status under which a request is recorded whose client went away first (nginx's custom).
pub(crate) const CLIENT_CLOSED: u16 = 499;

// === impl Leg ===

impl Leg {
    /// Puts a decision on the trace.
    pub(crate) fn decided(&mut self, parent: Option<HopId>, level: Level, decision: Decision) -> HopId {
        self.trace.push(parent, level, decision)
    }

    /// Begins a call.
    pub(crate) fn call(&mut self, ask: &Ask<'_>, model: &ModelSlot, picked: Picked) -> CallUnderWay {
        let Picked { endpoint, hop, sent } = picked;
        if let Some(sent) = sent.as_ref().filter(|_| !ask.stream()) {
            sent.is_seen_whole();
        }
        let began = Instant::now();
        self.routing.get_or_insert_with(|| began - self.arrived);
        endpoint.live.begin();
        let record = CallRecord {
            model: model.name().clone(),
            endpoint: endpoint.name.clone(),
            system: endpoint.provider.system(),
            upstream_model: endpoint.upstream_model.clone(),
            failure: None,
            planned: self.plan.as_ref().map(|plan| plan.call.0),
            cost: None,
            began: began - self.arrived,
            took: Duration::ZERO,
        };
        if let Some(plan) = &mut self.plan {
            plan.open.push((hop, began, record.clone()));
        }
        CallUnderWay {
            record,
            sent,
            endpoint,
            hop,
            began,
            is_over: false,
        }
    }

    /// A call came to nothing: its record is kept, and the decision that picked its endpoint learns from this alone.
    pub(crate) fn lost(&mut self, call: CallUnderWay, failure: Failure) {
        let hop = call.hop;
        self.close(hop);
        let record = call.over(Some(failure.clone()));
        let latency = Some(Millis::from(record.took));
        self.trace.ended(
            hop,
            Outcome {
                latency,
                failure: Some(failure),
                ..Outcome::default()
            },
        );
        self.calls.push(record);
    }

    /// The model that `hop`, the latest decision of its level, picked came to nothing and `next` is asked. Its router hears of both, of each what became of it.
    pub(crate) fn fell_back(
        &mut self,
        hop: Option<HopId>,
        outcome: Outcome,
        next: &Name,
        id: CandidateId,
    ) -> Option<HopId> {
        let hop = hop?;
        let before = self.trace.hops.iter().rfind(|h| h.level == Level::Model);
        let Some(Hop { parent, decision, .. }) = before else {
            return Some(hop);
        };
        let parent = *parent;
        let score = decision
            .picks
            .iter()
            .find(|p| p.id == id)
            .map_or(f64::NAN, |p| p.score);
        let pick = Pick {
            id,
            name: next.clone(),
            score,
            weight: 1.0,
        };
        // Given that the first failed, the next was certain.
        let evidence = Evidence {
            propensity: 1.0,
            ..decision.evidence.clone()
        };
        let fallback = Decision::single(pick, Reason::new("the one before did not answer"), evidence);
        self.trace.ended(hop, outcome);
        let next = self.trace.push(parent, Level::Model, fallback);
        self.turn = Some((next, self.arrived.elapsed()));
        Some(next)
    }

    /// A leg for one call of a router's plan.
    pub(crate) fn fork(&self, call: CallId) -> Self {
        Self {
            trace: Trace::new(self.trace.id, self.trace.at),
            calls: SmallVec::new(),
            arrived: self.arrived,
            routing: None,
            turn: None,
            plan: Some(Plan {
                call,
                open: Vec::new(),
            }),
        }
    }

    /// The answer to the call that the leg was made for is here, whole: what became of it is known apart from the request.
    pub(crate) fn answered(&mut self, call: &mut CallUnderWay, outcome: &Outcome) {
        self.close(call.hop);
        call.record.cost = outcome.cost;
        call.first_token();
        call.end();
        call.endpoint.succeeded(now());
        self.trace.ended(call.hop, outcome.clone());
        self.calls.push(call.record.clone());
    }

    /// Joins a leg that was made for a call. What is still under way on it is given up.
    pub(crate) fn join(&mut self, parent: Option<HopId>, mut leg: Self) {
        for (hop, began, mut record) in leg.plan.take().map(|plan| plan.open).unwrap_or_default() {
            record.took = began.elapsed();
            record.failure = Some(Failure::Cancelled);
            let outcome = Outcome {
                latency: Some(Millis::from(record.took)),
                failure: Some(Failure::Cancelled),
                ..Outcome::default()
            };
            leg.trace.ended(hop, outcome);
            leg.calls.push(record);
        }
        self.trace.graft(parent, leg.trace);
        self.calls.extend(leg.calls);
        self.routing = self.routing.or(leg.routing);
    }

    fn close(&mut self, hop: HopId) {
        if let Some(plan) = &mut self.plan {
            plan.open.retain(|(open, ..)| *open != hop);
        }
    }
}

/// What this usage of a model costs, where it has a price and the usage is known.
pub(crate) fn price(snapshot: &Snapshot, model: &str, usage: &Usage) -> Option<Usd> {
    let price = snapshot.model_of(model)?.candidate(snapshot)?.profile.price?;
    let known = usage.input > 0 || usage.output > 0;
    known.then(|| {
        price.cost(
            TokenCount(usage.input),
            TokenCount(usage.cached_input),
            TokenCount(usage.output),
        )
    })
}

// === impl CallUnderWay ===

impl CallUnderWay {
    /// The call is over.
    pub(crate) fn over(mut self, failure: Option<Failure>) -> CallRecord {
        self.end();
        self.record.failure = failure;
        self.record.clone()
    }

    /// Its answer has begun.
    pub(crate) fn first_token(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.first_token();
        }
    }

    /// It came to its answer.
    pub(crate) fn succeeded(&self) {
        if !self.is_over {
            self.endpoint.succeeded(now());
        }
    }

    /// Whom it goes to.
    pub(crate) fn endpoint(&self) -> &Arc<EndpointSlot> {
        &self.endpoint
    }

    /// From here on it is no load.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.record.took = self.began.elapsed();
            self.endpoint.live.end();
            drop(self.sent.take());
        }
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.end();
    }
}
