//! A conversation into a Chat request.

use fingerpost_core::Role;

use crate::{
    Format, Warnings,
    conversation::{
        Conversation, Dialect, Media, Message, OutputFormat, Part, PartContent, Seal, Tool, ToolChoice,
        ToolKind, join,
    },
    json::{self, Array, Object},
};

/// Members that both of OpenAI's formats have, with the same meaning.
pub(crate) const SHARED: [&str; 6] = [
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "moderation",
];

/// Writes a request body.
pub(crate) fn write_request(
    c: &Conversation<'_>,
    model: &str,
    dialect: Dialect,
    warnings: &mut Warnings,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    json::object(&mut out, |o| {
        o.field("model", model);
        o.array("messages", |a| {
            for message in &c.messages {
                write_message(message, a, dialect, warnings);
            }
        });
        if !c.tools.is_empty() {
            tools(c, o, dialect, warnings);
        }
        settings(c, o, dialect, warnings);
        if c.stream {
            o.field("stream", true);
            o.object("stream_options", |s| s.field("include_usage", true));
        }
        for (key, raw) in &c.extra {
            let known = c.source == Format::Responses && SHARED.contains(&key.as_ref());
            if known || c.source == Format::Chat {
                o.raw(key, raw.get().as_bytes());
            } else {
                warnings.note(key.to_string(), "has no place in chat and was dropped");
            }
        }
    });
    out
}

fn settings(c: &Conversation<'_>, o: &mut Object<'_>, dialect: Dialect, warnings: &mut Warnings) {
    let key = if dialect.max_completion_tokens {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    o.some(key, c.max_output);
    let s = &c.sampling;
    o.some("temperature", s.temperature);
    o.some("top_p", s.top_p);
    if dialect.extensions {
        o.some("top_k", s.top_k);
    } else if s.top_k.is_some() {
        warnings.note("top_k", "has no place in chat and was dropped");
    }
    if !s.stop.is_empty() {
        o.field("stop", &s.stop);
    }
    o.some("seed", s.seed);
    o.some("frequency_penalty", s.frequency_penalty);
    o.some("presence_penalty", s.presence_penalty);
    if s.logprobs {
        o.field("logprobs", true);
        o.some("top_logprobs", s.top_logprobs);
    }
    o.some("n", s.answers);
    if let Some(effort) = c.reasoning.as_ref().and_then(|r| r.effort()) {
        o.field("reasoning_effort", effort);
    }
    o.some("verbosity", c.verbosity.as_deref());
    match &c.output {
        OutputFormat::Text => {}
        OutputFormat::Json => o.object("response_format", |f| f.field("type", "json_object")),
        OutputFormat::Schema {
            name,
            description,
            schema,
            strict,
        } => o.object("response_format", |f| {
            f.field("type", "json_schema");
            f.object("json_schema", |j| {
                j.field("name", name.as_deref().unwrap_or("answer"));
                j.some("description", description.as_deref());
                j.raw("schema", schema.get().as_bytes());
                // A format without the flag (Anthropic's) always holds to the schema.
                j.some(
                    "strict",
                    strict.or((c.source == Format::Messages).then_some(true)),
                );
            });
        }),
    }
    o.some("user", c.user.as_deref());
    o.some("metadata", c.metadata);
    o.some("store", c.store.filter(|_| c.source != Format::Messages));
    if c.cache_control.is_some() {
        if dialect.extensions {
            o.some("cache_control", c.cache_control);
        } else {
            warnings.note("cache_control", "has no place in chat and was dropped");
        }
    }
}

fn tools(c: &Conversation<'_>, o: &mut Object<'_>, dialect: Dialect, warnings: &mut Warnings) {
    let mut written = 0;
    o.array("tools", |a| {
        for tool in &c.tools {
            written += usize::from(write_tool(tool, a, c.source, dialect, warnings));
        }
    });
    if written == 0 {
        return;
    }
    match &c.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => o.field("tool_choice", "auto"),
        Some(ToolChoice::None) => o.field("tool_choice", "none"),
        Some(ToolChoice::Required) => o.field("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => o.object("tool_choice", |t| {
            t.field("type", "function");
            t.object("function", |f| f.field("name", name));
        }),
        Some(ToolChoice::Allowed { required, names }) => o.object("tool_choice", |t| {
            t.field("type", "allowed_tools");
            t.object("allowed_tools", |t| {
                t.field("mode", if *required { "required" } else { "auto" });
                t.array("tools", |a| {
                    for name in names {
                        a.object(|t| {
                            t.field("type", "function");
                            t.object("function", |f| f.field("name", name));
                        });
                    }
                });
            });
        }),
    }
    o.some("parallel_tool_calls", c.parallel_tool_calls);
}

