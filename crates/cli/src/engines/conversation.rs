//! A conversation of any client format as a request to a local model.

use fingerpost_core::Role as From;
use fingerpost_local::{Constraint, Message, Request, Role, Sampling, Tool, ToolCall, ToolChoice};
use fingerpost_protocol::{
    Conversation, ErrorBody, ErrorKind,
    conversation::{self, OutputFormat, PartContent, ToolKind},
};
use serde_json::{Value, value::RawValue};

/// What the brief manner says before everything else.
const BRIEFLY: &str = "Answer in one or two short sentences.";
/// Most tokens of a brief answer whose request names no limit.
const BRIEF_TOKENS: usize = 80;

/// What is taken where the client says nothing: a small model rambles at the usual temperature of 1.
const TEMPERATURE: f32 = 0.2;
/// Likewise.
const TOP_P: f32 = 0.9;

/// The request, or why a local model cannot take it.
pub(super) fn request(conversation: &Conversation<'_>, brief: bool) -> Result<Request, ErrorBody> {
    if conversation.sampling.answers.is_some_and(|answers| answers > 1) {
        return Err(refused("n", "a local model gives one answer at a time"));
    }
    let mut messages = Vec::with_capacity(conversation.messages.len() + usize::from(brief));
    let mut called = Vec::new();
    for (i, message) in conversation.messages.iter().enumerate() {
        speak(message, &messages_field(i), &mut called, &mut messages)?;
    }
    let mut sampling = sampling(conversation)?;
    let constraint = constraint(conversation)?;
    // Where a form is asked for, the form rules.
    if brief && constraint == Constraint::None {
        instruct(&mut messages);
        sampling.max_tokens.get_or_insert(BRIEF_TOKENS);
    }
    Ok(Request {
        messages,
        sampling,
        constraint,
    })
}

fn messages_field(index: usize) -> String {
    format!("messages[{index}]")
}

/// Puts the instruction into the system text, or before everything where there is none: chat templates know one system text.
fn instruct(messages: &mut Vec<Message>) {
    match messages
        .first_mut()
        .filter(|message| message.role == Role::System)
    {
        Some(system) => system.text.push_str(&format!("\n{BRIEFLY}")),
        None => messages.insert(0, Message::system(BRIEFLY)),
    }
}

/// Adds what one message of the client says: one message, but one for each tool result. `called` are the calls so far, by id and
/// name of the tool.
fn speak<'a>(
    message: &'a conversation::Message<'_>,
    field: &str,
    called: &mut Vec<(&'a str, &'a str)>,
    into: &mut Vec<Message>,
) -> Result<(), ErrorBody> {
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for part in &message.parts {
        match &part.content {
            PartContent::Text(text) | PartContent::Refusal(text) => texts.push(text.as_ref()),
            PartContent::ToolCall(call) => {
                called.push((&call.id, &call.name));
                calls.push(ToolCall {
                    name: call.name.to_string(),
                    arguments: call.arguments.to_string(),
                });
            }
            PartContent::ToolResult { id, content, .. } => {
                let results: Vec<&str> = content.iter().filter_map(conversation::Part::as_text).collect();
                let mut result = Message::from_parts(Role::Tool, &results);
                result.tool = called
                    .iter()
                    .find(|(known, _)| known == id)
                    .map(|(_, name)| (*name).to_owned());
                into.push(result);
            }
            PartContent::Image { .. } => return Err(refused(field, "a local model reads no images")),
            PartContent::Audio { .. } => return Err(refused(field, "a local model hears no audio")),
            PartContent::File { .. } => return Err(refused(field, "a local model reads no files")),
            // Thoughts of other models, and what is not known here, say nothing to this one.
            _ => {}
        }
    }
    let role = match message.role {
        From::System | From::Developer => Role::System,
        From::User => Role::User,
        From::Assistant => Role::Assistant,
        From::Tool => Role::Tool,
    };
    let carries_results_only = texts.is_empty() && calls.is_empty() && !message.parts.is_empty();
    if !carries_results_only {
        let mut said = Message::from_parts(role, &texts);
        said.calls = calls;
        into.push(said);
    }
    Ok(())
}

fn sampling(conversation: &Conversation<'_>) -> Result<Sampling, ErrorBody> {
    let asked = &conversation.sampling;
    let default = Sampling::default();
    #[allow(clippy::cast_possible_truncation, reason = "settings between -2 and 5")]
    let number = |value: Option<f64>, default: f32| value.map_or(default, |value| value as f32);
    let count = |value: Option<u32>| value.map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let top = asked
        .top_logprobs
        .map_or(0, |top| usize::try_from(top).unwrap_or(usize::MAX));
    Ok(Sampling {
        temperature: number(asked.temperature, TEMPERATURE),
        top_p: number(asked.top_p, TOP_P),
        top_k: count(asked.top_k),
        presence_penalty: number(asked.presence_penalty, default.presence_penalty),
        frequency_penalty: number(asked.frequency_penalty, default.frequency_penalty),
        seed: asked.seed.map(seed).transpose()?.flatten(),
        max_tokens: count(conversation.max_output),
        stop: asked.stop.iter().map(ToString::to_string).collect(),
        logprobs: asked.logprobs.then_some(top),
    })
}

/// A seed is any whole number; negative ones too.
fn seed(raw: &RawValue) -> Result<Option<u64>, ErrorBody> {
    let value: Value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    match (&value, value.as_u64(), value.as_i64()) {
        (Value::Null, ..) => Ok(None),
        (_, Some(seed), _) => Ok(Some(seed)),
        (_, _, Some(seed)) => Ok(Some(seed.cast_unsigned())),
        _ => Err(refused("seed", &format!("expected a whole number, found {raw}"))),
    }
}

