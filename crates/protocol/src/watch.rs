//! Watching a stream that is passed on as it comes: the first content, the end, the usage, an error. Nothing else is looked at.
//!
//! Events are found by their blank lines and told apart by name or by a byte search; only the few that say something are parsed.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    BadAnswer, ErrorBody, Event, Finish, Format, Seen, StreamReader,
    fields::{Fields, Str},
    json,
    responses::state::going_on_from,
    sse::{LONGEST_EVENT, Splitter, SseEvent, parse},
    usage::Wire,
};

/// Watches a stream of one format on its way to a client of the same format.
#[derive(Debug)]
pub struct StreamWatch {
    format: Format,
    splitter: Splitter,
    /// Whether Chat's usage chunk is taken out, because the client did not ask for it.
    hides_usage: bool,
    /// Of Responses and Messages; Chat is watched by hand.
    reader: StreamReader,
    seen: Seen,
    done: bool,
    /// The stored answer that this one goes on from, where the events must say so.
    previous: Option<Box<str>>,
}

/// What becomes of an event on its way.
enum Pass {
    On,
    /// In other words.
    As(Bytes),
    Hidden,
    /// It is none: the stream is broken.
    Garbage,
}

/// What a Chat chunk says besides its delta.
#[derive(Deserialize)]
struct Tail<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<TailChoice<'a>>>,
    #[serde(default)]
    usage: Option<Wire>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TailChoice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Str<'a>>,
}

// === impl StreamWatch ===

impl StreamWatch {
    /// Watches a stream that is passed on whole.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            splitter: Splitter::new(LONGEST_EVENT),
            hides_usage: false,
            reader: StreamReader::new(format),
            seen: Seen::default(),
            done: false,
            previous: None,
        }
    }

    /// Watches a Chat stream whose usage chunk was asked for by us and not by the client: it is read and taken out. (For the
    /// other formats the same as [`StreamWatch::new`].)
    pub fn hiding_usage(format: Format) -> Self {
        Self {
            hides_usage: format == Format::Chat,
            ..Self::new(format)
        }
    }

    /// Watches a Responses stream that goes on from a stored answer, of which the upstream knows nothing: the events that carry
    /// the answer are made to say so.
    #[must_use]
    pub fn going_on_from(mut self, previous: &str) -> Self {
        self.previous = (self.format == Format::Responses).then(|| previous.into());
        self
    }

    /// Takes a piece of the stream and hands on the whole events that it completes, those that stand together in one piece.
    /// Half an event is of no use to a client, and could not be taken back if the rest of it never came.
    ///
    /// # Errors
    /// [`BadAnswer`] where an event exceeds 16 MiB or is not JSON; what stood before it has been handed on.
    pub fn feed(&mut self, piece: &Bytes, mut forward: impl FnMut(Bytes)) -> Result<(), BadAnswer> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(LONGEST_EVENT));
        let mut run = 0..0;
        let flush = |run: Range<usize>, forward: &mut dyn FnMut(Bytes)| {
            if !run.is_empty() {
                forward(piece.slice(run));
            }
        };
        let mut garbage = false;
        let result = splitter.feed(piece, &mut |block| {
            if garbage {
                return;
            }
            match (self.inspect(block.bytes), block.place) {
                (Pass::On, Some(place)) if run.end == place.start && !run.is_empty() => run.end = place.end,
                (Pass::On, Some(place)) => {
                    flush(std::mem::replace(&mut run, place), &mut forward);
                }
                (Pass::On, None) => forward(Bytes::copy_from_slice(block.bytes)),
                (Pass::As(other), _) => {
                    flush(std::mem::take(&mut run), &mut forward);
                    forward(other);
                }
                (Pass::Hidden, _) => {}
                (Pass::Garbage, _) => garbage = true,
            }
        });
        flush(run, &mut forward);
        self.splitter = splitter;
        if garbage {
            return Err(BadAnswer::new("an event of the stream is not JSON"));
        }
        result.map_err(|error| BadAnswer::new(&error.to_string()))
    }

    /// Tells whether the stream that has ended is whole, and hands on what was held back. Where it is not, the client's stream
    /// must be ended with [`broken_stream`](crate::broken_stream).
    ///
    /// # Errors
    /// [`BadAnswer`] says what is missing, or the error that the upstream reported.
    pub fn finish(&mut self, mut forward: impl FnMut(Bytes)) -> Result<(), BadAnswer> {
        let rest = self.splitter.rest();
        match self.inspect(&rest) {
            Pass::On if !rest.is_empty() && self.is_whole() => forward(Bytes::from(rest)),
            Pass::As(other) => forward(other),
            _ => {}
        }
        if let Some(error) = &self.seen.error {
            return Err(BadAnswer::new(&format!(
                "it reported an error: {}",
                error.message
            )));
        }
        self.seen.complete = self.is_whole();
        match self.seen.complete {
            true => Ok(()),
            false => Err(BadAnswer::new(match self.format {
                Format::Chat => "the stream ended without a finish_reason and without [DONE]",
                Format::Responses => "the stream ended without response.completed",
                Format::Messages => "the stream ended without message_stop",
            })),
        }
    }

    /// What has been seen so far.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether the mark of completion has come: the upstream has nothing more to say.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    fn is_whole(&self) -> bool {
        match self.format {
            Format::Chat => self.done || self.seen.finish.is_some(),
            Format::Responses | Format::Messages => self.reader.missing().is_none(),
        }
    }

    /// Looks at one event and says what the client gets of it.
    fn inspect(&mut self, block: &[u8]) -> Pass {
        let Some(event) = parse(block) else {
            return Pass::On;
        };
        let data = event.data.trim_ascii();
        let is_end = self.format == Format::Chat && data == b"[DONE]";
        // What begins and ends as an object is as far as a router that passes it on needs to look.
        let is_object = data.starts_with(b"{") && data.ends_with(b"}");
        if !(is_end || is_object || data.is_empty()) {
            return Pass::Garbage;
        }
        if !self.seen.content {
            self.seen.content = has_content(self.format, &event);
        }
        match self.format {
            Format::Chat if is_end => {
                self.done = true;
                Pass::On
            }
            Format::Chat => self.inspect_chat(data),
            Format::Responses | Format::Messages => {
                self.inspect_typed(&event);
                let told = self
                    .previous
                    .as_deref()
                    .and_then(|id| event_going_on_from(&event, id));
                told.map_or(Pass::On, Pass::As)
            }
        }
    }

    fn inspect_chat(&mut self, data: &[u8]) -> Pass {
        let says = value_after(data, b"\"finish_reason\"") == Some(b'"')
            || value_after(data, b"\"usage\"") == Some(b'{')
            || memmem::find(data, b"\"error\"").is_some();
        if !says {
            return Pass::On;
        }
        let Ok(tail) = serde_json::from_slice::<Tail<'_>>(data) else {
            return Pass::On;
        };
        if tail.error.is_some_and(|e| e.get() != "null") {
            self.seen.error = Some(ErrorBody::read(502, data));
            return Pass::On;
        }
        let choices = tail.choices.unwrap_or_default();
        if let Some(reason) = choices.iter().find_map(|c| c.finish_reason.as_ref()) {
            self.seen.finish = Some(Finish::of_chat(&reason.0));
        }
        if let Some(usage) = tail.usage {
            self.seen.usage = Some(usage.usage(Format::Chat));
            if self.hides_usage && choices.is_empty() {
                return Pass::Hidden;
            }
        }
        Pass::On
    }

    fn inspect_typed(&mut self, event: &SseEvent<'_>) {
        let kind = if event.name.is_empty() {
            kind(&event.data)
        } else {
            event.name
        };
        // Deltas are most of a stream and say nothing more than that it goes on.
        if kind == "content_block_delta" || kind == "ping" || kind.ends_with(".delta") {
            return;
        }
        let (seen, done) = (&mut self.seen, &mut self.done);
        let read = self.reader.read(event, |event| match event {
            Event::Finish(finish) => seen.finish = Some(finish),
            Event::Usage(usage) => seen.usage = Some(usage),
            Event::Error(error) => seen.error = Some(error),
            _ => {}
        });
        // What is not understood here is for the client to judge, who gets it as it is.
        drop(read);
        *done |= matches!(
            kind,
            "message_stop" | "response.completed" | "response.incomplete" | "response.failed"
        );
    }
}

