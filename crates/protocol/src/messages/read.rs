//! A Messages request into a conversation.

use std::borrow::Cow;

use fingerpost_core::Role;
use serde_json::value::RawValue;

use crate::{
    Format,
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
    if let Some(raw) = f.take("system") {
        messages.push(Message {
            role: Role::System,
            name: None,
            parts: content(raw).within("system")?,
        });
    }
    let list = f.array("messages")?;
    let list = f.need("messages", list)?;
    for (i, raw) in list.into_iter().enumerate() {
        message(raw, &mut messages).at(i).within("messages")?;
    }
    let mut tools = Vec::new();
    for (i, raw) in f.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        tools.push(tool(raw).at(i).within("tools")?);
    }
    let mut parallel_tool_calls = None;
    let mut tool_choice = None;
    if let Some(mut choice) = f.object("tool_choice")? {
        let disabled = choice.flag("disable_parallel_tool_use").within("tool_choice")?;
        parallel_tool_calls = disabled.map(|d| !d);
        tool_choice = Some(self::choice(choice).within("tool_choice")?);
    }
    let mut stop = Vec::new();
    for (i, raw) in f
        .array("stop_sequences")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        stop.push(text(raw).at(i).within("stop_sequences")?);
    }
    let mut output_config = f.object("output_config")?.unwrap_or_default();
    let format = output_config.object("format").within("output_config")?;
    let output = match format.or(f.object("output_format")?) {
        Some(mut format) => match format.take("schema") {
            Some(schema) => OutputFormat::Schema {
                name: None,
                description: None,
                schema,
                strict: None,
            },
            None => OutputFormat::Text,
        },
        None => OutputFormat::Text,
    };
    let effort = output_config.text("effort").within("output_config")?;
    let reasoning = reasoning_config(f.object("thinking")?, effort)?;
    let user = match f.object("metadata")? {
        Some(mut metadata) => metadata.text("user_id").within("metadata")?,
        None => None,
    };
    Ok(Conversation {
        source: Format::Messages,
        model: f.text("model")?.unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        output,
        sampling: Sampling {
            temperature: f.real("temperature")?,
            top_p: f.real("top_p")?,
            top_k: f.number("top_k")?,
            stop,
            ..Sampling::default()
        },
        max_output: f.number("max_tokens")?,
        reasoning,
        verbosity: None,
        stream: f.flag("stream")?.unwrap_or(false),
        store: None,
        user,
        metadata: None,
        cache_control: f.take("cache_control"),
        extra: f.rest(),
    })
}

fn reasoning_config<'a>(
    thinking: Option<Fields<'a>>,
    effort: Option<Cow<'a, str>>,
) -> Read<Option<ReasoningConfig<'a>>> {
    let mut config = ReasoningConfig {
        effort,
        ..ReasoningConfig::default()
    };
    if let Some(mut thinking) = thinking {
        match thinking.need_text("type").within("thinking")?.as_ref() {
            "disabled" => config.budget = Some(0),
            "enabled" => config.budget = thinking.number("budget_tokens").within("thinking")?,
            // The model decides how much: a middling effort says the same where there is no such word.
            _ => config.effort = config.effort.or(Some(Cow::Borrowed("medium"))),
        }
    }
    Ok((config != ReasoningConfig::default()).then_some(config))
}

fn message<'a>(raw: &'a RawValue, into: &mut Vec<Message<'a>>) -> Read<()> {
    let mut f = Fields::of(raw)?;
    let role = f.need_text("role")?;
    let role = match role.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            return Err(Wrong::new(format!(
                "found \"{other}\", allowed: user, assistant, system"
            )))
            .within("role");
        }
    };
    let raw = f.take("content");
    let raw = f.need("content", raw)?;
    let parts = content(raw).within("content")?;
    let is_result = |p: &Part<'_>| matches!(p.content, PartContent::ToolResult { .. });
    let (results, parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_result);
    // Results come first: they answer the message before this one.
    let only_results = parts.is_empty() && !results.is_empty();
    if !results.is_empty() {
        into.push(Message {
            role: Role::Tool,
            name: None,
            parts: results,
        });
    }
    if !only_results {
        into.push(Message {
            role,
            name: None,
            parts,
        });
    }
    Ok(())
}

