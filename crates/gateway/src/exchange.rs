//! One chat request from its first byte to the last of its answer, in any of the three formats.
//!
//! [`intake`] reads the body, [`choose`] decides, [`cached`] may have the answer already, [`deliberate`] performs
//! what a router asks before it decides, [`run`] calls ([`turn`], [`attempt`], [`engine`]) until somebody answers, [`session`]
//! remembers who did, [`streaming`]
//! passes on what comes, [`journey`] keeps what will be told of it. [`wire`] is the one place where formats meet.

mod ask;
mod attempt;
mod cached;
pub(crate) mod choose;
mod deliberate;
mod deliver;
mod engine;
pub(crate) mod headers;
mod intake;
mod journey;
mod run;
pub(crate) mod session;
pub(crate) mod stored;
mod streaming;
mod tap;
mod turn;
mod wire;

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use fingerpost_core::{CandidateId, Failure, Level, Trace};
use fingerpost_protocol::{Envelope, ErrorBody, ErrorKind, Format, Usage};
use fingerpost_signals::Extra;
use fingerpost_telemetry::TraceParent;
use http::{HeaderValue, Request, Response, header::RETRY_AFTER, request::Parts};
use hyper::body::Incoming;
use smallvec::SmallVec;

pub(crate) use intake::read as read_body;
pub(crate) use run::unavailable;
pub(crate) use streaming::Streaming;

use self::{
    ask::Ask,
    cached::Cached,
    choose::{Chosen, Way, decide, select},
    deliver::deliver,
    journey::Journey,
};
use crate::{
    adapters::Adapters,
    handler,
    reply_body::ReplyBody,
    snapshot::Snapshot,
    worker::{Worker, now},
};

/// Why a request gets no answer but an error.
pub(crate) struct Refusal {
    pub(crate) error: ErrorBody,
    failure: Failure,
    pub(crate) retry_after: Option<std::time::Duration>,
}

/// Answers a chat request.
pub(crate) async fn answer(
    worker: &Rc<Worker>,
    format: Format,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let (head, incoming) = request.into_parts();
    let snapshot = worker.snapshot();
    let parent = head
        .headers
        .get("traceparent")
        .and_then(|v| v.to_str().ok())
        .and_then(TraceParent::parse);
    let id = parent.map_or_else(|| worker.trace_id(), |p| p.trace);
    let mut journey = Journey::new(worker, snapshot, format, Trace::new(id, now()));
    journey.parent_span = parent.map(|p| p.span);
    journey.permit = journey.snapshot.gate.enter();
    if journey.permit.is_none() {
        return refuse(journey, full());
    }
    let most = journey.snapshot.config().server.max_body;
    let refusal = match intake::read(incoming, most).await {
        Ok(body) => match travel(&mut journey, &head, body).await {
            Ok(delivery) => return delivery.into_response(journey),
            Err(refusal) => refusal,
        },
        Err(error) => error.into(),
    };
    refuse(journey, refusal)
}

