//! The content of a message: a text, or a list of parts.

use std::{borrow::Cow, fmt};

use fingerpost_core::{Role, Turn};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::{Format, bad_request::Path};

/// A string, borrowed where it has no escapes.
pub(super) struct Text;

/// Reads a message's content into a turn. Gives whether there was any (`null` is none).
pub(super) struct Content<'r, 'de> {
    pub(super) format: Format,
    pub(super) path: &'r mut Path,
    pub(super) turn: &'r mut Turn<'de>,
    /// Tool results that stand inside the content (Anthropic), as turns of their own.
    pub(super) results: &'r mut Vec<Turn<'de>>,
}

/// Reads one part.
struct Part<'r, 'de>(Content<'r, 'de>);

/// What is known of a part when its object ends.
#[derive(Default)]
struct Seen<'de> {
    kind: Option<Cow<'de, str>>,
    text: Option<Cow<'de, str>>,
    nested: Turn<'de>,
    /// The media type of an inline image or document.
    media: Option<Cow<'de, str>>,
}

/// Inline images that the large providers read. (`image/jpg` is no registered name, but is sent.)
const IMAGES: [&str; 5] = ["image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"];
/// The part types of Chat, and those that wide-spread servers and gateways add.
const CHAT_PARTS: &str = "text, image_url, input_audio, file, refusal, video_url, audio_url, thinking, redacted_thinking, \
                          input_text, input_image, document";

// === impl Text ===

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(s))
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(s.to_owned()))
    }
    fn visit_string<E>(self, s: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(s))
    }
}

/// A string or `null`.
pub(super) struct OptionalText;

impl<'de> DeserializeSeed<'de> for OptionalText {
    type Value = Option<Cow<'de, str>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OptionalText {
    type Value = Option<Cow<'de, str>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        Text.deserialize(d).map(Some)
    }
}

// === impl Content ===