fn content(raw: &RawValue) -> Read<Vec<Part<'_>>> {
    if is_text(raw) {
        return Ok(vec![Part::text(text(raw)?)]);
    }
    let list = crate::fields::array(raw).map_err(|_| Wrong::found(raw, "a string or an array of blocks"))?;
    list.into_iter()
        .enumerate()
        .map(|(i, raw)| block(raw).at(i))
        .collect()
}

/// A content block.
pub(super) fn block(raw: &RawValue) -> Read<Part<'_>> {
    let mut f = Fields::of(raw)?;
    let kind = f.need_text("type")?;
    let cache_control = f.take("cache_control");
    let content = match kind.as_ref() {
        "text" => PartContent::Text(f.need_text("text")?),
        "thinking" | "redacted_thinking" => PartContent::Reasoning(thinking(raw)?),
        "image" => {
            let source = f.object("source")?;
            let source = f.need("source", source)?;
            PartContent::Image {
                media: media(source).within("source")?,
                detail: None,
            }
        }
        "document" => {
            let source = f.object("source")?;
            let mut source = f.need("source", source)?;
            let name = f.text("title")?;
            let nested = source.take("content");
            let media = match nested {
                Some(raw) if is_text(raw) => Media::Text(text(raw).within("content").within("source")?),
                Some(raw) => {
                    let parts = self::content(raw).within("content").within("source")?;
                    Media::Text(crate::conversation::join(&parts).into_owned().into())
                }
                None => media(source).within("source")?,
            };
            PartContent::File { media, name }
        }
        "tool_use" => {
            let input = f.take("input").map_or("{}", RawValue::get);
            PartContent::ToolCall(ToolCall {
                id: f.need_text("id")?,
                name: f.need_text("name")?,
                arguments: Cow::Borrowed(input),
                custom: false,
            })
        }
        "tool_result" => {
            let content = match f.take("content") {
                Some(raw) => self::content(raw).within("content")?,
                None => Vec::new(),
            };
            PartContent::ToolResult {
                id: f.need_text("tool_use_id")?,
                content,
                is_error: f.flag("is_error")?.unwrap_or(false),
            }
        }
        _ => PartContent::Other { kind, raw },
    };
    Ok(Part {
        content,
        cache_control,
    })
}

/// A thinking block, also where another format carries it.
pub(crate) fn thinking(raw: &RawValue) -> Read<Reasoning<'_>> {
    let mut f = Fields::of(raw)?;
    if f.text("type")?.as_deref() == Some("redacted_thinking") {
        return Ok(Reasoning {
            text: Cow::Borrowed(""),
            seal: Some(Seal::Redacted(f.need_text("data")?)),
        });
    }
    let signature = f.text("signature")?;
    Ok(Reasoning {
        text: f.text("thinking")?.unwrap_or_default(),
        seal: signature.and_then(Seal::of_signature),
    })
}

fn media(mut f: Fields<'_>) -> Read<Media<'_>> {
    match f.need_text("type")?.as_ref() {
        "base64" => Ok(Media::Data {
            media_type: f.need_text("media_type")?,
            base64: f.need_text("data")?,
        }),
        "url" => Ok(Media::Url(f.need_text("url")?)),
        "text" => Ok(Media::Text(f.need_text("data")?)),
        "file" => Ok(Media::FileId(f.need_text("file_id")?)),
        other => Err(Wrong::new(format!(
            "found \"{other}\", allowed: base64, url, text, file"
        )))
        .within("type"),
    }
}

fn tool(raw: &RawValue) -> Read<Tool<'_>> {
    let mut f = Fields::of(raw)?;
    let cache_control = f.take("cache_control");
    let kind = match f.text("type")? {
        Some(kind) if kind != "custom" => ToolKind::Other { kind, raw },
        _ => ToolKind::Function {
            name: f.need_text("name")?,
            description: f.text("description")?,
            parameters: f.take("input_schema"),
            strict: f.flag("strict")?,
        },
    };
    Ok(Tool { kind, cache_control })
}

fn choice(mut f: Fields<'_>) -> Read<ToolChoice<'_>> {
    match f.need_text("type")?.as_ref() {
        "auto" => Ok(ToolChoice::Auto),
        "any" => Ok(ToolChoice::Required),
        "none" => Ok(ToolChoice::None),
        "tool" => f.need_text("name").map(ToolChoice::Named),
        other => Err(Wrong::new(format!(
            "found \"{other}\", allowed: auto, any, tool, none"
        )))
        .within("type"),
    }
}
