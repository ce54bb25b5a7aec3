//! Runs a router that asks before it decides, or as it decides: performs the calls of each step at once, hands it the answers, and
//! delivers what it comes to.
//!
//! Each call of a step has a leg of the journey to itself, with retries and hedges as any other call; the legs are joined in the
//! order of the calls, so that the record does not tell of the race. Answers that the router reads are whole; the last call, whose
//! answer is the client's, comes as the client wants it. A client that goes away ends every call under way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fingerpost_core::{
    Answer, Ask as Content, Call, CallId, Context, Decision, Failure, HopId, Level, Limits, MAX_ROUNDS,
    Manner, Outcome, Step, TokenCount, Usd,
};
use fingerpost_models::ModelRouter;
use fingerpost_protocol::{ErrorBody, ErrorKind, Format, side_by_side};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rand::{SeedableRng, rngs::SmallRng};

use super::{
    Refusal,
    ask::{Ask, Question},
    attempt::Given,
    choose::{self, Asked, Asking, BYTES_PER_TOKEN},
    deliver::{Delivery, deliver},
    headers,
    journey::{Journey, Leg},
    run::{self, Answered, Unanswered, run},
    stored::Keeper,
};
use crate::{snapshot::DecisionSlot, worker::now};

/// Most calls of one step under way at once; a router may set a lower bound ([`Manner::at_once`]).
const AT_ONCE: usize = 16;
/// Most tokens of an answer that only a router reads: room for a short thought and a verdict, or for an analysis.
const MOST_TOKENS: u32 = 2048;

/// A deliberation under way.
struct Deliberation<'d> {
    slot: &'d DecisionSlot,
    /// The decision that called for it.
    parent: Option<HopId>,
    limits: &'d Limits,
    /// The answers so far: any of them may become the client's.
    kept: Vec<Kept>,
    /// The last call that came to nothing.
    lost: Option<Unanswered>,
}

/// The answer to a call.
struct Kept {
    call: CallId,
    answered: Answered,
    /// Where the call stands on the record.
    at: usize,
    cost: Option<Usd>,
}

/// Goes on from the first step that has calls.
pub(crate) async fn deliberate(
    journey: &mut Journey,
    ask: &Ask<'_>,
    asking: Asking,
    rng: &mut SmallRng,
    keeper: Option<Keeper>,
) -> Result<Delivery, Refusal> {
    let mut deliberation = Deliberation {
        slot: &asking.slot,
        parent: asking.parent,
        limits: &asking.limits,
        kept: Vec::new(),
        lost: None,
    };
    let mut asked = asking.step;
    for _ in 0..MAX_ROUNDS {
        let (calls, thread) = match asked {
            Asked::Calls(calls, thread) => (calls, thread),
            Asked::Last(decision, call) => {
                return deliberation
                    .finish(journey, ask, *decision, &call, rng, keeper)
                    .await;
            }
        };
        let answers = deliberation.perform(journey, ask, &calls, rng).await;
        let query = &ask.envelope.query;
        let step = {
            let mut cx = Context::new(ask.snapshot.catalogue(), &asking.limits, now(), rng);
            match &asking.slot.router {
                ModelRouter::Deliberate(router) => router.resume(query, thread, answers, &mut cx),
                // Never asks, so it is never resumed.
                ModelRouter::Router(router) => router
                    .route(query, &asking.slot.among, &mut cx)
                    .map_or_else(Step::Fail, Step::Done),
            }
        };
        asked = match step {
            Step::Ask(calls, thread) => Asked::Calls(calls, thread),
            Step::Finish(decision, call) => Asked::Last(Box::new(decision), call),
            Step::Done(decision) => {
                return deliberation.done(journey, ask, decision, None, rng, keeper).await;
            }
            Step::Serve(decision, text) => {
                return deliberation
                    .done(journey, ask, decision, Some(&text), rng, keeper)
                    .await;
            }
            // What the last one said is worth more than that all were tried.
            Step::Fail(none) => {
                let lost = deliberation.lost.take();
                return Err(lost.map_or_else(|| choose::unroutable(&none), Refusal::from));
            }
        };
    }
    let error = ErrorBody::new(
        ErrorKind::Internal,
        "the router asked for too many rounds of calls",
    );
    Err(error.into())
}

// === impl Deliberation ===

