//! The ChatML prompt.
//!
//! `<|im_start|>ROLE\nTEXT<|im_end|>\n` per message, then `<|im_start|>assistant\n` for the answer. The small models
//! at hand know the roles system, user and assistant only, so the result of a tool is told by the user's turn, and
//! an earlier call by the assistant's, as the same JSON that a new call would have. No system message is invented:
//! what the operator did not say is not said.

use std::fmt::Write;

use crate::text_model::{Constraint, Message, Role, Tool, ToolCall, ToolChoice};
use crate::tokenizer::Tokenizer;

/// Schemas longer than this are not shown to the model: the mask enforces them anyway, and a small model is only
/// confused by pages of schema.
const SHOWN_SCHEMA: usize = 1_500;

/// The tokens of the prompt.
pub(crate) fn prompt(tokenizer: &Tokenizer, messages: &[Message], constraint: &Constraint) -> Vec<u32> {
    let mut tokens = Vec::new();
    let line_break = tokenizer.encode("\n");
    for (role, text) in turns(messages, constraint) {
        tokens.push(tokenizer.start);
        tokens.extend(tokenizer.encode(&format!("{role}\n{text}")));
        tokens.push(tokenizer.end);
        tokens.extend(&line_break);
    }
    tokens.push(tokenizer.start);
    tokens.extend(tokenizer.encode("assistant\n"));
    tokens
}

/// The turns as the model is to see them.
fn turns(messages: &[Message], constraint: &Constraint) -> Vec<(&'static str, String)> {
    let mut turns: Vec<(&'static str, String)> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        let role = match message.role {
            Role::System => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let mut text = String::new();
        if message.role == Role::Tool {
            match &message.tool {
                Some(name) => text.push_str(&format!("The function {name} answered: ")),
                None => text.push_str("The function answered: "),
            }
        }
        text.push_str(&message.text);
        for call in &message.calls {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&call_text(call));
        }
        turns.push((role, text));
    }
    if let Some(hint) = hint(constraint) {
        match turns.first_mut() {
            Some(("system", text)) => {
                text.push_str("\n\n");
                text.push_str(&hint);
            }
            _ => turns.insert(0, ("system", hint)),
        }
    }
    turns
}

/// A call as the model writes it.
fn call_text(call: &ToolCall) -> String {
    let name = serde_json::Value::from(call.name.as_str());
    format!("{{\"name\": {name}, \"arguments\": {}}}", call.arguments)
}

/// What the model is told about the form of its answer.
fn hint(constraint: &Constraint) -> Option<String> {
    match constraint {
        Constraint::None => None,
        Constraint::JsonObject => Some("Answer with a JSON object.".to_owned()),
        Constraint::JsonSchema(schema) => {
            let schema = schema.to_string();
            Some(if schema.len() <= SHOWN_SCHEMA {
                format!("Answer with JSON that follows this schema: {schema}")
            } else {
                "Answer with JSON.".to_owned()
            })
        }
        Constraint::ToolCall { tools, .. } if tools.is_empty() => None,
        Constraint::ToolCall { tools, choice } => {
            let mut text = "You can call these functions:\n".to_owned();
            for tool in tools
                .iter()
                .filter(|tool| !matches!(choice, ToolChoice::Named(name) if *name != tool.name))
            {
                describe(tool, &mut text);
            }
            text.push_str(match choice {
                ToolChoice::Auto => "To call one, answer only with ",
                ToolChoice::Required | ToolChoice::Named(_) => "Call one of them: answer only with ",
            });
            text.push_str("{\"name\": \"FUNCTION\", \"arguments\": {...}}");
            Some(text)
        }
    }
}

fn describe(tool: &Tool, into: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(into, "{}", tool.name);
    if let Some(description) = &tool.description {
        let _ = write!(into, ": {description}");
    }
    let parameters = tool.parameters.to_string();
    if !tool.parameters.is_null() && parameters.len() <= SHOWN_SCHEMA {
        let _ = write!(into, " Arguments: {parameters}");
    }
    into.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_and_results_are_folded_into_the_known_roles() {
        let call = ToolCall {
            name: "add".to_owned(),
            arguments: "{\"a\": 1}".to_owned(),
        };
        let messages = [
            Message::system("Be brief."),
            Message::from_parts(Role::User, ["one", "two"]),
            Message {
                calls: vec![call],
                ..Message::assistant("")
            },
            Message::tool(Some("add".to_owned()), "3"),
            Message::tool(None, "4"),
        ];
        let expected = [
            ("system", "Be brief."),
            ("user", "one\ntwo"),
            ("assistant", "{\"name\": \"add\", \"arguments\": {\"a\": 1}}"),
            ("user", "The function add answered: 3"),
            ("user", "The function answered: 4"),
        ];
        let found = turns(&messages, &Constraint::None);
        assert_eq!(
            found
                .iter()
                .map(|(role, text)| (*role, text.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn a_hint_goes_into_the_system_turn_or_makes_one() {
        let schema = Constraint::JsonSchema(json!({"type": "object"}));
        let with = turns(&[Message::system("Be brief."), Message::user("hi")], &schema);
        assert_eq!(with.len(), 2);
        assert!(
            with[0]
                .1
                .starts_with("Be brief.\n\nAnswer with JSON that follows"),
            "{:?}",
            with[0]
        );
        let without = turns(&[Message::user("hi")], &schema);
        assert_eq!((without.len(), without[0].0), (2, "system"));
    }

    #[test]
    fn a_named_tool_is_the_only_one_shown() {
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            description: None,
            parameters: json!({}),
        };
        let tools = vec![tool("first"), tool("second")];
        let named = Constraint::ToolCall {
            tools,
            choice: ToolChoice::Named("second".to_owned()),
        };
        let text = hint(&named).unwrap();
        assert!(text.contains("second") && !text.contains("first"), "{text}");
    }
}
