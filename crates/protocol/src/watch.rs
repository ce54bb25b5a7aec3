//! Watching a stream that is passed on as it comes: the first content, the end, the usage, an error. Nothing else is looked at.
//!
//! Events are found by their blank lines and told apart by name or by a byte search; only the few that say something are parsed.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    BadAnswer, ErrorBody, Event, Finish, Format, Seen, StreamReader,
    fields::Str,
    sse::{LONGEST_EVENT, Splitter, SseEvent, TooLong, parse},
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

    /// Takes a piece of the stream and hands on what goes to the client: the piece itself, or, where the usage chunk is hidden,
    /// the whole events in it.
    ///
    /// # Errors
    /// [`TooLong`] where an event exceeds 16 MiB.
    pub fn feed(&mut self, piece: Bytes, mut forward: impl FnMut(Bytes)) -> Result<(), TooLong> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(LONGEST_EVENT));
        let result = if self.hides_usage {
            // What stands together goes together.
            let mut run = 0..0;
            let result = splitter.feed(&piece, &mut |block| {
                let hidden = self.inspect(block.bytes);
                match block.place {
                    Some(place) if !hidden => {
                        if run.end == place.start && !run.is_empty() {
                            run.end = place.end;
                        } else {
                            if !run.is_empty() {
                                forward(piece.slice(run.clone()));
                            }
                            run = place;
                        }
                    }
                    None if !hidden => forward(Bytes::copy_from_slice(block.bytes)),
                    _ => {}
                }
            });
            if !run.is_empty() {
                forward(piece.slice(run));
            }
            result
        } else {
            let result = splitter.feed(&piece, &mut |block| {
                self.inspect(block.bytes);
            });
            forward(piece);
            result
        };
        self.splitter = splitter;
        result
    }

    /// Tells whether the stream that has ended is whole, and hands on what was held back. Where it is not, the client's stream
    /// must be ended with [`broken_stream`](crate::broken_stream).
    ///
    /// # Errors
    /// [`BadAnswer`] says what is missing, or the error that the upstream reported.
    pub fn finish(&mut self, mut forward: impl FnMut(Bytes)) -> Result<(), BadAnswer> {
        let rest = self.splitter.rest();
        let hidden = self.inspect(&rest);
        if self.hides_usage && !hidden && !rest.is_empty() && self.is_whole() {
            forward(Bytes::from(rest));
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

    /// Looks at one event. Gives whether it is a usage chunk to be hidden.
    fn inspect(&mut self, block: &[u8]) -> bool {
        let Some(event) = parse(block) else { return false };
        if !self.seen.content {
            self.seen.content = has_content(self.format, &event);
        }
        match self.format {
            Format::Chat => self.inspect_chat(&event.data),
            Format::Responses | Format::Messages => {
                self.inspect_typed(&event);
                false
            }
        }
    }

    fn inspect_chat(&mut self, data: &[u8]) -> bool {
        if data.starts_with(b"[DONE]") {
            self.done = true;
            return false;
        }
        let says = value_after(data, b"\"finish_reason\"") == Some(b'"')
            || value_after(data, b"\"usage\"") == Some(b'{')
            || memmem::find(data, b"\"error\"").is_some();
        if !says {
            return false;
        }
        let Ok(tail) = serde_json::from_slice::<Tail<'_>>(data) else {
            return false;
        };
        if tail.error.is_some_and(|e| e.get() != "null") {
            self.seen.error = Some(ErrorBody::read(502, data));
            return false;
        }
        let choices = tail.choices.unwrap_or_default();
        if let Some(reason) = choices.iter().find_map(|c| c.finish_reason.as_ref()) {
            self.seen.finish = Some(Finish::of_chat(&reason.0));
        }
        match tail.usage {
            Some(usage) => {
                self.seen.usage = Some(usage.usage(Format::Chat));
                self.hides_usage && choices.is_empty()
            }
            None => false,
        }
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
