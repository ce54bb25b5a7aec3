//! Messages of an agent's run, as chat APIs carry them.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// One message. Two are equal if role, text, tool calls, the answered call and the name are; cache marks do not count.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: String,
    #[serde(default)]
    content: Content,
    /// What the assistant wants run.
    #[serde(default, deserialize_with = "null_is_none")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's message answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Who speaks, where that is said.
    #[serde(default)]
    pub name: Option<String>,
}

/// A call of a tool, with whatever fields it came with.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall(Value);

/// Text, or blocks of which some have text.
#[derive(Debug, Clone, Default)]
struct Content {
    /// The texts of the blocks; one for a string, even an empty one.
    texts: Vec<String>,
}

fn null_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

// === impl Message ===

impl Message {
    /// A message of text alone.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Content {
                texts: vec![text.into()],
            },
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// Its text: blocks are joined by line feeds.
    pub fn text(&self) -> String {
        self.content.texts.join("\n")
    }

    /// What is counted of it: its text, then name and arguments of each call, joined by line feeds.
    pub fn counted_text(&self) -> String {
        let calls = self.tool_calls.iter().flat_map(ToolCall::parts);
        let parts: Vec<&str> = self
            .content
            .texts
            .iter()
            .map(String::as_str)
            .chain(calls)
            .collect();
        parts.join("\n")
    }
}

// === impl ToolCall ===

impl ToolCall {
    /// The tool's name; empty where none is said.
    pub fn name(&self) -> &str {
        self.field("name")
    }

    /// The arguments, as the text that the model wrote; empty where there are none.
    pub fn arguments(&self) -> &str {
        self.field("arguments")
    }

    fn field(&self, key: &str) -> &str {
        let function = self.0.get("function");
        function
            .and_then(|f| f.get(key))
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        [self.name(), self.arguments()]
            .into_iter()
            .filter(|part| !part.is_empty())
    }
}

impl<'de> Deserialize<'de> for ToolCall {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        if value.get("function").is_none_or(Value::is_object) && value.is_object() {
            Ok(Self(value))
        } else {
            Err(D::Error::custom(
                "a tool call is an object with an object `function`",
            ))
        }
    }
}

// === impl Content ===

/// Only the joined text counts when messages are compared.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts || self.texts.join("\n") == other.texts.join("\n")
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(from)? {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text],
            Value::Array(blocks) => blocks
                .into_iter()
                .filter_map(|mut block| match block.get_mut("text").map(Value::take) {
                    Some(Value::String(text)) if !text.is_empty() => Some(text),
                    _ => None,
                })
                .collect(),
            _ => {
                return Err(D::Error::custom("content is a text, a list of blocks, or null"));
            }
        };
        Ok(Self { texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Message {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn calls_are_counted_with_the_text_and_an_empty_text_keeps_its_line() {
        let call = r#""tool_calls":[{"id":"c","function":{"name":"run","arguments":"{}"}}]"#;
        let with = |content: &str| read(&format!(r#"{{"role":"assistant",{content}{call}}}"#)).counted_text();
        assert_eq!(with(r#""content":"go","#), "go\nrun\n{}");
        assert_eq!(with(r#""content":"","#), "\nrun\n{}");
        assert_eq!(with(r#""content":null,"#), "run\n{}");
        assert_eq!(with(""), "run\n{}");
    }

    #[test]
    fn blocks_are_compared_as_the_text_they_are() {
        let blocks = r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"image"},{"text":"b"}]}"#;
        assert_eq!(read(blocks), Message::new("user", "a\nb"));
        assert_ne!(read(blocks), Message::new("tool", "a\nb"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            r#"{"content":"x"}"#,
            r#"{"role":"user","content":3}"#,
            r#"{"role":"user","tool_calls":[7]}"#,
            r#"{"role":"user","tool_calls":[{"function":"f"}]}"#,
        ] {
            assert!(serde_json::from_str::<Message>(bad).is_err(), "{bad}");
        }
    }
}