fn write_tool(
    tool: &Tool<'_>,
    a: &mut Array<'_>,
    source: Format,
    dialect: Dialect,
    warnings: &mut Warnings,
) -> bool {
    match &tool.kind {
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => a.object(|t| {
            t.field("type", "function");
            t.object("function", |f| {
                f.field("name", name);
                f.some("description", description.as_deref());
                f.some("parameters", *parameters);
                f.some("strict", *strict);
            });
            cache(t, tool.cache_control, dialect, warnings);
        }),
        ToolKind::Other { raw, .. } if source == Format::Chat => a.raw(raw.get().as_bytes()),
        ToolKind::Other { kind, .. } => {
            warnings.note(format!("tools.{kind}"), "has no place in chat and was dropped");
            return false;
        }
    }
    true
}

fn cache(
    o: &mut Object<'_>,
    marker: Option<&serde_json::value::RawValue>,
    dialect: Dialect,
    warnings: &mut Warnings,
) {
    let Some(marker) = marker else { return };
    if dialect.extensions {
        o.raw("cache_control", marker.get().as_bytes());
    } else {
        warnings.note("cache_control", "has no place in chat and was dropped");
    }
}

fn write_message(message: &Message<'_>, a: &mut Array<'_>, dialect: Dialect, warnings: &mut Warnings) {
    match message.role {
        Role::Assistant => write_assistant(message, a, dialect, warnings),
        Role::Tool => write_results(&message.parts, a, dialect, warnings),
        Role::User | Role::System | Role::Developer => {
            let role = match message.role {
                Role::User => "user",
                Role::Developer if dialect.developer => "developer",
                _ => "system",
            };
            a.object(|m| {
                m.field("role", role);
                write_content(&message.parts, m, dialect, warnings);
                m.some("name", message.name.as_deref());
            });
        }
    }
}

fn write_assistant(message: &Message<'_>, a: &mut Array<'_>, dialect: Dialect, warnings: &mut Warnings) {
    let says = |p: &Part<'_>| match p.content {
        PartContent::Text(_) | PartContent::Refusal(_) | PartContent::ToolCall(_) => true,
        PartContent::Reasoning(_) => dialect.extensions,
        _ => false,
    };
    if !message.parts.is_empty() && !message.parts.iter().any(says) {
        message.parts.iter().for_each(|p| lost(&p.content, warnings));
        return;
    }
    a.object(|m| {
        m.field("role", "assistant");
        let said: Vec<&Part<'_>> = (message.parts.iter())
            .filter(|p| matches!(p.content, PartContent::Text(_)))
            .collect();
        match said.as_slice() {
            [] => m.null("content"),
            [part] if part.cache_control.is_none() => m.field("content", part.as_text()),
            parts => m.array("content", |a| {
                for part in parts {
                    write_part(part, a, dialect, warnings);
                }
            }),
        }
        let calls = message.parts.iter().filter_map(|p| match &p.content {
            PartContent::ToolCall(call) => Some(call),
            _ => None,
        });
        let calls: Vec<_> = calls.collect();
        if !calls.is_empty() {
            m.array("tool_calls", |a| {
                for call in calls {
                    super::answer::write_call(a, call);
                }
            });
        }
        let thoughts: Vec<_> = (message.parts.iter())
            .filter_map(|p| match &p.content {
                PartContent::Reasoning(r) => Some(r),
                _ => None,
            })
            .collect();
        if dialect.extensions {
            super::answer::write_thoughts(m, &thoughts);
        } else if !thoughts.is_empty() {
            warnings.note("reasoning", "has no place in a chat request and was dropped");
        }
        if thoughts
            .iter()
            .any(|t| matches!(t.seal, Some(Seal::Item { encrypted: None, .. })))
        {
            warnings.note("reasoning", "is stored with its provider and was dropped");
        }
        for part in &message.parts {
            match &part.content {
                PartContent::Refusal(text) => m.field("refusal", text),
                PartContent::Text(_) | PartContent::ToolCall(_) | PartContent::Reasoning(_) => {}
                other => lost(other, warnings),
            }
        }
        m.some("name", message.name.as_deref());
    });
}

