//! Runs a choice of models: the first, and on a failure another endpoint, another try, another model, within the retry budget
//! and the client's patience.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_core::{CandidateId, Context, Failure, HopId, Level, Limits, NoRoute, Outcome, Reply, Usd};
use fingerpost_fleet::InstanceQuery;
use fingerpost_protocol::{ErrorBody, ErrorKind, Usage};
use rand::rngs::SmallRng;
use smallvec::SmallVec;

use super::{
    ask::Ask,
    attempt::{Failed, Given, attempt},
    engine,
    journey::{CallUnderWay, Leg, price},
    turn::{Placed, turn},
};
use crate::{
    dispatch::Sent,
    snapshot::{EndpointSlot, ModelSlot, Snapshot},
    worker::now,
};

/// An answer, or the beginning of one, and the call that gave it, still counted as load.
pub(crate) struct Answered {
    pub(crate) given: Given,
    pub(crate) call: CallUnderWay,
    pub(crate) model: CandidateId,
}

/// Nobody answered.
pub(crate) struct Unanswered {
    pub(crate) error: ErrorBody,
    pub(crate) failure: Failure,
    pub(crate) retry_after: Option<Duration>,
}

// === impl Answered ===

impl Answered {
    /// Tokens used; nothing where it is a stream, which has not told yet.
    pub(crate) fn usage(&self) -> Usage {
        match &self.given {
            Given::Whole(whole) => whole.answer.usage,
            Given::Stream(_) => Usage::default(),
        }
    }

    /// What it cost, where its model has a price and the usage is known.
    pub(crate) fn cost(&self, snapshot: &Snapshot) -> Option<Usd> {
        price(snapshot, &self.call.record.model, &self.usage())
    }

    /// The answer as a router that asked for it reads it.
    pub(crate) fn reply(&mut self) -> Reply {
        match &mut self.given {
            Given::Whole(whole) => whole.answer.reply.take().map(|reply| *reply).unwrap_or_default(),
            Given::Stream(_) => Reply::default(),
        }
    }
}

/// An endpoint that was picked.
pub(crate) struct Picked {
    pub(crate) endpoint: Arc<EndpointSlot>,
    /// The decision that picked it.
    pub(crate) hop: HopId,
    /// The call as the policy counts it, where it follows requests.
    pub(crate) sent: Option<Sent>,
}

/// A kind of call that no router of this level makes.
pub(crate) fn unperformed() -> Unanswered {
    unanswered(Failed::of(Failure::Refused(501)))
}

/// Asks `models` in order until one answers.
pub(crate) async fn run(
    leg: &mut Leg,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    models: &[CandidateId],
    rng: &mut SmallRng,
) -> Result<Answered, Unanswered> {
    let mut last: Option<Unanswered> = None;
    let mut parent = parent;
    let mut lost: Option<Outcome> = None;
    ask.snapshot.retries.deposit();
    ask.snapshot.hedges.deposit();
    for (rank, id) in models.iter().enumerate() {
        let Some(model) = ask.snapshot.model(*id) else {
            continue;
        };
        if let Some(outcome) = lost.take() {
            parent = leg.fell_back(parent, outcome, model.name(), *id);
        }
        let began = Instant::now();
        match run_model(leg, ask, parent, model, *id, rng).await {
            Ok(answered) => return Ok(answered),
            Err(unanswered) => {
                let elsewhere = unanswered.failure.is_retryable()
                    || matches!(unanswered.failure, Failure::Refused(401..=404) | Failure::NoRoute);
                let stop = !elsewhere || Instant::now() >= ask.deadline;
                let (latency, failure) = (Some(began.elapsed().into()), Some(unanswered.failure.clone()));
                lost = Some(Outcome {
                    latency,
                    failure,
                    ..Outcome::default()
                });
                // What the first model said is what the client asked for; of the others only a real answer counts.
                if rank == 0
                    || last
                        .as_ref()
                        .is_none_or(|l| matches!(l.failure, Failure::NoRoute))
                {
                    last = Some(unanswered);
                }
                if stop {
                    break;
                }
            }
        }
    }
    Err(last.unwrap_or_else(|| unanswered(Failed::of(Failure::NoRoute))))
}

