//! Events in blocks: one text, thought or call after the other, each opened, filled and closed. Two of the formats write their
//! streams so, and a whole answer is the list of its blocks.
//!
//! Upstreams may send pieces of several calls in turns. A call is passed on as it comes while it is the only one; one that begins
//! before the call before it is whole JSON waits until the end, whole.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::{
    Answer, Citation, Event, Finish, Usage,
    conversation::{Part, PartContent, Reasoning, Seal, ToolCall},
};

/// What happens to a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'s> {
    /// It begins. Redacted thoughts come with their seal.
    Open(&'s Part<'static>),
    Text(&'s str, Option<&'s RawValue>),
    Refusal(&'s str),
    Thought(&'s str),
    Seal(&'s Seal<'static>),
    Citation(&'s Citation<'static>),
    Arguments(&'s str),
    /// It ends; this is the whole of it.
    Close(&'s Part<'static>),
}

/// Where steps go: the block's number and the step.
pub(crate) type OnStep<'f> = dyn FnMut(usize, Step<'_>) + 'f;

/// The blocks of one answer.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    done: Vec<Part<'static>>,
    open: Option<Part<'static>>,
    /// The index of the open call.
    open_call: u32,
    waiting: Vec<(u32, ToolCall<'static>)>,
    pub(crate) citations: Vec<Citation<'static>>,
    logprobs: Vec<Box<RawValue>>,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Option<Usage>,
    /// Whether a piece of a call came after its block was closed: the answer cannot be told right any more.
    pub(crate) torn: bool,
}

/// Which kind of block an event belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thought,
    Call,
}

fn kind(part: &Part<'_>) -> Kind {
    match part.content {
        PartContent::Refusal(_) => Kind::Refusal,
        PartContent::Reasoning(_) => Kind::Thought,
        PartContent::ToolCall(_) => Kind::Call,
        _ => Kind::Text,
    }
}

// === impl Blocks ===

impl Blocks {
    /// Takes in an event.
    pub(crate) fn push(&mut self, event: &Event<'_>, on: &mut OnStep<'_>) {
        match event {
            Event::Text { text, logprobs } => {
                if text.is_empty() && logprobs.is_none() {
                    return;
                }
                self.turn_to(Kind::Text, on);
                if let Some(Part {
                    content: PartContent::Text(whole),
                    ..
                }) = &mut self.open
                {
                    whole.to_mut().push_str(text);
                }
                if let Some(raw) = logprobs {
                    self.logprobs.push(raw.as_ref().to_owned());
                }
                on(self.done.len(), Step::Text(text, logprobs.as_deref()));
            }
            Event::Refusal(text) if !text.is_empty() => {
                self.turn_to(Kind::Refusal, on);
                if let Some(Part {
                    content: PartContent::Refusal(whole),
                    ..
                }) = &mut self.open
                {
                    whole.to_mut().push_str(text);
                }
                on(self.done.len(), Step::Refusal(text));
            }
            Event::Reasoning(text) if !text.is_empty() => {
                if self.is_sealed() {
                    self.close(on);
                }
                self.turn_to(Kind::Thought, on);
                if let Some(Part {
                    content: PartContent::Reasoning(thought),
                    ..
                }) = &mut self.open
                {
                    thought.text.to_mut().push_str(text);
                }
                on(self.done.len(), Step::Thought(text));
            }
            Event::Seal(seal) => self.seal(seal.clone().into_owned(), on),
            Event::Citation(citation) => {
                let citation = citation.to_static();
                if self.open.as_ref().is_some_and(|p| kind(p) == Kind::Text) {
                    on(self.done.len(), Step::Citation(&citation));
                }
                self.citations.push(citation);
            }
            Event::ToolCallStart {
                index,
                id,
                name,
                custom,
            } => {
                let call = ToolCall {
                    id: id.clone().into_owned().into(),
                    name: name.clone().into_owned().into(),
                    arguments: Cow::Owned(String::new()),
                    custom: *custom,
                };
                if self.is_busy() {
                    self.waiting.push((*index, call));
                } else {
                    self.open_call(*index, call, on);
                }
            }
            Event::ToolCallArguments { index, json } => self.arguments(*index, json, on),
            Event::Finish(finish) => self.finish = Some(*finish),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Start | Event::Refusal(_) | Event::Reasoning(_) | Event::Error(_) => {}
        }
    }

    /// Closes what is open and lets the calls that wait pass.
    pub(crate) fn end(&mut self, on: &mut OnStep<'_>) {
        self.close(on);
        for (index, call) in std::mem::take(&mut self.waiting) {
            let arguments = call.arguments.clone();
            let empty = ToolCall {
                arguments: Cow::Owned(String::new()),
                ..call
            };
            self.open_call(index, empty, on);
            self.arguments(index, &arguments, on);
            self.close(on);
        }
    }

    /// The blocks that are whole.
    pub(crate) fn done(&self) -> &[Part<'static>] {
        &self.done
    }

