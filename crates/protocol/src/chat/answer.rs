//! A Chat answer, read and written.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    Answer, BadAnswer, Citation, Finish, Format, Head, Warnings,
    conversation::{Part, PartContent, Reasoning, Seal, ToolCall},
    fields::{Fields, Read, Within, Wrong, is_text, text},
    json::{self, Array, Object},
    usage::Wire,
};

/// Reads an answer body.
pub(crate) fn read_answer<'a>(raw: &'a RawValue, warnings: &mut Warnings) -> Result<Answer<'a>, BadAnswer> {
    let mut f = Fields::of(raw)?;
    if let Some(error) = f.take("error") {
        return Err(BadAnswer::new(&format!("it is an error: {}", error.get())));
    }
    let choices = f.array("choices")?;
    let choices = f.need("choices", choices)?;
    if choices.len() > 1 {
        warnings.note("choices", "the first of several answers was kept");
    }
    let Some(first) = choices.first() else {
        return Err(BadAnswer::new(
            "`choices`: found an empty array, allowed: at least one choice",
        ));
    };
    let mut answer = choice(first).at(0).within("choices")?;
    answer.usage = usage(&mut f)?;
    Ok(answer)
}

fn usage(f: &mut Fields<'_>) -> Read<Option<crate::Usage>> {
    let Some(raw) = f.take("usage") else {
        return Ok(None);
    };
    let wire: Wire = serde_json::from_str(raw.get())
        .map_err(|_| Wrong::found(raw, "an object of token counts"))
        .within("usage")?;
    Ok(Some(wire.usage(Format::Chat)))
}

fn choice(raw: &RawValue) -> Read<Answer<'_>> {
    let mut f = Fields::of(raw)?;
    let message = f.object("message")?;
    let mut m = f.need("message", message)?;
    let mut parts = Vec::new();
    super::read::thoughts(&mut m, &mut parts).within("message")?;
    match m.take("content") {
        Some(raw) if is_text(raw) => {
            let text = text(raw).within("content").within("message")?;
            if !text.is_empty() {
                parts.push(Part::text(text));
            }
        }
        Some(raw) => {
            // Some servers answer in parts.
            for (i, raw) in crate::fields::array(raw)
                .within("content")
                .within("message")?
                .into_iter()
                .enumerate()
            {
                let mut part = Fields::of(raw).at(i).within("content").within("message")?;
                let said = part.text("text").at(i).within("content").within("message")?;
                parts.extend(said.map(Part::text));
            }
        }
        None => {}
    }
    if let Some(refusal) = m.text("refusal").within("message")?.filter(|r| !r.is_empty()) {
        parts.push(Part::new(PartContent::Refusal(refusal)));
    }
    for (i, raw) in m
        .array("tool_calls")
        .within("message")?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let call = super::read::tool_call(raw)
            .at(i)
            .within("tool_calls")
            .within("message")?;
        parts.push(Part::new(PartContent::ToolCall(call)));
    }
    let mut citations = Vec::new();
    for raw in m.array("annotations").within("message")?.unwrap_or_default() {
        citations.extend(citation(raw).within("annotations").within("message")?);
    }
    let logprobs = f.object("logprobs")?.and_then(|mut l| l.take("content"));
    let finish = f
        .text("finish_reason")?
        .map_or(Finish::Stop, |r| Finish::of_chat(&r));
    let calls = parts
        .iter()
        .any(|p| matches!(p.content, PartContent::ToolCall(_)));
    Ok(Answer {
        parts,
        citations,
        logprobs: logprobs.map(Cow::Borrowed),
        finish: finish.with_calls(calls),
        stop_sequence: None,
        usage: None,
    })
}

/// An annotation that is a URL citation, nested (Chat) or flat (Responses).
pub(crate) fn citation(raw: &RawValue) -> Read<Option<Citation<'_>>> {
    let mut f = Fields::of(raw)?;
    if f.text("type")?.as_deref() != Some("url_citation") {
        return Ok(None);
    }
    let mut c = match f.object("url_citation")? {
        Some(nested) => nested,
        None => f,
    };
    Ok(Some(Citation {
        url: c.text("url")?.unwrap_or_default(),
        title: c.text("title")?.unwrap_or_default(),
        cited_text: Cow::Borrowed(""),
        start: c.number("start_index")?.unwrap_or(0),
        end: c.number("end_index")?.unwrap_or(0),
    }))
}

