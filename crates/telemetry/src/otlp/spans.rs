//! A record as the spans of one trace.
//!
//! ```text
//! chat large                server    the request, from its coming to the end of the answer; its parent is the client's span
//! ├─ route decision         internal  one span a decision, nested as in the trace
//! │  └─ route model         internal
//! └─ chat gpt-4o-mini       client    one span a call to an endpoint, under the upstream model's name
//! ```
//!
//! Attribute names are those of OpenTelemetry's semantic conventions for HTTP and for generative AI; what they have no name
//! for is under `fingerpost.`. All times are the record's. When a decision of the trace fell is not recorded, so its span covers
//! the time that routing took; decisions made for later attempts stand there too.

use std::time::Duration;

use fingerpost_core::{Failure, Hop, HopId, Level, Timestamp};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};

use super::{Servers, wire};
use crate::{CallRecord, Record, SpanIds, access_log::bounded, attempt::Attempt};

/// Writes spans.
#[derive(Default)]
pub(super) struct Writer {
    servers: Servers,
}

/// One span under construction: the message's fields up to its attributes are written.
struct Span<'a> {
    out: &'a mut Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// What all spans of a record share.
struct Frame<'a> {
    record: &'a Record,
    ids: SpanIds,
    operation: &'static str,
}

/// Where a span stands.
struct Place {
    id: u64,
    parent: Option<u64>,
    kind: Kind,
    /// After the request came.
    began: Duration,
    took: Duration,
    flags: u32,
}

/// `trace_flags` sampled, and the parent is known to be of this process.
const LOCAL: u32 = 0x101;
/// `trace_flags` sampled, and the parent is known to be of another process.
const REMOTE: u32 = 0x301;
/// Longest text of an attribute, in characters.
const TEXT: usize = 240;

// === impl Writer ===

impl Writer {
    pub(super) fn set_servers(&mut self, servers: Servers) {
        self.servers = servers;
    }

    /// How many spans [`write`](Self::write) writes for this record.
    pub(super) fn spans_of(record: &Record) -> u64 {
        (1 + record.trace.hops.len() + record.calls.len()) as u64
    }

    /// Writes the spans as elements of `ScopeSpans.spans`.
    pub(super) fn write(&mut self, record: &Record, out: &mut Vec<u8>) {
        let operation = if record.format == "embeddings" {
            "embeddings"
        } else {
            "chat"
        };
        let frame = Frame {
            record,
            ids: SpanIds::of(record.span),
            operation,
        };
        frame.request(out);
        for (i, hop) in record.trace.hops.iter().enumerate() {
            frame.hop(i, hop, out);
        }
        let answered = record.calls.iter().rposition(|c| c.failure.is_none());
        for (i, call) in record.calls.iter().enumerate() {
            let server = self
                .servers
                .get(&call.endpoint)
                .map(|(address, port)| (address.as_str(), *port));
            frame.call(i, call, answered == Some(i), server, out);
        }
    }
}

// === impl Frame ===