    /// Whether any call was made.
    pub(crate) fn has_calls(&self) -> bool {
        let open = self.open.iter();
        !self.waiting.is_empty() || self.done.iter().chain(open).any(|p| kind(p) == Kind::Call)
    }

    /// Why the answer ended, as far as is known.
    pub(crate) fn finish(&self) -> Finish {
        self.finish.unwrap_or_default().with_calls(self.has_calls())
    }

    /// All log-probabilities as one array.
    pub(crate) fn logprobs(&self) -> Option<Box<RawValue>> {
        if self.logprobs.is_empty() {
            return None;
        }
        let inner = |raw: &RawValue| {
            let text = raw.get().trim();
            text.strip_prefix('[')
                .and_then(|t| t.strip_suffix(']'))
                .map(|t| t.trim().to_owned())
        };
        let pieces: Vec<_> = self
            .logprobs
            .iter()
            .filter_map(|r| inner(r))
            .filter(|t| !t.is_empty())
            .collect();
        Some(crate::json::raw_or_null(format!("[{}]", pieces.join(","))))
    }

    /// The whole answer. Call [`Blocks::end`] first.
    pub(crate) fn into_answer(self) -> Answer<'static> {
        let logprobs = self.logprobs().map(Cow::Owned);
        Answer {
            finish: self.finish(),
            parts: self.done,
            citations: self.citations,
            logprobs,
            stop_sequence: None,
            usage: self.usage,
        }
    }

    fn is_sealed(&self) -> bool {
        let open = self.open.as_ref().map(|p| &p.content);
        matches!(
            open,
            Some(PartContent::Reasoning(Reasoning { seal: Some(_), .. }))
        )
    }

    /// Whether a call is open whose arguments are not whole.
    fn is_busy(&self) -> bool {
        match self.open.as_ref().map(|p| &p.content) {
            Some(PartContent::ToolCall(call)) => {
                call.custom || serde_json::from_str::<IgnoredAny>(&call.arguments).is_err()
            }
            _ => !self.waiting.is_empty(),
        }
    }

    fn turn_to(&mut self, wanted: Kind, on: &mut OnStep<'_>) {
        if self.open.as_ref().is_some_and(|p| kind(p) == wanted) {
            return;
        }
        self.close(on);
        let empty = || Cow::Owned(String::new());
        let content = match wanted {
            Kind::Refusal => PartContent::Refusal(empty()),
            Kind::Thought => PartContent::Reasoning(Reasoning {
                text: empty(),
                seal: None,
            }),
            Kind::Text | Kind::Call => PartContent::Text(empty()),
        };
        self.open(Part::new(content), on);
    }

    fn open(&mut self, part: Part<'static>, on: &mut OnStep<'_>) {
        let part = self.open.insert(part);
        on(self.done.len(), Step::Open(part));
    }

    fn open_call(&mut self, index: u32, call: ToolCall<'static>, on: &mut OnStep<'_>) {
        self.close(on);
        self.open_call = index;
        self.open(Part::new(PartContent::ToolCall(call)), on);
    }

    fn arguments(&mut self, index: u32, json: &str, on: &mut OnStep<'_>) {
        if json.is_empty() {
            return;
        }
        if let Some((_, call)) = self.waiting.iter_mut().find(|(i, _)| *i == index) {
            call.arguments.to_mut().push_str(json);
            return;
        }
        match &mut self.open {
            Some(Part {
                content: PartContent::ToolCall(call),
                ..
            }) if self.open_call == index => {
                call.arguments.to_mut().push_str(json);
                on(self.done.len(), Step::Arguments(json));
            }
            _ => self.torn = true,
        }
    }

    fn seal(&mut self, seal: Seal<'static>, on: &mut OnStep<'_>) {
        let fits = self.open.as_ref().is_some_and(|p| kind(p) == Kind::Thought) && !self.is_sealed();
        if !fits || matches!(seal, Seal::Redacted(_)) {
            self.close(on);
            let redacted = matches!(seal, Seal::Redacted(_)).then(|| seal.clone());
            let thought = Reasoning {
                text: Cow::Owned(String::new()),
                seal: redacted,
            };
            self.open(Part::new(PartContent::Reasoning(thought)), on);
        }
        on(self.done.len(), Step::Seal(&seal));
        if let Some(Part {
            content: PartContent::Reasoning(thought),
            ..
        }) = &mut self.open
        {
            thought.seal = Some(seal);
        }
    }

    fn close(&mut self, on: &mut OnStep<'_>) {
        if let Some(part) = self.open.take() {
            on(self.done.len(), Step::Close(&part));
            self.done.push(part);
        }
    }
}

// === impl Citation ===

impl Citation<'_> {
    /// The same, owning its texts.
    pub fn to_static(&self) -> Citation<'static> {
        Citation {
            url: self.url.clone().into_owned().into(),
            title: self.title.clone().into_owned().into(),
            cited_text: self.cited_text.clone().into_owned().into(),
            start: self.start,
            end: self.end,
        }
    }
}