/// Writes an answer body.
pub(crate) fn write_answer(answer: &Answer<'_>, head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    json::object(&mut out, |o| {
        o.field("id", head.id_for(Format::Chat));
        o.field("object", "chat.completion");
        o.field("created", head.created);
        o.field("model", &head.model);
        o.array("choices", |a| {
            a.object(|c| {
                c.field("index", 0);
                c.object("message", |m| write_message(answer, m));
                match &answer.logprobs {
                    Some(list) => c.object("logprobs", |l| {
                        l.raw("content", list.get().as_bytes());
                        l.null("refusal");
                    }),
                    None => c.null("logprobs"),
                }
                c.field(
                    "finish_reason",
                    answer.finish.with_calls(answer.has_calls()).chat(),
                );
            });
        });
        if let Some(usage) = &answer.usage {
            o.object("usage", |u| usage.write(Format::Chat, u));
        }
    });
    out
}

fn write_message(answer: &Answer<'_>, m: &mut Object<'_>) {
    m.field("role", "assistant");
    let text = answer.text();
    let refusal: String = (answer.parts.iter())
        .filter_map(|p| match &p.content {
            PartContent::Refusal(text) => Some(text.as_ref()),
            _ => None,
        })
        .collect();
    let calls: Vec<_> = (answer.parts.iter())
        .filter_map(|p| match &p.content {
            PartContent::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    if text.is_empty() && (!calls.is_empty() || !refusal.is_empty()) {
        m.null("content");
    } else {
        m.field("content", text);
    }
    let refused = (!refusal.is_empty()).then_some(refusal);
    m.field("refusal", refused);
    let thoughts: Vec<_> = (answer.parts.iter())
        .filter_map(|p| match &p.content {
            PartContent::Reasoning(r) => Some(r),
            _ => None,
        })
        .collect();
    write_thoughts(m, &thoughts);
    if !answer.citations.is_empty() {
        m.array("annotations", |a| {
            for citation in &answer.citations {
                a.object(|o| write_citation(o, citation));
            }
        });
    }
    if !calls.is_empty() {
        m.array("tool_calls", |a| {
            for call in calls {
                write_call(a, call);
            }
        });
    }
}

/// Writes a citation as a Chat annotation.
pub(super) fn write_citation(o: &mut Object<'_>, citation: &Citation<'_>) {
    o.field("type", "url_citation");
    o.object("url_citation", |c| {
        c.field("start_index", citation.start);
        c.field("end_index", citation.end);
        c.field("title", &citation.title);
        c.field("url", &citation.url);
    });
}

/// Writes a tool call.
pub(super) fn write_call(a: &mut Array<'_>, call: &ToolCall<'_>) {
    a.object(|o| {
        o.field("id", &call.id);
        if call.custom {
            o.field("type", "custom");
            o.object("custom", |c| {
                c.field("name", &call.name);
                c.field("input", &call.arguments);
            });
        } else {
            o.field("type", "function");
            o.object("function", |f| {
                f.field("name", &call.name);
                f.field(
                    "arguments",
                    if call.arguments.is_empty() {
                        "{}"
                    } else {
                        &call.arguments
                    },
                );
            });
        }
    });
}

/// Writes thoughts: their text as `reasoning_content`, and those that are sealed as `thinking_blocks`, so that a client that
/// sends them back gives the provider its proof.
pub(super) fn write_thoughts(m: &mut Object<'_>, thoughts: &[&Reasoning<'_>]) {
    let texts: Vec<_> = thoughts
        .iter()
        .map(|t| t.text.as_ref())
        .filter(|t| !t.is_empty())
        .collect();
    if !texts.is_empty() {
        m.field("reasoning_content", texts.join("\n\n"));
    }
    if thoughts.iter().any(|t| is_portable(t)) {
        m.array("thinking_blocks", |a| {
            for thought in thoughts.iter().filter(|t| is_portable(t)) {
                crate::messages::write_thinking(thought, a);
            }
        });
    }
}

/// Whether the seal is worth sending: an item that is stored with its provider, without content, is not.
pub(crate) fn is_portable(thought: &Reasoning<'_>) -> bool {
    !matches!(thought.seal, None | Some(Seal::Item { encrypted: None, .. }))
}
