//! From an answer to the response: headers that tell what was decided, the body, and the record of it all. Also runs routers
//! that ask before they decide.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use fingerpost_core::{
    Answer, Ask as Question, Call, CallId, Context, HopId, Level, MAX_ROUNDS, Outcome, Step, Usd,
};
use fingerpost_models::ModelRouter;
use fingerpost_protocol::{ErrorBody, ErrorKind, Usage};
use fingerpost_signals::SignalReport;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use rand::rngs::SmallRng;

use super::{
    Refusal,
    ask::Ask,
    attempt::{Given, StreamAnswer},
    cached::{Again, Cached, Ticket},
    choose::{self, Asking},
    headers,
    journey::{CallUnderWay, Journey},
    run::{self, Answered, Unanswered, run},
    stored::Keeper,
    streaming::{Patience, Streaming},
    wire::Whole,
};
use crate::{reply_body::ReplyBody, worker::now};

/// An answer on its way out.
pub(crate) struct Delivery {
    headers: HeaderMap,
    body: Ready,
}

enum Ready {
    Whole {
        whole: Whole,
        fresh: Fresh,
    },
    Stream {
        answer: Box<StreamAnswer>,
        fresh: Fresh,
        idle: std::time::Duration,
        deadline: Instant,
    },
    /// Given before.
    Again(Bytes),
}

/// What is to be done once an answer that was called for is over.
pub(crate) struct Fresh {
    pub(crate) call: CallUnderWay,
    pub(crate) keeper: Option<Keeper>,
    pub(crate) ticket: Option<Ticket>,
}

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Dresses an answer for the client.
pub(crate) fn deliver(
    journey: &mut Journey,
    ask: &Ask<'_>,
    answered: Answered,
    keeper: Option<Keeper>,
) -> Delivery {
    let Answered { given, call, model } = answered;
    let endpoint = Arc::clone(call.endpoint());
    let fresh = Fresh {
        call,
        keeper,
        ticket: None,
    };
    journey.first_token();
    let (upstream, body, warnings) = match given {
        Given::Whole(whole) => {
            let warnings = whole.answer.warnings();
            let body = Ready::Whole {
                whole: whole.answer,
                fresh,
            };
            (whole.headers, body, warnings)
        }
        Given::Stream(mut answer) => {
            let warnings = answer.pipe.warnings();
            let upstream = std::mem::take(&mut answer.headers);
            (
                upstream,
                Ready::Stream {
                    answer,
                    fresh,
                    idle: ask.timeouts.idle,
                    deadline: ask.deadline,
                },
                warnings,
            )
        }
    };
    let mut added = headers::returned(&upstream);
    dress(&mut added, matches!(body, Ready::Stream { .. }), journey, ask);
    if let Some(model) = ask.snapshot.model(model) {
        added.insert(headers::MODEL, model.header().clone());
    }
    added.insert(headers::ENDPOINT, endpoint.header.clone());
    if !journey.calls.is_empty() {
        added.insert(
            headers::ATTEMPTS,
            HeaderValue::from(journey.calls.len() as u64 + 1),
        );
    }
    if let Some(warnings) = warnings {
        added.insert(headers::WARNING, headers::warnings(&warnings));
    }
    Delivery { headers: added, body }
}

/// Dresses an answer that was given before; `told` says how it was found.
pub(crate) fn again(journey: &mut Journey, ask: &Ask<'_>, again: Again, told: HeaderValue) -> Delivery {
    let Again {
        body,
        mut headers,
        model,
    } = again;
    journey.first_token();
    dress(&mut headers, ask.stream(), journey, ask);
    if let Some(model) = ask.snapshot.model_of(&model) {
        headers.insert(headers::MODEL, model.header().clone());
    }
    headers.insert(headers::CACHE, told);
    Delivery {
        headers,
        body: Ready::Again(body),
    }
}

