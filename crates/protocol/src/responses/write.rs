//! A conversation into a Responses request.

use fingerpost_core::Role;

use crate::{
    Format, Warnings,
    chat::SHARED,
    conversation::{
        Conversation, Dialect, Media, Message, OutputFormat, Part, PartContent, Seal, ToolChoice, ToolKind,
    },
    json::{self, Array, Object},
};

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
        o.array("input", |a| {
            for message in &c.messages {
                items(message, a, c.source, dialect, warnings);
            }
        });
        tools(c, o, warnings);
        settings(c, o, warnings);
        for (key, raw) in &c.extra {
            let known = c.source == Format::Chat && SHARED.contains(&key.as_ref());
            if known || c.source == Format::Responses {
                o.raw(key, raw.get().as_bytes());
            } else {
                dropped(key.to_string(), warnings);
            }
        }
    });
    out
}

fn dropped(field: impl Into<std::borrow::Cow<'static, str>>, warnings: &mut Warnings) {
    warnings.note(field, "has no place in responses and was dropped");
}

fn settings(c: &Conversation<'_>, o: &mut Object<'_>, warnings: &mut Warnings) {
    let s = &c.sampling;
    o.some("max_output_tokens", c.max_output);
    o.some("temperature", s.temperature);
    o.some("top_p", s.top_p);
    if s.logprobs {
        o.array("include", |a| a.item("message.output_text.logprobs"));
        o.some("top_logprobs", s.top_logprobs);
    } else if c.store != Some(true) && c.reasoning.is_some() {
        // Without it a stateless conversation would lose its thoughts.
        o.array("include", |a| a.item("reasoning.encrypted_content"));
    }
    if let Some(reasoning) = &c.reasoning {
        o.object("reasoning", |r| {
            r.some("effort", reasoning.effort());
            // Clients of formats that show thoughts expect to see them.
            let shown = (c.source != Format::Responses).then_some("auto");
            r.some("summary", reasoning.summary.as_deref().or(shown));
        });
    }
    let has_format = !matches!(c.output, OutputFormat::Text);
    if has_format || c.verbosity.is_some() {
        o.object("text", |t| {
            match &c.output {
                OutputFormat::Text => {}
                OutputFormat::Json => t.object("format", |f| f.field("type", "json_object")),
                OutputFormat::Schema {
                    name,
                    description,
                    schema,
                    strict,
                } => t.object("format", |f| {
                    f.field("type", "json_schema");
                    f.field("name", name.as_deref().unwrap_or("answer"));
                    f.some("description", description.as_deref());
                    f.raw("schema", schema.get().as_bytes());
                    f.some(
                        "strict",
                        strict.or((c.source == Format::Messages).then_some(true)),
                    );
                }),
            }
            t.some("verbosity", c.verbosity.as_deref());
        });
    }
    o.some("user", c.user.as_deref());
    o.some("metadata", c.metadata);
    // Other formats do not store unless asked; this one does.
    let store = c.store.or((c.source != Format::Responses).then_some(false));
    o.some("store", store);
    if c.stream {
        o.field("stream", true);
    }
    for (field, given) in [
        ("stop", !s.stop.is_empty()),
        ("top_k", s.top_k.is_some()),
        ("seed", s.seed.is_some()),
        ("frequency_penalty", s.frequency_penalty.is_some_and(|p| p != 0.0)),
        ("presence_penalty", s.presence_penalty.is_some_and(|p| p != 0.0)),
        ("n", s.answers.is_some_and(|n| n > 1)),
        ("cache_control", c.cache_control.is_some()),
    ] {
        if given {
            dropped(field, warnings);
        }
    }
}

fn tools(c: &Conversation<'_>, o: &mut Object<'_>, warnings: &mut Warnings) {
    let own = |kind: &ToolKind<'_>| match kind {
        ToolKind::Function { .. } => true,
        ToolKind::Other { .. } => c.source == Format::Responses,
    };
    for tool in &c.tools {
        if let ToolKind::Other { kind, .. } = &tool.kind
            && !own(&tool.kind)
        {
            dropped(format!("tools.{kind}"), warnings);
        }
        if tool.cache_control.is_some() {
            dropped("cache_control", warnings);
        }
    }
    if !c.tools.iter().any(|t| own(&t.kind)) {
        return;
    }
    o.array("tools", |a| {
        for tool in c.tools.iter().filter(|t| own(&t.kind)) {
            match &tool.kind {
                ToolKind::Function {
                    name,
                    description,
                    parameters,
                    strict,
                } => a.object(|t| {
                    t.field("type", "function");
                    t.field("name", name);
                    t.some("description", description.as_deref());
                    t.field("parameters", *parameters);
                    // This format's default is strict, the others' is not.
                    t.field("strict", strict.unwrap_or(c.source == Format::Responses));
                }),
                ToolKind::Other { raw, .. } => a.raw(raw.get().as_bytes()),
            }
        }
    });
    match &c.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => o.field("tool_choice", "auto"),
        Some(ToolChoice::None) => o.field("tool_choice", "none"),
        Some(ToolChoice::Required) => o.field("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => o.object("tool_choice", |t| named(t, name)),
        Some(ToolChoice::Allowed { required, names }) => o.object("tool_choice", |t| {
            t.field("type", "allowed_tools");
            t.field("mode", if *required { "required" } else { "auto" });
            t.array("tools", |a| {
                for name in names {
                    a.object(|t| named(t, name));
                }
            });
        }),
    }
    o.some("parallel_tool_calls", c.parallel_tool_calls);
}

