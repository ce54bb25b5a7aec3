//! A Messages answer, read and written.

use serde_json::value::RawValue;

use crate::{
    Answer, BadAnswer, Citation, Finish, Format, Head, Warnings,
    conversation::{Part, PartContent},
    fields::{Fields, Read, Within, Wrong},
    json::{self, Array, Object},
    usage::Wire,
};

/// Reads an answer body.
pub(crate) fn read_answer<'a>(raw: &'a RawValue, warnings: &mut Warnings) -> Result<Answer<'a>, BadAnswer> {
    let mut f = Fields::of(raw)?;
    if f.text("type")?.as_deref() == Some("error") {
        let error = f.take("error").map_or("", RawValue::get);
        return Err(BadAnswer::new(&format!("it is an error: {error}")));
    }
    let blocks = f.array("content")?;
    let blocks = f.need("content", blocks)?;
    let mut parts = Vec::with_capacity(blocks.len());
    let mut citations = Vec::new();
    let mut said = 0;
    for (i, raw) in blocks.into_iter().enumerate() {
        let part = super::read::block(raw).at(i).within("content")?;
        if let PartContent::Other { kind, .. } = &part.content {
            warnings.note(
                kind.to_string(),
                "a block that only messages has; dropped from the answer",
            );
            continue;
        }
        if let Some(text) = part.as_text() {
            let begin = said;
            said += u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
            let cited = Fields::of(raw)?.array("citations")?.unwrap_or_default();
            for raw in cited {
                match citation(raw).at(i).within("content")? {
                    Some(c) => citations.push(Citation {
                        start: begin,
                        end: said,
                        ..c
                    }),
                    None => warnings.note(
                        "citations",
                        "of a document, which only messages has; dropped from the answer",
                    ),
                }
            }
        }
        parts.push(part);
    }
    let finish = f
        .text("stop_reason")?
        .map_or(Finish::Stop, |r| Finish::of_messages(&r));
    Ok(Answer {
        parts,
        citations,
        logprobs: None,
        finish,
        stop_sequence: f.text("stop_sequence")?,
        usage: match f.take("usage") {
            Some(raw) => {
                let wire: Wire = serde_json::from_str(raw.get())
                    .map_err(|_| Wrong::found(raw, "an object of token counts"))
                    .within("usage")?;
                Some(wire.usage(Format::Messages))
            }
            None => None,
        },
    })
}

/// A citation of a web page or search result; `None` for one of a document.
pub(super) fn citation(raw: &RawValue) -> Read<Option<Citation<'_>>> {
    let mut f = Fields::of(raw)?;
    let url = match f.text("type")?.as_deref() {
        Some("web_search_result_location") => f.text("url")?,
        Some("search_result_location") => f.text("source")?,
        _ => return Ok(None),
    };
    Ok(Some(Citation {
        url: url.unwrap_or_default(),
        title: f.text("title")?.unwrap_or_default(),
        cited_text: f.text("cited_text")?.unwrap_or_default(),
        start: 0,
        end: 0,
    }))
}

/// Writes an answer body.
pub(crate) fn write_answer(answer: &Answer<'_>, head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let finish = answer.finish.with_calls(answer.has_calls());
    json::object(&mut out, |o| {
        write_head(o, head);
        o.array("content", |a| {
            let mut citations = Some(answer.citations.as_slice()).filter(|c| !c.is_empty());
            for part in &answer.parts {
                let cited = if part.as_text().is_some() {
                    citations.take()
                } else {
                    None
                };
                write_block(part, cited.unwrap_or_default(), a);
            }
        });
        o.field("stop_reason", finish.messages());
        o.field("stop_sequence", answer.stop_sequence.as_deref());
        o.object("usage", |u| {
            answer.usage.unwrap_or_default().write(Format::Messages, u);
        });
    });
    out
}

/// The members with which every message begins.
pub(super) fn write_head(o: &mut Object<'_>, head: &Head) {
    o.field("id", head.id_for(Format::Messages));
    o.field("type", "message");
    o.field("role", "assistant");
    o.field("model", &head.model);
}

fn write_block(part: &Part<'_>, citations: &[Citation<'_>], a: &mut Array<'_>) {
    match &part.content {
        PartContent::Text(text) | PartContent::Refusal(text) => {
            if text.is_empty() {
                return;
            }
            a.object(|b| {
                b.field("type", "text");
                b.field("text", text);
                if !citations.is_empty() {
                    b.array("citations", |list| {
                        for citation in citations {
                            list.object(|c| write_citation(c, citation));
                        }
                    });
                }
            });
        }
        PartContent::Reasoning(thought)
            if (!thought.text.is_empty() || crate::chat::is_portable(thought)) =>
        {
            super::write_thinking(thought, a);
        }
        PartContent::ToolCall(call) => a.object(|b| {
            b.field("type", "tool_use");
            b.field("id", &call.id);
            b.field("name", &call.name);
            b.raw(
                "input",
                super::write::input(&call.arguments, call.custom).as_bytes(),
            );
        }),
        _ => {}
    }
}

/// Writes a citation of a web page.
pub(super) fn write_citation(c: &mut Object<'_>, citation: &Citation<'_>) {
    c.field("type", "web_search_result_location");
    c.field("cited_text", &citation.cited_text);
    c.field("encrypted_index", "");
    c.field("title", &citation.title);
    c.field("url", &citation.url);
}
