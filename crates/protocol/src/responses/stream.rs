//! A Responses stream, read and written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{
    Status, finish, item_id, write_citation, write_head, write_item, write_items, write_part, write_summary,
};
use crate::{
    Answer, BadAnswer, ErrorBody, Event, Finish, Format, Head,
    blocks::{Blocks, Step},
    conversation::{Part, PartContent, Seal},
    fields::Str,
    json::{self, Object},
    stream::Emit,
    usage::Wire,
};

/// Reads events of the wire into events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    begun: bool,
    done: bool,
    /// Calls that have begun: their place in the output, and whether arguments came.
    calls: Vec<(u32, bool)>,
}

#[derive(Deserialize)]
struct Wired<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    summary_index: u32,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
    #[serde(borrow, default)]
    annotation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(borrow, default)]
    id: Option<Str<'a>>,
    #[serde(borrow, default)]
    call_id: Option<Str<'a>>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default, alias = "input")]
    arguments: Option<Str<'a>>,
    #[serde(borrow, default)]
    encrypted_content: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    status: Option<Str<'a>>,
    #[serde(borrow, default)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(default)]
    usage: Option<Wire>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Str<'a>>,
}

// === impl Reader ===

impl Reader {
    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &[u8], emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let wired: Wired<'_> = serde_json::from_slice(data)
            .map_err(|e| BadAnswer::new(&format!("an event of the stream is no responses event: {e}")))?;
        let piece = || -> Cow<'_, str> {
            let text = wired
                .delta
                .and_then(|raw| serde_json::from_str::<Str<'_>>(raw.get()).ok());
            text.unwrap_or_default().0
        };
        match wired.r#type.0.as_ref() {
            "response.created" | "response.in_progress" | "response.queued"
                if !std::mem::replace(&mut self.begun, true) =>
            {
                emit(Event::Start);
            }
            "response.output_text.delta" => emit(Event::Text {
                text: piece(),
                logprobs: wired
                    .logprobs
                    .filter(|raw| raw.get().starts_with("[{"))
                    .map(Cow::Borrowed),
            }),
            "response.refusal.delta" => emit(Event::Refusal(piece())),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                emit(Event::Reasoning(piece()));
            }
            "response.reasoning_summary_part.added" if wired.summary_index > 0 => {
                emit(Event::Reasoning("\n\n".into()));
            }
            "response.output_text.annotation.added" => {
                if let Some(raw) = wired.annotation
                    && let Some(citation) = crate::chat::citation(raw).map_err(BadAnswer::from)?
                {
                    emit(Event::Citation(citation));
                }
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                if let Some(call) = self.calls.iter_mut().find(|(i, _)| *i == wired.output_index) {
                    call.1 = true;
                }
                emit(Event::ToolCallArguments {
                    index: wired.output_index,
                    json: piece(),
                });
            }
            "response.output_item.added" => {
                if let Some(item) = wired.item {
                    self.added(wired.output_index, item, emit)?;
                }
            }
            "response.output_item.done" => {
                if let Some(item) = wired.item {
                    self.item_done(wired.output_index, item, emit)?;
                }
            }
            "response.completed" | "response.incomplete" => self.completed(wired.response, emit),
            "response.failed" | "response.cancelled" => {
                self.done = true;
                let error = wired.response.and_then(|r| r.error).map_or("null", RawValue::get);
                emit(Event::Error(ErrorBody::read(
                    502,
                    format!("{{\"error\":{error}}}").as_bytes(),
                )));
            }
            "error" => {
                self.done = true;
                let flat = wired.message.map(|m| m.0);
                let error = match (wired.error, flat) {
                    (None, Some(message)) => ErrorBody::new(crate::ErrorKind::Upstream, &message),
                    _ => ErrorBody::read(502, data),
                };
                emit(Event::Error(error));
            }
            // The `done` events repeat the deltas; hosted tools have no place elsewhere.
            _ => {}
        }
        Ok(())
    }

    fn added(&mut self, index: u32, item: Item<'_>, emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        let custom = item.r#type.0 == "custom_tool_call";
        if !custom && item.r#type.0 != "function_call" {
            return Ok(());
        }
        let missing = || BadAnswer::new("a call begins without call_id or name");
        emit(Event::ToolCallStart {
            index,
            id: item.call_id.or(item.id).ok_or_else(missing)?.0,
            name: item.name.ok_or_else(missing)?.0,
            custom,
        });
        self.calls.push((index, false));
        Ok(())
    }

    fn item_done(&mut self, index: u32, item: Item<'_>, emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        match item.r#type.0.as_ref() {
            "reasoning" => {
                let encrypted = item.encrypted_content.map(|s| s.0);
                emit(Event::Seal(Seal::of_item(
                    item.id.unwrap_or_default().0,
                    encrypted,
                )));
            }
            "function_call" | "custom_tool_call" => {
                let arguments = item.arguments.clone();
                if !self.calls.iter().any(|(i, _)| *i == index) {
                    self.added(index, item, emit)?;
                }
                let silent = self.calls.iter_mut().find(|(i, came)| *i == index && !came);
                if let (Some(call), Some(arguments)) = (silent, arguments) {
                    call.1 = true;
                    emit(Event::ToolCallArguments {
                        index,
                        json: arguments.0,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn completed(&mut self, response: Option<Response<'_>>, emit: &mut Emit<'_>) {
        self.done = true;
        let calls = !self.calls.is_empty();
        let Some(response) = response else {
            return emit(Event::Finish(Finish::Stop.with_calls(calls)));
        };
        let reason = response.incomplete_details.and_then(|d| d.reason);
        let status = response.status.unwrap_or_default();
        let finish = finish(&status.0, reason.as_ref().map(|r| r.0.as_ref()));
        emit(Event::Finish(finish.with_calls(calls)));
        if let Some(usage) = response.usage {
            emit(Event::Usage(usage.usage(Format::Responses)));
        }
    }

    /// What is missing at the end; `None` where the stream was whole.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        (!self.done).then_some("it ended without response.completed")
    }
}

/// Writes events as events of the wire.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Frames,
    begun: bool,
    pub(crate) blocks: Blocks,
}

/// The frames of one stream, numbered.
#[derive(Debug)]
struct Frames {
    head: Head,
    sequence: u64,
    /// Citations of the open text.
    cited: Vec<crate::Citation<'static>>,
    /// Log-probabilities of the open text, commas between.
    logprobs: String,
    /// Whether the open call is of a custom tool, whose input is free text.
    custom: bool,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            out: Frames {
                head,
                sequence: 0,
                cited: Vec::new(),
                logprobs: String::new(),
                custom: false,
            },
            begun: false,
            blocks: Blocks::default(),
        }
    }

    /// Writes what the event adds.
    pub(crate) fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if let Event::Error(error) = event {
            return self.fail(error, out);
        }
        self.begin(out);
        let frames = &mut self.out;
        self.blocks
            .push(event, &mut |index, step| frames.step(index, &step, out));
    }

    /// Ends the stream with `response.completed` or `response.incomplete`.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let frames = &mut self.out;
        self.blocks.end(&mut |index, step| frames.step(index, &step, out));
        let finish = self.blocks.finish();
        let status = Status::of(finish);
        let kind = if status == Status::Completed {
            "response.completed"
        } else {
            "response.incomplete"
        };
        self.response(out, kind, status, |o| match finish.incomplete() {
            Some(reason) => {
                o.object("incomplete_details", |d| d.field("reason", reason));
                o.null("error");
            }
            None => {
                o.null("incomplete_details");
                o.null("error");
            }
        });
    }

    /// Ends the stream with `response.failed` and an `error` event.
    pub(crate) fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        self.begin(out);
        let code = error.code_or_kind().unwrap_or("server_error").to_owned();
        self.response(out, "response.failed", Status::Failed, |o| {
            o.null("incomplete_details");
            o.object("error", |e| {
                e.field("code", &code);
                e.field("message", &error.message);
            });
        });
        self.out.frame(out, "error", |o| {
            o.field("code", &code);
            o.field("message", &error.message);
            o.field("param", error.param.as_deref());
            o.object("error", |e| {
                e.field("type", "server_error");
                e.field("code", &code);
                e.field("message", &error.message);
                e.field("param", error.param.as_deref());
            });
        });
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            self.response(out, kind, Status::InProgress, |o| {
                o.null("incomplete_details");
                o.null("error");
            });
        }
    }

    fn response(
        &mut self,
        out: &mut Vec<u8>,
        kind: &str,
        status: Status,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        let answer = Answer {
            finish: self.blocks.finish(),
            citations: self.blocks.citations.clone(),
            logprobs: self.blocks.logprobs().map(Cow::Owned),
            ..Answer::default()
        };
        let (blocks, head) = (&self.blocks, self.out.head.clone());
        self.out.frame(out, kind, |o| {
            o.object("response", |r| {
                write_head(r, &head, status);
                write(r);
                r.array("output", |a| {
                    write_items(blocks.done(), &answer, &head.id, false, a);
                });
                match blocks.usage.filter(|_| status != Status::InProgress) {
                    Some(usage) => r.object("usage", |u| usage.write(Format::Responses, u)),
                    None => r.null("usage"),
                }
            });
        });
    }
}

