//! A Responses answer, read and written.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    Answer, BadAnswer, Citation, Finish, Format, Head, Warnings,
    answer::Echo,
    conversation::{Part, PartContent, Reasoning, Seal},
    fields::{Fields, Within, Wrong},
    json::{self, Array, Object},
    usage::Wire,
};

/// How far a response or an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    pub(super) const fn of(finish: Finish) -> Self {
        if finish.incomplete().is_some() {
            Self::Incomplete
        } else {
            Self::Completed
        }
    }
}

/// Reads an answer body.
pub(crate) fn read_answer<'a>(raw: &'a RawValue, warnings: &mut Warnings) -> Result<Answer<'a>, BadAnswer> {
    let mut f = Fields::of(raw)?;
    if let Some(error) = f.take("error") {
        return Err(BadAnswer::new(&format!("it is an error: {}", error.get())));
    }
    let status = f.text("status")?.unwrap_or(Cow::Borrowed("completed"));
    if matches!(status.as_ref(), "failed" | "cancelled" | "queued" | "in_progress") {
        return Err(BadAnswer::new(&format!("its status is {status}")));
    }
    let output = f.array("output")?;
    let output = f.need("output", output)?;
    let mut answer = Answer::default();
    let mut logprobs = Vec::new();
    for (i, raw) in output.into_iter().enumerate() {
        let mut item = Fields::of(raw).at(i).within("output")?;
        let kind = item.need_text("type").at(i).within("output")?;
        match kind.as_ref() {
            "message" => {
                let content = item.array("content").at(i).within("output")?.unwrap_or_default();
                for (j, raw) in content.into_iter().enumerate() {
                    let part = super::read::part(raw)
                        .at(j)
                        .within("content")
                        .at(i)
                        .within("output")?;
                    let mut more = Fields::of(raw)?;
                    for raw in more.array("annotations")?.unwrap_or_default() {
                        answer.citations.extend(crate::chat::citation(raw)?);
                    }
                    logprobs.extend(more.array("logprobs")?.unwrap_or_default());
                    answer.parts.push(part);
                }
            }
            "reasoning" => {
                let thought = super::read::reasoning(raw).at(i).within("output")?;
                answer.parts.push(Part::new(PartContent::Reasoning(thought)));
            }
            "function_call" | "custom_tool_call" => {
                let call = super::read::call(raw).at(i).within("output")?;
                answer.parts.push(Part::new(PartContent::ToolCall(call)));
            }
            other => warnings.note(
                other.to_owned(),
                "an item that only responses has; dropped from the answer",
            ),
        }
    }
    if !logprobs.is_empty() {
        let list: Vec<_> = logprobs.iter().map(|raw| raw.get()).collect();
        answer.logprobs = Some(Cow::Owned(json::raw_or_null(format!("[{}]", list.join(",")))));
    }
    let reason = match f.object("incomplete_details")? {
        Some(mut details) => details.text("reason").within("incomplete_details")?,
        None => None,
    };
    answer.finish = finish(&status, reason.as_deref()).with_calls(answer.has_calls());
    answer.usage = match f.take("usage") {
        Some(raw) => {
            let wire: Wire = serde_json::from_str(raw.get())
                .map_err(|_| Wrong::found(raw, "an object of token counts"))
                .within("usage")?;
            Some(wire.usage(Format::Responses))
        }
        None => None,
    };
    Ok(answer)
}

pub(super) fn finish(status: &str, reason: Option<&str>) -> Finish {
    match (status, reason) {
        (_, Some("content_filter")) => Finish::ContentFilter,
        ("incomplete", _) => Finish::Length,
        _ => Finish::Stop,
    }
}

/// Writes an answer body.
pub(crate) fn write_answer(answer: &Answer<'_>, head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let finish = answer.finish.with_calls(answer.has_calls());
    json::object(&mut out, |o| {
        write_head(o, head, Status::of(finish));
        match finish.incomplete() {
            Some(reason) => o.object("incomplete_details", |d| d.field("reason", reason)),
            None => o.null("incomplete_details"),
        }
        o.null("error");
        o.array("output", |a| {
            write_items(&answer.parts, answer, &head.id, true, a);
        });
        match &answer.usage {
            Some(usage) => o.object("usage", |u| usage.write(Format::Responses, u)),
            None => o.null("usage"),
        }
    });
    out
}

