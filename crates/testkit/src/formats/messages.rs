//! Anthropic Messages.

use serde_json::{Value, json};

use super::{Events, named};
use crate::ask::{
    ApiError, Ask, Choice, Tool, content_text, count, flag, model, parts_of_type, required_array, strings,
    text,
};
use crate::completion::{Completion, Finish, argument_pieces};

pub(crate) fn read(body: &Value) -> Result<Ask, ApiError> {
    let model = model(body)?;
    let Some(max_tokens) = count(body, "max_tokens") else {
        return Err(ApiError::field("max_tokens", "max_tokens: Field required"));
    };
    let messages = required_array(body, "messages")?;
    check(messages)?;
    check_limits(body, max_tokens)?;
    let schema = body
        .pointer("/output_config/format/schema")
        .or(body.pointer("/output_format/schema"));
    let mut ask = Ask {
        model,
        stream: flag(body, "stream"),
        tools: tools(body)?,
        choice: choice(body.get("tool_choice")),
        schema: schema.cloned(),
        n: 1,
        max_tokens: Some(max_tokens),
        stop: strings(body.get("stop_sequences")),
        reasoning: matches!(
            body.pointer("/thinking/type").and_then(Value::as_str),
            Some("enabled" | "adaptive")
        ),
        ..Ask::default()
    };
    for message in messages {
        let content = message.get("content");
        ask.images += parts_of_type(content, &["image"]);
        if text(message, "role") != "user" {
            ask.tool_results.clear();
            continue;
        }
        let blocks = content
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let results = blocks.iter().filter(|b| text(b, "type") == "tool_result");
        ask.tool_results = results.map(|b| content_text(b.get("content"))).collect();
        let said = content_text(content);
        if !said.is_empty() {
            ask.text = said;
        }
    }
    Ok(ask)
}

/// Bounds that differ from those of other formats, so that a translation may step over them.
fn check_limits(body: &Value, max_tokens: usize) -> Result<(), ApiError> {
    let refuse = |field: &str, reason: &str| Err(ApiError::field(field, format!("{field}: {reason}")));
    if max_tokens == 0 {
        return refuse("max_tokens", "Input should be greater than or equal to 1");
    }
    if body
        .get("temperature")
        .and_then(Value::as_f64)
        .is_some_and(|t| !(0.0..=1.0).contains(&t))
    {
        return refuse("temperature", "range: 0..1");
    }
    let budget = body.pointer("/thinking/budget_tokens").and_then(Value::as_u64);
    if budget.is_some_and(|budget| budget < 1024 || budget >= max_tokens as u64) {
        return refuse(
            "thinking.budget_tokens",
            "must be at least 1024 and less than max_tokens",
        );
    }
    if body.get("tool_choice").is_some() && body.get("tools").is_none() {
        return refuse("tool_choice", "may only be specified while providing tools");
    }
    Ok(())
}

/// What the real service turns down: other roles, empty content, empty text blocks, a first message that is not the user's, a
/// `tool_use` that the next message does not answer, and a `tool_result` without its `tool_use`.
fn check(messages: &[Value]) -> Result<(), ApiError> {
    let mut open: Vec<&str> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if !matches!(role, "user" | "assistant") {
            let reason = format!("messages.{i}.role: Input should be 'user' or 'assistant', found '{role}'");
            return Err(ApiError::field(format!("messages.{i}.role"), reason));
        }
        if i == 0 && role != "user" {
            return Err(ApiError::field(
                "messages.0",
                "messages: first message must use the \"user\" role",
            ));
        }
        let content = message.get("content");
        let empty = match content {
            Some(Value::String(text)) => text.is_empty() && i + 1 < messages.len(),
            Some(Value::Array(blocks)) => blocks.is_empty(),
            _ => true,
        };
        if empty {
            let field = format!("messages.{i}.content");
            return Err(ApiError::field(
                field.clone(),
                format!("{field}: Input should have content"),
            ));
        }
        let blocks = content
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if blocks
            .iter()
            .any(|b| text(b, "type") == "text" && text(b, "text").is_empty())
        {
            let field = format!("messages.{i}.content");
            return Err(ApiError::field(field, "text content blocks must be non-empty"));
        }
        let ids = |kind: &str, key: &'static str| -> Vec<&str> {
            blocks
                .iter()
                .filter(|b| text(b, "type") == kind)
                .map(|b| text(b, key))
                .collect()
        };
        let answered = ids("tool_result", "tool_use_id");
        if let Some(id) = open.iter().find(|id| !answered.contains(id)) {
            let reason = format!("messages.{i}: `tool_use` id {id} was found without a `tool_result` block");
            return Err(ApiError::field(format!("messages.{i}"), reason));
        }
        if let Some(id) = answered.iter().find(|id| !open.contains(id)) {
            let reason = format!("messages.{i}: unexpected `tool_use_id` {id} in `tool_result` blocks");
            return Err(ApiError::field(format!("messages.{i}"), reason));
        }
        open = ids("tool_use", "id");
    }
    Ok(())
}