/// Everything between the body and the answer.
async fn travel(journey: &mut Journey, head: &Parts, body: Bytes) -> Result<deliver::Delivery, Refusal> {
    let snapshot = Arc::clone(&journey.snapshot);
    let config = snapshot.config();
    let owner = headers::identity(&head.headers, &config.server.identity).user;
    let stored::Expanded {
        body,
        previous,
        mut keeper,
    } = stored::expand(journey, body, owner.as_deref()).await?;
    let mut envelope =
        Envelope::parse(journey.format, &body).map_err(|e| Refusal::from(ErrorBody::from(&e)))?;
    envelope.query.identity = headers::identity(&head.headers, &config.server.identity);
    envelope.query.session = session::named(&head.headers, &envelope.query, &config.server.session);
    journey.stream = envelope.query.stream;
    let mut rng = journey.worker.rng();
    let (route, way) = decide(&snapshot, &envelope.query, &mut journey.leg.trace)?;
    (journey.asked, journey.decision) = (route.asked, route.decision);
    if let Way::Decision { slot, session, .. } = &way {
        journey.seat = session::Seat::of(slot, &envelope.query, &snapshot);
        envelope.query.previous = session.as_ref().and_then(session::previous);
    }
    let debug = head
        .headers
        .get(headers::DEBUG)
        .is_some()
        .then(|| snapshot.policy().signals_all(&envelope.query, &Extra::default()));
    let worker = Rc::clone(&journey.worker);
    let ask = Ask {
        worker: &worker,
        snapshot: &snapshot,
        envelope: &envelope,
        body: &body,
        client: &head.headers,
        timeouts: config.resilience.timeouts,
        deadline: Instant::now() + config.resilience.timeouts.total,
        trace: journey.leg.trace.id,
        at: journey.at,
        tokens: choose::input_tokens(&envelope.query),
        whole: false,
        question: None,
        logprobs: false,
        previous: previous.as_ref(),
    };
    let mut looked = None;
    if let Way::Decision { parent, slot, .. } = &way
        && let Some(cache) = &slot.cache
    {
        let found = cached::look(journey, &ask, cache);
        if let Cached::Hit(hit) = &found
            && let Some(again) = cached::again(journey, &ask, hit, *parent, &mut keeper)
        {
            return Ok(deliver::again(journey, &ask, again, found.header()).with_debug(debug.as_deref()));
        }
        looked = Some(found);
    }
    let adapters = match &way {
        Way::Decision { slot, .. } => slot.adapters.clone(),
        Way::Named(candidate) => snapshot.adapters_of(&candidate.profile.name).cloned(),
    };
    let mut chosen = select(&snapshot, &envelope.query, way, &mut journey.leg.trace, &mut rng)?;
    if let (Some(adapters), Chosen::Models { models, .. }) = (adapters, &mut chosen) {
        // Rare: kept out of the future that every request moves.
        Box::pin(paged_in(&adapters, &snapshot, &journey.leg.trace, models)).await?;
    }
    let mut delivery = match chosen {
        Chosen::Models { parent, models } => {
            let answered = run::run(&mut journey.leg, &ask, Some(parent), &models, &mut rng).await?;
            deliver(journey, &ask, answered, keeper)
        }
        // Rare and large: kept out of the future that every request moves.
        Chosen::Asking(asking) => {
            Box::pin(deliberate::deliberate(journey, &ask, *asking, &mut rng, keeper)).await?
        }
    };
    if let Some(seat) = &journey.seat {
        seat.answered(&journey.leg.trace, now());
    }
    if let Some(looked) = looked {
        delivery.after(looked);
    }
    Ok(delivery.with_debug(debug.as_deref()))
}

/// Waits until the adapter that was picked is loaded. Where it cannot be, the models behind it are asked: the base model, if there is one.
async fn paged_in(
    adapters: &Arc<Adapters>,
    snapshot: &Arc<Snapshot>,
    trace: &Trace,
    models: &mut SmallVec<[CandidateId; 4]>,
) -> Result<(), Refusal> {
    let Some(hop) = trace.hops.iter().rfind(|hop| hop.level == Level::Model) else {
        return Ok(());
    };
    let Err(why) = adapters.prepare(snapshot, &hop.decision).await else {
        return Ok(());
    };
    models.remove(0);
    if models.is_empty() {
        return Err(ErrorBody::new(ErrorKind::Overloaded, &why).into());
    }
    Ok(())
}

/// The process has as many requests under way as it takes.
fn full() -> Refusal {
    let message = "as many requests are under way as this server takes (resilience.shed.max_in_flight)";
    Refusal {
        error: ErrorBody::new(ErrorKind::Overloaded, message),
        failure: Failure::NoRoute,
        retry_after: None,
    }
}

/// The error in the client's format, with the trace as far as it came.
fn refuse(mut journey: Journey, refusal: Refusal) -> Response<ReplyBody> {
    let mut error = refusal.error;
    error
        .request_id
        .get_or_insert_with(|| journey.leg.trace.id.to_string());
    let mut response = handler::error(&error, journey.format);
    let status = response.status().as_u16();
    let added = response.headers_mut();
    if let Some(wait) = refusal.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        added.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    added.insert(headers::TRACE, headers::trace_id(journey.leg.trace.id));
    if !journey.leg.trace.hops.is_empty() {
        added.insert(headers::WHY, headers::why(&journey.leg.trace));
    }
    journey.finish(status, &Usage::default(), Some(refusal.failure));
    response
}

// === impl Refusal ===

impl From<ErrorBody> for Refusal {
    fn from(error: ErrorBody) -> Self {
        let failure = if error.status < 500 {
            Failure::Refused(error.status)
        } else {
            Failure::Status(error.status)
        };
        Self {
            error,
            failure,
            retry_after: None,
        }
    }
}

impl From<run::Unanswered> for Refusal {
    fn from(unanswered: run::Unanswered) -> Self {
        let run::Unanswered {
            error,
            failure,
            retry_after,
        } = unanswered;
        Self {
            error,
            failure,
            retry_after,
        }
    }
}