// === impl Frames ===

impl Frames {
    fn frame(&mut self, out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        json::object(out, |o| {
            o.field("type", kind);
            o.field("sequence_number", self.sequence);
            write(o);
        });
        out.extend_from_slice(b"\n\n");
        self.sequence += 1;
    }

    /// A frame of the part that the item at `index` has.
    fn part_frame(
        &mut self,
        out: &mut Vec<u8>,
        kind: &str,
        prefix: &str,
        index: usize,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        let id = format!("{prefix}_{}_{index}", self.head.id);
        let place = if prefix == "rs" {
            "summary_index"
        } else {
            "content_index"
        };
        self.frame(out, kind, |o| {
            o.field("item_id", id);
            o.field("output_index", index);
            o.field(place, 0);
            write(o);
        });
    }

    fn item_frame(&mut self, out: &mut Vec<u8>, kind: &str, index: usize, part: &Part<'_>, status: Status) {
        let id = item_id(part, &self.head.id, index, false);
        let cited = std::mem::take(&mut self.cited);
        let logprobs = std::mem::take(&mut self.logprobs);
        let logprobs = (!logprobs.is_empty()).then(|| json::raw_or_null(format!("[{logprobs}]")));
        self.frame(out, kind, |o| {
            o.field("output_index", index);
            o.object("item", |i| {
                write_item(i, part, &id, status, &cited, logprobs.as_deref());
            });
        });
    }