impl Frame<'_> {
    fn request(&self, out: &mut Vec<u8>) {
        let Record { outcome, status, .. } = self.record;
        let call = self.record.answered_by();
        let place = Place {
            id: self.record.span,
            parent: self.record.parent_span,
            kind: Kind::Server,
            began: Duration::ZERO,
            took: self.record.total,
            flags: if self.record.parent_span.is_some() {
                REMOTE
            } else {
                LOCAL
            },
        };
        // Under the configured name: what the client asked for could be anything, and names of spans must be few.
        let name = [self.operation, call.map_or("", |c| &c.model)];
        self.span(&place, name, out, |span| {
            span.text("http.request.method", "POST");
            if let Some(route) = route(self.record.format) {
                span.text("http.route", route);
            }
            span.int("http.response.status_code", u64::from(*status));
            span.text("gen_ai.operation.name", self.operation);
            let asked = bounded(TEXT, |out| out.write_str(&self.record.asked));
            if !asked.is_empty() {
                span.text("gen_ai.request.model", &asked);
            }
            span.bool("gen_ai.request.stream", self.record.stream);
            if let Some(call) = call {
                span.text("gen_ai.provider.name", call.system);
                span.text("fingerpost.model", &call.model);
                span.text("fingerpost.endpoint", &call.endpoint);
                if call.failure.is_none() {
                    self.answer(span, call);
                }
            }
            span.text("fingerpost.format", self.record.format);
            if let Some(decision) = &self.record.decision {
                span.text("fingerpost.decision", decision);
            }
            if let Some(cost) = outcome.cost {
                span.double("fingerpost.cost_usd", cost.get());
            }
            match &outcome.failure {
                Some(failure) => {
                    span.failure(failure, *status >= 500 || matches!(failure, Failure::Cancelled));
                }
                None if *status >= 500 => span.status_is_error(*status),
                None => {}
            }
        });
    }

    fn hop(&self, index: usize, hop: &Hop, out: &mut Vec<u8>) {
        let place = Place {
            id: self.ids.hop(index),
            parent: Some(parent_of(index, hop).map_or(self.record.span, |parent| self.ids.hop(parent))),
            kind: Kind::Internal,
            began: Duration::ZERO,
            took: self.record.routing.min(self.record.total),
            flags: LOCAL,
        };
        let level = match hop.level {
            Level::Decision => "decision",
            Level::Cache => "cache",
            Level::Model => "model",
            Level::Fleet => "fleet",
            Level::Agent => "agent",
            Level::Expert => "expert",
            Level::Control => "control",
        };
        self.span(&place, ["route", level], out, |span| {
            let decision = &hop.decision;
            span.text("fingerpost.level", level);
            span.text("fingerpost.router", &decision.evidence.router);
            span.text(
                "fingerpost.reason",
                &bounded(TEXT, |out| write!(out, "{}", decision.reason)),
            );
            span.texts("fingerpost.picks", decision.picks.iter().map(|p| p.name.as_str()));
            if let Some(first) = decision.picks.first() {
                span.double("fingerpost.score", first.score);
            }
            span.double("fingerpost.propensity", decision.evidence.propensity);
        });
    }

    fn call(
        &self,
        index: usize,
        call: &CallRecord,
        answered: bool,
        server: Option<(&str, u16)>,
        out: &mut Vec<u8>,
    ) {
        let place = Place {
            id: self.ids.call(index),
            parent: Some(self.record.span),
            kind: Kind::Client,
            began: call.began,
            took: call.took,
            flags: LOCAL,
        };
        self.span(&place, [self.operation, &call.upstream_model], out, |span| {
            span.text("gen_ai.operation.name", self.operation);
            span.text("gen_ai.provider.name", call.system);
            span.text("gen_ai.request.model", &call.upstream_model);
            span.bool("gen_ai.request.stream", self.record.stream);
            if let Some((address, port)) = server {
                span.text("server.address", address);
                span.int("server.port", u64::from(port));
            }
            if answered {
                self.answer(span, call);
            }
            span.text("fingerpost.model", &call.model);
            span.text("fingerpost.endpoint", &call.endpoint);
            span.text(
                "fingerpost.attempt",
                Attempt::of(&self.record.calls, index).name(),
            );
            if let Some(cost) = call.cost {
                span.double("fingerpost.cost_usd", cost.get());
            }
            if let Some(failure) = &call.failure {
                span.failure(failure, true);
            }
        });
    }

    /// What is known of the answer: on the request's span and on that of the call that gave it.
    fn answer(&self, span: &mut Span<'_>, call: &CallRecord) {
        let Record {
            tokens,
            outcome,
            stream,
            ..
        } = self.record;
        span.text("gen_ai.response.model", &call.upstream_model);
        if outcome.tokens_in.is_some() {
            span.int("gen_ai.usage.input_tokens", u64::from(tokens.input.0));
        }
        if outcome.tokens_out.is_some() {
            span.int("gen_ai.usage.output_tokens", u64::from(tokens.output.0));
        }
        if tokens.cached_input.0 > 0 {
            span.int(
                "gen_ai.usage.cache_read.input_tokens",
                u64::from(tokens.cached_input.0),
            );
        }
        if tokens.reasoning.0 > 0 {
            span.int(
                "gen_ai.usage.reasoning.output_tokens",
                u64::from(tokens.reasoning.0),
            );
        }
        if let Some(first) = outcome.first_token.filter(|_| *stream) {
            span.double("gen_ai.response.time_to_first_chunk", first.get() / 1e3);
        }
    }

    fn span(
        &self,
        place: &Place,
        name: [&str; 2],
        out: &mut Vec<u8>,
        attributes: impl FnOnce(&mut Span<'_>),
    ) {
        wire::message(out, SPANS, |out| {
            wire::bytes(out, 1, &self.record.trace.id.0.to_be_bytes());
            wire::bytes(out, 2, &place.id.to_be_bytes());
            if let Some(parent) = place.parent {
                wire::bytes(out, 4, &parent.to_be_bytes());
            }
            wire::message(out, 5, |out| {
                let between = if name[1].is_empty() { "" } else { " " };
                for part in [name[0], between, name[1]] {
                    out.extend_from_slice(part.as_bytes());
                }
            });
            wire::number(out, 6, place.kind as u64);
            wire::fixed64(out, 7, nanos(self.record.at, place.began));
            wire::fixed64(out, 8, nanos(self.record.at, place.began + place.took));
            attributes(&mut Span { out });
            wire::fixed32(out, 16, place.flags);
        });
    }
}

