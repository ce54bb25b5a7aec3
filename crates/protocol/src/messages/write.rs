//! A conversation into a Messages request.
//!
//! Anthropic is stricter than the others: system texts stand apart, roles alternate, all results of one round stand in one user
//! message, no text is empty, `max_tokens` is a must, thinking excludes a forced tool and most sampling.

use std::borrow::Cow;

use base64::Engine;
use fingerpost_core::Role;
use serde_json::value::RawValue;

use crate::{
    Format, Warnings,
    conversation::{
        Conversation, Dialect, Media, OutputFormat, Part, PartContent, Reasoning, Seal, Tool, ToolChoice,
        ToolKind,
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
    let thinking = thinking(c, dialect, warnings);
    let mut out = Vec::with_capacity(1024);
    json::object(&mut out, |o| {
        o.field("model", model);
        let max = c.max_output.unwrap_or(dialect.default_max_tokens);
        // The budget counts as output and must be less than it.
        let max = match thinking {
            Some(Thinking::Budget(budget)) if max <= budget => budget.saturating_add(max),
            _ => max,
        };
        o.field("max_tokens", max);
        system(c, o, warnings);
        o.array("messages", |a| messages(c, a, warnings));
        tools(c, o, warnings);
        sampling(c, o, thinking, warnings);
        if let Some(thinking) = thinking {
            o.object("thinking", |t| match thinking {
                Thinking::Off => t.field("type", "disabled"),
                Thinking::Adaptive => t.field("type", "adaptive"),
                Thinking::Budget(budget) => {
                    t.field("type", "enabled");
                    t.field("budget_tokens", budget);
                }
            });
        }
        output(c, o, thinking);
        if let Some(user) = &c.user {
            o.object("metadata", |m| m.field("user_id", user));
        }
        if c.stream {
            o.field("stream", true);
        }
        o.some("cache_control", c.cache_control);
        for (key, raw) in &c.extra {
            if c.source == Format::Messages {
                o.raw(key, raw.get().as_bytes());
            } else {
                dropped(key.to_string(), warnings);
            }
        }
    });
    out
}

fn dropped(field: impl Into<Cow<'static, str>>, warnings: &mut Warnings) {
    warnings.note(field, "has no place in messages and was dropped");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Off,
    Adaptive,
    Budget(u32),
}

fn thinking(c: &Conversation<'_>, dialect: Dialect, warnings: &mut Warnings) -> Option<Thinking> {
    let config = c.reasoning.as_ref()?;
    let Some(budget) = config.budget() else {
        return Some(Thinking::Off);
    };
    if dialect.adaptive_thinking {
        return Some(Thinking::Adaptive);
    }
    if matches!(c.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_))) && !c.tools.is_empty() {
        warnings.note(
            "reasoning",
            "dropped: messages cannot think when a tool is forced",
        );
        return None;
    }
    // A round of tool calls that began without thinking must go on without.
    let last = c.messages.iter().rev().find(|m| m.role == Role::Assistant);
    let in_round = c.messages.last().is_some_and(|m| m.role == Role::Tool);
    let sealed = |p: &Part<'_>| matches!(&p.content, PartContent::Reasoning(r) if ours(r).is_some());
    if in_round && last.is_some_and(|m| !m.parts.iter().any(sealed)) {
        warnings.note(
            "reasoning",
            "dropped: the tool calls before were made without signed thinking",
        );
        return None;
    }
    Some(Thinking::Budget(budget.max(1024)))
}

/// The seal of a thought that Anthropic can verify.
fn ours<'r>(reasoning: &'r Reasoning<'_>) -> Option<&'r Seal<'r>> {
    match &reasoning.seal {
        Some(seal @ (Seal::Signature(_) | Seal::Redacted(_))) => Some(seal),
        _ => None,
    }
}