/// The headers that every answer has.
fn dress(added: &mut HeaderMap, streaming: bool, journey: &Journey, ask: &Ask<'_>) {
    added.insert(CONTENT_TYPE, if streaming { EVENT_STREAM } else { JSON });
    if streaming {
        // Proxies in front must not gather what should flow.
        added.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        added.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    if let Some(decision) = journey
        .decision
        .as_ref()
        .and_then(|name| ask.snapshot.decision_named(name))
    {
        added.insert(headers::DECISION, decision.header.clone());
    }
    added.insert(headers::WHY, headers::why(&journey.trace));
    added.insert(headers::TRACE, headers::trace_id(journey.trace.id));
}

// === impl Delivery ===

impl Delivery {
    /// Tells what the cache had to say, and has the answer kept where it had none.
    pub(crate) fn after(&mut self, looked: Cached) {
        self.headers.insert(headers::CACHE, looked.header());
        if let (Cached::Miss(ticket), Ready::Whole { fresh, .. } | Ready::Stream { fresh, .. }) =
            (looked, &mut self.body)
        {
            fresh.ticket = Some(ticket);
        }
    }

    /// Adds the value of every signal, where the client asked for them.
    pub(crate) fn with_debug(mut self, signals: Option<&[SignalReport]>) -> Self {
        if let Some(signals) = signals {
            self.headers.insert(headers::DEBUG, headers::signals(signals));
        }
        self
    }

    /// The response; from here on the journey is its business.
    pub(crate) fn into_response(self, mut journey: Journey) -> Response<ReplyBody> {
        let Self { headers, body } = self;
        let body = match body {
            Ready::Again(body) => {
                journey.finish(200, &Usage::default(), None);
                ReplyBody::Whole(body)
            }
            Ready::Whole { whole, fresh } => {
                let Fresh { call, keeper, ticket } = fresh;
                if let Some(ticket) = ticket {
                    let warnings = headers.get(super::headers::WARNING).cloned();
                    ticket.keep(&journey, &whole.body, call.record.model.clone(), warnings);
                }
                call.endpoint().succeeded(now());
                journey.calls.push(call.over(None));
                if let Some(keeper) = keeper {
                    keeper.keep(&journey, &whole.body);
                }
                journey.finish(200, &whole.usage, None);
                ReplyBody::Whole(whole.body)
            }
            Ready::Stream {
                answer,
                fresh,
                idle,
                deadline,
            } => {
                let StreamAnswer {
                    held, source, pipe, ..
                } = *answer;
                let stream = Streaming::new(held, source, pipe, Patience { idle, deadline }, journey, fresh);
                ReplyBody::Streaming(Box::new(stream))
            }
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

/// Goes on with a router that asked before it decided: performs the calls of each step, and delivers the answer of the call
/// that its decision names, or of the models that it picks.
pub(crate) async fn deliberate(
    journey: &mut Journey,
    mut ask: Ask<'_>,
    asking: Asking,
    rng: &mut SmallRng,
    keeper: Option<Keeper>,
) -> Result<Delivery, Refusal> {
    let Asking {
        slot,
        parent,
        limits,
        mut calls,
        mut thread,
    } = asking;
    // Somebody has to read every answer before the next step.
    ask.whole = true;
    let query = &ask.envelope.query;
    let mut kept: Vec<(CallId, Answered)> = Vec::new();
    let mut lost: Option<Unanswered> = None;
    for _ in 0..MAX_ROUNDS {
        let mut answers = Vec::with_capacity(calls.len());
        for call in &calls {
            let (answer, answered) = perform(journey, &ask, parent, call, rng).await;
            match answered {
                Ok(answered) => kept.push((call.id, answered)),
                Err(unanswered) => lost = Some(unanswered),
            }
            answers.push(answer);
        }
        let step = {
            let mut cx = Context::new(ask.snapshot.catalogue(), &limits, now(), rng);
            match &slot.router {
                ModelRouter::Deliberate(router) => router.resume(query, thread, answers, &mut cx),
                // Never asks, so it is never resumed.
                ModelRouter::Router(router) => router
                    .route(query, &slot.among, &mut cx)
                    .map_or_else(Step::Fail, Step::Done),
            }
        };
        match step {
            Step::Ask(next, going_on) => (calls, thread) = (next, going_on),
            Step::Finish(..) => return Err(run::unperformed().into()),
            // What the last one said is worth more than that all were tried.
            Step::Fail(none) => return Err(lost.map_or_else(|| choose::unroutable(&none), Refusal::from)),
            Step::Done(decision) => {
                let found = decision
                    .answered
                    .and_then(|id| kept.iter().position(|(call, _)| *call == id));
                let models = choose::in_order(&decision, &slot, &limits, ask.snapshot);
                let hop = journey.decided(parent, Level::Model, decision);
                let answered = match found {
                    Some(at) => kept.swap_remove(at).1,
                    None => {
                        ask.whole = false;
                        run(journey, &ask, Some(hop), &models, rng).await?
                    }
                };
                for (_, unused) in kept {
                    unused.call.endpoint().succeeded(now());
                    journey.spent = journey.spent + unused.cost(journey).unwrap_or(Usd::ZERO);
                    journey.calls.push(unused.call.over(None));
                }
                // From here on it is the stream that the client wants.
                ask.whole = false;
                let answered = if query.stream {
                    ask.as_stream(answered)
                } else {
                    answered
                };
                return Ok(deliver(journey, &ask, answered, keeper));
            }
        }
    }
    let error = ErrorBody::new(
        ErrorKind::Internal,
        "the router asked for too many rounds of calls",
    );
    Err(error.into())
}

/// Performs one call of a deliberation.
async fn perform(
    journey: &mut Journey,
    ask: &Ask<'_>,
    parent: Option<HopId>,
    call: &Call,
    rng: &mut SmallRng,
) -> (Answer, Result<Answered, Unanswered>) {
    let began = Instant::now();
    let result = match &call.ask {
        Question::Forward => run(journey, ask, parent, &[call.target], rng).await,
        _ => Err(run::unperformed()),
    };
    let latency = Some(began.elapsed().into());
    match result {
        Ok(answered) => {
            let usage = answered.usage();
            let outcome = Outcome {
                cost: answered.cost(journey),
                latency,
                tokens_in: Some(usage.input_tokens()),
                tokens_out: Some(usage.output_tokens()),
                ..Outcome::default()
            };
            (
                Answer {
                    call: call.id,
                    reply: Ok(answered.reply(ask.envelope.format)),
                    outcome,
                },
                Ok(answered),
            )
        }
        Err(unanswered) => {
            let failure = unanswered.failure.clone();
            let outcome = Outcome {
                latency,
                failure: Some(failure.clone()),
                ..Outcome::default()
            };
            (
                Answer {
                    call: call.id,
                    reply: Err(failure),
                    outcome,
                },
                Err(unanswered),
            )
        }
    }
}
