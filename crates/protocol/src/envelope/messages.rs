//! The list of messages (Chat, Messages) or items (Responses).

use std::{borrow::Cow, fmt};

use fingerpost_core::{Role, Turn};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::content::{Content, OptionalText, Text};
use crate::{Format, bad_request::Path};

/// Reads the messages into turns.
pub(super) struct Messages<'r, 'de> {
    pub(super) format: Format,
    pub(super) path: &'r mut Path,
    pub(super) turns: &'r mut Vec<Turn<'de>>,
}

/// Reads one message or item.
struct Message<'r, 'de>(Messages<'r, 'de>);

/// Counts the elements of an array; `null` counts as none.
pub(super) struct Count;

// === impl Messages ===

impl<'de> Messages<'_, 'de> {
    fn reborrow(&mut self) -> Messages<'_, 'de> {
        Messages {
            format: self.format,
            path: self.path,
            turns: self.turns,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Messages<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        match self.format {
            Format::Responses => d.deserialize_any(self),
            Format::Chat | Format::Messages => d.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Messages<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.format {
            Format::Responses => "a string or an array of items",
            Format::Chat | Format::Messages => "an array of messages",
        })
    }
    fn visit_borrowed_str<E: de::Error>(self, s: &'de str) -> Result<(), E> {
        self.turns.push(user(Cow::Borrowed(s)));
        Ok(())
    }
    fn visit_str<E: de::Error>(self, s: &str) -> Result<(), E> {
        self.turns.push(user(Cow::Owned(s.to_owned())));
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let message = seq.next_element_seed(Message(self.reborrow()));
            if self.path.index(index, message)?.is_none() {
                break;
            }
            index += 1;
        }
        if index == 0 && self.format != Format::Responses {
            return Err(de::Error::invalid_value(
                Unexpected::Other("an empty array"),
                &"at least one message",
            ));
        }
        Ok(())
    }
}

fn user(text: Cow<'_, str>) -> Turn<'_> {
    Turn {
        texts: vec![text],
        ..Turn::default()
    }
}

// === impl Message ===

impl<'de> DeserializeSeed<'de> for Message<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.format {
            Format::Responses => "an item: an object with a `type` or a `role`",
            Format::Chat | Format::Messages => "a message: an object with `role` and `content`",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Messages { format, path, turns } = self.0;
        let mut turn = Turn::default();
        let mut results = Vec::new();
        let mut role = None;
        let mut kind: Option<Cow<'de, str>> = None;
        let mut content = false;
        let mut calls = 0;
        while let Some(key) = map.next_key_seed(Text)? {
            match key.as_ref() {
                "role" => role = Some(path.key("role", map.next_value_seed(RoleName(format)))?),
                "content" => {
                    content = read_content(&mut map, format, path, &mut turn, &mut results, "content")?;
                }
                "tool_calls" if format == Format::Chat => {
                    calls = path.key("tool_calls", map.next_value_seed(Count))?;
                }
                "type" if format == Format::Responses => {
                    kind = path.key("type", map.next_value_seed(OptionalText))?;
                }
                "output" if format == Format::Responses => {
                    let mut unread = Path::default();
                    read_content(&mut map, format, &mut unread, &mut turn, &mut results, "output")?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if format == Format::Responses && kind.as_deref().is_some_and(|k| k != "message") {
            item(kind.as_deref().unwrap_or_default(), turn, turns);
            return Ok(());
        }
        let Some(role) = role else {
            return path.key(
                "role",
                Err(de::Error::custom(format_args!(
                    "missing; allowed: {}",
                    roles(format)
                ))),
            );
        };
        let silent = role == Role::Assistant;
        if !content && !silent {
            return path.key(
                "content",
                Err(de::Error::custom(
                    "missing; allowed: a string or an array of parts",
                )),
            );
        }
        turn.role = role;
        turn.tool_calls += calls;
        turn.tool_results = u32::from(role == Role::Tool);
        let only_results =
            !results.is_empty() && turn.texts.is_empty() && turn.images + turn.audio + turn.tool_calls == 0;
        turns.append(&mut results);
        if !only_results {
            turns.push(turn);
        }
        Ok(())
    }
}

/// An item of Responses that is no message.
fn item<'de>(kind: &str, mut turn: Turn<'de>, turns: &mut Vec<Turn<'de>>) {
    match kind {
        "function_call_output"
        | "custom_tool_call_output"
        | "mcp_call_output"
        | "computer_call_output"
        | "local_shell_call_output"
        | "shell_call_output"
        | "apply_patch_call_output" => {
            turn.role = Role::Tool;
            turn.tool_results = 1;
            turns.push(turn);
        }
        // Calls made in one go are one turn of the assistant, as in the other formats.
        "function_call" | "custom_tool_call" => match turns.last_mut() {
            Some(last) if last.role == Role::Assistant => last.tool_calls += 1,
            _ => turns.push(Turn {
                role: Role::Assistant,
                tool_calls: 1,
                ..Turn::default()
            }),
        },
        // Reasoning, references and the calls of hosted tools say nothing to a router.
        _ => {}
    }
}

fn read_content<'de, A: MapAccess<'de>>(
    map: &mut A,
    format: Format,
    path: &mut Path,
    turn: &mut Turn<'de>,
    results: &mut Vec<Turn<'de>>,
    key: &'static str,
) -> Result<bool, A::Error> {
    let given = map.next_value_seed(Content {
        format,
        path,
        turn,
        results,
    });
    path.key(key, given)
}

/// The name of a role.
struct RoleName(Format);

const fn roles(format: Format) -> &'static str {
    match format {
        Format::Chat => "system, developer, user, assistant, tool, function",
        Format::Responses => "system, developer, user, assistant",
        Format::Messages => "user, assistant, system",
    }
}

impl<'de> DeserializeSeed<'de> for RoleName {
    type Value = Role;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Role, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for RoleName {
    type Value = Role;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(roles(self.0))
    }
    fn visit_str<E: de::Error>(self, s: &str) -> Result<Role, E> {
        Ok(match (s, self.0) {
            ("user", _) => Role::User,
            ("assistant", _) => Role::Assistant,
            ("system", _) => Role::System,
            ("developer", Format::Chat | Format::Responses) => Role::Developer,
            ("tool" | "function", Format::Chat) => Role::Tool,
            _ => return Err(E::invalid_value(Unexpected::Str(s), &self)),
        })
    }
}

// === impl Count ===

impl<'de> DeserializeSeed<'de> for Count {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<u32, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count {
    type Value = u32;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_unit<E>(self) -> Result<u32, E> {
        Ok(0)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u32, A::Error> {
        let mut count = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