impl<'de> Content<'_, 'de> {
    fn reborrow(&mut self) -> Content<'_, 'de> {
        Content {
            format: self.format,
            path: self.path,
            turn: self.turn,
            results: self.results,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_, 'de> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of parts")
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<bool, E> {
        self.turn.texts.reserve_exact(1);
        self.turn.texts.push(Cow::Borrowed(s));
        Ok(true)
    }
    fn visit_str<E>(self, s: &str) -> Result<bool, E> {
        self.turn.texts.reserve_exact(1);
        self.turn.texts.push(Cow::Owned(s.to_owned()));
        Ok(true)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<bool, A::Error> {
        let mut index = 0;
        loop {
            let part = seq.next_element_seed(Part(self.reborrow()));
            if self.path.index(index, part)?.is_none() {
                return Ok(true);
            }
            index += 1;
        }
    }
}

// === impl Part ===

impl<'de> DeserializeSeed<'de> for Part<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part: an object with a `type`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut cx = self.0;
        let mut seen = Seen::default();
        while let Some(key) = map.next_key_seed(Text)? {
            match key.as_ref() {
                "type" => seen.kind = Some(cx.path.key("type", map.next_value_seed(Text))?),
                "text" => seen.text = cx.path.key("text", map.next_value_seed(OptionalText))?,
                "image_url" => seen.media = cx.path.key("image_url", map.next_value_seed(ImageUrl))?,
                "source" => {
                    let media = map.next_value_seed(Source { path: cx.path });
                    seen.media = cx.path.key("source", media)?;
                }
                "content" => {
                    let nested = Content {
                        format: cx.format,
                        path: cx.path,
                        turn: &mut seen.nested,
                        results: &mut Vec::new(),
                    };
                    let nested = map.next_value_seed(Nested(nested));
                    cx.path.key("content", nested)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        cx.reborrow().take(seen)
    }
}

impl<'de> Content<'_, 'de> {
    /// Counts a part that has been read.
    fn take<E: de::Error>(self, seen: Seen<'de>) -> Result<(), E> {
        let Some(kind) = seen.kind else {
            return self
                .path
                .key("type", Err(E::custom("missing; every part has a type")));
        };
        match kind.as_ref() {
            "text" | "input_text" | "output_text" => match seen.text {
                Some(text) => self.turn.texts.push(text),
                None => {
                    return self
                        .path
                        .key("text", Err(E::custom("missing; a text part has one")));
                }
            },
            "image_url" | "input_image" | "image" => {
                if let Some(media) = seen
                    .media
                    .filter(|m| !IMAGES.iter().any(|i| m.eq_ignore_ascii_case(i)))
                {
                    let field = if kind == "image" { "source" } else { "image_url" };
                    let wrong = E::invalid_value(
                        Unexpected::Str(&media),
                        &"an image: image/png, image/jpeg, image/gif or image/webp",
                    );
                    return self.path.key(field, Err(wrong));
                }
                self.turn.images += 1;
            }
            "input_audio" | "audio_url" | "audio" => self.turn.audio += 1,
            "tool_use" | "server_tool_use" | "mcp_tool_use" => self.turn.tool_calls += 1,
            "tool_result" => self.results.push(Turn {
                role: Role::Tool,
                tool_results: 1,
                ..seen.nested
            }),
            "document" => {
                let known = |m: &str| m == "application/pdf" || m.starts_with("text/");
                if let Some(media) = seen
                    .media
                    .filter(|m| self.format == Format::Messages && !known(m))
                {
                    let wrong = E::invalid_value(
                        Unexpected::Str(&media),
                        &"a document: application/pdf or text/plain",
                    );
                    return self.path.key("source", Err(wrong));
                }
            }
            "refusal" | "file" | "video_url" | "thinking" | "redacted_thinking" => {}
            other if self.format == Format::Chat => {
                let wrong = E::invalid_value(Unexpected::Str(other), &CHAT_PARTS);
                return self.path.key("type", Err(wrong));
            }
            // Formats grow faster than routers: what is not known here goes to the upstream as it is.
            _ => {}
        }
        Ok(())
    }
}

/// Content inside a part: of a tool result it counts, anything else (search results, documents) is nobody's business.
struct Nested<'r, 'de>(Content<'r, 'de>);

impl<'de> DeserializeSeed<'de> for Nested<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content")
    }
    fn visit_borrowed_str<E: de::Error>(self, s: &'de str) -> Result<(), E> {
        self.0.visit_borrowed_str(s).map(drop)
    }
    fn visit_str<E: de::Error>(self, s: &str) -> Result<(), E> {
        self.0.visit_str(s).map(drop)
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.visit_seq(seq).map(drop)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// The image of a Chat or Responses part: a URL, or an object with one. Gives the media type where the URL is inline data.
struct ImageUrl;

impl ImageUrl {
    fn media(url: &str) -> Option<&str> {
        let rest = url
            .get(..5)
            .filter(|s| s.eq_ignore_ascii_case("data:"))
            .and(url.get(5..))?;
        // Media types are short: no search through megabytes of data.
        let head = rest.as_bytes().get(..rest.len().min(100))?;
        let end = head.iter().position(|b| matches!(b, b';' | b',')).unwrap_or(0);
        rest.get(..end)
    }
}

impl<'de> DeserializeSeed<'de> for ImageUrl {
    type Value = Option<Cow<'de, str>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ImageUrl {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL or an object with a `url`")
    }
    fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
        Ok(Self::media(s).map(Cow::Borrowed))
    }
    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(Self::media(s).map(|m| Cow::Owned(m.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut media = None;
        while let Some(key) = map.next_key_seed(Text)? {
            if key == "url" {
                media = map.next_value_seed(Self)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(media)
    }
}

/// An Anthropic source. Gives the media type of inline data.
struct Source<'r> {
    path: &'r mut Path,
}

impl<'de> DeserializeSeed<'de> for Source<'_> {
    type Value = Option<Cow<'de, str>>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Source<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source: an object with a `type`")
    }
    /// A search result names its source by a plain string.
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut media = None;
        while let Some(key) = map.next_key_seed(Text)? {
            if key == "media_type" {
                media = self.path.key("media_type", map.next_value_seed(OptionalText))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(media)
    }
}