/// Asks one model, at one endpoint after another.
async fn run_model(
    leg: &mut Leg,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    model: &ModelSlot,
    id: CandidateId,
    rng: &mut SmallRng,
) -> Result<Answered, Unanswered> {
    let mut barred: SmallVec<[CandidateId; 4]> = SmallVec::new();
    let mut tries = 0;
    let mut wait = Duration::ZERO;
    let mut before: Option<Failed> = None;
    loop {
        let (picked, earlier) = match (
            pick(leg, ask, parent, model, &barred, Patience::Waits, rng).await,
            before.take(),
        ) {
            (Ok(picked), earlier) => (picked, earlier),
            (Err(none), None) => return Err(none),
            // Out of service since: what it said is worth more than that.
            (Err(_), Some(failed)) if barred.is_empty() => return Err(unanswered(failed)),
            // Nobody else is in service, so those that failed may try again.
            (Err(_), Some(failed)) => {
                barred.clear();
                if !rest(ask, &failed, &mut wait, rng).await {
                    return Err(unanswered(failed));
                }
                before = Some(failed);
                continue;
            }
        };
        let (given, call) = call(leg, ask, parent, model, picked, rng).await;
        let failed = match given {
            Ok(given) => {
                return Ok(Answered {
                    given,
                    call,
                    model: id,
                });
            }
            Err(failed) => failed,
        };
        let endpoint = Arc::clone(call.endpoint());
        leg.lost(call, failed.failure.clone());
        endpoint.failed(&failed.failure, now(), rng);
        if Instant::now() >= ask.deadline {
            // What an endpoint said tells more than that the time ran out while it was asked again.
            return Err(unanswered(earlier.unwrap_or(failed)));
        }
        tries += 1;
        let config = &ask.snapshot.config().resilience.retry;
        let again = failed.failure.is_retryable()
            && tries <= config.max_retries
            && ask.snapshot.retries.withdraw(now());
        if !again {
            return Err(unanswered(failed));
        }
        if let Some(at) = model.id_of(&endpoint) {
            barred.push(at);
        }
        // Another endpoint is not the one that asked to be left alone.
        if barred.len() == model.endpoints().len() {
            barred.clear();
            if !rest(ask, &failed, &mut wait, rng).await {
                return Err(unanswered(failed));
            }
        }
        before = Some(failed);
    }
}

/// Waits before an endpoint that failed is asked again. False, at once, where that would take too long.
async fn rest(ask: &Ask<'_>, failed: &Failed, wait: &mut Duration, rng: &mut SmallRng) -> bool {
    *wait = ask.snapshot.backoff.next(*wait, rng);
    if let Some(asked) = failed.retry_after {
        if asked > ask.snapshot.config().resilience.retry.max_retry_after {
            return false;
        }
        *wait = (*wait).max(asked);
    }
    if Instant::now() + *wait >= ask.deadline {
        return false;
    }
    tokio::time::sleep(*wait).await;
    true
}

/// Calls an endpoint, and a second one where the first is slow and hedging is on.
async fn call(
    leg: &mut Leg,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    model: &ModelSlot,
    picked: Picked,
    rng: &mut SmallRng,
) -> (Result<Given, Failed>, CallUnderWay) {
    let endpoint = &Arc::clone(&picked.endpoint);
    let first = leg.call(ask, model, picked);
    match ask.snapshot.hedges.delay() {
        None => (once(ask, endpoint).await, first),
        // Rare and large: kept out of the future that every request moves.
        Some(delay) => Box::pin(hedged(leg, ask, parent, model, endpoint, first, delay, rng)).await,
    }
}

/// Calls a second endpoint where the first has not answered after `delay`; the quicker answer wins.
#[allow(
    clippy::too_many_arguments,
    reason = "what a call needs, and the call that is under way"
)]
async fn hedged(
    leg: &mut Leg,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    model: &ModelSlot,
    endpoint: &Arc<EndpointSlot>,
    first: CallUnderWay,
    delay: Duration,
    rng: &mut SmallRng,
) -> (Result<Given, Failed>, CallUnderWay) {
    let mut answer = std::pin::pin!(once(ask, endpoint));
    if let Ok(given) = tokio::time::timeout(delay, &mut answer).await {
        return (given, first);
    }
    let barred: SmallVec<[CandidateId; 4]> = model.id_of(endpoint).into_iter().collect();
    let mut second = None;
    if model.endpoints().len() > 1 && ask.snapshot.hedges.withdraw(now()) {
        second = pick(leg, ask, parent, model, &barred, Patience::None, rng)
            .await
            .ok();
    }
    let Some(second) = second else {
        return (answer.await, first);
    };
    let other = Arc::clone(&second.endpoint);
    let hedge = leg.call(ask, model, second);
    let mut hedged = std::pin::pin!(once(ask, &other));
    let (winner, loser, given) = tokio::select! {
        given = &mut answer => (first, hedge, given),
        given = &mut hedged => (hedge, first, given),
    };
    if given.is_ok() {
        leg.lost(loser, Failure::Cancelled);
        return (given, winner);
    }
    // The quicker one failed: the other may still answer.
    let first_failed = Arc::ptr_eq(winner.endpoint(), endpoint);
    if let Err(Failed { failure, .. }) = given {
        winner.endpoint().failed(&failure, now(), rng);
        leg.lost(winner, failure);
    }
    let given = if first_failed { hedged.await } else { answer.await };
    (given, loser)
}

