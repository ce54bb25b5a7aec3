//! A quick look at a whole answer that is passed on as it came: is it an answer at all, and what did it use?

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{BadAnswer, Format, Usage, usage::Wire};

/// Looks at an answer of `format`: one pass that skips its content. Gives the tokens used, where it says so.
///
/// # Errors
/// [`BadAnswer`] where it is no answer: not JSON (or cut off), an error object, without `choices`, `output` or `content`.
pub fn glance(format: Format, body: &[u8]) -> Result<Option<Usage>, BadAnswer> {
    let seen: Glance =
        serde_json::from_slice(body).map_err(|e| BadAnswer::new(&format!("it is not an answer: {e}")))?;
    let (there, needed) = match format {
        Format::Chat => (seen.choices, "choices"),
        Format::Responses => (seen.output, "output"),
        Format::Messages => (seen.content, "content"),
    };
    match (seen.error, there) {
        (true, _) => Err(BadAnswer::new("it is an error object under a status of success")),
        (false, false) => Err(BadAnswer::new(&format!("it has no `{needed}`"))),
        (false, true) => Ok(seen.usage.map(|wire| wire.usage(format))),
    }
}

/// What is looked at.
#[derive(Default)]
struct Glance {
    choices: bool,
    output: bool,
    content: bool,
    error: bool,
    usage: Option<Wire>,
}

/// Whether an array has something in it.
struct Filled(bool);

/// Whether a value is there and not null.
struct There(bool);

impl<'de> Deserialize<'de> for Glance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Glance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Glance, A::Error> {
                let mut seen = Glance::default();
                while let Some(key) = map.next_key::<crate::fields::Str<'de>>()? {
                    match key.0.as_ref() {
                        "choices" => seen.choices = map.next_value::<Filled>()?.0,
                        "output" => {
                            map.next_value::<Filled>()?;
                            seen.output = true;
                        }
                        "content" => {
                            map.next_value::<Filled>()?;
                            seen.content = true;
                        }
                        "error" => seen.error = map.next_value::<There>()?.0,
                        "usage" => seen.usage = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(seen)
            }
        }
        from.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Filled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Filled, A::Error> {
                let mut filled = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    filled = true;
                }
                Ok(Filled(filled))
            }
        }
        from.deserialize_seq(Items)
    }
}

impl<'de> Deserialize<'de> for There {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<IgnoredAny>::deserialize(from)?.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_pass_with_their_usage() {
        let chat = br#"{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        assert_eq!(
            glance(Format::Chat, chat).unwrap().map(|u| (u.input, u.output)),
            Some((3, 2))
        );
        let messages =
            br#"{"content":[],"usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":4}}"#;
        assert_eq!(
            glance(Format::Messages, messages)
                .unwrap()
                .map(|u| (u.input, u.cached_input)),
            Some((7, 4))
        );
        let responses = br#"{"output":[],"error":null}"#;
        assert_eq!(glance(Format::Responses, responses).unwrap(), None);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, told) in [
            (&b"<html>"[..], "it is not an answer"),
            (br#"{"choices":[{"mess"#, "it is not an answer"),
            (br#"{"choices":"none"}"#, "expected an array"),
            (br#"{"choices":[]}"#, "it has no `choices`"),
            (br#"{"object":"chat.completion"}"#, "it has no `choices`"),
            (br#"{"error":{"message":"boom"},"choices":[1]}"#, "error object"),
            (br#"[1]"#, "expected a JSON object"),
        ] {
            let bad = glance(Format::Chat, body).unwrap_err().to_string();
            assert!(bad.contains(told), "{bad}");
        }
    }
}
