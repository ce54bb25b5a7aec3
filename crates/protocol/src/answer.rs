//! A whole answer in no format, and its translation.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    BadAnswer, Citation, Event, Finish, Format, Usage, Warnings,
    blocks::Blocks,
    chat,
    conversation::{Part, PartContent},
    json, messages, responses,
};

/// A whole answer in no format.
#[derive(Debug, Clone, Default)]
pub struct Answer<'a> {
    /// Texts, refusals, thoughts and calls, in order.
    pub parts: Vec<Part<'a>>,
    /// Sources that the texts cite.
    pub citations: Vec<Citation<'a>>,
    /// Log-probabilities of the text's tokens, as Chat writes them.
    pub logprobs: Option<Cow<'a, RawValue>>,
    /// Why it ended.
    pub finish: Finish,
    /// The stop text that ended it, where known.
    pub stop_sequence: Option<Cow<'a, str>>,
    /// Tokens used.
    pub usage: Option<Usage>,
}

/// What an answer says of itself: the same for a JSON body and a stream. Nothing in here is made up by this crate, which has
/// neither clock nor chance.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The answer's id without its prefix, unique among all answers: letters, digits, `_`, `-`.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The model's name, as the client is to see it.
    pub model: String,
    /// What a Responses answer repeats of its request ([`Head::echo`]).
    pub echo: Option<Echo>,
}

/// What a Responses answer repeats of its request, written already.
#[derive(Debug, Clone)]
pub struct Echo(Vec<(String, Box<RawValue>)>);

/// What a Responses answer repeats of its request, with what it says where the request says nothing.
const ECHOED: [(&str, &str); 19] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", "{\"effort\":null,\"summary\":null}"),
    ("safety_identifier", "null"),
    ("service_tier", "\"default\""),
    ("store", "true"),
    ("temperature", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
];

// === impl Head ===

impl Head {
    /// The id as the format writes it: `chatcmpl-…`, `resp_…`, `msg_…`.
    pub fn id_for(&self, format: Format) -> String {
        let prefix = match format {
            Format::Chat => "chatcmpl-",
            Format::Responses => "resp_",
            Format::Messages => "msg_",
        };
        format!("{prefix}{}", self.id)
    }

    /// Takes from a Responses request what its answer repeats. Anything that is no such request changes nothing.
    #[must_use]
    pub fn echo(mut self, request: &[u8]) -> Self {
        self.echo = Echo::of(request);
        self
    }

    /// Names the stored answer that a Responses answer goes on from, whose id the request as expanded no longer has.
    #[must_use]
    pub fn going_on_from(mut self, previous: &str) -> Self {
        if let Ok(id) = serde_json::value::to_raw_value(previous) {
            let echo = self.echo.get_or_insert_with(|| Echo(Vec::new()));
            echo.0.retain(|(key, _)| key != "previous_response_id");
            echo.0.push(("previous_response_id".to_owned(), id));
        }
        self
    }
}

// === impl Echo ===

impl Echo {
    fn of(request: &[u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(request).ok()?;
        let mut fields = crate::fields::Fields::of(raw).ok()?;
        let taken = ECHOED
            .iter()
            .filter_map(|(key, _)| Some(((*key).to_owned(), fields.take(key)?.to_owned())));
        Some(Self(taken.collect()))
    }

    /// Writes every member that an answer repeats.
    pub(crate) fn write(echo: Option<&Self>, o: &mut json::Object<'_>) {
        for (key, default) in ECHOED {
            let given = echo.and_then(|e| e.0.iter().find(|(k, _)| k == key));
            o.raw(
                key,
                given.map_or(default.as_bytes(), |(_, raw)| raw.get().as_bytes()),
            );
        }
    }
}

// === impl Answer ===

impl<'a> Answer<'a> {
    /// Reads a whole answer off an upstream's JSON body. What only that format can say is noted in `warnings`.
    ///
    /// # Errors
    /// [`BadAnswer`] where the body is no answer: not JSON, an error object, no choices, wrong types.
    pub fn read(format: Format, body: &'a [u8], warnings: &mut Warnings) -> Result<Self, BadAnswer> {
        let text = std::str::from_utf8(body).map_err(|_| BadAnswer::new("it is not UTF-8"))?;
        if text.trim().is_empty() {
            return Err(BadAnswer::new("it is empty"));
        }
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|e| BadAnswer::new(&format!("it is not JSON: {e}; it begins {:?}", head(text))))?;
        match format {
            Format::Chat => chat::read_answer(raw, warnings),
            Format::Responses => responses::read_answer(raw, warnings),
            Format::Messages => messages::read_answer(raw, warnings),
        }
    }

    /// The answer that a run of events makes. The second value is the error that broke it off, if one did.
    pub fn collect<'e>(
        events: impl IntoIterator<Item = Event<'e>>,
    ) -> (Answer<'static>, Option<crate::ErrorBody>) {
        let mut blocks = Blocks::default();
        let mut error = None;
        for event in events {
            if let Event::Error(body) = event {
                error = Some(body);
                break;
            }
            blocks.push(&event, &mut |_, _| {});
        }
        blocks.end(&mut |_, _| {});
        (blocks.into_answer(), error)
    }

    /// Writes it as a JSON body of `format`.
    pub fn to_body(&self, format: Format, head: &Head) -> Vec<u8> {
        match format {
            Format::Chat => chat::write_answer(self, head),
            Format::Responses => responses::write_answer(self, head),
            Format::Messages => messages::write_answer(self, head),
        }
    }

    /// All its text, joined without anything between.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Whether it calls tools.
    pub fn has_calls(&self) -> bool {
        self.parts
            .iter()
            .any(|p| matches!(p.content, PartContent::ToolCall(_)))
    }
}

fn head(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(i, _)| i);
    &text[..end]
}

/// Translates an upstream's whole answer into the client's format. What could not be carried over is in the warnings.
///
/// # Errors
/// [`BadAnswer`] where the body is no answer; the gateway says 502.
pub fn translate_answer(
    from: Format,
    to: Format,
    body: &[u8],
    head: &Head,
) -> Result<(Vec<u8>, Warnings), BadAnswer> {
    let mut warnings = Warnings::default();
    let answer = Answer::read(from, body, &mut warnings)?;
    Ok((answer.to_body(to, head), warnings))
}
