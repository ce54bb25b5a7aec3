//! From a request to the plan of its answer.

use serde_json::{Value, json};

use super::Shared;
use crate::ask::{ApiError, Format};
use crate::completion::Completion;
use crate::formats::{self, Events, embeddings};
use crate::script::{self, Behavior, Garbage, Script};
use crate::wire::RequestHead;

/// What is to be sent, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) behavior: Behavior,
    pub(super) reply: Reply,
}

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Reply {
    Whole { status: u16, body: Vec<u8> },
    Stream { events: Events, error: String },
}

const DEFAULT_MODELS: [&str; 3] = ["gpt-upstream", "claude-upstream", "embed-upstream"];

pub(super) fn plan(shared: &Shared, head: &RequestHead, body: &[u8]) -> Plan {
    let path = head.target.split('?').next().unwrap_or_default();
    let anthropic = path.contains("/models") && head.headers.get("anthropic-version").is_some();
    let format = if path.contains("/messages") || anthropic {
        Format::Messages
    } else if path.ends_with("/responses") {
        Format::Responses
    } else {
        Format::Chat
    };
    let planned = match path.strip_prefix("/_scripted/") {
        Some(command) => command_reply(shared, command, body).map(|json| Plan::json(200, &json)),
        None => answer(shared, head, path, format, body),
    };
    planned.unwrap_or_else(|error| Plan::json(error.status, &error.body(format)))
}

// === impl Plan ===

impl Plan {
    fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, body, Behavior::default())
    }

    fn whole(status: u16, body: &Value, behavior: Behavior) -> Self {
        Self {
            behavior,
            reply: Reply::Whole {
                status,
                body: body.to_string().into_bytes(),
            },
        }
    }
}

fn command_reply(shared: &Shared, command: &str, body: &[u8]) -> Result<Value, ApiError> {
    match command {
        "requests" => Ok(shared.show_requests()),
        "counters" => Ok(json!(shared.counters())),
        "reset" => {
            shared.reset();
            Ok(json!({"ok": true}))
        }
        "script" => {
            let script: Script =
                serde_json::from_slice(body).map_err(|e| ApiError::new(400, format!("not a script: {e}")))?;
            shared.state().script = script;
            Ok(json!({"ok": true}))
        }
        _ => Err(ApiError::new(
            404,
            "unknown command; known: requests, counters, reset, script",
        )),
    }
}

fn answer(
    shared: &Shared,
    head: &RequestHead,
    path: &str,
    format: Format,
    body: &[u8],
) -> Result<Plan, ApiError> {
    authorize(shared, head)?;
    if head.method == "GET" {
        return get(shared, path, format).map(|json| Plan::json(200, &json));
    }
    let text = String::from_utf8_lossy(body);
    let body: Value = serde_json::from_str(&text).map_err(|e| {
        ApiError::new(
            400,
            format!("We could not parse the JSON body of your request: {e}"),
        )
    })?;
    let behavior = behavior(shared, head, &body, path, &text)?;
    if let Some(status) = behavior.status {
        let message = behavior
            .message
            .clone()
            .unwrap_or_else(|| format!("scripted status {status}"));
        let error = ApiError::new(status, message).body(format);
        return Ok(Plan::whole(status, &error, behavior));
    }
    let kind = path.rsplit('/').next().unwrap_or_default();
    match kind {
        "embeddings" => embeddings::answer(&body).map(|json| Plan::whole(200, &json, behavior)),
        "count_tokens" => Ok(Plan::whole(
            200,
            &json!({"input_tokens": text.len() / 4}),
            behavior,
        )),
        "completions" | "responses" | "messages" => say(shared, head, format, &body, &text, behavior),
        _ => Err(ApiError::new(
            404,
            format!("Invalid URL ({} {path})", head.method),
        )),
    }
}

fn authorize(shared: &Shared, head: &RequestHead) -> Result<(), ApiError> {
    let state = shared.state();
    let Some(key) = &state.script.key else {
        return Ok(());
    };
    let bearer = head
        .headers
        .get("authorization")
        .and_then(|v| v.strip_prefix("Bearer "));
    if bearer == Some(key) || head.headers.get("x-api-key") == Some(key) {
        return Ok(());
    }
    Err(ApiError::new(401, "Incorrect API key provided."))
}

fn get(shared: &Shared, path: &str, format: Format) -> Result<Value, ApiError> {
    let anthropic = format == Format::Messages;
    let state = shared.state();
    let mut names = state.script.models.clone();
    if names.is_empty() {
        names = DEFAULT_MODELS.map(str::to_owned).to_vec();
    }
    if path.ends_with("/models") {
        return Ok(embeddings::models(&names, anthropic));
    }
    if path.ends_with("/healthz") {
        return Ok(json!({"ok": true}));
    }
    let unknown = || ApiError::new(404, format!("Not found: {path}"));
    let (rest, name) = path.rsplit_once('/').ok_or_else(unknown)?;
    if rest.ends_with("/responses") {
        return state.responses.get(name).cloned().ok_or_else(unknown);
    }
    if rest.ends_with("/models") && names.iter().any(|known| known == name) {
        return Ok(embeddings::model_entry(name, anthropic));
    }
    Err(unknown())
}

