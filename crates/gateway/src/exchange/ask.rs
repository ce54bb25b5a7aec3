//! What is asked: the client's request, as every call made for it sees it.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use fingerpost_core::{Name, Timestamp, TokenCount, TraceId};
use fingerpost_protocol::Envelope;
use http::HeaderMap;

use super::headers;
use crate::{config::Timeouts, snapshot::Snapshot, worker::Worker};

/// The client's request, as every call made for it sees it.
pub(crate) struct Ask<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) envelope: &'a Envelope<'a>,
    /// The bytes that the envelope was read from.
    pub(crate) body: &'a Bytes,
    pub(crate) client: &'a HeaderMap,
    pub(crate) timeouts: Timeouts,
    /// When the client's patience ends.
    pub(crate) deadline: Instant,
    pub(crate) trace: TraceId,
    pub(crate) at: Timestamp,
    /// Input tokens, estimated.
    pub(crate) tokens: TokenCount,
    /// Ask for a whole answer even where the client wants a stream: somebody has to read it first.
    pub(crate) whole: bool,
    /// The stored answer that the request goes on from; the body has what it stands for in its place.
    pub(crate) previous: Option<&'a Name>,
}

// === impl Ask ===

impl Ask<'_> {
    /// Whether a stream is asked for.
    pub(crate) fn stream(&self) -> bool {
        self.envelope.query.stream && !self.whole
    }

    /// The client's headers, less what stays here.
    pub(crate) fn forwarded_headers(&self) -> HeaderMap {
        headers::forwarded(self.client, &self.snapshot.config().server.identity)
    }
}
