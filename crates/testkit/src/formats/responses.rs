//! OpenAI Responses.

use serde_json::{Value, json};

use super::{Events, named};
use crate::ask::{ApiError, Ask, Choice, Tool, content_text, count, flag, model, parts_of_type, text};
use crate::completion::{CREATED, Completion, Finish, argument_pieces};

pub(crate) fn read(body: &Value) -> Result<Ask, ApiError> {
    let mut ask = Ask {
        model: model(body)?,
        stream: flag(body, "stream"),
        tools: tools(body)?,
        choice: choice(body.get("tool_choice")),
        schema: body.pointer("/text/format/schema").cloned(),
        json_object: body.pointer("/text/format/type") == Some(&json!("json_object")),
        n: 1,
        max_tokens: count(body, "max_output_tokens"),
        reasoning: body.get("reasoning").is_some_and(Value::is_object),
        ..Ask::default()
    };
    let items = match body.get("input") {
        Some(Value::String(text)) => {
            ask.text = text.clone();
            return Ok(ask);
        }
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(_) => {
            return Err(ApiError::field(
                "input",
                "Invalid 'input': a string or a non-empty array.",
            ));
        }
        None => return Err(ApiError::field("input", "Missing required parameter: 'input'.")),
    };
    let follows = body.get("previous_response_id").is_some_and(Value::is_string);
    let mut open: Vec<&str> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        match (text(item, "type"), text(item, "role")) {
            ("message" | "", "user") => {
                ask.text = content_text(item.get("content"));
                ask.images += parts_of_type(item.get("content"), &["input_image"]);
                ask.tool_results.clear();
            }
            ("message" | "", "system" | "developer") => {}
            ("message" | "", "assistant") => ask.tool_results.clear(),
            ("function_call", _) => open.push(text(item, "call_id")),
            ("function_call_output", _) => {
                let id = text(item, "call_id");
                // The call may be in the stored response that this one follows.
                if !follows && !open.contains(&id) {
                    let reason = format!("No tool call found for function call output with call_id {id}.");
                    return Err(ApiError::field("input", reason));
                }
                ask.tool_results.push(content_text(item.get("output")));
            }
            ("reasoning" | "item_reference", _) => {}
            (kind, _) => {
                let field = format!("input[{i}]");
                return Err(ApiError::field(field, format!("Invalid value: '{kind}'.")));
            }
        }
    }
    Ok(ask)
}

fn tools(body: &Value) -> Result<Vec<Tool>, ApiError> {
    let given = body
        .get("tools")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let read = |(i, tool): (usize, &Value)| match text(tool, "name") {
        "" if text(tool, "type") == "function" => Err(ApiError::field(
            format!("tools[{i}].name"),
            "Missing required parameter: 'tools[].name'.",
        )),
        name => Ok(Tool {
            name: name.to_owned(),
            schema: tool.get("parameters").cloned().unwrap_or_default(),
        }),
    };
    given.iter().enumerate().map(read).collect()
}

fn choice(given: Option<&Value>) -> Choice {
    match given {
        Some(Value::String(word)) if word == "none" => Choice::Never,
        Some(Value::String(word)) if word == "required" => Choice::Required,
        Some(Value::Object(object)) => match object.get("name").and_then(Value::as_str) {
            Some(name) => Choice::Named(name.to_owned()),
            None => Choice::Auto,
        },
        _ => Choice::Auto,
    }
}

/// The items of the answer, complete.
fn output(said: &Completion) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(reasoning) = &said.reasoning {
        items.push(json!({
            "id": format!("rs_{}", said.id), "type": "reasoning", "status": "completed",
            "summary": [{"type": "summary_text", "text": reasoning}],
        }));
    }
    let part = match (&said.refusal, said.whole_text()) {
        (Some(refusal), _) => Some(json!({"type": "refusal", "refusal": refusal})),
        (None, Some(text)) => {
            Some(json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}))
        }
        (None, None) => None,
    };
    if let Some(part) = part {
        items.push(json!({
            "id": format!("msg_{}", said.id), "type": "message", "role": "assistant", "status": "completed",
            "content": [part],
        }));
    }
    for call in &said.calls {
        items.push(json!({
            "id": format!("fc_{}", call.id), "type": "function_call", "status": "completed",
            "call_id": format!("call_{}", call.id), "name": call.name, "arguments": call.arguments,
        }));
    }
    items
}