/// The members with which every response begins.
pub(super) fn write_head(o: &mut Object<'_>, head: &Head, status: Status) {
    o.field("id", head.id_for(Format::Responses));
    o.field("object", "response");
    o.field("created_at", head.created);
    o.field("status", status.name());
    if status != Status::InProgress {
        o.field(
            "completed_at",
            (status == Status::Completed).then_some(head.created),
        );
    }
    o.field("model", &head.model);
    Echo::write(head.echo.as_ref(), o);
}

/// The parts as items, ids numbered by place. `own` keeps the id that a thought of Responses has already.
pub(super) fn write_items(parts: &[Part<'_>], answer: &Answer<'_>, id: &str, own: bool, a: &mut Array<'_>) {
    let status = Status::of(answer.finish);
    let last = parts.len().saturating_sub(1);
    let mut citations = Some(answer.citations.as_slice());
    let mut logprobs = answer.logprobs.as_deref();
    for (index, part) in parts.iter().enumerate() {
        let status = if index == last { status } else { Status::Completed };
        let text = part.as_text().is_some();
        let cited = if text { citations.take() } else { None };
        let logprobs = if text { logprobs.take() } else { None };
        a.object(|o| {
            write_item(
                o,
                part,
                &item_id(part, id, index, own),
                status,
                cited.unwrap_or_default(),
                logprobs,
            );
        });
    }
}

/// The id of the item at `index`. In a stream a thought's own id (`own`) is known too late: its place counts.
pub(super) fn item_id(part: &Part<'_>, id: &str, index: usize, own: bool) -> String {
    let prefix = match &part.content {
        PartContent::Reasoning(Reasoning {
            seal: Some(Seal::Item { id, .. }),
            ..
        }) if own && !id.is_empty() => {
            return id.clone().into_owned();
        }
        PartContent::Reasoning(_) => "rs",
        PartContent::ToolCall(call) if call.custom => "ctc",
        PartContent::ToolCall(_) => "fc",
        _ => "msg",
    };
    format!("{prefix}_{id}_{index}")
}

/// Writes one part as an item.
pub(super) fn write_item(
    o: &mut Object<'_>,
    part: &Part<'_>,
    id: &str,
    status: Status,
    citations: &[Citation<'_>],
    logprobs: Option<&RawValue>,
) {
    o.field("id", id);
    match &part.content {
        PartContent::Reasoning(thought) => {
            o.field("type", "reasoning");
            o.array("summary", |s| {
                if !thought.text.is_empty() {
                    s.object(|t| write_summary(t, &thought.text));
                }
            });
            o.some(
                "encrypted_content",
                thought.seal.as_ref().and_then(Seal::to_encrypted),
            );
        }
        PartContent::ToolCall(call) => {
            o.field(
                "type",
                if call.custom {
                    "custom_tool_call"
                } else {
                    "function_call"
                },
            );
            o.field("status", status.name());
            o.field("call_id", &call.id);
            o.field("name", &call.name);
            let empty = call.arguments.is_empty() && !call.custom && status != Status::InProgress;
            let arguments = if empty { "{}" } else { &call.arguments };
            o.field(if call.custom { "input" } else { "arguments" }, arguments);
        }
        _ => {
            o.field("type", "message");
            o.field("status", status.name());
            o.field("role", "assistant");
            o.array("content", |a| {
                if status != Status::InProgress {
                    a.object(|p| write_part(p, part, citations, logprobs));
                }
            });
        }
    }
}

/// A thought's summary.
pub(super) fn write_summary(o: &mut Object<'_>, text: &str) {
    o.field("type", "summary_text");
    o.field("text", text);
}

/// A text or refusal as a content part.
pub(super) fn write_part(
    o: &mut Object<'_>,
    part: &Part<'_>,
    citations: &[Citation<'_>],
    logprobs: Option<&RawValue>,
) {
    if let PartContent::Refusal(text) = &part.content {
        o.field("type", "refusal");
        o.field("refusal", text);
        return;
    }
    o.field("type", "output_text");
    o.field("text", part.as_text().unwrap_or_default());
    o.array("annotations", |a| {
        for citation in citations {
            a.object(|c| write_citation(c, citation));
        }
    });
    o.raw("logprobs", logprobs.map_or(b"[]", |raw| raw.get().as_bytes()));
}

/// A citation as an annotation.
pub(super) fn write_citation(o: &mut Object<'_>, citation: &Citation<'_>) {
    o.field("type", "url_citation");
    o.field("start_index", citation.start);
    o.field("end_index", citation.end);
    o.field("title", &citation.title);
    o.field("url", &citation.url);
}
