//! A Chat request into a conversation.

use std::borrow::Cow;

use fingerpost_core::Role;
use serde_json::value::RawValue;

use crate::{
    Format,
    conversation::{
        Conversation, Media, Message, OutputFormat, Part, PartContent, Reasoning, ReasoningConfig, Sampling,
        Tool, ToolCall, ToolChoice, ToolKind,
    },
    fields::{Fields, Read, Within, Wrong, is_text, text},
};

/// Reads a request body.
pub(crate) fn read_request(raw: &RawValue) -> Read<Conversation<'_>> {
    let mut f = Fields::of(raw)?;
    let list = f.array("messages")?;
    let list = f.need("messages", list)?;
    let mut messages = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        messages.push(message(raw).at(i).within("messages")?);
    }
    let mut tools = Vec::new();
    for (i, raw) in f.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        tools.push(tool(raw).at(i).within("tools")?);
    }
    for (i, raw) in f.array("functions")?.unwrap_or_default().into_iter().enumerate() {
        tools.push(Tool {
            kind: function(Fields::of(raw).at(i).within("functions")?)?,
            cache_control: None,
        });
    }
    let tool_choice = match f.take("tool_choice").or_else(|| f.take("function_call")) {
        Some(raw) => Some(choice(raw).within("tool_choice")?),
        None => None,
    };
    let stop = match f.take("stop") {
        Some(raw) => stops(raw).within("stop")?,
        None => Vec::new(),
    };
    let output = match f.object("response_format")? {
        Some(format) => output(format).within("response_format")?,
        None => OutputFormat::Text,
    };
    let effort = f.text("reasoning_effort")?;
    let reasoning = reasoning_config(&mut f, effort)?;
    let max_tokens = f.number("max_tokens")?;
    let max_output = f.number("max_completion_tokens")?.or(max_tokens);
    // Usage is always asked for upstream and left out for clients that did not ask: nothing of it needs carrying.
    f.take("stream_options");
    let safety = f.text("safety_identifier")?;
    Ok(Conversation {
        source: Format::Chat,
        model: f.text("model")?.unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: f.flag("parallel_tool_calls")?,
        output,
        sampling: Sampling {
            temperature: f.real("temperature")?,
            top_p: f.real("top_p")?,
            top_k: f.number("top_k")?,
            stop,
            seed: f.take("seed"),
            frequency_penalty: f.real("frequency_penalty")?,
            presence_penalty: f.real("presence_penalty")?,
            logprobs: f.flag("logprobs")?.unwrap_or(false),
            top_logprobs: f.number("top_logprobs")?,
            answers: f.number("n")?,
        },
        max_output,
        reasoning,
        verbosity: f.text("verbosity")?,
        stream: f.flag("stream")?.unwrap_or(false),
        store: f.flag("store")?,
        user: f.text("user")?.or(safety),
        metadata: f.take("metadata"),
        cache_control: f.take("cache_control"),
        extra: f.rest(),
    })
}

/// Effort, and what gateways add: Anthropic's `thinking`, OpenRouter's `reasoning`.
fn reasoning_config<'a>(
    f: &mut Fields<'a>,
    effort: Option<Cow<'a, str>>,
) -> Read<Option<ReasoningConfig<'a>>> {
    let mut config = ReasoningConfig {
        effort,
        ..ReasoningConfig::default()
    };
    if let Some(mut thinking) = f.object("thinking")? {
        let kind = thinking.text("type").within("thinking")?;
        config.budget = match kind.as_deref() {
            Some("disabled") => Some(0),
            _ => thinking.number("budget_tokens").within("thinking")?,
        };
    }
    if let Some(mut reasoning) = f.object("reasoning")? {
        let effort = reasoning.text("effort").within("reasoning")?;
        config.effort = config.effort.or(effort);
        config.budget = config
            .budget
            .or(reasoning.number("max_tokens").within("reasoning")?);
    }
    Ok((config != ReasoningConfig::default()).then_some(config))
}

fn message(raw: &RawValue) -> Read<Message<'_>> {
    let mut f = Fields::of(raw)?;
    let role_name = f.need_text("role")?;
    let role = match role_name.as_ref() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let allowed = "system, developer, user, assistant, tool, function";
            return Err(Wrong::new(format!("found \"{other}\", allowed: {allowed}"))).within("role");
        }
    };
    let name = f.text("name")?;
    let mut parts = Vec::new();
    if role == Role::Assistant {
        thoughts(&mut f, &mut parts)?;
    }
    if let Some(raw) = f.take("content") {
        content(raw, &mut parts).within("content")?;
    }
    if let Some(marker) = f.take("cache_control") {
        // A marker on the message ends with its last part.
        if let Some(last) = parts.last_mut() {
            last.cache_control = Some(marker);
        }
    }
    match role {
        Role::Tool => {
            let id = f.text("tool_call_id")?.or(name.clone()).unwrap_or_default();
            let is_error = f.flag("is_error")?.unwrap_or(false);
            let cache_control = parts.iter().find_map(|p| p.cache_control);
            let content = PartContent::ToolResult {
                id,
                content: parts,
                is_error,
            };
            parts = vec![Part {
                content,
                cache_control,
            }];
        }
        Role::Assistant => {
            if let Some(refusal) = f.text("refusal")? {
                parts.push(Part::new(PartContent::Refusal(refusal)));
            }
            for (i, raw) in f.array("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
                let call = tool_call(raw).at(i).within("tool_calls")?;
                parts.push(Part::new(PartContent::ToolCall(call)));
            }
            if let Some(mut call) = f.object("function_call")? {
                let name = call.need_text("name").within("function_call")?;
                parts.push(Part::new(PartContent::ToolCall(ToolCall {
                    // The old form has no ids; its results name the function.
                    id: name.clone(),
                    name,
                    arguments: call
                        .text("arguments")
                        .within("function_call")?
                        .unwrap_or_default(),
                    custom: false,
                })));
            }
        }
        _ => {}
    }
    Ok(Message { role, name, parts })
}

