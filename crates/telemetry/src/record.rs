//! What is known of one request when it is over. Everything that looks at traffic reads this and nothing else.

use std::time::Duration;

use fingerpost_core::{Failure, Name, Outcome, Timestamp, TokenCount, Trace, Usd};
use smallvec::SmallVec;

/// One request, over.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its decisions; its id names the request everywhere.
    pub trace: Trace,
    /// When it came.
    pub at: Timestamp,
    /// The client's format: `chat`, `responses`, `messages`, `embeddings`.
    pub format: &'static str,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// The status that the client saw; 499 where it went away first.
    pub status: u16,
    /// The span that the client says this request belongs to (W3C Trace Context), if it sent one.
    pub parent_span: Option<u64>,
    /// The request's own span: random and not zero. The ids of all spans below it follow from it ([`crate::SpanIds`]), so that
    /// a call can name its span to the provider before there is a record.
    pub span: u64,
    /// The model that the client named.
    pub asked: Name,
    /// The decision that held; `None` where the client named a model or nothing was decided.
    pub decision: Option<Name>,
    /// What the cache of the decision did; `None` where it has none.
    pub cache: Option<CacheUse>,
    /// The calls made for it, in order; the last successful one answered.
    pub calls: SmallVec<[CallRecord; 1]>,
    /// What became of the whole. Cost is that of all calls together.
    pub outcome: Outcome,
    /// The tokens of the call that answered.
    pub tokens: Tokens,
    /// From the request to the choice of the first endpoint.
    pub routing: Duration,
    /// From the request to the end of the answer.
    pub total: Duration,
}

// === impl CacheUse ===

impl CacheUse {
    /// As logs and labels name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

// === impl Record ===

impl Record {
    /// The call that answered: the last successful one; where none was, the last one, which decided how the request ended.
    pub fn answered_by(&self) -> Option<&CallRecord> {
        self.calls
            .iter()
            .rfind(|c| c.failure.is_none())
            .or_else(|| self.calls.last())
    }
}

/// What the cache of a decision did for a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CacheUse {
    /// It answered: the request before was so similar to this one (cosine; 1 for the same text).
    Hit(f32),
    /// It had no answer.
    Miss,
    /// The request, or its client, did not want it asked.
    Bypass,
}

/// One call to one endpoint.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The model asked.
    pub model: Name,
    /// The endpoint asked.
    pub endpoint: Name,
    /// The provider's kind, as OpenTelemetry names it: `openai`, `anthropic`, `fingerpost`.
    pub system: &'static str,
    /// The model's name at the provider.
    pub upstream_model: Name,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// Which call of a router's plan it was made for, by the router's own number; `None` where the router decided at once.
    pub planned: Option<u32>,
    /// What it cost, where that is known apart from the whole: of the calls that a router asked for before it decided.
    pub cost: Option<Usd>,
    /// When it began, after the request.
    pub began: Duration,
    /// How long it took: to the end of the answer, or to the failure.
    pub took: Duration,
}

/// The tokens of an answer; what the provider did not say is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input tokens.
    pub input: TokenCount,
    /// Those of them that were read from the provider's prompt cache.
    pub cached_input: TokenCount,
    /// All output tokens.
    pub output: TokenCount,
    /// Those of them that were spent thinking.
    pub reasoning: TokenCount,
}
