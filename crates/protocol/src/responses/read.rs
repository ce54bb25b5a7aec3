//! A Responses request into a conversation.

use std::borrow::Cow;

use fingerpost_core::Role;
use serde_json::value::RawValue;

use crate::{
    Format,
    chat::{allowed_tools, file_data, output_schema},
    conversation::{
        Conversation, Media, Message, OutputFormat, Part, PartContent, Reasoning, ReasoningConfig, Sampling,
        Seal, Tool, ToolCall, ToolChoice, ToolKind,
    },
    fields::{Fields, Read, Within, Wrong, is_text, text},
};

/// Reads a request body.
pub(crate) fn read_request(raw: &RawValue) -> Read<Conversation<'_>> {
    let mut f = Fields::of(raw)?;
    let mut messages = Vec::new();
    if let Some(text) = f.text("instructions")? {
        messages.push(Message {
            role: Role::System,
            name: None,
            parts: vec![Part::text(text)],
        });
    }
    match f.take("input") {
        Some(raw) if is_text(raw) => messages.push(Message {
            role: Role::User,
            name: None,
            parts: vec![Part::text(text(raw).within("input")?)],
        }),
        Some(raw) => {
            let items = crate::fields::array(raw)
                .map_err(|_| Wrong::found(raw, "a string or an array of items"))
                .within("input")?;
            for (i, raw) in items.into_iter().enumerate() {
                item(raw, &mut messages).at(i).within("input")?;
            }
        }
        None => {}
    }
    let mut tools = Vec::new();
    for (i, raw) in f.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        tools.push(tool(raw).at(i).within("tools")?);
    }
    let tool_choice = match f.take("tool_choice") {
        Some(raw) => choice(raw).within("tool_choice")?,
        None => None,
    };
    let mut config = f.object("text")?.unwrap_or_default();
    let output = match config.object("format").within("text")? {
        Some(mut format) => match format.text("type").within("format").within("text")?.as_deref() {
            Some("json_schema") => output_schema(&mut format).within("format").within("text")?,
            Some("json_object") => OutputFormat::Json,
            _ => OutputFormat::Text,
        },
        None => OutputFormat::Text,
    };
    let reasoning = match f.object("reasoning")? {
        Some(mut r) => Some(ReasoningConfig {
            effort: r.text("effort").within("reasoning")?,
            budget: None,
            summary: r.text("summary").within("reasoning")?,
        }),
        None => None,
    };
    let top_logprobs = f.number("top_logprobs")?;
    let mut logprobs = top_logprobs.is_some_and(|n| n > 0);
    for raw in f.array("include")?.unwrap_or_default() {
        logprobs |= raw.get() == "\"message.output_text.logprobs\"";
    }
    for own in [
        "previous_response_id",
        "stream_options",
        "truncation",
        "background",
    ] {
        // Handled by whoever keeps the state, or without meaning elsewhere.
        if f.take(own)
            .is_some_and(|raw| own == "background" && raw.get() == "true")
        {
            return Err(Wrong::new(
                "found true, allowed: false; answers are not made in the background here",
            ))
            .within("background");
        }
    }
    let safety = f.text("safety_identifier")?;
    Ok(Conversation {
        source: Format::Responses,
        model: f.text("model")?.unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: f.flag("parallel_tool_calls")?,
        output,
        sampling: Sampling {
            temperature: f.real("temperature")?,
            top_p: f.real("top_p")?,
            logprobs,
            top_logprobs,
            ..Sampling::default()
        },
        max_output: f.number("max_output_tokens")?,
        reasoning,
        verbosity: config.text("verbosity").within("text")?,
        stream: f.flag("stream")?.unwrap_or(false),
        store: f.flag("store")?,
        user: f.text("user")?.or(safety),
        metadata: f.take("metadata"),
        cache_control: None,
        extra: f.rest(),
    })
}

/// The assistant's message that is being said: reasoning, texts and calls that follow each other are one message.
fn assistant<'m, 'a>(messages: &'m mut Vec<Message<'a>>) -> &'m mut Vec<Part<'a>> {
    let open = messages.last().is_some_and(|m| m.role == Role::Assistant);
    if !open {
        messages.push(Message {
            role: Role::Assistant,
            name: None,
            parts: Vec::new(),
        });
    }
    let last = messages.len() - 1;
    &mut messages[last].parts
}

fn item<'a>(raw: &'a RawValue, messages: &mut Vec<Message<'a>>) -> Read<()> {
    let mut f = Fields::of(raw)?;
    let kind = f.text("type")?.unwrap_or(Cow::Borrowed("message"));
    match kind.as_ref() {
        "message" => {
            let role = match f.need_text("role")?.as_ref() {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => Role::System,
                "developer" => Role::Developer,
                other => {
                    let allowed = "system, developer, user, assistant";
                    return Err(Wrong::new(format!("found \"{other}\", allowed: {allowed}"))).within("role");
                }
            };
            let raw = f.take("content");
            let raw = f.need("content", raw)?;
            let parts = content(raw).within("content")?;
            if role == Role::Assistant {
                assistant(messages).extend(parts);
            } else {
                messages.push(Message {
                    role,
                    name: None,
                    parts,
                });
            }
        }
        "reasoning" => {
            let thought = reasoning(raw)?;
            assistant(messages).push(Part::new(PartContent::Reasoning(thought)));
        }
        "function_call" | "custom_tool_call" => {
            let call = call(raw)?;
            assistant(messages).push(Part::new(PartContent::ToolCall(call)));
        }
        "function_call_output" | "custom_tool_call_output" => {
            let raw = f.take("output");
            let raw = f.need("output", raw)?;
            let content = content(raw).within("output")?;
            let result = Part::new(PartContent::ToolResult {
                id: f.text("call_id")?.unwrap_or_default(),
                content,
                is_error: f.text("status")?.as_deref() == Some("failed"),
            });
            match messages.last_mut() {
                Some(last) if last.role == Role::Tool => last.parts.push(result),
                _ => messages.push(Message {
                    role: Role::Tool,
                    name: None,
                    parts: vec![result],
                }),
            }
        }
        _ => assistant(messages).push(Part::new(PartContent::Other { kind, raw })),
    }
    Ok(())
}