/// Tool results, one message each; their images follow in a message of the user, because results are text in Chat.
fn write_results(parts: &[Part<'_>], a: &mut Array<'_>, dialect: Dialect, warnings: &mut Warnings) {
    let mut beside = Vec::new();
    for part in parts {
        let PartContent::ToolResult {
            id,
            content,
            is_error,
        } = &part.content
        else {
            lost(&part.content, warnings);
            continue;
        };
        let (texts, others): (Vec<_>, Vec<_>) = content.iter().cloned().partition(|p| p.as_text().is_some());
        beside.extend(others);
        a.object(|m| {
            m.field("role", "tool");
            m.field("tool_call_id", id);
            match texts.as_slice() {
                parts if parts.iter().all(|p| p.cache_control.is_none()) && parts.len() < 2 => {
                    m.field("content", join(parts));
                }
                parts => m.array("content", |a| {
                    for part in parts {
                        write_part(part, a, dialect, warnings);
                    }
                }),
            }
            if texts.iter().all(|p| p.cache_control.is_none()) {
                cache(m, part.cache_control, dialect, warnings);
            }
        });
        if *is_error {
            warnings.note(
                "is_error",
                "has no place in chat and was dropped; the result's text stays",
            );
        }
    }
    if !beside.is_empty() {
        warnings.note(
            "tool_result",
            "images moved into a user message, because chat's tool results are text",
        );
        a.object(|m| {
            m.field("role", "user");
            m.array("content", |a| {
                for part in &beside {
                    write_part(part, a, dialect, warnings);
                }
            });
        });
    }
}

fn write_content(parts: &[Part<'_>], m: &mut Object<'_>, dialect: Dialect, warnings: &mut Warnings) {
    match parts {
        [part] if part.as_text().is_some() && part.cache_control.is_none() => {
            m.field("content", part.as_text());
        }
        parts => m.array("content", |a| {
            for part in parts {
                write_part(part, a, dialect, warnings);
            }
        }),
    }
}

fn write_part(part: &Part<'_>, a: &mut Array<'_>, dialect: Dialect, warnings: &mut Warnings) {
    let mut simple = |kind: &str, write: &mut dyn FnMut(&mut Object<'_>)| {
        a.object(|p| {
            p.field("type", kind);
            write(p);
            cache(p, part.cache_control, dialect, warnings);
        });
    };
    match &part.content {
        PartContent::Text(text) => simple("text", &mut |p| p.field("text", text)),
        PartContent::Refusal(text) => simple("refusal", &mut |p| p.field("refusal", text)),
        PartContent::Image { media, detail } if media.to_url().is_some() => {
            simple("image_url", &mut |p| {
                p.object("image_url", |i| {
                    i.some("url", media.to_url());
                    i.some("detail", detail.as_deref());
                });
            });
        }
        PartContent::Audio { data, format } => simple("input_audio", &mut |p| {
            p.object("input_audio", |i| {
                i.field("data", data);
                i.field("format", format);
            });
        }),
        PartContent::File {
            media: Media::Text(text),
            ..
        } => simple("text", &mut |p| p.field("text", text)),
        PartContent::File {
            media: media @ Media::Data { .. },
            name,
        } => simple("file", &mut |p| {
            p.object("file", |f| {
                f.field("filename", name.as_deref().unwrap_or("document.pdf"));
                f.some("file_data", media.to_url());
            });
        }),
        PartContent::File {
            media: Media::FileId(id),
            ..
        } => simple("file", &mut |p| p.object("file", |f| f.field("file_id", id))),
        other => lost(other, warnings),
    }
}

fn lost(content: &PartContent<'_>, warnings: &mut Warnings) {
    let kind = match content {
        PartContent::Other { kind, .. } => kind.to_string(),
        PartContent::File { .. } => "document".to_owned(),
        PartContent::Image { .. } => "image".to_owned(),
        PartContent::Reasoning(_) => "reasoning".to_owned(),
        _ => "part".to_owned(),
    };
    warnings.note(kind, "has no place here in chat and was dropped");
}
