//! From an answer to the response: headers that tell what was decided, the body, and the record of it all.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use fingerpost_protocol::Usage;
use fingerpost_signals::SignalReport;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::{
    ask::Ask,
    attempt::{Given, StreamAnswer},
    cached::{Again, Cached, Ticket},
    headers,
    journey::{CallUnderWay, Journey},
    run::Answered,
    stored::Keeper,
    streaming::{Patience, Streaming},
    wire::Whole,
};
use crate::reply_body::ReplyBody;

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
    let Answered {
        given,
        mut call,
        model,
    } = answered;
    let endpoint = Arc::clone(call.endpoint());
    call.first_token();
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
    if !journey.leg.calls.is_empty() {
        added.insert(
            headers::ATTEMPTS,
            HeaderValue::from(journey.leg.calls.len() as u64 + 1),
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
    added.insert(headers::WHY, headers::why(&journey.leg.trace));
    added.insert(headers::TRACE, headers::trace_id(journey.leg.trace.id));
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

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The model that answers.
    pub(crate) fn model(&self) -> Option<&str> {
        match &self.body {
            Ready::Whole { fresh, .. } | Ready::Stream { fresh, .. } => Some(&fresh.call.record.model),
            Ready::Again(_) => None,
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
                call.succeeded();
                journey.leg.calls.push(call.over(None));
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
