//! The top level of a request body.

use std::{borrow::Cow, fmt};

use fingerpost_core::{Query, Role, TokenCount, Turn};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::{
    Envelope, Spans, Usage,
    content::{Content, OptionalText, Text},
    messages::{Count, Messages},
    splice::Span,
};
use crate::{BadRequest, Format, bad_request::Path};

/// Reads the whole body.
pub(super) fn read<'a>(format: Format, text: &'a str, path: &mut Path) -> Result<Envelope<'a>, BadRequest> {
    let mut envelope = Envelope {
        format,
        query: Query::default(),
        previous_response_id: None,
        store: None,
        user: None,
        answers: 1,
        include_usage: false,
        has_instructions: false,
        body: text.as_bytes(),
        spans: Spans::default(),
    };
    let mut de = serde_json::Deserializer::from_str(text);
    let top = Top {
        text,
        path,
        envelope: &mut envelope,
    };
    let read = top.deserialize(&mut de).and_then(|()| de.end());
    read.map_err(|error| BadRequest::of_json(&error, path))?;
    let open = text.find('{').map_or(0, |i| i + 1);
    envelope.spans.open = u32::try_from(open).unwrap_or_default();
    Ok(envelope)
}

struct Top<'r, 'de> {
    text: &'de str,
    path: &'r mut Path,
    envelope: &'r mut Envelope<'de>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let format = self.envelope.format;
        // Which of the members that must not stand twice have been seen: two parsers may disagree which one counts.
        let mut given = Given::default();
        let mut instructions = None;
        let mut empty = true;
        while let Some(key) = map.next_key_seed(Text)? {
            empty = false;
            let e = &mut *self.envelope;
            let path = &mut *self.path;
            match (key.as_ref(), format) {
                ("model", _) => {
                    let raw = path.key("model", map.next_value::<&RawValue>())?;
                    path.key("model", given.once(Given::MODEL))?;
                    self.model(raw)?;
                }
                ("messages", Format::Chat | Format::Messages) | ("input", Format::Responses) => {
                    let name = if format == Format::Responses {
                        "input"
                    } else {
                        "messages"
                    };
                    path.key(name, given.once(Given::MESSAGES))?;
                    let turns = &mut e.query.turns;
                    let read = map.next_value_seed(Messages { format, path, turns });
                    path.key(name, read)?;
                }
                ("system", Format::Messages) => {
                    path.key("system", given.once(Given::INSTRUCTIONS))?;
                    let mut turn = Turn {
                        role: Role::System,
                        ..Turn::default()
                    };
                    let content = map.next_value_seed(Content {
                        format,
                        path,
                        turn: &mut turn,
                        results: &mut Vec::new(),
                    });
                    if path.key("system", content)? {
                        instructions = Some(turn);
                    }
                }
                ("instructions", Format::Responses) => {
                    path.key("instructions", given.once(Given::INSTRUCTIONS))?;
                    if let Some(text) = path.key("instructions", map.next_value_seed(OptionalText))? {
                        e.has_instructions = true;
                        instructions = Some(Turn {
                            role: Role::System,
                            texts: vec![text],
                            ..Turn::default()
                        });
                    }
                }
                ("stream", _) => {
                    path.key("stream", given.once(Given::STREAM))?;
                    e.query.stream = path.key("stream", map.next_value_seed(Flag))?.unwrap_or(false);
                }
                ("store", Format::Chat | Format::Responses) => {
                    e.store = path.key("store", map.next_value_seed(Flag))?;
                }
                ("max_tokens", Format::Chat | Format::Messages) => {
                    let max = path.key("max_tokens", map.next_value_seed(Number))?;
                    e.query.max_output = e.query.max_output.or(max.map(TokenCount));
                }
                ("max_completion_tokens", Format::Chat) => {
                    let max = path.key("max_completion_tokens", map.next_value_seed(Number))?;
                    e.query.max_output = max.map(TokenCount).or(e.query.max_output);
                }
                ("max_output_tokens", Format::Responses) => {
                    let max = path.key("max_output_tokens", map.next_value_seed(Number))?;
                    e.query.max_output = max.map(TokenCount);
                }
                ("temperature" | "top_p" | "frequency_penalty" | "presence_penalty", _) => {
                    let name = SAMPLING.iter().find(|name| **name == key).copied();
                    path.key(name.unwrap_or_default(), map.next_value_seed(Real))?;
                }
                ("n", Format::Chat) => {
                    e.answers = path.key("n", map.next_value_seed(Number))?.unwrap_or(1);
                }
                ("tools", _) => e.query.tools += path.key("tools", map.next_value_seed(Count))?,
                ("functions", Format::Chat) => {
                    e.query.tools += path.key("functions", map.next_value_seed(Count))?;
                }
                ("response_format", Format::Chat) => {
                    let kind = path.key("response_format", map.next_value_seed(Kind { under: None }))?;
                    e.query.structured |= is_json(kind.as_deref());
                }
                ("text", Format::Responses) => {
                    let kind = map.next_value_seed(Kind {
                        under: Some("format"),
                    });
                    e.query.structured |= is_json(path.key("text", kind)?.as_deref());
                }
                ("output_config", Format::Messages) => {
                    let kind = map.next_value_seed(Kind {
                        under: Some("format"),
                    });
                    e.query.structured |= is_json(path.key("output_config", kind)?.as_deref());
                }
                ("output_format", Format::Messages) => {
                    let kind = path.key("output_format", map.next_value_seed(Kind { under: None }))?;
                    e.query.structured |= is_json(kind.as_deref());
                }
                ("metadata", _) => {
                    let into = &mut e.query.metadata;
                    path.key("metadata", map.next_value_seed(Metadata { into }))?;
                    if format == Format::Messages {
                        let user = e.query.metadata.iter().find(|(k, _)| k == "user_id");
                        e.user = user.map(|(_, v)| v.clone());
                    }
                }
                ("user" | "safety_identifier", Format::Chat | Format::Responses) => {
                    let name = if key == "user" {
                        "user"
                    } else {
                        "safety_identifier"
                    };
                    let user = path.key(name, map.next_value_seed(OptionalText))?;
                    e.user = user.or(e.user.take());
                }
                ("previous_response_id", Format::Responses) => {
                    path.key("previous_response_id", given.once(Given::PREVIOUS))?;
                    e.previous_response_id =
                        path.key("previous_response_id", map.next_value_seed(OptionalText))?;
                }
                ("prompt" | "conversation", Format::Responses) => {
                    map.next_value::<IgnoredAny>()?;
                    given.0 |= Given::ELSEWHERE;
                }
                ("stream_options", Format::Chat) => {
                    path.key("stream_options", given.once(Given::STREAM_OPTIONS))?;
                    let raw = path.key("stream_options", map.next_value::<&RawValue>())?;
                    self.stream_options(raw)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let e = &mut *self.envelope;
        e.spans.empty = empty;
        e.query.continues = e.previous_response_id.is_some();
        if !given.has(Given::MESSAGES) {
            let elsewhere = e.query.continues || given.has(Given::ELSEWHERE);
            let name = if format == Format::Responses {
                "input"
            } else {
                "messages"
            };
            if !elsewhere {
                return self.path.key(name, Err(de::Error::custom(missing(format))));
            }
        } else if format == Format::Responses && e.query.turns.is_empty() && !e.query.continues {
            let wrong =
                de::Error::invalid_value(Unexpected::Other("no message"), &"at least one item with content");
            return self.path.key("input", Err(wrong));
        }
        if format == Format::Messages {
            let problem = match e.query.max_output {
                None => Some("missing; allowed: a whole number from 1"),
                Some(TokenCount(0)) => Some("found 0, allowed: a whole number from 1"),
                Some(_) => None,
            };
            if let Some(problem) = problem {
                return self.path.key("max_tokens", Err(de::Error::custom(problem)));
            }
        }
        if let Some(turn) = instructions {
            e.query.turns.insert(0, turn);
        }
        Ok(())
    }
}

/// Numbers that pass on unread, once they are known to be numbers.
const SAMPLING: [&str; 4] = ["temperature", "top_p", "frequency_penalty", "presence_penalty"];

const fn missing(format: Format) -> &'static str {
    match format {
        Format::Responses => "missing; allowed: a string or an array of items",
        Format::Chat | Format::Messages => "missing; allowed: an array of at least one message",
    }
}

fn is_json(kind: Option<&str>) -> bool {
    matches!(kind, Some("json_schema" | "json_object"))
}

impl<'de> Top<'_, 'de> {
    fn model<E: de::Error>(&mut self, raw: &'de RawValue) -> Result<(), E> {
        let name = OptionalText.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
        let name = name.map_err(|error| E::custom(BadRequest::without_position(&error.to_string())));
        self.envelope.query.model = self.path.key("model", name)?.unwrap_or_default();
        self.envelope.spans.model = Span::of(raw.get(), self.text);
        Ok(())
    }