/// What the assistant thought: `thinking_blocks` with Anthropic's signatures, or plain `reasoning_content`.
pub(super) fn thoughts<'a>(f: &mut Fields<'a>, parts: &mut Vec<Part<'a>>) -> Read<()> {
    let blocks = f.array("thinking_blocks")?.unwrap_or_default();
    let content = f.text("reasoning_content")?;
    let plain = f.take("reasoning").filter(|raw| is_text(raw));
    for (i, raw) in blocks.iter().enumerate() {
        let thought = crate::messages::thinking(raw).at(i).within("thinking_blocks")?;
        parts.push(Part::new(PartContent::Reasoning(thought)));
    }
    let plain = match (content, plain) {
        (Some(text), _) => Some(text),
        (None, Some(raw)) => Some(text(raw).within("reasoning")?),
        (None, None) => None,
    };
    if let Some(text) = plain.filter(|t| blocks.is_empty() && !t.is_empty()) {
        parts.push(Part::new(PartContent::Reasoning(Reasoning { text, seal: None })));
    }
    Ok(())
}

fn content<'a>(raw: &'a RawValue, parts: &mut Vec<Part<'a>>) -> Read<()> {
    if is_text(raw) {
        parts.push(Part::text(text(raw)?));
        return Ok(());
    }
    let list = crate::fields::array(raw).map_err(|_| Wrong::found(raw, "a string or an array of parts"))?;
    for (i, raw) in list.into_iter().enumerate() {
        parts.push(part(raw).at(i)?);
    }
    Ok(())
}

fn part(raw: &RawValue) -> Read<Part<'_>> {
    let mut f = Fields::of(raw)?;
    let kind = f.need_text("type")?;
    let cache_control = f.take("cache_control");
    let content = match kind.as_ref() {
        "text" | "input_text" | "output_text" => PartContent::Text(f.need_text("text")?),
        "refusal" => PartContent::Refusal(f.need_text("refusal")?),
        "image_url" => {
            let raw = f.take("image_url");
            let raw = f.need("image_url", raw)?;
            let (url, detail) = if is_text(raw) {
                (text(raw).within("image_url")?, None)
            } else {
                let mut image = Fields::of(raw).within("image_url")?;
                let url = image.need_text("url").within("image_url")?;
                (url, image.text("detail").within("image_url")?)
            };
            PartContent::Image {
                media: Media::of_url(url),
                detail,
            }
        }
        "input_audio" => {
            let audio = f.object("input_audio")?;
            let mut audio = f.need("input_audio", audio)?;
            PartContent::Audio {
                data: audio.need_text("data").within("input_audio")?,
                format: audio.need_text("format").within("input_audio")?,
            }
        }
        "file" => {
            let file = f.object("file")?;
            let mut file = f.need("file", file)?;
            let name = file.text("filename").within("file")?;
            match (
                file.text("file_data").within("file")?,
                file.text("file_id").within("file")?,
            ) {
                (Some(data), _) => PartContent::File {
                    media: file_data(data, name.as_deref()),
                    name,
                },
                (None, Some(id)) => PartContent::File {
                    media: Media::FileId(id),
                    name,
                },
                (None, None) => {
                    return Err(Wrong::new("missing; allowed: file_data or file_id")).within("file");
                }
            }
        }
        "thinking" | "redacted_thinking" => PartContent::Reasoning(crate::messages::thinking(raw)?),
        _ => PartContent::Other { kind, raw },
    };
    Ok(Part {
        content,
        cache_control,
    })
}

/// A file's data: a data URL, or bare base64 of a PDF.
pub(crate) fn file_data<'a>(data: Cow<'a, str>, name: Option<&str>) -> Media<'a> {
    match Media::of_url(data) {
        Media::Url(base64) => {
            let is_text = name.is_some_and(|n| n.ends_with(".txt") || n.ends_with(".md"));
            let media_type = if is_text { "text/plain" } else { "application/pdf" };
            Media::Data {
                media_type: media_type.into(),
                base64,
            }
        }
        media => media,
    }
}