impl Deliberation<'_> {
    /// Performs the calls of one step, and notes what they came to.
    async fn perform(
        &mut self,
        journey: &mut Journey,
        ask: &Ask<'_>,
        calls: &[Call],
        rng: &mut SmallRng,
    ) -> Vec<Answer> {
        let manner = match &self.slot.router {
            ModelRouter::Deliberate(router) => router.manner(calls),
            ModelRouter::Router(_) => Manner::default(),
        };
        let mut legs: Vec<Leg> = calls.iter().map(|call| journey.leg.fork(call.id)).collect();
        let mut came = together(ask, calls, &mut legs, manner, rng).await;
        came.resize_with(calls.len(), || None);
        let mut answers = Vec::with_capacity(calls.len());
        for ((call, leg), came) in calls.iter().zip(legs).zip(came) {
            journey.leg.join(self.parent, leg);
            let Some((answer, result)) = came else {
                answers.push(failed(call, Failure::Cancelled, None));
                continue;
            };
            match result {
                Ok(answered) => {
                    let cost = answer.outcome.cost;
                    journey.spent = journey.spent + cost.unwrap_or(Usd::ZERO);
                    self.kept.push(Kept {
                        call: call.id,
                        answered,
                        at: journey.leg.calls.len().saturating_sub(1),
                        cost,
                    });
                }
                Err(unanswered) => self.lost = Some(unanswered),
            }
            answers.push(answer);
        }
        answers
    }

    /// It is decided: the answer is here, with a text of the router's own in its place if there is one, or is yet to be called for.
    async fn done(
        mut self,
        journey: &mut Journey,
        ask: &Ask<'_>,
        decision: Decision,
        text: Option<&str>,
        rng: &mut SmallRng,
        keeper: Option<Keeper>,
    ) -> Result<Delivery, Refusal> {
        let served = decision.answered.and_then(|call| self.take(call));
        let Some(served) = served else {
            let models = choose::in_order(&decision, self.slot, self.limits, ask.snapshot);
            let hop = journey.leg.decided(self.parent, Level::Model, decision);
            let answered = run(&mut journey.leg, ask, Some(hop), &models, rng).await?;
            let delivery = deliver(journey, ask, answered, keeper);
            return Ok(with_calls(journey, delivery, None));
        };
        let others: Vec<Kept> = decision.beside.iter().filter_map(|id| self.take(*id)).collect();
        journey.leg.decided(self.parent, Level::Model, decision);
        // The call that answered is the last one on the record, and what it cost is counted when it is told.
        journey.leg.calls.remove(served.at);
        let rest = self.kept.iter().chain(&others);
        journey.spent = rest.filter_map(|kept| kept.cost).sum();
        let (call, mut answered) = (served.cost, served.answered);
        if let (Some(text), Given::Whole(whole)) = (text, &mut answered.given) {
            whole.answer = ask.worded(text, &whole.answer);
        }
        let mut choices = None;
        if ask.stream() {
            answered = ask.as_stream(answered);
        } else if !others.is_empty() && ask.envelope.format == Format::Chat {
            choices = beside(&mut answered, &others);
        }
        let mut delivery = deliver(journey, ask, answered, keeper);
        if let Some(models) = choices {
            delivery = delivery.with(headers::CHOICES, headers::text(&models, headers::LONGEST_CALLS));
        }
        Ok(with_calls(journey, delivery, call))
    }

    /// It is decided, and one more call brings the answer.
    async fn finish(
        self,
        journey: &mut Journey,
        ask: &Ask<'_>,
        mut decision: Decision,
        call: &Call,
        rng: &mut SmallRng,
        keeper: Option<Keeper>,
    ) -> Result<Delivery, Refusal> {
        decision.answered = Some(call.id);
        let mut models = choose::in_order(&decision, self.slot, self.limits, ask.snapshot);
        models.retain(|id| *id != call.target);
        models.insert(0, call.target);
        let hop = journey.leg.decided(self.parent, Level::Model, decision);
        let most = ask.envelope.query.max_output.map(|t| t.0);
        let ask = asked(ask, call, most).ok_or_else(run::unperformed)?;
        let answered = run(&mut journey.leg, &ask, Some(hop), &models, rng).await?;
        let delivery = deliver(journey, &ask, answered, keeper);
        Ok(with_calls(journey, delivery, None))
    }

    fn take(&mut self, call: CallId) -> Option<Kept> {
        let at = self.kept.iter().position(|kept| kept.call == call)?;
        Some(self.kept.remove(at))
    }
}

/// What a call came to, for the router and for whoever delivers it.
type Came = (Answer, Result<Answered, Unanswered>);

/// Performs calls at the same time, each on its leg; gives what each came to, nothing for those that were given up.
async fn together(
    ask: &Ask<'_>,
    calls: &[Call],
    legs: &mut [Leg],
    manner: Manner,
    rng: &mut SmallRng,
) -> Vec<Option<Came>> {
    let mut came: Vec<Option<Came>> = calls.iter().map(|_| None).collect();
    let at_once = manner.at_once.unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
    let mut waiting = calls.iter().zip(legs).enumerate();
    let mut under_way = FuturesUnordered::new();
    let mut answers = 0;
    loop {
        while under_way.len() < at_once
            && let Some((i, (call, leg))) = waiting.next()
        {
            let mut rng = SmallRng::from_rng(rng);
            under_way.push(async move { (i, one(ask, call, leg, manner, &mut rng).await) });
        }
        let Some((i, (answer, result))) = under_way.next().await else {
            return came;
        };
        answers += usize::from(result.is_ok());
        came[i] = Some((answer, result));
        if manner.enough.is_some_and(|enough| answers >= enough) {
            return came;
        }
    }
}

