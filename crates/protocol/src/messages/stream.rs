//! A Messages stream, read and written.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{citation, write_citation, write_head};
use crate::{
    BadAnswer, ErrorBody, Event, Finish, Format, Head,
    blocks::{Blocks, Step},
    conversation::{PartContent, Seal},
    fields::Str,
    json::{self, Object},
    stream::Emit,
    usage::Wire,
};

/// Reads events of the wire into events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    usage: Wire,
    /// The signature of the open thinking block.
    signature: String,
    stopped: bool,
    done: bool,
}

#[derive(Deserialize)]
struct Wired<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(default)]
    index: u32,
    #[serde(default)]
    message: Option<Message>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<Wire>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    usage: Option<Wire>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(borrow, default)]
    text: Option<Str<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Str<'a>>,
    #[serde(borrow, default)]
    data: Option<Str<'a>>,
    #[serde(borrow, default)]
    id: Option<Str<'a>>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    r#type: Option<Str<'a>>,
    #[serde(borrow, default)]
    text: Option<Str<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Str<'a>>,
    #[serde(borrow, default)]
    signature: Option<Str<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Str<'a>>,
    #[serde(borrow, default)]
    citation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Str<'a>>,
}

// === impl Reader ===

impl Reader {
    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &[u8], emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        let wired: Wired<'_> = serde_json::from_slice(data)
            .map_err(|e| BadAnswer::new(&format!("an event of the stream is no messages event: {e}")))?;
        match wired.r#type.0.as_ref() {
            "message_start" => {
                self.usage = wired.message.and_then(|m| m.usage).unwrap_or_default();
                emit(Event::Start);
            }
            "content_block_start" => {
                let block = wired.content_block;
                let block =
                    block.ok_or_else(|| BadAnswer::new("content_block_start has no content_block"))?;
                self.start(wired.index, block, emit)?;
            }
            "content_block_delta" => {
                let delta = wired.delta;
                let delta = delta.ok_or_else(|| BadAnswer::new("content_block_delta has no delta"))?;
                self.delta(wired.index, delta, emit)?;
            }
            "content_block_stop" => {
                let signature = std::mem::take(&mut self.signature);
                if let Some(seal) = Seal::of_signature(signature.into()) {
                    emit(Event::Seal(seal));
                }
            }
            "message_delta" => {
                if let Some(usage) = wired.usage {
                    self.usage = usage.over(self.usage);
                }
                if let Some(reason) = wired.delta.and_then(|d| d.stop_reason) {
                    self.stopped = true;
                    emit(Event::Finish(Finish::of_messages(&reason.0)));
                    emit(Event::Usage(self.usage.usage(Format::Messages)));
                }
            }
            "message_stop" => self.done = true,
            "error" => emit(Event::Error(ErrorBody::read(502, data))),
            // Pings, and what later versions add.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, index: u32, block: Block<'_>, emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        match block.r#type.0.as_ref() {
            "text" => emit(Event::text(block.text.unwrap_or_default().0)),
            "thinking" => emit(Event::Reasoning(block.thinking.unwrap_or_default().0)),
            "redacted_thinking" => emit(Event::Seal(Seal::Redacted(block.data.unwrap_or_default().0))),
            "tool_use" => {
                let missing = || BadAnswer::new("a tool_use block begins without id or name");
                emit(Event::ToolCallStart {
                    index,
                    id: block.id.ok_or_else(missing)?.0,
                    name: block.name.ok_or_else(missing)?.0,
                    custom: false,
                });
                // The input comes in pieces; a server that gives it at once gives it here.
                let input = block
                    .input
                    .map(RawValue::get)
                    .filter(|i| *i != "{}" && i.starts_with('{'));
                if let Some(input) = input.filter(|i| !i.trim_matches(['{', '}', ' ']).is_empty()) {
                    emit(Event::ToolCallArguments {
                        index,
                        json: input.into(),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, index: u32, delta: Delta<'_>, emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        match delta.r#type.unwrap_or_default().0.as_ref() {
            "text_delta" => emit(Event::text(delta.text.unwrap_or_default().0)),
            "thinking_delta" => emit(Event::Reasoning(delta.thinking.unwrap_or_default().0)),
            "signature_delta" => self.signature.push_str(&delta.signature.unwrap_or_default().0),
            "input_json_delta" => emit(Event::ToolCallArguments {
                index,
                json: delta.partial_json.unwrap_or_default().0,
            }),
            "citations_delta" => {
                if let Some(raw) = delta.citation
                    && let Some(citation) = citation(raw).map_err(BadAnswer::from)?
                {
                    emit(Event::Citation(citation));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What is missing at the end; `None` where the stream was whole.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        (!self.done && !self.stopped).then_some("it ended without message_stop and without a stop_reason")
    }
}

/// Writes events as events of the wire.
#[derive(Debug)]
pub(crate) struct Writer {
    head: Head,
    begun: bool,
    pub(crate) blocks: Blocks,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            begun: false,
            blocks: Blocks::default(),
        }
    }

    /// Writes what the event adds.
    pub(crate) fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if let Event::Error(error) = event {
            return self.fail(error, out);
        }
        if let Event::Usage(_) | Event::Finish(_) = event {
            return self.blocks.push(event, &mut |_, _| {});
        }
        self.begin(out);
        self.blocks
            .push(event, &mut |index, step| write_step(index, step, out));
    }

    /// Ends the stream: reason and usage, `message_stop`.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.blocks.end(&mut |index, step| write_step(index, step, out));
        let usage = self.blocks.usage.unwrap_or_default();
        frame(out, "message_delta", |o| {
            o.object("delta", |d| {
                d.field("stop_reason", self.blocks.finish().messages());
                d.null("stop_sequence");
            });
            o.object("usage", |u| usage.write(Format::Messages, u));
        });
        frame(out, "message_stop", |_| {});
    }

    /// Ends the stream with an error and without `message_stop`.
    pub(crate) fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\ndata: ");
        out.extend_from_slice(&error.to_body(Format::Messages));
        out.extend_from_slice(b"\n\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let usage = self.blocks.usage.unwrap_or_default();
        frame(out, "message_start", |o| {
            o.object("message", |m| {
                write_head(m, &self.head);
                m.array("content", |_| {});
                m.null("stop_reason");
                m.null("stop_sequence");
                m.object("usage", |u| usage.write(Format::Messages, u));
            });
        });
    }
}

fn write_step(index: usize, step: Step<'_>, out: &mut Vec<u8>) {
    match step {
        Step::Open(part) => frame(out, "content_block_start", |o| {
            o.field("index", index);
            o.object("content_block", |b| match &part.content {
                PartContent::Reasoning(thought) => match &thought.seal {
                    Some(Seal::Redacted(data)) => {
                        b.field("type", "redacted_thinking");
                        b.field("data", data);
                    }
                    _ => {
                        b.field("type", "thinking");
                        b.field("thinking", "");
                        b.field("signature", "");
                    }
                },
                PartContent::ToolCall(call) => {
                    b.field("type", "tool_use");
                    b.field("id", &call.id);
                    b.field("name", &call.name);
                    b.object("input", |_| {});
                }
                _ => {
                    b.field("type", "text");
                    b.field("text", "");
                }
            });
        }),
        Step::Text(text, _) | Step::Refusal(text) => {
            if !text.is_empty() {
                delta(out, index, "text_delta", |d| d.field("text", text));
            }
        }
        Step::Thought(text) => delta(out, index, "thinking_delta", |d| d.field("thinking", text)),
        Step::Seal(seal) => {
            if let Some(signature) = seal.to_signature() {
                delta(out, index, "signature_delta", |d| d.field("signature", signature));
            }
        }
        Step::Citation(citation) => delta(out, index, "citations_delta", |d| {
            d.object("citation", |c| write_citation(c, citation));
        }),
        Step::Arguments(json) => delta(out, index, "input_json_delta", |d| d.field("partial_json", json)),
        Step::Close(_) => frame(out, "content_block_stop", |o| o.field("index", index)),
    }
}

fn delta(out: &mut Vec<u8>, index: usize, kind: &str, write: impl FnOnce(&mut Object<'_>)) {
    frame(out, "content_block_delta", |o| {
        o.field("index", index);
        o.object("delta", |d| {
            d.field("type", kind);
            write(d);
        });
    });
}

fn frame(out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    json::object(out, |o| {
        o.field("type", kind);
        write(o);
    });
    out.extend_from_slice(b"\n\n");
}