pub(super) fn tool_call(raw: &RawValue) -> Read<ToolCall<'_>> {
    let mut f = Fields::of(raw)?;
    let id = f.text("id")?.unwrap_or_default();
    if let Some(mut custom) = f.object("custom")? {
        return Ok(ToolCall {
            id,
            name: custom.need_text("name").within("custom")?,
            arguments: custom.text("input").within("custom")?.unwrap_or_default(),
            custom: true,
        });
    }
    let function = f.object("function")?;
    let mut function = f.need("function", function)?;
    let name = function.need_text("name").within("function")?;
    // Some servers write the arguments as an object instead of its text.
    let arguments = match function.take("arguments") {
        Some(raw) if is_text(raw) => text(raw).within("arguments").within("function")?,
        Some(raw) => Cow::Borrowed(raw.get()),
        None => Cow::Borrowed(""),
    };
    Ok(ToolCall {
        id,
        name,
        arguments,
        custom: false,
    })
}

fn tool(raw: &RawValue) -> Read<Tool<'_>> {
    let mut f = Fields::of(raw)?;
    let kind = f.text("type")?.unwrap_or(Cow::Borrowed("function"));
    let mut cache_control = f.take("cache_control");
    if kind != "function" {
        let kind = ToolKind::Other { kind, raw };
        return Ok(Tool { kind, cache_control });
    }
    let inner = f.object("function")?;
    let mut inner = f.need("function", inner)?;
    cache_control = cache_control.or_else(|| inner.take("cache_control"));
    let kind = function(inner).within("function")?;
    Ok(Tool { kind, cache_control })
}

fn function(mut f: Fields<'_>) -> Read<ToolKind<'_>> {
    Ok(ToolKind::Function {
        name: f.need_text("name")?,
        description: f.text("description")?,
        parameters: f.take("parameters"),
        strict: f.flag("strict")?,
    })
}

fn choice(raw: &RawValue) -> Read<ToolChoice<'_>> {
    let allowed = "none, auto, required, or an object that names a tool";
    if is_text(raw) {
        return match text(raw)?.as_ref() {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" | "any" => Ok(ToolChoice::Required),
            other => Err(Wrong::new(format!("found \"{other}\", allowed: {allowed}"))),
        };
    }
    let mut f = Fields::of(raw).map_err(|_| Wrong::found(raw, allowed))?;
    let kind = f.text("type")?;
    if let Some(mut named) = f.object("function")? {
        return named.need_text("name").within("function").map(ToolChoice::Named);
    }
    if let Some(mut named) = f.object("custom")? {
        return named.need_text("name").within("custom").map(ToolChoice::Named);
    }
    if let Some(allowed) = f.object("allowed_tools")? {
        return allowed_tools(allowed).within("allowed_tools");
    }
    match (kind.as_deref(), f.text("name")?) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("any" | "required"), _) => Ok(ToolChoice::Required),
        (_, Some(name)) => Ok(ToolChoice::Named(name)),
        _ => Err(Wrong::found(raw, allowed)),
    }
}

/// The allowed tools, of Chat (`function.name`) and of Responses (`name`).
pub(crate) fn allowed_tools(mut f: Fields<'_>) -> Read<ToolChoice<'_>> {
    let required = f.text("mode")?.as_deref() == Some("required");
    let mut names = Vec::new();
    for (i, raw) in f.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::of(raw).at(i).within("tools")?;
        let name = match tool.object("function").at(i).within("tools")? {
            Some(mut function) => function.text("name"),
            None => tool.text("name"),
        };
        names.extend(name.at(i).within("tools")?);
    }
    Ok(ToolChoice::Allowed { required, names })
}

fn stops(raw: &RawValue) -> Read<Vec<Cow<'_, str>>> {
    if is_text(raw) {
        return Ok(vec![text(raw)?]);
    }
    let list = crate::fields::array(raw).map_err(|_| Wrong::found(raw, "a string or an array of strings"))?;
    list.into_iter()
        .enumerate()
        .map(|(i, raw)| text(raw).at(i))
        .collect()
}

fn output(mut f: Fields<'_>) -> Read<OutputFormat<'_>> {
    match f.text("type")?.as_deref() {
        Some("json_object") => Ok(OutputFormat::Json),
        Some("json_schema") => {
            let schema = f.object("json_schema")?;
            let mut schema = f.need("json_schema", schema)?;
            output_schema(&mut schema).within("json_schema")
        }
        _ => Ok(OutputFormat::Text),
    }
}

/// The schema of an output format: `name`, `description`, `schema`, `strict`.
pub(crate) fn output_schema<'a>(f: &mut Fields<'a>) -> Read<OutputFormat<'a>> {
    let Some(schema) = f.take("schema") else {
        return Ok(OutputFormat::Json);
    };
    Ok(OutputFormat::Schema {
        name: f.text("name")?,
        description: f.text("description")?,
        schema,
        strict: f.flag("strict")?,
    })
}