fn system(c: &Conversation<'_>, o: &mut Object<'_>, warnings: &mut Warnings) {
    let is_system = |role| matches!(role, Role::System | Role::Developer);
    let mut parts = Vec::new();
    let mut begun = false;
    for message in &c.messages {
        if !is_system(message.role) {
            begun = true;
            continue;
        }
        if begun {
            warnings.note(
                "messages",
                "a system text amid the conversation was moved to its top",
            );
        }
        for part in &message.parts {
            match part.as_text() {
                Some("") => {}
                Some(_) => parts.push(part),
                None => dropped("system", warnings),
            }
        }
    }
    let asked = matches!(c.output, OutputFormat::Json).then(|| {
        warnings.note(
            "response_format",
            "messages has no plain JSON mode; it was asked for in words",
        );
        Part::text("Answer with one JSON object and nothing else.")
    });
    parts.extend(asked.as_ref());
    match parts.as_slice() {
        [] => {}
        [part] if part.cache_control.is_none() => o.field("system", part.as_text()),
        parts => o.array("system", |a| {
            for part in parts {
                block(part, a, warnings);
            }
        }),
    }
}

/// The messages; neighbours of one side become one.
fn messages(c: &Conversation<'_>, a: &mut Array<'_>, warnings: &mut Warnings) {
    let mut at = 0;
    while let Some(first) = c.messages.get(at) {
        let Some(side) = side(first.role) else {
            at += 1;
            continue;
        };
        let mut parts = Vec::new();
        while let Some(message) = c.messages.get(at) {
            match self::side(message.role) {
                Some(other) if other != side => break,
                Some(_) => {
                    if message.name.is_some() && message.role != Role::Tool {
                        dropped("messages.name", warnings);
                    }
                    parts.extend(&message.parts);
                }
                // A system text, moved to the top, leaves no gap.
                None => {}
            }
            at += 1;
        }
        parts.retain(|part| match &part.content {
            PartContent::Text(text) => !text.trim().is_empty(),
            PartContent::Reasoning(reasoning) => {
                let keep = ours(reasoning).is_some();
                if !keep {
                    warnings.note("reasoning", "not signed by this provider and dropped");
                }
                keep
            }
            PartContent::Audio { .. } => {
                dropped("input_audio", warnings);
                false
            }
            PartContent::Other { kind, .. } => {
                dropped(kind.to_string(), warnings);
                false
            }
            PartContent::Image { media, .. } | PartContent::File { media, .. } => {
                !foreign_id(media, warnings)
            }
            _ => true,
        });
        // Thinking stands before what it led to, results before what the user adds.
        if side == "user" {
            parts.sort_by_key(|p| !matches!(p.content, PartContent::ToolResult { .. }));
        }
        match parts.as_slice() {
            [] => {}
            [part] if part.as_text().is_some() && part.cache_control.is_none() => a.object(|m| {
                m.field("role", side);
                m.field("content", part.as_text());
            }),
            parts => a.object(|m| {
                m.field("role", side);
                m.array("content", |a| {
                    for part in parts {
                        block(part, a, warnings);
                    }
                });
            }),
        }
    }
}

const fn side(role: Role) -> Option<&'static str> {
    match role {
        Role::User | Role::Tool => Some("user"),
        Role::Assistant => Some("assistant"),
        Role::System | Role::Developer => None,
    }
}

fn block(part: &Part<'_>, a: &mut Array<'_>, warnings: &mut Warnings) {
    let mut simple = |kind: &str, write: &mut dyn FnMut(&mut Object<'_>)| {
        a.object(|b| {
            b.field("type", kind);
            write(b);
            b.some("cache_control", part.cache_control);
        });
    };
    match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => {
            simple("text", &mut |b| b.field("text", text));
        }
        PartContent::Reasoning(thought) => write_thinking(thought, a),
        PartContent::Image { media, .. } if !matches!(media, Media::Text(_)) => {
            if foreign_id(media, warnings) {
                return;
            }
            simple("image", &mut |b| source(b, media));
        }
        PartContent::File { media, name } => {
            if foreign_id(media, warnings) {
                return;
            }
            simple("document", &mut |b| {
                source(b, media);
                b.some("title", name.as_deref());
            });
        }
        PartContent::ToolCall(call) => {
            simple("tool_use", &mut |b| {
                b.field("id", tool_id(&call.id));
                b.field("name", &call.name);
                b.raw("input", input(&call.arguments, call.custom).as_bytes());
            });
        }
        PartContent::ToolResult {
            id,
            content,
            is_error,
        } => {
            let mut inner = Warnings::default();
            simple("tool_result", &mut |b| {
                b.field("tool_use_id", tool_id(id));
                match content.as_slice() {
                    [] => {}
                    [one] if one.as_text().is_some() => b.field("content", one.as_text()),
                    parts => b.array("content", |a| {
                        for part in parts.iter().filter(|p| p.as_text() != Some("")) {
                            // One marker a block: the result carries it.
                            block(&Part::new(part.content.clone()), a, &mut inner);
                        }
                    }),
                }
                if *is_error {
                    b.field("is_error", true);
                }
            });
            warnings.extend(inner);
        }
        PartContent::Audio { .. } => dropped("input_audio", warnings),
        PartContent::Other { kind, .. } => dropped(kind.to_string(), warnings),
        PartContent::Image { .. } => dropped("image", warnings),
    }
}

