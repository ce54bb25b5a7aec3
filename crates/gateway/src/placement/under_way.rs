//! A request on its way with a proxy: what is told of it when it is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_core::{Failure, Millis, Name, Outcome, Trace, TraceId};
use fingerpost_protocol::Format;
use fingerpost_telemetry::{CallRecord, Record, Tokens};
use http::{HeaderName, HeaderValue};
use rand::{SeedableRng, rngs::SmallRng};
use smallvec::smallvec;

use crate::{
    dispatch::Sent,
    exchange::{headers, session::Seat},
    shared::Shared,
    snapshot::{EndpointSlot, Snapshot},
    worker::now,
};

/// The status under which a request is recorded whose proxy never told what became of it.
const UNTOLD: u16 = 499;

/// What will be told of the request when it is over.
pub(super) struct UnderWay {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) trace: Trace,
    pub(super) format: Format,
    pub(super) stream: bool,
    pub(super) asked: Name,
    pub(super) decision: Option<Name>,
    pub(super) seat: Option<Seat>,
    pub(super) model: Name,
    pub(super) endpoint: Arc<EndpointSlot>,
    pub(super) sent: Option<Sent>,
    pub(super) span: u64,
    pub(super) arrived: Instant,
    pub(super) routing: Duration,
    /// The status of the answer, and when it began.
    pub(super) answer: Option<(u16, Duration)>,
    pub(super) over: bool,
}

// === impl UnderWay ===

impl UnderWay {
    pub(super) fn told(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut told = Vec::with_capacity(5);
        if let Some(slot) = self
            .decision
            .as_ref()
            .and_then(|d| self.snapshot.decision_named(d))
        {
            told.push((headers::DECISION, slot.header.clone()));
        }
        if let Some(model) = self.snapshot.model_of(&self.model) {
            told.push((headers::MODEL, model.header().clone()));
        }
        told.push((headers::ENDPOINT, self.endpoint.header.clone()));
        told.push((headers::WHY, headers::why(&self.trace)));
        told.push((headers::TRACE, headers::trace_id(self.trace.id)));
        told
    }

    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.endpoint.live.end();
        drop(self.sent.take());
        let total = self.arrived.elapsed();
        let status = self.answer.map_or(UNTOLD, |(status, _)| status);
        let failure = match status {
            200..=399 => None,
            UNTOLD if self.answer.is_none() => Some(Failure::Cancelled),
            429 => Some(Failure::RateLimited),
            400..=499 => Some(Failure::Refused(status)),
            _ => Some(Failure::Status(status)),
        };
        match &failure {
            None => self.endpoint.succeeded(now()),
            Some(failure) => self
                .endpoint
                .failed(failure, now(), &mut SmallRng::seed_from_u64(self.span)),
        }
        if let Some(seat) = self.seat.take() {
            seat.over(&self.trace, failure.as_ref(), now());
        }
        let outcome = Outcome {
            latency: Some(Millis::from(total)),
            first_token: self.answer.map(|(_, first)| Millis::from(first)),
            failure: failure.clone(),
            ..Outcome::default()
        };
        let call = CallRecord {
            model: self.model.clone(),
            endpoint: self.endpoint.name.clone(),
            system: self.endpoint.provider.system(),
            upstream_model: self.endpoint.upstream_model.clone(),
            failure,
            planned: None,
            cost: None,
            began: self.routing,
            took: total.saturating_sub(self.routing),
        };
        let record = Record {
            at: self.trace.at,
            trace: std::mem::replace(&mut self.trace, Trace::new(TraceId(1), now())),
            format: self.format.name(),
            stream: self.stream,
            status,
            parent_span: None,
            span: self.span,
            asked: self.asked.clone(),
            decision: self.decision.take(),
            cache: None,
            calls: smallvec![call],
            outcome,
            tokens: Tokens::default(),
            routing: self.routing,
            total,
        };
        self.shared
            .recorder()
            .send(vec![(Arc::clone(&self.snapshot), record)]);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.finish();
    }
}
