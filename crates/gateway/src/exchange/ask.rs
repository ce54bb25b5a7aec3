//! What is asked: the client's request, as every call made for it sees it.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use fingerpost_core::{Name, Role, Timestamp, TokenCount, TraceId};
use fingerpost_protocol::{
    Conversation, Envelope, Format,
    conversation::{Message, OutputFormat, Part, Sampling},
};
use http::{HeaderMap, HeaderName};

use super::headers;
use crate::{config::Timeouts, snapshot::Snapshot, worker::Worker};

/// The client's request, as every call made for it sees it.
#[derive(Clone)]
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
    /// What is asked in place of the client's request; the answer is dressed as one to the request all the same.
    pub(crate) question: Option<Question<'a>>,
    /// Ask for log-probabilities, where the client did not, for the router to read.
    pub(crate) logprobs: bool,
    /// The stored answer that the request goes on from; the body has what it stands for in its place.
    pub(crate) previous: Option<&'a Name>,
}

/// A question of a router's own. Nothing of the client's request goes along: neither tools nor metadata nor what form its answer
/// must have, nor how to sample.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) system: Option<&'a str>,
    pub(crate) user: &'a str,
    /// Most tokens of the answer; the provider's own bound where absent.
    pub(crate) max_output: Option<u32>,
}

// === impl Question ===

impl<'a> Question<'a> {
    /// As a request, in the format-free form.
    pub(crate) fn conversation(&self, stream: bool) -> Conversation<'a> {
        let message = |role, text: &'a str| Message {
            role,
            name: None,
            parts: vec![Part::text(text)],
        };
        let system = self.system.map(|text| message(Role::System, text));
        let messages = system
            .into_iter()
            .chain([message(Role::User, self.user)])
            .collect();
        Conversation {
            source: Format::Chat,
            model: "".into(),
            messages,
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            output: OutputFormat::default(),
            sampling: Sampling::default(),
            max_output: self.max_output,
            reasoning: None,
            verbosity: None,
            stream,
            store: None,
            user: None,
            metadata: None,
            cache_control: None,
            extra: Vec::new(),
        }
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// Whether a stream is asked for.
    pub(crate) fn stream(&self) -> bool {
        self.envelope.query.stream && !self.whole
    }

    /// The client's headers, less what stays here. A question has none of them but those by which traces are followed.
    pub(crate) fn forwarded_headers(&self) -> HeaderMap {
        if self.question.is_some() {
            let followed = ["traceparent", "tracestate"].map(HeaderName::from_static);
            let kept = followed.into_iter().filter_map(|name| {
                let value = self.client.get(&name)?.clone();
                Some((name, value))
            });
            return kept.collect();
        }
        headers::forwarded(self.client, &self.snapshot.config().server.identity)
    }
}
