//! OpenAI Chat Completions.

use serde_json::{Value, json};

use super::{Events, data};
use crate::ask::{
    ApiError, Ask, Choice, Tool, content_text, count, flag, model, parts_of_type, required_array, strings,
    text,
};
use crate::completion::{CREATED, Call, Completion, Finish, argument_pieces};
use crate::script::Usage;

pub(crate) fn read(body: &Value) -> Result<Ask, ApiError> {
    let messages = required_array(body, "messages")?;
    check(messages)?;
    for (field, needed) in [
        ("tool_choice", "tools"),
        ("parallel_tool_calls", "tools"),
        ("stream_options", "stream"),
    ] {
        let given = |name: &str| body.get(name).is_some_and(|v| !v.is_null() && v != false);
        if given(field) && !given(needed) {
            let reason = format!("'{field}' is only allowed when '{needed}' is given.");
            return Err(ApiError::field(field, reason));
        }
    }
    let mut ask = Ask {
        model: model(body)?,
        stream: flag(body, "stream"),
        include_usage: body.pointer("/stream_options/include_usage") == Some(&json!(true)),
        tools: tools(body)?,
        choice: choice(body.get("tool_choice")),
        schema: body.pointer("/response_format/json_schema/schema").cloned(),
        json_object: body.pointer("/response_format/type") == Some(&json!("json_object")),
        n: count(body, "n").unwrap_or(1).clamp(1, 16),
        max_tokens: count(body, "max_completion_tokens").or(count(body, "max_tokens")),
        stop: strings(body.get("stop")),
        logprobs: flag(body, "logprobs").then(|| count(body, "top_logprobs").unwrap_or(0)),
        reasoning: body
            .get("reasoning_effort")
            .is_some_and(|e| !e.is_null() && e != "none"),
        ..Ask::default()
    };
    for message in messages {
        let content = message.get("content");
        ask.images += parts_of_type(content, &["image_url"]);
        match text(message, "role") {
            "user" => ask.text = content_text(content),
            "tool" => {
                ask.tool_results.push(content_text(content));
                continue;
            }
            _ => {}
        }
        ask.tool_results.clear();
    }
    Ok(ask)
}

/// What the real service turns down: unknown roles, and results of calls that no message before them made.
fn check(messages: &[Value]) -> Result<(), ApiError> {
    let mut open: Vec<&str> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        match role {
            "system" | "developer" | "user" | "function" => {}
            "assistant" => {
                let calls = message.get("tool_calls").and_then(Value::as_array);
                open = calls.into_iter().flatten().map(|call| text(call, "id")).collect();
                if message.get("content").is_none_or(Value::is_null) && open.is_empty() {
                    let field = format!("messages[{i}].content");
                    return Err(ApiError::field(
                        field,
                        "an assistant message needs content or tool_calls",
                    ));
                }
            }
            "tool" if open.contains(&text(message, "tool_call_id")) => {}
            "tool" => {
                let reason = "messages with role 'tool' must answer a preceding message with 'tool_calls'";
                return Err(ApiError::field(format!("messages[{i}].role"), reason));
            }
            _ => {
                let field = format!("messages[{i}].role");
                return Err(ApiError::field(field, format!("Invalid value: '{role}'.")));
            }
        }
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
        let name = tool.pointer("/function/name").and_then(Value::as_str);
        let missing = || ApiError::field(format!("tools[{i}].function.name"), "a tool needs a name");
        let schema = tool.pointer("/function/parameters").cloned().unwrap_or_default();
        Ok(Tool {
            name: name.ok_or_else(missing)?.to_owned(),
            schema,
        })
    };
    given.iter().enumerate().map(read).collect()
}

fn choice(given: Option<&Value>) -> Choice {
    match given {
        Some(Value::String(word)) if word == "none" => Choice::Never,
        Some(Value::String(word)) if word == "required" => Choice::Required,
        Some(object) => match object.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => Choice::Named(name.to_owned()),
            None => Choice::Auto,
        },
        None => Choice::Auto,
    }
}

fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

fn call(call: &Call) -> Value {
    json!({"id": format!("call_{}", call.id), "type": "function",
           "function": {"name": call.name, "arguments": call.arguments}})
}

fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

fn logprobs(pieces: &[String], top: usize) -> Value {
    let entry = |piece: &String, p: f64| json!({"token": piece, "logprob": p, "bytes": piece.as_bytes()});
    let tokens = pieces.iter().map(|piece| {
        let mut token = entry(piece, -0.25);
        let alternatives = (0..top)
            .map(|i| entry(piece, -0.25 - i as f64))
            .collect::<Vec<_>>();
        token["top_logprobs"] = Value::Array(alternatives);
        token
    });
    json!({"content": tokens.collect::<Vec<_>>(), "refusal": null})
}

pub(crate) fn whole(ask: &Ask, said: &Completion) -> Value {
    let mut message = json!({
        "role": "assistant",
        "content": said.whole_text(),
        "refusal": said.refusal,
    });
    if let Some(reasoning) = &said.reasoning {
        message["reasoning_content"] = json!(reasoning);
    }
    if !said.calls.is_empty() {
        message["tool_calls"] = said.calls.iter().map(call).collect();
    }
    let pieces = said.text.as_deref().unwrap_or_default();
    let choice = |index: usize| {
        json!({
            "index": index,
            "message": message,
            "logprobs": ask.logprobs.map(|top| logprobs(pieces, top)),
            "finish_reason": finish_reason(&said.finish),
        })
    };
    json!({
        "id": format!("chatcmpl-{}", said.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": said.model,
        "choices": (0..ask.n).map(choice).collect::<Vec<_>>(),
        "usage": usage(&said.usage),
        "system_fingerprint": "fp_scripted",
    })
}

pub(crate) fn events(ask: &Ask, said: &Completion) -> Events {
    let chunk = |choices: Value, counts: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", said.id),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": said.model,
            "system_fingerprint": "fp_scripted",
            "choices": choices,
        });
        if ask.include_usage {
            chunk["usage"] = counts;
        }
        data(&chunk)
    };
    let mut events = Vec::new();
    let mut push = |delta: Value, logprobs: Value, finish: Option<&str>| {
        for index in 0..ask.n {
            let choice =
                json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]);
            events.push(chunk(choice, Value::Null));
        }
    };
    push(
        json!({"role": "assistant", "content": "", "refusal": null}),
        Value::Null,
        None,
    );
    for word in said.reasoning.iter().flat_map(|r| r.split_inclusive(' ')) {
        push(json!({"reasoning_content": word}), Value::Null, None);
    }
    for piece in said.text.iter().flatten() {
        let odds = ask.logprobs.map(|top| logprobs(std::slice::from_ref(piece), top));
        push(json!({"content": piece}), odds.unwrap_or_default(), None);
    }
    for word in said.refusal.iter().flat_map(|r| r.split_inclusive(' ')) {
        push(json!({"refusal": word}), Value::Null, None);
    }
    for (i, made) in said.calls.iter().enumerate() {
        let mut first = call(made);
        first["index"] = json!(i);
        first["function"]["arguments"] = json!("");
        push(json!({"tool_calls": [first]}), Value::Null, None);
        for piece in argument_pieces(&made.arguments) {
            push(
                json!({"tool_calls": [{"index": i, "function": {"arguments": piece}}]}),
                Value::Null,
                None,
            );
        }
    }
    push(json!({}), Value::Null, Some(finish_reason(&said.finish)));
    // The finish reason belongs to what marks completion: a stream cut before it must not look complete.
    let mut closing = events.split_off(events.len() - ask.n);
    if ask.include_usage {
        closing.push(chunk(json!([]), usage(&said.usage)));
    }
    closing.push("data: [DONE]\n\n".to_owned());
    Events {
        said: events,
        closing,
    }
}
