//! A Chat stream, read and written.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{is_portable, write_citation};
use crate::{
    BadAnswer, Citation, ErrorBody, Event, Finish, Format, Head, Usage,
    conversation::{Reasoning, Seal},
    fields::Str,
    json::{self, Object},
    stream::Emit,
    usage::Wire,
};

/// Reads chunks into events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Calls that have begun: the wire's index and the id.
    calls: Vec<(u32, String)>,
    begun: bool,
    finished: bool,
    done: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Wire>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Str<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
struct Logprobs<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Str<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Str<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Str<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking_blocks: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    annotations: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<Str<'a>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    custom: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default, alias = "input")]
    arguments: Option<&'a RawValue>,
}

// === impl Reader ===

impl Reader {
    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &[u8], emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data)
            .map_err(|e| BadAnswer::new(&format!("a chunk of the stream is no chat chunk: {e}")))?;
        if chunk.error.is_some() {
            emit(Event::Error(ErrorBody::read(502, data)));
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            emit(Event::Start);
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) != 0 {
                continue;
            }
            let logprobs = choice
                .logprobs
                .and_then(|l| l.content)
                .filter(|raw| raw.get() != "null");
            if let Some(delta) = choice.delta {
                self.delta(delta, logprobs, emit)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.finished = true;
                emit(Event::Finish(Finish::of_chat(&reason.0)));
            }
        }
        if let Some(usage) = chunk.usage {
            emit(Event::Usage(usage.usage(Format::Chat)));
        }
        Ok(())
    }

    fn delta(
        &mut self,
        delta: Delta<'_>,
        logprobs: Option<&RawValue>,
        emit: &mut Emit<'_>,
    ) -> Result<(), BadAnswer> {
        let plain = delta
            .reasoning
            .and_then(|raw| serde_json::from_str::<Str<'_>>(raw.get()).ok());
        if let Some(thought) = delta.reasoning_content.or(plain) {
            emit(Event::Reasoning(thought.0));
        }
        for raw in delta.thinking_blocks.unwrap_or_default() {
            // The text of a block repeats what the deltas said; its seal is what is new.
            let seal = crate::messages::thinking(raw).map_err(BadAnswer::from)?.seal;
            if let Some(seal) = seal {
                emit(Event::Seal(seal));
            }
        }
        if let Some(text) = delta.content {
            emit(Event::Text {
                text: text.0,
                logprobs: logprobs.map(Cow::Borrowed),
            });
        }
        if let Some(refusal) = delta.refusal {
            emit(Event::Refusal(refusal.0));
        }
        for raw in delta.annotations.unwrap_or_default() {
            if let Some(citation) = super::citation(raw).map_err(BadAnswer::from)? {
                emit(Event::Citation(citation));
            }
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(call, emit)?;
        }
        Ok(())
    }

    fn call(&mut self, call: Call<'_>, emit: &mut Emit<'_>) -> Result<(), BadAnswer> {
        let id = call.id.map(|s| s.0).filter(|id| !id.is_empty());
        let custom = call.custom.is_some();
        let Some(function) = call.function.or(call.custom) else {
            return Ok(());
        };
        let known = |calls: &[(u32, String)]| match (call.index, &id) {
            // Some servers give every call the index 0 and tell them apart by id alone.
            (Some(index), Some(id)) => calls
                .iter()
                .position(|(i, k)| *i == index && (k == id || k.is_empty())),
            (Some(index), None) => calls.iter().rposition(|(i, _)| *i == index),
            (None, Some(id)) => calls.iter().position(|(_, k)| k == id),
            (None, None) => calls.len().checked_sub(1),
        };
        let place = match known(&self.calls) {
            Some(place) => place,
            None => {
                let name = function.name.map(|s| s.0).unwrap_or_default();
                if name.is_empty() {
                    return Err(BadAnswer::new("a tool call of the stream begins without a name"));
                }
                let place = self.calls.len();
                let fallback = || Cow::Owned(format!("call_{place}"));
                self.calls.push((
                    call.index.unwrap_or(0),
                    id.as_deref().unwrap_or_default().to_owned(),
                ));
                emit(Event::ToolCallStart {
                    index: u32::try_from(place).unwrap_or(u32::MAX),
                    id: id.unwrap_or_else(fallback),
                    name,
                    custom,
                });
                place
            }
        };
        let Some(raw) = function.arguments.filter(|raw| raw.get() != "null") else {
            return Ok(());
        };
        // Some servers write the arguments as an object instead of its text.
        let json = match serde_json::from_str::<Str<'_>>(raw.get()) {
            Ok(text) => text.0,
            Err(_) => Cow::Borrowed(raw.get()),
        };
        emit(Event::ToolCallArguments {
            index: u32::try_from(place).unwrap_or(u32::MAX),
            json,
        });
        Ok(())
    }

    /// What is missing at the end; `None` where the stream was whole.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        (!self.finished && !self.done).then_some("it ended without a finish_reason and without [DONE]")
    }
}

