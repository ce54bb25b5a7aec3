//! The wire formats that the upstream speaks; each reads a request into an [`Ask`] and writes a [`Completion`].

pub(crate) mod chat;
pub(crate) mod embeddings;
pub(crate) mod messages;
pub(crate) mod responses;

use serde_json::{Value, json};

use crate::ask::{ApiError, Ask, Format};
use crate::completion::Completion;

/// A stream of server-sent events, each rendered with its blank line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// What is said.
    pub(crate) said: Vec<String>,
    /// The events that tell a client that the answer is complete.
    pub(crate) closing: Vec<String>,
}

/// Reads a request.
pub(crate) fn read(format: Format, body: &Value) -> Result<Ask, ApiError> {
    match format {
        Format::Chat => chat::read(body),
        Format::Responses => responses::read(body),
        Format::Messages => messages::read(body),
    }
}

/// The answer as one JSON object.
pub(crate) fn whole(format: Format, ask: &Ask, said: &Completion) -> Value {
    match format {
        Format::Chat => chat::whole(ask, said),
        Format::Responses => responses::whole(said),
        Format::Messages => messages::whole(said),
    }
}

/// The answer as a stream.
pub(crate) fn events(format: Format, ask: &Ask, said: &Completion) -> Events {
    match format {
        Format::Chat => chat::events(ask, said),
        Format::Responses => responses::events(said),
        Format::Messages => messages::events(said),
    }
}

/// An event that reports an error in the middle of a stream.
pub(crate) fn error_event(format: Format, error: &ApiError) -> String {
    match format {
        Format::Chat => data(&error.body(format)),
        Format::Messages => named(&error.body(format), "error"),
        Format::Responses => named(
            &json!({"type": "error", "code": "server_error", "message": error.message, "param": null,
                    "sequence_number": 999}),
            "error",
        ),
    }
}

/// An event without a name.
pub(crate) fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// An event with a name.
pub(crate) fn named(value: &Value, name: &str) -> String {
    format!("event: {name}\ndata: {value}\n\n")
}