/// The place of `spans` in `ScopeSpans`.
pub(super) const SPANS: u32 = 2;

// === impl Span ===

impl Span<'_> {
    fn text(&mut self, key: &str, value: &str) {
        attribute(self.out, ATTRIBUTES, key, |out| {
            wire::bytes(out, 1, value.as_bytes());
        });
    }

    fn bool(&mut self, key: &str, value: bool) {
        attribute(self.out, ATTRIBUTES, key, |out| {
            wire::number(out, 2, u64::from(value));
        });
    }

    fn int(&mut self, key: &str, value: u64) {
        attribute(self.out, ATTRIBUTES, key, |out| wire::number(out, 3, value));
    }

    fn double(&mut self, key: &str, value: f64) {
        attribute(self.out, ATTRIBUTES, key, |out| wire::double(out, 4, value));
    }

    fn texts<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        attribute(self.out, ATTRIBUTES, key, |out| {
            wire::message(out, 5, |out| {
                for value in values {
                    wire::message(out, 1, |out| wire::bytes(out, 1, value.as_bytes()));
                }
            });
        });
    }

    /// What failed. `at_fault`: whether the span counts as failed, which the conventions deny a server whose client erred.
    fn failure(&mut self, failure: &Failure, at_fault: bool) {
        self.text("error.type", failure.kind());
        if at_fault {
            let message = bounded(TEXT, |out| write!(out, "{failure}"));
            self.status(&message);
        }
    }

    fn status_is_error(&mut self, status: u16) {
        self.text("error.type", &bounded(3, |out| write!(out, "{status}")));
        self.status("");
    }

    fn status(&mut self, message: &str) {
        const ERROR: u64 = 2;
        wire::message(self.out, 15, |out| {
            if !message.is_empty() {
                wire::bytes(out, 2, message.as_bytes());
            }
            wire::number(out, 3, ERROR);
        });
    }
}

/// The place of `attributes` in `Span`.
const ATTRIBUTES: u32 = 9;

/// A `KeyValue` whose `AnyValue` is written by `value`.
pub(super) fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    wire::message(out, field, |out| {
        wire::bytes(out, 1, key.as_bytes());
        wire::message(out, 2, value);
    });
}

/// Nanoseconds since 1970.
fn nanos(at: Timestamp, after: Duration) -> u64 {
    let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    at.micros().saturating_mul(1000).saturating_add(after)
}

fn route(format: &str) -> Option<&'static str> {
    match format {
        "chat" => Some("/v1/chat/completions"),
        "responses" => Some("/v1/responses"),
        "messages" => Some("/v1/messages"),
        "embeddings" => Some("/v1/embeddings"),
        _ => None,
    }
}

/// The place of a hop's parent. A parent stands before its children; a stored trace that says otherwise has none.
fn parent_of(index: usize, hop: &Hop) -> Option<usize> {
    let parent = hop.parent?;
    (0..index).rev().find(|i| id_of(*i) == Some(parent))
}

/// The id of the hop at this place, which is the place itself.
fn id_of(place: usize) -> Option<HopId> {
    let deserializer = IntoDeserializer::<Error>::into_deserializer(u16::try_from(place).ok()?);
    HopId::deserialize(deserializer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hops_id_is_its_place() {
        let decision: fingerpost_core::Decision = serde_json::from_value(serde_json::json!({
            "picks": [{"name": "m", "score": 1.0, "weight": 1.0}],
            "reason": {"text": "r"},
            "evidence": {"router": "r", "version": 1, "propensity": 1.0},
        }))
        .unwrap();
        let mut trace = fingerpost_core::Trace::new(fingerpost_core::TraceId(1), Timestamp::default());
        for place in 0..3 {
            let id = trace.push(None, Level::Model, decision.clone());
            assert_eq!(id_of(place), Some(id));
        }
    }
}