/// Writes events as chunks.
#[derive(Debug)]
pub(crate) struct Writer {
    head: Head,
    include_usage: bool,
    begun: bool,
    /// The calls' own numbers, in the order begun, and whether they are of custom tools.
    calls: BTreeMap<u32, (u32, bool)>,
    /// The thought that is under way, for its seal.
    thought: String,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(head: Head, include_usage: bool) -> Self {
        Self {
            head,
            include_usage,
            begun: false,
            calls: BTreeMap::new(),
            thought: String::new(),
            finish: None,
            usage: None,
        }
    }

    /// Writes what the event adds.
    pub(crate) fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Finish(finish) => self.finish = Some(*finish),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Start => self.begin(out),
            Event::Error(error) => self.fail(error, out),
            Event::Text { text, logprobs } => {
                if !text.is_empty() || logprobs.is_some() {
                    self.delta(out, logprobs.as_deref(), |d| d.field("content", text));
                }
            }
            Event::Refusal(text) => self.delta(out, None, |d| d.field("refusal", text)),
            Event::Reasoning(text) => {
                if !text.is_empty() {
                    self.thought.push_str(text);
                    self.delta(out, None, |d| d.field("reasoning_content", text));
                }
            }
            Event::Seal(seal) => self.seal(seal, out),
            Event::Citation(citation) => self.citation(citation, out),
            Event::ToolCallStart {
                index,
                id,
                name,
                custom,
            } => {
                let next = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                let (number, _) = *self.calls.entry(*index).or_insert((next, *custom));
                self.delta(out, None, |d| {
                    d.array("tool_calls", |a| {
                        a.object(|c| {
                            c.field("index", number);
                            c.field("id", id);
                            c.field("type", if *custom { "custom" } else { "function" });
                            c.object(if *custom { "custom" } else { "function" }, |f| {
                                f.field("name", name);
                                f.field(if *custom { "input" } else { "arguments" }, "");
                            });
                        });
                    });
                });
            }
            Event::ToolCallArguments { index, json } => {
                let Some((number, custom)) = self.calls.get(index).copied() else {
                    return;
                };
                self.delta(out, None, |d| {
                    d.array("tool_calls", |a| {
                        a.object(|c| {
                            c.field("index", number);
                            let (kind, field) = if custom {
                                ("custom", "input")
                            } else {
                                ("function", "arguments")
                            };
                            c.object(kind, |f| f.field(field, json));
                        });
                    });
                });
            }
        }
    }

    fn seal(&mut self, seal: &Seal<'_>, out: &mut Vec<u8>) {
        let thought = Reasoning {
            text: std::mem::take(&mut self.thought).into(),
            seal: Some(seal.clone().into_owned()),
        };
        if is_portable(&thought) {
            self.delta(out, None, |d| {
                d.array("thinking_blocks", |a| {
                    crate::messages::write_thinking(&thought, a);
                });
            });
        }
    }

    fn citation(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        self.delta(out, None, |d| {
            d.array("annotations", |a| a.object(|o| write_citation(o, citation)));
        });
    }

    /// Ends the stream: reason, usage, `[DONE]`.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let finish = self.finish.unwrap_or_default().with_calls(!self.calls.is_empty());
        self.chunk(out, |o| {
            o.array("choices", |a| {
                a.object(|c| {
                    c.field("index", 0);
                    c.object("delta", |_| {});
                    c.null("logprobs");
                    c.field("finish_reason", finish.chat());
                });
            });
        });
        if self.include_usage {
            let usage = self.usage.unwrap_or_default();
            self.frame(out, |o| {
                o.array("choices", |_| {});
                o.object("usage", |u| usage.write(Format::Chat, u));
            });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Ends the stream with an error and without `[DONE]`.
    pub(crate) fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&error.to_body(Format::Chat));
        out.extend_from_slice(b"\n\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.choice(out, None, |d| {
            d.field("role", "assistant");
            d.field("content", "");
        });
    }

    fn delta(&mut self, out: &mut Vec<u8>, logprobs: Option<&RawValue>, write: impl FnOnce(&mut Object<'_>)) {
        self.begin(out);
        self.choice(out, logprobs, write);
    }

    fn choice(&self, out: &mut Vec<u8>, logprobs: Option<&RawValue>, write: impl FnOnce(&mut Object<'_>)) {
        self.chunk(out, |o| {
            o.array("choices", |a| {
                a.object(|c| {
                    c.field("index", 0);
                    c.object("delta", write);
                    match logprobs {
                        Some(list) => c.object("logprobs", |l| {
                            l.raw("content", list.get().as_bytes());
                            l.null("refusal");
                        }),
                        None => c.null("logprobs"),
                    }
                    c.null("finish_reason");
                });
            });
        });
    }

    /// A chunk that is not the one for usage.
    fn chunk(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
        self.frame(out, |o| {
            write(o);
            if self.include_usage {
                o.null("usage");
            }
        });
    }

    fn frame(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(b"data: ");
        json::object(out, |o| {
            o.field("id", self.head.id_for(Format::Chat));
            o.field("object", "chat.completion.chunk");
            o.field("created", self.head.created);
            o.field("model", &self.head.model);
            write(o);
        });
        out.extend_from_slice(b"\n\n");
    }
}