/// The event with its answer made to name the one before; `None` where it carries no answer.
fn event_going_on_from(event: &SseEvent<'_>, previous: &str) -> Option<Bytes> {
    memmem::find(&event.data, b"\"response\"")?;
    let members = Fields::of(serde_json::from_slice(&event.data).ok()?).ok()?.rest();
    let mut out = Vec::with_capacity(event.data.len() + 128);
    if !event.name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let (mut found, begin) = (false, out.len());
    json::object(&mut out, |o| {
        for (key, value) in &members {
            let told = (key == "response").then(|| going_on_from(value.get().as_bytes(), previous));
            found |= matches!(told, Some(Some(_)));
            match told.flatten() {
                Some(told) => o.raw(key, &told),
                None => o.raw(key, value.get().as_bytes()),
            }
        }
    });
    // Line breaks between members would end the line that is the event's data; within strings they are escaped.
    out[begin..]
        .iter_mut()
        .filter(|b| matches!(b, b'\n' | b'\r'))
        .for_each(|b| *b = b' ');
    out.extend_from_slice(b"\n\n");
    found.then(|| out.into())
}

/// The first byte of the value behind the last `key` (quotes included).
fn value_after(data: &[u8], key: &[u8]) -> Option<u8> {
    let at = memmem::rfind(data, key)? + key.len();
    let rest = data.get(at..)?.trim_ascii_start().strip_prefix(b":")?;
    rest.trim_ascii_start().first().copied()
}

/// The `type` of an event whose line of the name is missing.
fn kind(data: &[u8]) -> &str {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        r#type: &'a str,
    }
    serde_json::from_slice::<Typed<'_>>(data).map_or("", |t| t.r#type)
}

fn has_content(format: Format, event: &SseEvent<'_>) -> bool {
    let mut content = false;
    let read = StreamReader::new(format).read(event, |event| {
        content |= match event {
            Event::Text { text, .. } | Event::Refusal(text) | Event::Reasoning(text) => !text.is_empty(),
            Event::ToolCallStart { .. } => true,
            _ => false,
        };
    });
    drop(read);
    content
}