fn constraint(conversation: &Conversation<'_>) -> Result<Constraint, ErrorBody> {
    use conversation::ToolChoice as Asked;
    let mut tools = Vec::with_capacity(conversation.tools.len());
    for tool in &conversation.tools {
        match &tool.kind {
            ToolKind::Function {
                name,
                description,
                parameters,
                ..
            } => tools.push(Tool {
                name: name.to_string(),
                description: description.as_ref().map(ToString::to_string),
                parameters: json(*parameters, "tools")?,
            }),
            ToolKind::Other { kind, .. } => {
                return Err(refused(
                    "tools",
                    &format!("a local model has no tools of type `{kind}`, only functions"),
                ));
            }
            _ => {}
        }
    }
    let choice = match &conversation.tool_choice {
        None | Some(Asked::Auto) => (!tools.is_empty()).then_some(ToolChoice::Auto),
        Some(Asked::None) => None,
        Some(Asked::Required) => Some(ToolChoice::Required),
        Some(Asked::Named(name)) => Some(ToolChoice::Named(name.to_string())),
        Some(Asked::Allowed { required, names }) => {
            tools.retain(|tool| names.iter().any(|name| *name == tool.name));
            Some(if *required {
                ToolChoice::Required
            } else {
                ToolChoice::Auto
            })
        }
    };
    match (choice, &conversation.output) {
        (Some(choice), _) => Ok(Constraint::ToolCall { tools, choice }),
        (None, OutputFormat::Text) => Ok(Constraint::None),
        (None, OutputFormat::Json) => Ok(Constraint::JsonObject),
        (None, OutputFormat::Schema { schema, .. }) => {
            json(Some(*schema), "response_format").map(Constraint::JsonSchema)
        }
    }
}

fn json(raw: Option<&RawValue>, field: &str) -> Result<Value, ErrorBody> {
    raw.map_or(Ok(Value::Null), |raw| {
        serde_json::from_str(raw.get())
            .map_err(|error| refused(field, &format!("not a JSON schema: {error}")))
    })
}

fn refused(field: &str, message: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::InvalidRequest, message).param(field)
}

#[cfg(test)]
mod tests {
    use fingerpost_protocol::Format;

    use super::*;

    fn read(body: &str, brief: bool) -> Result<Request, ErrorBody> {
        let conversation = Conversation::read(Format::Chat, body.as_bytes()).unwrap();
        request(&conversation, brief)
    }

    #[test]
    fn a_chat_request_as_the_model_takes_it() {
        let request = read(
            r#"{"model":"m","messages":[{"role":"developer","content":"Be kind."},{"role":"user","content":[
                {"type":"text","text":"a"},{"type":"text","text":"b"}]}],
                "temperature":0,"top_p":0.5,"max_tokens":7,"seed":-1,"stop":["x","y"]}"#,
            false,
        )
        .unwrap();
        assert_eq!(
            request.messages,
            [Message::system("Be kind."), Message::user("a\nb")]
        );
        let sampling = &request.sampling;
        assert_eq!(
            (sampling.temperature, sampling.top_p, sampling.max_tokens),
            (0.0, 0.5, Some(7))
        );
        assert_eq!(
            (sampling.seed, sampling.stop.as_slice()),
            (Some(u64::MAX), &["x".to_owned(), "y".to_owned()][..])
        );
        assert_eq!(request.constraint, Constraint::None);
    }

    #[test]
    fn the_brief_manner_adds_one_instruction_and_a_limit() {
        let request = read(
            r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
            true,
        )
        .unwrap();
        assert_eq!(request.messages, [Message::system(BRIEFLY), Message::user("a")]);
        assert_eq!(request.sampling.max_tokens, Some(BRIEF_TOKENS));
        assert_eq!(
            (request.sampling.temperature, request.sampling.top_p),
            (TEMPERATURE, TOP_P)
        );
        let body = r#"{"model":"m","max_tokens":500,"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}"#;
        let request = read(body, true).unwrap();
        assert_eq!(request.messages[0], Message::system(format!("s\n{BRIEFLY}")));
        assert_eq!(request.sampling.max_tokens, Some(500));
        let body = r#"{"model":"m","response_format":{"type":"json_object"},"messages":[{"role":"user","content":"a"}]}"#;
        let request = read(body, true).unwrap();
        assert_eq!(
            (request.messages.len(), request.constraint),
            (1, Constraint::JsonObject)
        );
    }

    #[test]
    fn tools_and_their_results() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"w"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"rain"}],
            "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"required"}"#;
        let request = read(body, false).unwrap();
        let called = &request.messages[1].calls[0];
        assert_eq!((called.name.as_str(), called.arguments.as_str()), ("f", "{}"));
        assert_eq!(request.messages[2], Message::tool(Some("f".to_owned()), "rain"));
        let Constraint::ToolCall { tools, choice } = request.constraint else {
            panic!("no tool call asked for")
        };
        assert_eq!((tools.len(), choice), (1, ToolChoice::Required));
    }

    #[test]
    fn what_the_model_cannot_do_is_refused_by_field() {
        let image = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}]}"#;
        let error = read(image, false).unwrap_err();
        assert_eq!((error.status, error.param.as_deref()), (400, Some("messages[0]")));
        let several = r#"{"model":"m","n":2,"messages":[{"role":"user","content":"a"}]}"#;
        assert_eq!(read(several, false).unwrap_err().param.as_deref(), Some("n"));
        let seed = r#"{"model":"m","seed":1.5,"messages":[{"role":"user","content":"a"}]}"#;
        assert_eq!(read(seed, false).unwrap_err().param.as_deref(), Some("seed"));
    }
}