async fn once(ask: &Ask<'_>, endpoint: &Arc<EndpointSlot>) -> Result<Given, Failed> {
    if endpoint.provider.is_engine() {
        Box::pin(engine::attempt(ask, endpoint)).await
    } else {
        attempt(ask, endpoint).await
    }
}

/// Whether a request waits for the instance that it is routed to, where the policy would have it wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    /// It is sent at once: it is there to be quicker than one that waits already.
    None,
}

/// Picks an endpoint of `model`, leaving `barred` out. Where all are full it waits in the model's queue for a place; where the policy holds
/// requests back, for its turn.
async fn pick(
    leg: &mut Leg,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    model: &ModelSlot,
    barred: &[CandidateId],
    patience: Patience,
    rng: &mut SmallRng,
) -> Result<Picked, Unanswered> {
    let mut queue = None;
    // A question of the router's own shares no prompt with anybody.
    let query = match ask.question {
        None => model.instance_query(&ask.envelope.query, ask.tokens),
        Some(_) => InstanceQuery {
            tokens: ask.tokens,
            prefix: None,
        },
    };
    loop {
        let at = now();
        model.refresh(at);
        let limits = Limits {
            barred: barred.to_vec(),
            ..Limits::NONE
        };
        let picked = {
            let mut cx = Context::new(model.endpoints(), &limits, at, rng);
            model.picker().route(&query, model.ids(), &mut cx)
        };
        match picked {
            Ok(decision) => {
                let to = decision.first().id;
                let placed = if patience == Patience::Waits && model.fleet().holds() {
                    // Rare: kept out of the future that every request moves.
                    Box::pin(turn(ask, model, &query, decision)).await?
                } else if model.slot(to).is_some_and(|slot| slot.enter(at)) {
                    let sent = model.dispatch().sent(to, &query);
                    Some(Placed { to, decision, sent })
                } else {
                    // Half open: somebody else may have taken the probe's place since.
                    None
                };
                let found = placed.and_then(|placed| Some((Arc::clone(model.slot(placed.to)?), placed)));
                if let Some((endpoint, placed)) = found {
                    return Ok(Picked {
                        endpoint,
                        hop: leg.decided(parent, Level::Fleet, placed.decision),
                        sent: placed.sent,
                    });
                }
                model.refresh(now());
                if Instant::now() >= ask.deadline {
                    return Err(unavailable(model, &NoRoute { excluded: Vec::new() }));
                }
            }
            Err(none) if barred.is_empty() && model.is_only_full(at) => {
                let shed = &ask.snapshot.config().resilience.shed;
                let (_place, until) = match &mut queue {
                    Some(waiting) => waiting,
                    empty => match model.queue.wait() {
                        Some(place) => empty.insert((place, Instant::now() + shed.max_wait)),
                        None => return Err(unavailable(model, &none)),
                    },
                };
                if Instant::now() >= (*until).min(ask.deadline) {
                    return Err(unavailable(model, &none));
                }
                // Looked at again soon rather than woken: calls may end on any worker.
                tokio::time::sleep(QUEUE_LOOK).await;
            }
            Err(none) => return Err(unavailable(model, &none)),
        }
    }
}

/// How often one who waits looks for a place.
const QUEUE_LOOK: Duration = Duration::from_millis(2);
/// What a client is told to wait where nothing better is known.
pub(super) const COME_BACK: Duration = Duration::from_secs(1);

/// Every endpoint of a model is out of service or full.
pub(crate) fn unavailable(model: &ModelSlot, none: &NoRoute) -> Unanswered {
    let message = format!("no endpoint of `{}` can take the request: {none}", model.name());
    Unanswered {
        error: ErrorBody::new(ErrorKind::Overloaded, &message),
        failure: Failure::NoRoute,
        retry_after: Some(model.soonest(now()).unwrap_or(COME_BACK)),
    }
}

/// What the client is told of the last failure.
fn unanswered(failed: Failed) -> Unanswered {
    let Failed {
        failure,
        retry_after,
        told,
    } = failed;
    let error = told.unwrap_or_else(|| {
        let kind = match &failure {
            Failure::Timeout(_) => ErrorKind::Timeout,
            Failure::RateLimited => ErrorKind::RateLimit,
            Failure::NoRoute => ErrorKind::Overloaded,
            _ => ErrorKind::Upstream,
        };
        ErrorBody::new(kind, &failure.to_string())
    });
    Unanswered {
        error,
        failure,
        retry_after,
    }
}