/// Performs one call.
async fn one(ask: &Ask<'_>, call: &Call, leg: &mut Leg, manner: Manner, rng: &mut SmallRng) -> Came {
    let began = Instant::now();
    let Some(mut ask) = asked(ask, call, Some(MOST_TOKENS)) else {
        let unanswered = run::unperformed();
        return (failed(call, unanswered.failure.clone(), None), Err(unanswered));
    };
    // Somebody has to read every answer before the next step.
    ask.whole = true;
    ask.logprobs = call.ask == Content::ForwardWithLogprobs;
    let within = manner
        .within
        .and_then(|ms| Duration::try_from_secs_f64(ms.get() / 1e3).ok());
    if let Some(end) = within.and_then(|within| began.checked_add(within)) {
        ask.deadline = ask.deadline.min(end);
    }
    let mut result = run(leg, &ask, None, &[call.target], rng).await;
    // Some models refuse to tell log-probabilities; their answers are judged without.
    let refused = |u: &Unanswered| matches!(u.failure, Failure::Refused(400 | 422));
    if ask.logprobs && result.as_ref().is_err_and(refused) {
        ask.logprobs = false;
        result = run(leg, &ask, None, &[call.target], rng).await;
    }
    let latency = Some(began.elapsed());
    match result {
        Ok(mut answered) => {
            let usage = answered.usage();
            let known = usage.total() > 0;
            let outcome = Outcome {
                cost: answered.cost(ask.snapshot),
                latency: latency.map(Into::into),
                tokens_in: known.then(|| usage.input_tokens()),
                tokens_out: known.then(|| usage.output_tokens()),
                ..Outcome::default()
            };
            leg.answered(&mut answered.call, &outcome);
            let answer = Answer {
                call: call.id,
                reply: Ok(answered.reply()),
                outcome,
            };
            (answer, Ok(answered))
        }
        Err(unanswered) => {
            let answer = failed(call, unanswered.failure.clone(), latency);
            (answer, Err(unanswered))
        }
    }
}

/// The client's request, or what is asked in its place; `None` for what no router of this level asks. `most` bounds the answer to
/// a question.
fn asked<'a>(ask: &Ask<'a>, call: &'a Call, most: Option<u32>) -> Option<Ask<'a>> {
    let mut ask = ask.clone();
    match &call.ask {
        Content::Forward | Content::ForwardWithLogprobs => {}
        Content::Prompt { system, user } => {
            let bytes = user.len() + system.as_ref().map_or(0, String::len);
            ask.tokens = TokenCount(u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX));
            ask.question = Some(Question {
                system: system.as_deref(),
                user,
                max_output: most,
            });
        }
        _ => return None,
    }
    Some(ask)
}

fn failed(call: &Call, failure: Failure, latency: Option<Duration>) -> Answer {
    Answer {
        call: call.id,
        reply: Err(failure.clone()),
        outcome: Outcome {
            latency: latency.map(Into::into),
            failure: Some(failure),
            ..Outcome::default()
        },
    }
}

/// Puts the answers of `others` beside `answered`, each as a choice; gives the models of the choices in their order.
fn beside(answered: &mut Answered, others: &[Kept]) -> Option<String> {
    let mut models = vec![answered.call.record.model.to_string()];
    let Given::Whole(first) = &mut answered.given else {
        return None;
    };
    let mut bodies: Vec<&[u8]> = vec![&first.answer.body];
    for kept in others {
        if let Given::Whole(whole) = &kept.answered.given {
            bodies.push(&whole.answer.body);
            models.push(kept.answered.call.record.model.to_string());
        }
    }
    let all = side_by_side(&bodies)?;
    first.answer.body = Bytes::from(all);
    Some(models.join(", "))
}

/// Tells of every call that was made for the answer, with what it cost or how it failed.
fn with_calls(journey: &Journey, delivery: Delivery, answer: Option<Usd>) -> Delivery {
    let said = |model: &str, cost: Option<Usd>| match cost {
        Some(cost) => format!("{model} {:.9}", cost.get()),
        None => model.to_owned(),
    };
    let mut told: Vec<String> = Vec::with_capacity(journey.leg.calls.len() + 1);
    for call in &journey.leg.calls {
        told.push(match &call.failure {
            Some(failure) => format!("{} {}", call.model, failure.kind()),
            None => said(&call.model, call.cost),
        });
    }
    if let Some(model) = delivery.model() {
        told.push(said(model, answer));
    }
    delivery.with(
        headers::CALLS,
        headers::text(&told.join("; "), headers::LONGEST_CALLS),
    )
}