/// A thought as a block.
pub(crate) fn write_thinking(thought: &Reasoning<'_>, a: &mut Array<'_>) {
    a.object(|b| {
        if let Some(Seal::Redacted(data)) = &thought.seal {
            b.field("type", "redacted_thinking");
            b.field("data", data);
            return;
        }
        let signature = thought.seal.as_ref().and_then(Seal::to_signature);
        b.field("type", "thinking");
        b.field("thinking", &thought.text);
        b.field("signature", signature.unwrap_or_default());
    });
}

/// Ids of uploads mean nothing to another provider.
fn foreign_id(media: &Media<'_>, warnings: &mut Warnings) -> bool {
    let foreign = matches!(media, Media::FileId(_));
    if foreign {
        warnings.note("file_id", "uploaded to another provider and dropped");
    }
    foreign
}

fn source(b: &mut Object<'_>, media: &Media<'_>) {
    b.object("source", |s| match media {
        Media::Url(url) => {
            s.field("type", "url");
            s.field("url", url);
        }
        Media::Data { media_type, base64 } if media_type.starts_with("text/") => {
            // Text documents are sent as text, not base64.
            let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_bytes());
            let text = bytes.unwrap_or_default();
            s.field("type", "text");
            s.field("media_type", "text/plain");
            s.field("data", String::from_utf8_lossy(&text));
        }
        Media::Data { media_type, base64 } => {
            s.field("type", "base64");
            // A slip that is common and refused.
            s.field(
                "media_type",
                if media_type == "image/jpg" {
                    "image/jpeg"
                } else {
                    media_type
                },
            );
            s.field("data", base64);
        }
        Media::Text(text) => {
            s.field("type", "text");
            s.field("media_type", "text/plain");
            s.field("data", text);
        }
        Media::FileId(id) => {
            s.field("type", "file");
            s.field("file_id", id);
        }
    });
}

/// Ids of other formats may have signs that Anthropic refuses; call and result change alike.
fn tool_id(id: &str) -> Cow<'_, str> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.is_empty() {
        Cow::Borrowed("_")
    } else if id.chars().all(good) {
        Cow::Borrowed(id)
    } else {
        id.chars().map(|c| if good(c) { c } else { '_' }).collect()
    }
}

/// The input of a call, which must be an object: the arguments where they are one, else wrapped.
pub(super) fn input(arguments: &str, custom: bool) -> Cow<'_, str> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() && !custom {
        return Cow::Borrowed("{}");
    }
    if !custom && trimmed.starts_with('{') && serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        return Cow::Borrowed(trimmed);
    }
    let mut out = Vec::new();
    json::object(&mut out, |o| o.field("input", arguments));
    String::from_utf8(out).unwrap_or_default().into()
}

fn tools(c: &Conversation<'_>, o: &mut Object<'_>, warnings: &mut Warnings) {
    let allowed = |tool: &&Tool<'_>| match (&c.tool_choice, &tool.kind) {
        (Some(ToolChoice::Allowed { names, .. }), ToolKind::Function { name, .. }) => names.contains(name),
        _ => true,
    };
    let tools: Vec<_> = c.tools.iter().filter(allowed).collect();
    if tools.is_empty() {
        return;
    }
    let mut written = false;
    let mut list = Vec::new();
    json::object(&mut list, |holder| {
        holder.array("tools", |a| {
            for tool in tools {
                write_tool(tool, a, c.source, warnings);
            }
            written = !a.is_empty();
        });
    });
    if !written {
        return;
    }
    // The holder's one member: `{"tools":[…]}`.
    o.raw("tools", list.get(9..list.len() - 1).unwrap_or(b"[]"));
    let serial = c.parallel_tool_calls == Some(false);
    let (kind, name) = match &c.tool_choice {
        None if !serial => return,
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name)),
    };
    o.object("tool_choice", |t| {
        t.field("type", kind);
        t.some("name", name);
        if serial && kind != "none" {
            t.field("disable_parallel_tool_use", true);
        }
    });
}