fn named(t: &mut Object<'_>, name: &str) {
    t.field("type", "function");
    t.field("name", name);
}

/// A message as items: its texts and media as one, each call, result and thought as its own, in order.
fn items(
    message: &Message<'_>,
    a: &mut Array<'_>,
    source: Format,
    dialect: Dialect,
    warnings: &mut Warnings,
) {
    let role = match message.role {
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
        Role::Developer if dialect.developer => "developer",
        Role::System | Role::Developer => "system",
    };
    if message.name.is_some() && message.role != Role::Tool {
        dropped("messages.name", warnings);
    }
    let mut pending: Vec<&Part<'_>> = Vec::new();
    for part in &message.parts {
        let alone = matches!(
            part.content,
            PartContent::ToolCall(_)
                | PartContent::ToolResult { .. }
                | PartContent::Reasoning(_)
                | PartContent::Other { .. }
        );
        if !alone {
            pending.push(part);
            continue;
        }
        write_message(role, &std::mem::take(&mut pending), a, warnings);
        if part.cache_control.is_some() {
            dropped("cache_control", warnings);
        }
        match &part.content {
            PartContent::ToolCall(call) => a.object(|i| {
                i.field(
                    "type",
                    if call.custom {
                        "custom_tool_call"
                    } else {
                        "function_call"
                    },
                );
                i.field("call_id", &call.id);
                i.field("name", &call.name);
                let arguments = if call.arguments.is_empty() && !call.custom {
                    "{}"
                } else {
                    &call.arguments
                };
                i.field(if call.custom { "input" } else { "arguments" }, arguments);
            }),
            PartContent::ToolResult {
                id,
                content,
                is_error,
            } => {
                a.object(|i| {
                    i.field("type", "function_call_output");
                    i.field("call_id", id);
                    match content.as_slice() {
                        [] => i.field("output", ""),
                        [one] if one.as_text().is_some() => i.field("output", one.as_text()),
                        parts => i.array("output", |a| {
                            for part in parts {
                                write_part("input_text", part, a, warnings);
                            }
                        }),
                    }
                });
                if *is_error {
                    warnings.note(
                        "is_error",
                        "has no place in responses and was dropped; the result's text stays",
                    );
                }
            }
            PartContent::Reasoning(thought) => match &thought.seal {
                Some(Seal::Item { id, encrypted }) => a.object(|i| {
                    i.field("type", "reasoning");
                    i.field("id", id);
                    i.array("summary", |s| {
                        if !thought.text.is_empty() {
                            s.object(|t| {
                                t.field("type", "summary_text");
                                t.field("text", &thought.text);
                            });
                        }
                    });
                    i.some("encrypted_content", encrypted.as_deref());
                }),
                _ => warnings.note("reasoning", "not made by this provider and dropped"),
            },
            PartContent::Other { raw, .. } if source == Format::Responses => a.raw(raw.get().as_bytes()),
            PartContent::Other { kind, .. } => dropped(kind.to_string(), warnings),
            _ => {}
        }
    }
    write_message(role, &pending, a, warnings);
}

fn write_message(role: &str, parts: &[&Part<'_>], a: &mut Array<'_>, warnings: &mut Warnings) {
    if parts.is_empty() {
        return;
    }
    a.object(|m| {
        m.field("type", "message");
        m.field("role", role);
        let text = if role == "assistant" {
            "output_text"
        } else {
            "input_text"
        };
        m.array("content", |a| {
            for part in parts {
                write_part(text, part, a, warnings);
            }
        });
    });
}

fn write_part(text_kind: &str, part: &Part<'_>, a: &mut Array<'_>, warnings: &mut Warnings) {
    if part.cache_control.is_some() {
        dropped("cache_control", warnings);
    }
    match &part.content {
        PartContent::Text(text) => a.object(|p| {
            p.field("type", text_kind);
            p.field("text", text);
            if text_kind == "output_text" {
                p.array("annotations", |_| {});
            }
        }),
        PartContent::Refusal(text) => a.object(|p| {
            p.field("type", "refusal");
            p.field("refusal", text);
        }),
        PartContent::Image { media, detail } if media.to_url().is_some() => a.object(|p| {
            p.field("type", "input_image");
            p.some("image_url", media.to_url());
            p.field("detail", detail.as_deref().unwrap_or("auto"));
        }),
        PartContent::Image {
            media: Media::FileId(id),
            detail,
        } => a.object(|p| {
            p.field("type", "input_image");
            p.field("file_id", id);
            p.field("detail", detail.as_deref().unwrap_or("auto"));
        }),
        PartContent::File { media, name } => match media {
            Media::Text(text) => a.object(|p| {
                p.field("type", text_kind);
                p.field("text", text);
            }),
            Media::Url(url) => a.object(|p| {
                p.field("type", "input_file");
                p.field("file_url", url);
            }),
            Media::Data { .. } => a.object(|p| {
                p.field("type", "input_file");
                p.field("filename", name.as_deref().unwrap_or("document.pdf"));
                p.some("file_data", media.to_url());
            }),
            Media::FileId(id) => a.object(|p| {
                p.field("type", "input_file");
                p.field("file_id", id);
            }),
        },
        PartContent::Other { kind, .. } => dropped(kind.to_string(), warnings),
        _ => dropped("input_audio", warnings),
    }
}