    fn step(&mut self, index: usize, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Open(part) => {
                self.cited.clear();
                self.item_frame(out, "response.output_item.added", index, part, Status::InProgress);
                self.custom = matches!(&part.content, PartContent::ToolCall(call) if call.custom);
                match &part.content {
                    PartContent::Text(_) | PartContent::Refusal(_) => {
                        self.part_frame(out, "response.content_part.added", "msg", index, |o| {
                            o.object("part", |p| write_part(p, part, &[], None));
                        });
                    }
                    PartContent::Reasoning(thought) if thought.seal.is_none() => {
                        self.part_frame(out, "response.reasoning_summary_part.added", "rs", index, |o| {
                            o.object("part", |p| write_summary(p, ""));
                        });
                    }
                    _ => {}
                }
            }
            Step::Text(text, logprobs) => {
                let list = logprobs.map_or("[]", RawValue::get);
                let inner = list.trim().trim_start_matches('[').trim_end_matches(']').trim();
                if !inner.is_empty() {
                    let comma = if self.logprobs.is_empty() { "" } else { "," };
                    self.logprobs.push_str(comma);
                    self.logprobs.push_str(strip_brackets(list));
                }
                self.part_frame(out, "response.output_text.delta", "msg", index, |o| {
                    o.field("delta", text);
                    o.raw("logprobs", list.as_bytes());
                });
            }
            Step::Refusal(text) => {
                self.part_frame(out, "response.refusal.delta", "msg", index, |o| {
                    o.field("delta", text);
                });
            }
            Step::Thought(text) => {
                self.part_frame(out, "response.reasoning_summary_text.delta", "rs", index, |o| {
                    o.field("delta", text);
                });
            }
            Step::Seal(_) => {}
            Step::Citation(citation) => {
                let number = self.cited.len();
                self.part_frame(out, "response.output_text.annotation.added", "msg", index, |o| {
                    o.field("annotation_index", number);
                    o.object("annotation", |a| write_citation(a, citation));
                });
                self.cited.push((*citation).clone());
            }
            Step::Arguments(json) => {
                self.call_frame(out, "delta", index, |o| {
                    o.field("delta", json);
                });
            }
            Step::Close(part) => self.close(index, part, out),
        }
    }

    fn call_frame(
        &mut self,
        out: &mut Vec<u8>,
        step: &str,
        index: usize,
        write: impl FnOnce(&mut Object<'_>),
    ) {
        let (prefix, kind) = if self.custom {
            ("ctc", "response.custom_tool_call_input")
        } else {
            ("fc", "response.function_call_arguments")
        };
        let id = format!("{prefix}_{}_{index}", self.head.id);
        self.frame(out, &format!("{kind}.{step}"), |o| {
            o.field("item_id", id);
            o.field("output_index", index);
            write(o);
        });
    }

    fn close(&mut self, index: usize, part: &Part<'_>, out: &mut Vec<u8>) {
        match &part.content {
            PartContent::Text(text) => {
                let logprobs = format!("[{}]", self.logprobs);
                self.part_frame(out, "response.output_text.done", "msg", index, |o| {
                    o.field("text", text);
                    o.raw("logprobs", logprobs.as_bytes());
                });
                let cited = self.cited.clone();
                self.part_frame(out, "response.content_part.done", "msg", index, |o| {
                    let logprobs = json::raw_or_null(logprobs);
                    o.object("part", |p| write_part(p, part, &cited, Some(&logprobs)));
                });
            }
            PartContent::Refusal(text) => {
                self.part_frame(out, "response.refusal.done", "msg", index, |o| {
                    o.field("refusal", text);
                });
                self.part_frame(out, "response.content_part.done", "msg", index, |o| {
                    o.object("part", |p| write_part(p, part, &[], None));
                });
            }
            PartContent::Reasoning(thought) if !matches!(thought.seal, Some(Seal::Redacted(_))) => {
                self.part_frame(out, "response.reasoning_summary_text.done", "rs", index, |o| {
                    o.field("text", &thought.text);
                });
                self.part_frame(out, "response.reasoning_summary_part.done", "rs", index, |o| {
                    o.object("part", |p| write_summary(p, &thought.text));
                });
            }
            PartContent::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() {
                    "{}"
                } else {
                    &call.arguments
                };
                let custom = call.custom;
                self.call_frame(out, "done", index, |o| {
                    if custom {
                        o.field("input", &call.arguments);
                    } else {
                        o.field("name", &call.name);
                        o.field("arguments", arguments);
                    }
                });
            }
            _ => {}
        }
        self.item_frame(out, "response.output_item.done", index, part, Status::Completed);
    }
}

fn strip_brackets(list: &str) -> &str {
    let list = list.trim();
    list.strip_prefix('[')
        .and_then(|l| l.strip_suffix(']'))
        .unwrap_or(list)
        .trim()
}