/// The behaviour for this request: header, mark in the text, then the script.
fn behavior(
    shared: &Shared,
    head: &RequestHead,
    body: &Value,
    path: &str,
    text: &str,
) -> Result<Behavior, ApiError> {
    let bad = |e: serde_json::Error| ApiError::new(400, format!("bad script in the request: {e}"));
    if let Some(header) = head.headers.get("x-script") {
        return serde_json::from_str(header).map_err(bad);
    }
    if text.contains("[[script:")
        && let Some(marked) = last_marked(body)
    {
        return script::in_text(marked)
            .unwrap_or_else(|| Ok(Behavior::default()))
            .map_err(bad);
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    Ok(shared.state().script.next(model, path, text))
}

/// The last string inside `messages` or `input` that holds a mark.
fn last_marked(body: &Value) -> Option<&str> {
    fn last(value: &Value) -> Option<&str> {
        match value {
            Value::String(text) => text.contains("[[script:").then_some(text),
            Value::Array(items) => items.iter().rev().find_map(last),
            Value::Object(fields) => fields.values().find_map(last),
            _ => None,
        }
    }
    body.get("messages").or(body.get("input")).and_then(last)
}

fn say(
    shared: &Shared,
    head: &RequestHead,
    format: Format,
    body: &Value,
    text: &str,
    behavior: Behavior,
) -> Result<Plan, ApiError> {
    if format == Format::Messages && head.headers.get("anthropic-version").is_none() {
        return Err(ApiError::new(400, "anthropic-version: header is required"));
    }
    let ask = formats::read(format, body)?;
    let id = follow(shared, format, body)?;
    let said = Completion::new(&ask, &behavior, text, id);
    if format == Format::Responses && body.get("store") != Some(&Value::Bool(false)) {
        shared
            .state()
            .responses
            .insert(format!("resp_{id}"), formats::whole(format, &ask, &said));
    }
    if ask.stream {
        let broken = ApiError::new(500, "scripted error in the middle of a stream");
        let error = formats::error_event(format, &broken);
        let mut events = formats::events(format, &ask, &said);
        spoil_events(&mut events, behavior.garbage);
        return Ok(Plan {
            behavior,
            reply: Reply::Stream { events, error },
        });
    }
    let body = spoil_body(formats::whole(format, &ask, &said).to_string(), behavior.garbage);
    Ok(Plan {
        behavior,
        reply: Reply::Whole {
            status: 200,
            body: body.into_bytes(),
        },
    })
}

/// The next running number; an error when the request follows a response that is not stored here.
fn follow(shared: &Shared, format: Format, body: &Value) -> Result<u64, ApiError> {
    let mut state = shared.state();
    if format == Format::Responses
        && let Some(id) = body.get("previous_response_id").and_then(Value::as_str)
        && !state.responses.contains_key(id)
    {
        let reason = format!("Previous response with id '{id}' not found.");
        let error = ApiError::field("previous_response_id", reason);
        return Err(ApiError {
            code: Some("previous_response_not_found"),
            ..error
        });
    }
    state.answers += 1;
    Ok(state.answers)
}

fn spoil_body(body: String, garbage: Option<Garbage>) -> String {
    match garbage {
        Some(Garbage::NotJson) => "<html><body>upstream is unwell</body></html>".to_owned(),
        Some(Garbage::WrongJson) => r#"{"unexpected":true}"#.to_owned(),
        Some(Garbage::TruncatedJson) => body.chars().take(body.chars().count() / 2).collect(),
        Some(Garbage::Empty) => String::new(),
        _ => body,
    }
}

fn spoil_events(events: &mut Events, garbage: Option<Garbage>) {
    match garbage {
        Some(Garbage::NotJson) => {
            events.said.truncate(2);
            events.said.push("data: <html>upstream is unwell\n\n".to_owned());
        }
        Some(Garbage::WrongJson) => {
            events.said.truncate(2);
            events.said.push("data: {\"unexpected\":true}\n\n".to_owned());
        }
        Some(Garbage::TruncatedJson) => {
            events.said.truncate(3);
            if let Some(last) = events.said.last_mut() {
                *last = last.chars().take(last.chars().count() / 2).collect();
            }
        }
        Some(Garbage::Empty) => events.said.clear(),
        _ => return,
    }
    events.closing.clear();
}
