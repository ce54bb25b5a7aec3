//! Waits in front of an instance where the policy holds requests back, and tells on the trace how long that was and whether it moved.

use std::time::{Duration, Instant};

use fingerpost_core::{CandidateId, Decision, Failure, Pick};
use fingerpost_fleet::{Due, InstanceQuery};
use fingerpost_protocol::{ErrorBody, ErrorKind};

use super::{
    ask::Ask,
    run::{COME_BACK, Unanswered},
};
use crate::{
    dispatch::{Sent, Turn},
    snapshot::ModelSlot,
    worker::now,
};

/// Where a request goes, counted as sent there.
pub(super) struct Placed {
    pub(super) to: CandidateId,
    pub(super) decision: Decision,
    pub(super) sent: Option<Sent>,
}

/// Waits until the request may be sent to where `decision` has it, or to where it was moved since. `None` where that has gone meanwhile: it is to be
/// routed anew.
pub(super) async fn turn(
    ask: &Ask<'_>,
    model: &ModelSlot,
    query: &InstanceQuery,
    mut decision: Decision,
) -> Result<Option<Placed>, Unanswered> {
    let dispatch = model.dispatch();
    let Some(mut waiting) = dispatch.hold(query, &decision, ask.at) else {
        let to = decision.first().id;
        return Ok(Some(Placed {
            to,
            sent: dispatch.sent(to, query),
            decision,
        }));
    };
    let began = Instant::now();
    let mut waited = None;
    let turn = match waiting.now() {
        Some(turn) => turn,
        None => {
            let Some(_place) = model.queue.wait() else {
                let why = "as many requests as may wait for it do (resilience.shed.queue)";
                return Err(shed(model, &decision, why));
            };
            let longest = dispatch.fleet().max_wait();
            let until = longest.map_or(ask.deadline, |longest| ask.deadline.min(began + longest));
            let turn = loop {
                if let Some(turn) = waiting.turn().await {
                    break turn;
                }
                if Instant::now() >= until {
                    let why = "none of its servers had room for the request in time";
                    return Err(shed(model, &decision, why));
                }
            };
            waited = Some(began.elapsed());
            turn
        }
    };
    let Turn::Due(due) = turn else { return Ok(None) };
    let to = due.call.to();
    let can_take = model
        .slot(to)
        .is_some_and(|slot| slot.could(now()) && slot.enter(now()));
    if !can_take {
        waiting.decline(due);
        return Ok(None);
    }
    tell(model, &mut decision, &due, waited);
    Ok(Some(Placed {
        to,
        sent: Some(waiting.take(due)),
        decision,
    }))
}

/// Puts on the decision what became of it while the request waited.
fn tell(model: &ModelSlot, decision: &mut Decision, due: &Due, waited: Option<Duration>) {
    let to = due.call.to();
    if decision.first().id != to {
        match decision.picks.iter().position(|pick| pick.id == to) {
            Some(at) => decision.picks.swap(0, at),
            None => {
                if let Some(candidate) = model.endpoints().get(to) {
                    let score = decision.first().score;
                    decision.picks.insert(0, Pick::of(candidate, score));
                }
            }
        }
        decision.reason.text = "moved while it waited: its first instance was a hot spot".into();
    }
    if let Some(waited) = waited {
        let facts = &mut decision.reason.facts;
        facts.push(("waited_s".into(), waited.as_secs_f64()));
    }
}

/// A request that is not waited with any longer. Its client is told to come back when its first token was expected.
fn shed(model: &ModelSlot, decision: &Decision, why: &str) -> Unanswered {
    let expected = Duration::try_from_secs_f64(decision.first().score).unwrap_or(COME_BACK);
    Unanswered {
        error: ErrorBody::new(ErrorKind::Overloaded, &format!("`{}`: {why}", model.name())),
        failure: Failure::NoRoute,
        retry_after: Some(expected.clamp(COME_BACK, LONGEST)),
    }
}

/// Longest that a client is told to wait.
const LONGEST: Duration = Duration::from_secs(60);