pub(crate) fn whole(said: &Completion) -> Value {
    let cut = said.finish == Finish::Length;
    let usage = &said.usage;
    json!({
        "id": format!("resp_{}", said.id),
        "object": "response",
        "created_at": CREATED,
        "status": if cut { "incomplete" } else { "completed" },
        "error": null,
        "incomplete_details": if cut { json!({"reason": "max_output_tokens"}) } else { Value::Null },
        "instructions": null,
        "metadata": {},
        "model": said.model,
        "output": output(said),
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        },
    })
}

pub(crate) fn events(said: &Completion) -> Events {
    let done = whole(said);
    let mut begun = done.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut stream = Stream::default();
    stream.push("response.created", json!({"response": begun}));
    stream.push("response.in_progress", json!({"response": begun}));
    for (index, item) in output(said).iter().enumerate() {
        let mut empty = item.clone();
        empty["status"] = json!("in_progress");
        for emptied in ["summary", "content"] {
            if empty.get(emptied).is_some() {
                empty[emptied] = json!([]);
            }
        }
        if empty.get("arguments").is_some() {
            empty["arguments"] = json!("");
        }
        stream.push(
            "response.output_item.added",
            json!({"output_index": index, "item": empty}),
        );
        match text(item, "type") {
            "reasoning" => stream.reasoning(index, item, said),
            "message" => stream.message(index, item, said),
            _ => stream.call(index, item),
        }
        stream.push(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        );
    }
    let kind = if said.finish == Finish::Length {
        "response.incomplete"
    } else {
        "response.completed"
    };
    stream.push(kind, json!({"response": done}));
    let closing = stream.events.split_off(stream.events.len() - 1);
    Events {
        said: stream.events,
        closing,
    }
}

/// Events with their running number.
#[derive(Default)]
struct Stream {
    events: Vec<String>,
}

impl Stream {
    fn push(&mut self, kind: &str, mut fields: Value) {
        fields["type"] = json!(kind);
        fields["sequence_number"] = json!(self.events.len());
        self.events.push(named(&fields, kind));
    }

    fn reasoning(&mut self, index: usize, item: &Value, said: &Completion) {
        let at = |more: Value| {
            merged(
                json!({"item_id": item["id"], "output_index": index, "summary_index": 0}),
                more,
            )
        };
        let empty = json!({"type": "summary_text", "text": ""});
        self.push(
            "response.reasoning_summary_part.added",
            at(json!({"part": empty})),
        );
        let text = said.reasoning.as_deref().unwrap_or_default();
        for word in text.split_inclusive(' ') {
            self.push(
                "response.reasoning_summary_text.delta",
                at(json!({"delta": word})),
            );
        }
        self.push("response.reasoning_summary_text.done", at(json!({"text": text})));
        self.push(
            "response.reasoning_summary_part.done",
            at(json!({"part": item["summary"][0]})),
        );
    }

    fn message(&mut self, index: usize, item: &Value, said: &Completion) {
        let at = |more: Value| {
            merged(
                json!({"item_id": item["id"], "output_index": index, "content_index": 0}),
                more,
            )
        };
        let part = &item["content"][0];
        if let Some(refusal) = &said.refusal {
            let empty = json!({"type": "refusal", "refusal": ""});
            self.push("response.content_part.added", at(json!({"part": empty})));
            self.push("response.refusal.delta", at(json!({"delta": refusal})));
            self.push("response.refusal.done", at(json!({"refusal": refusal})));
        } else {
            let empty = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
            self.push("response.content_part.added", at(json!({"part": empty})));
            for piece in said.text.iter().flatten() {
                self.push(
                    "response.output_text.delta",
                    at(json!({"delta": piece, "logprobs": []})),
                );
            }
            self.push(
                "response.output_text.done",
                at(json!({"text": part["text"], "logprobs": []})),
            );
        }
        self.push("response.content_part.done", at(json!({"part": part})));
    }

    fn call(&mut self, index: usize, item: &Value) {
        let at = |more: Value| merged(json!({"item_id": item["id"], "output_index": index}), more);
        for piece in argument_pieces(text(item, "arguments")) {
            self.push(
                "response.function_call_arguments.delta",
                at(json!({"delta": piece})),
            );
        }
        let done = json!({"arguments": item["arguments"], "name": item["name"]});
        self.push("response.function_call_arguments.done", at(done));
    }
}

fn merged(mut into: Value, from: Value) -> Value {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
    into
}