    fn stream_options<E: de::Error>(&mut self, raw: &'de RawValue) -> Result<(), E> {
        #[derive(serde::Deserialize)]
        struct Options<'a> {
            #[serde(borrow)]
            include_usage: Option<&'a RawValue>,
        }
        let (text, whole) = (raw.get(), self.text);
        let Some(span) = Span::of(text, whole) else {
            return Ok(());
        };
        if text == "null" {
            self.envelope.spans.usage = Usage::Null(span);
            return Ok(());
        }
        let wrong = || E::invalid_type(Unexpected::Other("no object"), &"an object with `include_usage`");
        if !text.starts_with('{') {
            return self.path.key("stream_options", Err(wrong()));
        }
        let options = serde_json::from_str::<Options<'de>>(text).map_err(|_| wrong());
        let options = self.path.key("stream_options", options)?;
        self.envelope.spans.usage = match options.include_usage {
            None => Usage::Insert {
                at: span.start + 1,
                empty: text[1..].trim_start().starts_with('}'),
            },
            Some(value) if value.get() == "true" => {
                self.envelope.include_usage = true;
                Usage::On
            }
            Some(value) if matches!(value.get(), "false" | "null") => {
                Span::of(value.get(), whole).map_or(Usage::On, Usage::Replace)
            }
            Some(value) => {
                let wrong = E::invalid_type(Unexpected::Other(value.get()), &"true or false");
                let wrong = self.path.key("include_usage", Err(wrong));
                return self.path.key("stream_options", wrong);
            }
        };
        Ok(())
    }
}

