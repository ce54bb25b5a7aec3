//! The tools that a request offers: what they say, which ones the conversation cannot do without, and the request without some of
//! them. In all three formats; every other byte of the body stays as it is.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Format,
    conversation::{Conversation, PartContent, ToolChoice, ToolKind},
};

/// The tools of one request, in its order.
#[derive(Debug, Clone)]
pub struct Tools<'a> {
    body: &'a str,
    raw: Vec<&'a RawValue>,
    offers: Vec<ToolOffer>,
}

/// One tool as a request offers it. Its texts are untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOffer {
    /// Its name; `None` for tools of the provider and tools of free text.
    pub name: Option<String>,
    /// Its name, description, and the names and descriptions of its arguments, up to some thousand bytes.
    pub text: String,
    /// Whether the request cannot do without it: it was called before, `tool_choice` names it, or a cache marker ends with it.
    pub pinned: bool,
}

/// Bytes of a tool's text.
const LONGEST: usize = 4000;
/// How deep schemas are looked into.
const DEEPEST: usize = 8;

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

// === impl Tools ===

impl<'a> Tools<'a> {
    /// Reads the tools of a request; `None` where it has none, or is not understood: then it is left as it is.
    pub fn read(format: Format, body: &'a [u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let Top { tools: raw } = serde_json::from_str(body).ok()?;
        let conversation = Conversation::read(format, body.as_bytes()).ok()?;
        if raw.is_empty() || conversation.tools.len() < raw.len() {
            return None;
        }
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        for part in conversation.messages.iter().flat_map(|m| &m.parts) {
            if let PartContent::ToolCall(call) = &part.content {
                wanted.insert(&call.name);
            }
        }
        match &conversation.tool_choice {
            Some(ToolChoice::Named(name)) => {
                wanted.insert(name);
            }
            Some(ToolChoice::Allowed { names, .. }) => wanted.extend(names.iter().map(AsRef::as_ref)),
            Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Required) | None => {}
        }
        let offer = |tool: &crate::conversation::Tool<'_>| match &tool.kind {
            ToolKind::Function {
                name,
                description,
                parameters,
                ..
            } => ToolOffer {
                name: Some(name.to_string()),
                text: text(name, description.as_deref(), *parameters),
                pinned: wanted.contains(name.as_ref()) || tool.cache_control.is_some(),
            },
            ToolKind::Other { kind, .. } => ToolOffer {
                name: None,
                text: kind.to_string(),
                pinned: true,
            },
        };
        let offers = conversation.tools.iter().take(raw.len()).map(offer).collect();
        Some(Self { body, raw, offers })
    }

    /// What they say.
    pub fn offers(&self) -> &[ToolOffer] {
        &self.offers
    }

    /// The body with those tools only for which `kept` says so; tools that it does not speak of stay.
    pub fn keeping(&self, kept: &[bool]) -> Vec<u8> {
        let place = |raw: &RawValue| raw.get().as_ptr() as usize - self.body.as_ptr() as usize;
        let (Some(first), Some(last)) = (self.raw.first(), self.raw.last()) else {
            return self.body.as_bytes().to_vec();
        };
        let (from, to) = (place(first), place(last) + last.get().len());
        let mut body = String::with_capacity(self.body.len());
        body.push_str(&self.body[..from]);
        let stays = |(i, _): &(usize, &&RawValue)| kept.get(*i).copied().unwrap_or(true);
        for (i, (_, raw)) in self.raw.iter().enumerate().filter(stays).enumerate() {
            if i > 0 {
                body.push(',');
            }
            body.push_str(raw.get());
        }
        body.push_str(&self.body[to..]);
        body.into_bytes()
    }
}

/// What a tool says of itself. Names are cut into their words, which is how people speak of them.
fn text(name: &str, description: Option<&str>, parameters: Option<&RawValue>) -> String {
    let mut text = name.to_owned();
    text.push(' ');
    text.push_str(&words(name));
    if let Some(said) = description {
        text.push_str(". ");
        text.push_str(said);
    }
    if let Some(schema) = parameters.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()) {
        arguments(&schema, DEEPEST, &mut text);
    }
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// The words of `get_weatherForCity`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut lower = false;
    for c in name.chars() {
        if c.is_uppercase() && lower {
            words.push(' ');
        }
        lower = c.is_lowercase();
        words.push(if c.is_alphanumeric() { c } else { ' ' });
    }
    words
}

