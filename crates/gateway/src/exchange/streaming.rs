//! A stream on its way to the client: pieces pass through as they come, watched or translated, and the record is made when the
//! last has passed.
//!
//! A stream that breaks is ended by an error event of the client's own format, so that half an answer is never taken for a
//! whole one.

use std::{
    collections::VecDeque,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fingerpost_core::Failure;
use fingerpost_protocol::Event;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Sleep, sleep_until},
};

use super::{
    cached::Gathering,
    deliver::Fresh,
    headers,
    journey::{CLIENT_CLOSED, CallUnderWay, Journey},
    stored::Keeper,
    wire::Pipe,
};
use crate::{upstream::Lease, worker::now};

/// A stream on its way to the client.
pub(crate) struct Streaming {
    /// Pieces in the client's format that are ready to go.
    ready: VecDeque<Bytes>,
    source: Source,
    pipe: Pipe,
    clock: Clock,
    journey: Journey,
    call: Option<CallUnderWay>,
    keeper: Option<Keeper>,
    /// Reads along what goes to the client, where it is to be given again.
    gathering: Option<Box<Gathering>>,
}

/// Where the pieces come from.
pub(crate) enum Source {
    /// Another server.
    Upstream(Box<Upstream>),
    /// A model inside this process. Dropping the receiver tells it to stop.
    Engine(UnboundedReceiver<Event<'static>>),
    /// Nothing more comes.
    Over,
}

/// A connection on which an answer comes in.
pub(crate) struct Upstream {
    pub(crate) incoming: Incoming,
    pub(crate) lease: Option<Lease>,
}

/// Time-outs of a stream under way: between two pieces, and in all. One timer, moved only when it fires, since moving it for
/// every piece would cost more than the piece.
struct Clock {
    timer: Option<Pin<Box<Sleep>>>,
    patience: Patience,
    last: Instant,
}

/// How long a stream may take.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// In all.
    pub(crate) deadline: Instant,
}

// === impl Streaming ===

impl Streaming {
    pub(crate) fn new(
        held: VecDeque<Bytes>,
        source: Source,
        pipe: Pipe,
        patience: Patience,
        journey: Journey,
        fresh: Fresh,
    ) -> Self {
        let Fresh { call, keeper, ticket } = fresh;
        let clock = Clock {
            timer: None,
            patience,
            last: Instant::now(),
        };
        Self {
            ready: held,
            source,
            pipe,
            clock,
            journey,
            call: Some(call),
            keeper,
            gathering: ticket.map(|ticket| Box::new(Gathering::new(ticket))),
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                if !piece.is_empty() {
                    if let Some(gathering) = &mut self.gathering {
                        gathering.feed(&piece);
                    }
                    return Poll::Ready(Some(piece));
                }
                continue;
            }
            match self.poll_source(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => match self.clock.poll(cx) {
                    Poll::Ready(stage) => self.end(Some(Failure::Timeout(stage.into()))),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Takes one piece from the source; `None` where nothing more comes.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let came = match &mut self.source {
            Source::Over => {
                // An answer that was there whole has no end to wait for.
                if self.call.is_some() {
                    self.settle(None);
                }
                return Poll::Ready(None);
            }
            Source::Engine(events) => std::task::ready!(events.poll_recv(cx)).map(|event| {
                self.pipe.event(&event, &mut self.ready);
                Ok(())
            }),
            Source::Upstream(upstream) => std::task::ready!(Pin::new(&mut upstream.incoming).poll_frame(cx))
                .map(|frame| {
                    let frame = frame.map_err(|e| e.to_string())?;
                    frame
                        .into_data()
                        .map_or(Ok(()), |data| self.pipe.feed(&data, &mut self.ready))
                }),
        };
        self.clock.last = Instant::now();
        let over = match came {
            Some(Ok(())) if !self.pipe.is_done() => return Poll::Ready(Some(())),
            Some(Err(reason)) => Err(reason),
            Some(Ok(())) | None => self.pipe.finish(&mut self.ready),
        };
        self.end(over.err().map(|reason| Failure::Broken(reason.into())));
        Poll::Ready(Some(()))
    }

    /// The stream is over, well or not.
    fn end(&mut self, failure: Option<Failure>) {
        if let Some(failure) = &failure {
            self.pipe.broken(&failure.to_string(), &mut self.ready);
        }
        if let Source::Upstream(upstream) = std::mem::replace(&mut self.source, Source::Over)
            && failure.is_none()
        {
            upstream.give_back();
        }
        self.settle(failure);
    }

    /// Tells the breaker and makes the record.
    fn settle(&mut self, failure: Option<Failure>) {
        let usage = self.pipe.usage();
        if let (Some(mut gathering), None, Some(call)) = (self.gathering.take(), &failure, &self.call) {
            self.ready.iter().for_each(|piece| gathering.feed(piece));
            let warnings = self.pipe.warnings().map(|told| headers::warnings(&told));
            gathering.keep(&self.journey, call.record.model.clone(), usage, warnings);
        }
        if let Some(call) = self.call.take() {
            match &failure {
                None => call.succeeded(),
                Some(failure) => call
                    .endpoint()
                    .failed(failure, now(), &mut self.journey.worker.rng()),
            }
            self.journey.leg.calls.push(call.over(failure.clone()));
        }
        if let (Some(keeper), None, Some(answer)) = (self.keeper.take(), &failure, self.pipe.completed()) {
            keeper.keep(&self.journey, &answer);
        }
        let status = if failure == Some(Failure::Cancelled) {
            CLIENT_CLOSED
        } else {
            http::StatusCode::OK.as_u16()
        };
        self.journey.finish(status, &usage, failure);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        // Still under way: the client went away. Dropping the source cancels upstream.
        if self.call.is_some() {
            self.settle(Some(Failure::Cancelled));
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Keeps the connection, once the little that may still come after the last event has been read.
    fn give_back(mut self: Box<Self>) {
        let Some(lease) = self.lease.take() else { return };
        if self.incoming.is_end_stream() {
            lease.give_back();
            return;
        }
        tokio::task::spawn_local(async move {
            let rest = async { while let Some(Ok(_)) = self.incoming.frame().await {} };
            if tokio::time::timeout(LAST_CHUNK_WITHIN, rest).await.is_ok() {
                lease.give_back();
            }
        });
    }
}

/// How long the end of a body may take after the last event.
const LAST_CHUNK_WITHIN: Duration = Duration::from_secs(1);

// === impl Clock ===

impl Clock {
    /// Ready, with the name of the stage, once nothing came for too long or the whole took too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            let due = (self.last + self.patience.idle).min(self.patience.deadline);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(due.into())));
            std::task::ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= self.patience.deadline {
                return Poll::Ready("total");
            }
            if now >= self.last + self.patience.idle {
                return Poll::Ready("idle");
            }
            let due = (self.last + self.patience.idle).min(self.patience.deadline);
            timer.as_mut().reset(due.into());
        }
    }
}
