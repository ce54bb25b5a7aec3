//! The hot path: what routing needs of a request, read in one borrowing pass.
//!
//! [`Envelope::parse`] walks the body once. Texts are borrowed from it (a copy is made only where JSON escapes force one);
//! whatever routing does not need is skipped, never built, and so survives untouched: [`Envelope::body_for`] sends the very
//! bytes on, with the model's name spliced in between two slices of them.
//!
//! Tool results become turns of the role [`Role::Tool`](fingerpost_core::Role::Tool) in all three formats, also where the
//! format puts them into a user message, so that "what the person said" means the same everywhere.
//!
//! Wrong requests are refused with the path of the field. What a format does not define passes: formats grow faster than
//! routers. The exceptions are part types of Chat (a set that is stable) and the media types of inline images and documents.

mod content;
mod messages;
mod read;
mod splice;

use std::borrow::Cow;

use fingerpost_core::Query;

pub use splice::{Body, Edit};

use crate::{BadRequest, Format, bad_request::Path};
use splice::Span;

/// A request as routing sees it, borrowed from its body.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// The client's format.
    pub format: Format,
    /// What routers see. `model` is empty where the client named none. `identity` is left for the caller to fill.
    pub query: Query<'a>,
    /// The stored answer that this request goes on from (Responses).
    pub previous_response_id: Option<Cow<'a, str>>,
    /// Whether the answer is to be stored; the format's default where `None`.
    pub store: Option<bool>,
    /// The end user that the client names (`user`, `safety_identifier`, Anthropic's `metadata.user_id`). Untrusted.
    pub user: Option<Cow<'a, str>>,
    /// How many answers are asked for (`n` of Chat); 1 where absent.
    pub answers: u32,
    /// Whether the client of a Chat stream asked for a usage chunk (`stream_options.include_usage`).
    pub include_usage: bool,
    has_instructions: bool,
    body: &'a [u8],
    spans: Spans,
}

/// Where in the body the values stand that can be replaced.
#[derive(Debug, Clone, Copy, Default)]
struct Spans {
    /// After the opening brace of the body.
    open: u32,
    /// Whether the body's object has no member.
    empty: bool,
    /// The value of `model`, quotes included, `null` as well.
    model: Option<Span>,
    usage: Usage,
}

/// How `stream_options.include_usage` can be switched on.
#[derive(Debug, Clone, Copy, Default)]
enum Usage {
    /// No `stream_options` at all.
    #[default]
    Absent,
    /// Already on.
    On,
    /// A value (`false`, `null`) that would have to give way.
    Replace(Span),
    /// An object without the key: insert after its brace.
    Insert { at: u32, empty: bool },
    /// `"stream_options": null`.
    Null(Span),
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`BadRequest`] names the field with its path, what was found, and what is allowed: not JSON, wrong types, no messages, a
    /// role that the format does not know, a medium that it does not take, a key that stands twice where that matters.
    pub fn parse(format: Format, body: &'a [u8]) -> Result<Self, BadRequest> {
        // One check of the whole body is much faster than one for each string.
        let text = simdutf8::compat::from_utf8(body)
            .map_err(|e| BadRequest::body(format_args!("not valid UTF-8 after {} bytes", e.valid_up_to())))?;
        if u32::try_from(body.len()).is_err() {
            return Err(BadRequest::body("longer than 4 GiB"));
        }
        let mut path = Path::default();
        read::read(format, text, &mut path)
    }

    /// Whether the client named a model. Where it did not, routing must fill one in.
    pub fn names_model(&self) -> bool {
        !self.query.model.is_empty()
    }

    /// The instructions that stand apart from the conversation (Responses' `instructions`). They are the first turn as well.
    pub fn instructions(&self) -> Option<&str> {
        if !self.has_instructions {
            return None;
        }
        self.query.turns.first()?.texts.first().map(AsRef::as_ref)
    }

    /// The bytes that this was read from.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether a Chat stream must ask its upstream for usage that the client did not ask for, so that the usage chunk must be
    /// taken out again on the way back ([`StreamWatch::hiding_usage`](crate::StreamWatch::hiding_usage)).
    pub fn hides_usage(&self) -> bool {
        self.format == Format::Chat && self.query.stream && !self.include_usage
    }
}