/// A reasoning item.
pub(super) fn reasoning(raw: &RawValue) -> Read<Reasoning<'_>> {
    let mut f = Fields::of(raw)?;
    let mut text: Cow<'_, str> = Cow::Borrowed("");
    for key in ["summary", "content"] {
        if !text.is_empty() {
            break;
        }
        for (i, raw) in f.array(key)?.unwrap_or_default().into_iter().enumerate() {
            let more = Fields::of(raw)?
                .text("text")
                .at(i)
                .within(key)?
                .unwrap_or_default();
            if text.is_empty() {
                text = more;
            } else {
                text.to_mut().push_str("\n\n");
                text.to_mut().push_str(&more);
            }
        }
    }
    let id = f.text("id")?.unwrap_or_default();
    let seal = Seal::of_item(id, f.text("encrypted_content")?);
    Ok(Reasoning {
        text,
        seal: Some(seal),
    })
}

/// A call item.
pub(super) fn call(raw: &RawValue) -> Read<ToolCall<'_>> {
    let mut f = Fields::of(raw)?;
    let custom = f.text("type")?.as_deref() == Some("custom_tool_call");
    let id = f.text("id")?;
    Ok(ToolCall {
        id: f.text("call_id")?.or(id).unwrap_or_default(),
        name: f.need_text("name")?,
        arguments: f
            .text(if custom { "input" } else { "arguments" })?
            .unwrap_or_default(),
        custom,
    })
}

fn content(raw: &RawValue) -> Read<Vec<Part<'_>>> {
    if is_text(raw) {
        return Ok(vec![Part::text(text(raw)?)]);
    }
    let list = crate::fields::array(raw).map_err(|_| Wrong::found(raw, "a string or an array of parts"))?;
    list.into_iter()
        .enumerate()
        .map(|(i, raw)| part(raw).at(i))
        .collect()
}

/// A content part.
pub(super) fn part(raw: &RawValue) -> Read<Part<'_>> {
    let mut f = Fields::of(raw)?;
    let kind = f.need_text("type")?;
    let cache_control = f.take("cache_control");
    let content = match kind.as_ref() {
        "input_text" | "output_text" | "text" => PartContent::Text(f.need_text("text")?),
        "refusal" => PartContent::Refusal(f.need_text("refusal")?),
        "input_image" => {
            let detail = f.text("detail")?;
            match (f.text("image_url")?, f.text("file_id")?) {
                (Some(url), _) => PartContent::Image {
                    media: Media::of_url(url),
                    detail,
                },
                (None, Some(id)) => PartContent::Image {
                    media: Media::FileId(id),
                    detail,
                },
                (None, None) => return Err(Wrong::new("missing; allowed: image_url or file_id")),
            }
        }
        "input_file" => {
            let name = f.text("filename")?;
            let media = match (f.text("file_data")?, f.text("file_url")?, f.text("file_id")?) {
                (Some(data), _, _) => file_data(data, name.as_deref()),
                (None, Some(url), _) => Media::Url(url),
                (None, None, Some(id)) => Media::FileId(id),
                _ => return Err(Wrong::new("missing; allowed: file_data, file_url or file_id")),
            };
            PartContent::File { media, name }
        }
        "input_audio" => {
            let audio = f.object("input_audio")?;
            let mut audio = f.need("input_audio", audio)?;
            PartContent::Audio {
                data: audio.need_text("data").within("input_audio")?,
                format: audio.need_text("format").within("input_audio")?,
            }
        }
        _ => PartContent::Other { kind, raw },
    };
    Ok(Part {
        content,
        cache_control,
    })
}

fn tool(raw: &RawValue) -> Read<Tool<'_>> {
    let mut f = Fields::of(raw)?;
    let kind = f.text("type")?.unwrap_or(Cow::Borrowed("function"));
    let cache_control = f.take("cache_control");
    let kind = if kind == "function" {
        ToolKind::Function {
            name: f.need_text("name")?,
            description: f.text("description")?,
            parameters: f.take("parameters"),
            strict: f.flag("strict")?,
        }
    } else {
        ToolKind::Other { kind, raw }
    };
    Ok(Tool { kind, cache_control })
}

/// `None` for a choice of a hosted tool, which no other format has.
fn choice(raw: &RawValue) -> Read<Option<ToolChoice<'_>>> {
    let allowed = "none, auto, required, or an object with a type";
    if is_text(raw) {
        return match text(raw)?.as_ref() {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Required)),
            other => Err(Wrong::new(format!("found \"{other}\", allowed: {allowed}"))),
        };
    }
    let mut f = Fields::of(raw).map_err(|_| Wrong::found(raw, allowed))?;
    match f.need_text("type")?.as_ref() {
        "function" | "custom" => f.need_text("name").map(ToolChoice::Named).map(Some),
        "allowed_tools" => allowed_tools(f).map(Some),
        _ => Ok(None),
    }
}