fn arguments(schema: &Value, depth: usize, text: &mut String) {
    if depth == 0 || text.len() > LONGEST {
        return;
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            text.push_str(". ");
            text.push_str(&words(name));
            if let Some(description) = property["description"].as_str() {
                text.push_str(": ");
                text.push_str(description);
            }
            arguments(property, depth - 1, text);
        }
    }
    if schema["items"].is_object() {
        arguments(&schema["items"], depth - 1, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, body: &str) -> Option<(Vec<ToolOffer>, String)> {
        let tools = Tools::read(format, body.as_bytes())?;
        let kept: Vec<bool> = tools.offers().iter().map(|t| t.pinned).collect();
        Some((
            tools.offers().to_vec(),
            String::from_utf8(tools.keeping(&kept)).unwrap(),
        ))
    }

    #[test]
    fn chat_tools_that_were_called_or_chosen_stay_and_all_other_bytes_with_them() {
        let body = r#"{ "x_mine": {"tools": [1]}, "messages":[{"role":"user","content":"hi"},
            {"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"b","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"x"}],
            "tools" : [ {"type":"function","function":{"name":"a"}} , {"type":"function","function":{"name":"b"},"y":1.50}, {"type":"function","function":{"name":"c"}} ],
            "tool_choice":{"type":"function","function":{"name":"c"}}, "model":"m"}"#;
        let (offers, kept) = read(Format::Chat, body).unwrap();
        assert_eq!(
            offers.iter().map(|o| o.pinned).collect::<Vec<_>>(),
            [false, true, true]
        );
        let gone = r#"{"type":"function","function":{"name":"a"}} , "#;
        let expected = body
            .replace(gone, "")
            .replace(r#""y":1.50}, {"#, r#""y":1.50},{"#);
        assert_eq!(kept, expected);
    }

    #[test]
    fn messages_tools_are_read_with_their_arguments() {
        let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"},
            {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"find_order","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}],
            "tools":[{"name":"getWeather","description":"The weather","input_schema":{"type":"object","properties":{"city_name":{"type":"string","description":"Which city"}}}},
            {"name":"find_order","input_schema":{"type":"object"}},
            {"name":"marked","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},
            {"type":"web_search_20250305","name":"web_search"}]}"#;
        let (offers, kept) = read(Format::Messages, body).unwrap();
        assert_eq!(
            offers[0].text,
            "getWeather get Weather. The weather. city name: Which city"
        );
        assert_eq!(
            offers.iter().map(|o| o.pinned).collect::<Vec<_>>(),
            [false, true, true, true]
        );
        assert_eq!(offers[3].name, None);
        assert!(
            !kept.contains("getWeather")
                && kept.contains("web_search")
                && kept.ends_with("\"web_search\"}]}")
        );
    }

    #[test]
    fn responses_tools_and_allowed_ones() {
        let body = r#"{"input":[{"type":"function_call","call_id":"1","name":"a","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"x"},
            {"role":"user","content":"more"}],"model":"m",
            "tools":[{"type":"function","name":"a","parameters":{}},{"type":"function","name":"b","parameters":{}},{"type":"function","name":"c","parameters":{}},{"type":"file_search","vector_store_ids":[]}],
            "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"c"}]}}"#;
        let (offers, _) = read(Format::Responses, body).unwrap();
        assert_eq!(
            offers.iter().map(|o| o.pinned).collect::<Vec<_>>(),
            [true, false, true, true]
        );
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for body in [
            "",
            "{}",
            r#"{"messages":[{"role":"user","content":"x"}],"tools":[]}"#,
            r#"{"messages":[{"role":"user","content":"x"}],"tools":7}"#,
            r#"{"messages":[{"role":"user","content":"x"}],"tools":[7]}"#,
            r#"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a"}}],"tools":[]}"#,
        ] {
            assert!(Tools::read(Format::Chat, body.as_bytes()).is_none(), "{body}");
        }
        let tools = Tools::read(Format::Chat, br#"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a"}}]}"#);
        assert!(
            String::from_utf8(tools.unwrap().keeping(&[false]))
                .unwrap()
                .ends_with("\"tools\":[]}")
        );
    }
}