fn tools(body: &Value) -> Result<Vec<Tool>, ApiError> {
    let given = body
        .get("tools")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let read = |(i, tool): (usize, &Value)| {
        let name = text(tool, "name");
        let Some(schema) = tool
            .get("input_schema")
            .or(tool.get("type"))
            .filter(|_| !name.is_empty())
        else {
            let field = format!("tools.{i}");
            return Err(ApiError::field(
                field,
                format!("tools.{i}: name and input_schema: Field required"),
            ));
        };
        Ok(Tool {
            name: name.to_owned(),
            schema: schema.clone(),
        })
    };
    given.iter().enumerate().map(read).collect()
}

fn choice(given: Option<&Value>) -> Choice {
    let Some(given) = given else { return Choice::Auto };
    match text(given, "type") {
        "any" => Choice::Required,
        "none" => Choice::Never,
        "tool" => Choice::Named(text(given, "name").to_owned()),
        _ => Choice::Auto,
    }
}

fn stop_reason(said: &Completion) -> &'static str {
    match said.finish {
        Finish::Stop if said.refusal.is_some() => "refusal",
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
    }
}

fn stop_sequence(said: &Completion) -> Option<&str> {
    match &said.finish {
        Finish::StopSequence(text) => Some(text),
        _ => None,
    }
}

/// `input_tokens` counts only what was neither read from nor written to the cache.
fn usage(said: &Completion) -> Value {
    let usage = &said.usage;
    json!({
        "input_tokens": usage.input.saturating_sub(usage.cached + usage.cache_creation),
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_creation,
        "output_tokens": usage.output,
    })
}

fn signature(said: &Completion) -> String {
    format!("sig-{}", said.id)
}

fn text_of(said: &Completion) -> Option<String> {
    said.refusal.clone().or_else(|| said.whole_text())
}

pub(crate) fn whole(said: &Completion) -> Value {
    let mut content = Vec::new();
    if let Some(reasoning) = &said.reasoning {
        content.push(json!({"type": "thinking", "thinking": reasoning, "signature": signature(said)}));
    }
    if let Some(text) = text_of(said) {
        content.push(json!({"type": "text", "text": text, "citations": null}));
    }
    for call in &said.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        let id = format!("toolu_{}", call.id);
        content.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": input}));
    }
    json!({
        "id": format!("msg_{}", said.id),
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content,
        "stop_reason": stop_reason(said),
        "stop_sequence": stop_sequence(said),
        "usage": usage(said),
    })
}

pub(crate) fn events(said: &Completion) -> Events {
    let mut start = whole(said);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["stop_sequence"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let mut blocks = Blocks::default();
    blocks.events.push(named(
        &json!({"type": "message_start", "message": start}),
        "message_start",
    ));
    blocks.events.push(named(&json!({"type": "ping"}), "ping"));
    if let Some(reasoning) = &said.reasoning {
        let words = reasoning.split_inclusive(' ');
        let mut deltas: Vec<Value> = words
            .map(|word| json!({"type": "thinking_delta", "thinking": word}))
            .collect();
        deltas.push(json!({"type": "signature_delta", "signature": signature(said)}));
        blocks.push(
            &json!({"type": "thinking", "thinking": "", "signature": ""}),
            &deltas,
        );
    }
    let pieces = said
        .refusal
        .clone()
        .map(|r| vec![r])
        .or_else(|| said.text.clone());
    if let Some(pieces) = pieces {
        let deltas: Vec<Value> = pieces
            .iter()
            .map(|piece| json!({"type": "text_delta", "text": piece}))
            .collect();
        blocks.push(&json!({"type": "text", "text": ""}), &deltas);
    }
    for call in &said.calls {
        let delta = |json: String| json!({"type": "input_json_delta", "partial_json": json});
        let pieces = argument_pieces(&call.arguments).into_iter();
        let deltas: Vec<Value> = std::iter::once(String::new()).chain(pieces).map(delta).collect();
        let id = format!("toolu_{}", call.id);
        blocks.push(
            &json!({"type": "tool_use", "id": id, "name": call.name, "input": {}}),
            &deltas,
        );
    }
    let delta = json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(said), "stop_sequence": stop_sequence(said)},
        "usage": usage(said),
    });
    let closing = vec![
        named(&delta, "message_delta"),
        named(&json!({"type": "message_stop"}), "message_stop"),
    ];
    Events {
        said: blocks.events,
        closing,
    }
}

/// Content blocks as they are streamed.
#[derive(Default)]
struct Blocks {
    events: Vec<String>,
    index: usize,
}

impl Blocks {
    fn push(&mut self, block: &Value, deltas: &[Value]) {
        let index = self.index;
        let mut event = |kind: &str, field: Option<(&str, &Value)>| {
            let mut event = json!({"type": kind, "index": index});
            if let Some((name, value)) = field {
                event[name] = value.clone();
            }
            self.events.push(named(&event, kind));
        };
        event("content_block_start", Some(("content_block", block)));
        for delta in deltas {
            event("content_block_delta", Some(("delta", delta)));
        }
        event("content_block_stop", None);
        self.index += 1;
    }
}