fn write_tool(tool: &Tool<'_>, a: &mut Array<'_>, source: Format, warnings: &mut Warnings) {
    match &tool.kind {
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => a.object(|t| {
            t.field("name", name);
            t.some("description", description.as_deref());
            let empty = br#"{"type":"object","properties":{}}"#;
            t.raw("input_schema", parameters.map_or(empty, |p| p.get().as_bytes()));
            t.some("strict", *strict);
            t.some("cache_control", tool.cache_control);
        }),
        ToolKind::Other { raw, .. } if source == Format::Messages => a.raw(raw.get().as_bytes()),
        ToolKind::Other { kind, .. } => dropped(format!("tools.{kind}"), warnings),
    }
}

fn sampling(c: &Conversation<'_>, o: &mut Object<'_>, thinking: Option<Thinking>, warnings: &mut Warnings) {
    let s = &c.sampling;
    let thinks = !matches!(thinking, None | Some(Thinking::Off));
    if thinks {
        if s.temperature.is_some_and(|t| (t - 1.0).abs() > f64::EPSILON) {
            warnings.note("temperature", "dropped: messages cannot set it while thinking");
        }
        if s.top_k.is_some() {
            warnings.note("top_k", "dropped: messages cannot set it while thinking");
        }
        match s.top_p {
            Some(top_p) if top_p >= 0.95 => o.field("top_p", top_p),
            Some(_) => warnings.note("top_p", "dropped: messages takes 0.95 to 1 only while thinking"),
            None => {}
        }
    } else {
        if s.temperature.is_some_and(|t| t > 1.0) {
            warnings.note("temperature", "above what messages takes; set to 1");
        }
        o.some("temperature", s.temperature.map(|t| t.min(1.0)));
        o.some("top_p", s.top_p);
        o.some("top_k", s.top_k);
    }
    let stop: Vec<_> = s.stop.iter().filter(|t| !t.trim().is_empty()).collect();
    if stop.len() < s.stop.len() {
        warnings.note("stop", "messages takes no stop text of white space only; dropped");
    }
    if !stop.is_empty() {
        o.field("stop_sequences", stop);
    }
    for (field, given) in [
        ("seed", s.seed.is_some()),
        ("frequency_penalty", s.frequency_penalty.is_some_and(|p| p != 0.0)),
        ("presence_penalty", s.presence_penalty.is_some_and(|p| p != 0.0)),
        ("logprobs", s.logprobs),
        ("n", s.answers.is_some_and(|n| n > 1)),
        ("verbosity", c.verbosity.is_some()),
        ("metadata", c.metadata.is_some()),
        ("store", c.store == Some(true)),
    ] {
        if given {
            dropped(field, warnings);
        }
    }
}

fn output(c: &Conversation<'_>, o: &mut Object<'_>, thinking: Option<Thinking>) {
    let schema = match &c.output {
        OutputFormat::Schema { schema, .. } => Some(*schema),
        OutputFormat::Text | OutputFormat::Json => None,
    };
    let effort = c
        .reasoning
        .as_ref()
        .filter(|_| thinking == Some(Thinking::Adaptive));
    let effort = effort.and_then(|r| r.effort()).map(|e| match e {
        "minimal" | "none" => "low",
        other => other,
    });
    // An Anthropic client's own effort stands beside whatever thinking it asked for.
    let own = c.reasoning.as_ref().filter(|_| c.source == Format::Messages);
    let effort = effort.or(own.and_then(|r| r.effort.as_deref()));
    if schema.is_none() && effort.is_none() {
        return;
    }
    o.object("output_config", |config| {
        config.some("effort", effort);
        if let Some(schema) = schema {
            config.object("format", |f| {
                f.field("type", "json_schema");
                f.raw("schema", schema.get().as_bytes());
            });
        }
    });
}