/// Which members have been seen.
#[derive(Default)]
struct Given(u8);

impl Given {
    const MODEL: u8 = 1;
    const MESSAGES: u8 = 1 << 1;
    const STREAM: u8 = 1 << 2;
    const INSTRUCTIONS: u8 = 1 << 3;
    const PREVIOUS: u8 = 1 << 4;
    const STREAM_OPTIONS: u8 = 1 << 5;
    /// The conversation stands elsewhere: a stored prompt or conversation of the upstream.
    const ELSEWHERE: u8 = 1 << 6;

    const fn has(&self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn once<E: de::Error>(&mut self, flag: u8) -> Result<(), E> {
        if self.has(flag) {
            return Err(E::custom("stands twice; allowed: once"));
        }
        self.0 |= flag;
        Ok(())
    }
}

/// `true`, `false` or `null`.
struct Flag;

impl<'de> DeserializeSeed<'de> for Flag {
    type Value = Option<bool>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Flag {
    type Value = Option<bool>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }
    fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Some(b))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A whole number from 0, or `null`.
struct Number;

impl<'de> DeserializeSeed<'de> for Number {
    type Value = Option<u32>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Number {
    type Value = Option<u32>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 to 4294967295")
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
        let small = u32::try_from(n).map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))?;
        Ok(Some(small))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        Err(E::invalid_value(Unexpected::Signed(n), &self))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A number of any kind, or none.
struct Real;

impl<'de> DeserializeSeed<'de> for Real {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Real {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The `type` of an object, or of an object under one of its keys.
struct Kind {
    under: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Option<Cow<'de, str>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kind {
    type Value = Option<Cow<'de, str>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kind = None;
        while let Some(key) = map.next_key_seed(Text)? {
            match (key.as_ref(), self.under) {
                ("type", None) => kind = map.next_value_seed(OptionalText)?,
                (key, Some(under)) if key == under => kind = map.next_value_seed(Self { under: None })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(kind)
    }
}

/// Metadata: an object or `null`. Values that are no strings are passed over; an upstream that minds says so itself.
struct Metadata<'r, 'de> {
    into: &'r mut Vec<(Cow<'de, str>, Cow<'de, str>)>,
}

impl<'de> DeserializeSeed<'de> for Metadata<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            let raw = map.next_value::<&RawValue>()?;
            if let Ok(value) = Text.deserialize(&mut serde_json::Deserializer::from_str(raw.get())) {
                self.into.push((key, value));
            }
        }
        Ok(())
    }
}
