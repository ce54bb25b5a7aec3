//! What goes on from a stored answer: the items of a conversation, kept as raw JSON.
//!
//! A stored answer holds every item of its conversation: those that were sent and those that were answered. The next request
//! puts its own behind them, and what goes upstream is the whole, so that an upstream needs to store nothing.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    BadAnswer, BadRequest,
    fields::{Fields, Within, Wrong, is_text},
    json,
};

/// The items of a conversation, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Items(Vec<Box<RawValue>>);

impl Items {
    /// The items that a Responses request sends as its `input`; a plain text is one message.
    ///
    /// # Errors
    /// [`BadRequest`] where the body or its input is of the wrong kind.
    pub fn of_request(body: &[u8]) -> Result<Self, BadRequest> {
        let raw: &RawValue = serde_json::from_slice(body)
            .map_err(|e| BadRequest::body(format_args!("not valid JSON: {e}")))?;
        let mut f = Fields::of(raw)?;
        let Some(input) = f.take("input") else {
            return Ok(Self::default());
        };
        if is_text(input) {
            let mut message = Vec::new();
            json::object(&mut message, |o| {
                o.field("type", "message");
                o.field("role", "user");
                o.raw("content", input.get().as_bytes());
            });
            let message = String::from_utf8(message).unwrap_or_default();
            return Ok(Self(vec![json::raw_or_null(message)]));
        }
        let list = crate::fields::array(input)
            .map_err(|_| Wrong::found(input, "a string or an array of items"))
            .within("input")?;
        Ok(Self(list.into_iter().map(ToOwned::to_owned).collect()))
    }

    /// The items that a Responses answer gave as its `output`.
    ///
    /// # Errors
    /// [`BadAnswer`] where the body is no answer.
    pub fn of_answer(body: &[u8]) -> Result<Self, BadAnswer> {
        let raw: &RawValue =
            serde_json::from_slice(body).map_err(|e| BadAnswer::new(&format!("it is not JSON: {e}")))?;
        let mut f = Fields::of(raw)?;
        let list = f.array("output")?;
        let list = f.need("output", list)?;
        Ok(Self(list.into_iter().map(ToOwned::to_owned).collect()))
    }

    /// Reads items back from [`Items::to_json`].
    ///
    /// # Errors
    /// Where the text is no JSON array.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text).map(Self)
    }

    /// The items as a JSON array, to be stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Puts `later` behind these.
    pub fn append(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RawValue> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The request `body` with this as its whole input and without `previous_response_id`, every other byte of its members
    /// untouched: what goes upstream when a stored answer is gone on from. Instructions are the request's own; those of
    /// earlier requests do not carry over.
    ///
    /// # Errors
    /// [`BadRequest`] where the body is no object.
    pub fn into_request(&self, body: &[u8]) -> Result<Vec<u8>, BadRequest> {
        let raw: &RawValue = serde_json::from_slice(body)
            .map_err(|e| BadRequest::body(format_args!("not valid JSON: {e}")))?;
        let members = Fields::of(raw)?.rest();
        let mut out = Vec::with_capacity(body.len() + 64);
        json::object(&mut out, |o| {
            let own = |key: &Cow<'_, str>| key == "input" || key == "previous_response_id";
            o.members(members.iter().filter(|(key, _)| !own(key)));
            o.array("input", |a| {
                for item in &self.0 {
                    a.raw(item.get().as_bytes());
                }
            });
        });
        Ok(out)
    }
}
/// `answer`, an answer in the Responses format, as one that goes on from the stored answer `previous`, every other member
/// untouched; `None` where it is no object.
pub fn going_on_from(answer: &[u8], previous: &str) -> Option<Vec<u8>> {
    const KEY: &str = "previous_response_id";
    let members = Fields::of(serde_json::from_slice(answer).ok()?).ok()?.rest();
    let mut out = Vec::with_capacity(answer.len() + previous.len());
    json::object(&mut out, |o| {
        o.members(members.iter().filter(|(key, _)| key != KEY));
        o.field(KEY, previous);
    });
    Some(out)
}
