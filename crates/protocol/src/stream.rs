//! Streams, read from any format and written in any.
//!
//! [`Translator`] joins a decoder, a reader and a writer: bytes of the upstream's stream in, bytes of the client's out. Whoever
//! makes answers here feeds [`Event`]s to a [`StreamWriter`].
//!
//! A stream is told to be whole only when its format says so. One that breaks off ends with the format's own error and
//! without the mark of completion, so that no client takes half an answer for a whole one.

use crate::{
    BadAnswer, ErrorBody, ErrorKind, Event, Finish, Format, Head, Usage, chat, messages, responses,
    sse::{SseDecoder, SseEvent},
};

/// Where events go.
pub(crate) type Emit<'f> = dyn FnMut(Event<'_>) + 'f;

/// Reads a stream of one format into events.
#[derive(Debug)]
pub struct StreamReader(AnyReader);

#[derive(Debug)]
enum AnyReader {
    Chat(chat::Reader),
    Responses(responses::Reader),
    Messages(messages::Reader),
}

/// Writes events as a stream of one format.
#[derive(Debug)]
pub struct StreamWriter {
    writer: AnyWriter,
    ended: bool,
}

#[derive(Debug)]
enum AnyWriter {
    Chat(Box<chat::Writer>),
    Responses(Box<responses::Writer>),
    Messages(Box<messages::Writer>),
}

/// Translates an upstream's stream into the client's, as it comes.
#[derive(Debug)]
pub struct Translator {
    decoder: SseDecoder,
    reader: StreamReader,
    writer: StreamWriter,
    seen: Seen,
}

/// What has been seen of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether any text, thought or call has come.
    pub content: bool,
    /// Why it ended, once it says so.
    pub finish: Option<Finish>,
    /// Tokens used, once it says so.
    pub usage: Option<Usage>,
    /// The error that it reported.
    pub error: Option<ErrorBody>,
    /// Whether it is whole: its format's mark of completion has come.
    pub complete: bool,
}

// === impl StreamReader ===

impl StreamReader {
    /// A reader at the beginning of a stream.
    pub fn new(format: Format) -> Self {
        Self(match format {
            Format::Chat => AnyReader::Chat(chat::Reader::default()),
            Format::Responses => AnyReader::Responses(responses::Reader::default()),
            Format::Messages => AnyReader::Messages(messages::Reader::default()),
        })
    }

    /// Reads one event of the wire.
    ///
    /// # Errors
    /// [`BadAnswer`] where it is none of the format; the stream cannot be read on.
    pub fn read(&mut self, event: &SseEvent<'_>, mut emit: impl FnMut(Event<'_>)) -> Result<(), BadAnswer> {
        if event.data.trim_ascii().is_empty() {
            return Ok(());
        }
        match &mut self.0 {
            AnyReader::Chat(reader) => reader.read(&event.data, &mut emit),
            AnyReader::Responses(reader) => reader.read(&event.data, &mut emit),
            AnyReader::Messages(reader) => reader.read(&event.data, &mut emit),
        }
    }

    /// What the stream lacks, were it to end here; `None` where it is whole.
    pub fn missing(&self) -> Option<&'static str> {
        match &self.0 {
            AnyReader::Chat(reader) => reader.missing(),
            AnyReader::Responses(reader) => reader.missing(),
            AnyReader::Messages(reader) => reader.missing(),
        }
    }
}

// === impl StreamWriter ===

impl StreamWriter {
    /// A writer at the beginning of a stream. `include_usage` is whether a Chat client asked for a usage chunk; the other
    /// formats always tell.
    pub fn new(format: Format, head: Head, include_usage: bool) -> Self {
        let writer = match format {
            Format::Chat => AnyWriter::Chat(Box::new(chat::Writer::new(head, include_usage))),
            Format::Responses => AnyWriter::Responses(Box::new(responses::Writer::new(head))),
            Format::Messages => AnyWriter::Messages(Box::new(messages::Writer::new(head))),
        };
        Self { writer, ended: false }
    }

    /// Appends what the event adds to the stream. An [`Event::Error`] ends it, as [`StreamWriter::fail`] does. Events after the
    /// end are ignored.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.ended = matches!(event, Event::Error(_));
        match &mut self.writer {
            AnyWriter::Chat(writer) => writer.write(event, out),
            AnyWriter::Responses(writer) => writer.write(event, out),
            AnyWriter::Messages(writer) => writer.write(event, out),
        }
    }

    /// Ends a whole stream: what is open is closed, reason and usage are told, the mark of completion is set. Does nothing
    /// where it has ended.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &mut self.writer {
            AnyWriter::Chat(writer) => writer.end(out),
            AnyWriter::Responses(writer) => writer.end(out),
            AnyWriter::Messages(writer) => writer.end(out),
        }
    }

    /// Ends a stream that broke off: the format's own error, no mark of completion. Does nothing where it has ended.
    pub fn fail(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        self.write(&Event::Error(error.clone()), out);
    }

    /// Whether the stream has ended, either way.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    fn is_torn(&self) -> bool {
        match &self.writer {
            AnyWriter::Chat(_) => false,
            AnyWriter::Responses(writer) => writer.blocks.torn,
            AnyWriter::Messages(writer) => writer.blocks.torn,
        }
    }
}

/// The error event that ends a stream of `format` which was passed on as it came and broke off. It carries no mark of
/// completion. `sequence_number` of a Responses stream is unknown here and left out.
pub fn broken_stream(format: Format, error: &ErrorBody) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Chat => {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&error.to_body(Format::Chat));
        }
        Format::Messages => {
            out.extend_from_slice(b"event: error\ndata: ");
            out.extend_from_slice(&error.to_body(Format::Messages));
        }
        Format::Responses => {
            out.extend_from_slice(b"event: error\ndata: ");
            crate::json::object(&mut out, |o| {
                let code = error.code_or_kind().unwrap_or("server_error");
                o.field("type", "error");
                o.field("code", code);
                o.field("message", &error.message);
                o.field("param", error.param.as_deref());
                o.object("error", |e| {
                    e.field("type", "server_error");
                    e.field("code", code);
                    e.field("message", &error.message);
                    e.field("param", error.param.as_deref());
                });
            });
        }
    }
    out.extend_from_slice(b"\n\n");
    out
}

// === impl Translator ===

impl Translator {
    /// A translator at the beginning of a stream.
    pub fn new(from: Format, to: Format, head: Head, include_usage: bool) -> Self {
        Self {
            decoder: SseDecoder::default(),
            reader: StreamReader::new(from),
            writer: StreamWriter::new(to, head, include_usage),
            seen: Seen::default(),
        }
    }

    /// Takes a piece of the upstream's stream and appends what it gives to the client's.
    ///
    /// # Errors
    /// [`BadAnswer`] where the stream is not of its format. Nothing more may be fed; call [`Translator::finish_broken`].
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let mut result = Ok(());
        let Self {
            decoder,
            reader,
            writer,
            seen,
        } = self;
        let fed = decoder.feed(piece, |event| {
            if result.is_ok() {
                result = read_one(&event, reader, writer, seen, out);
            }
        });
        result?;
        fed.map_err(|e| BadAnswer::new(&e.to_string()))
    }

    /// Ends the client's stream after the upstream's has ended: as whole where it was, else broken. Gives why, where it was not.
    ///
    /// # Errors
    /// [`BadAnswer`] where the upstream's stream was not whole; the client has been told.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let mut result = Ok(());
        let Self {
            decoder,
            reader,
            writer,
            seen,
        } = self;
        decoder.finish(|event| result = read_one(&event, reader, writer, seen, out));
        let whole = match (result, &self.seen.error, self.reader.missing()) {
            (Err(bad), ..) => Err(bad),
            (Ok(()), Some(error), _) => Err(BadAnswer::new(&format!(
                "it reported an error: {}",
                error.message
            ))),
            (Ok(()), None, Some(missing)) => Err(BadAnswer::new(missing)),
            // A rest behind the mark of completion harms nobody.
            (Ok(()), None, None) => Ok(()),
        };
        match whole {
            Ok(()) => {
                self.seen.complete = true;
                self.writer.end(out);
                Ok(())
            }
            Err(bad) => {
                self.finish_broken(&ErrorBody::from(&bad), out);
                Err(bad)
            }
        }
    }

    /// Ends the client's stream with the format's own error, because the upstream's broke off.
    pub fn finish_broken(&mut self, error: &ErrorBody, out: &mut Vec<u8>) {
        if self.seen.error.is_none() {
            self.seen.error = Some(error.clone());
        }
        self.writer.fail(error, out);
    }

    /// What has been seen of the stream so far.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }
}

fn read_one(
    event: &SseEvent<'_>,
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    seen: &mut Seen,
    out: &mut Vec<u8>,
) -> Result<(), BadAnswer> {
    reader.read(event, |event| {
        seen.note(&event);
        writer.write(&event, out);
    })?;
    if writer.is_torn() {
        return Err(BadAnswer::new(
            "pieces of a tool call came after the call was over",
        ));
    }
    Ok(())
}

// === impl Seen ===

impl Seen {
    /// Notes what one event tells.
    pub fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Text { text, .. } => self.content |= !text.is_empty(),
            Event::Refusal(text) | Event::Reasoning(text) => self.content |= !text.is_empty(),
            Event::ToolCallStart { .. } => self.content = true,
            Event::Finish(finish) => self.finish = Some(*finish),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => self.error = Some(error.clone()),
            _ => {}
        }
    }
}

/// Makes a broken stream's error out of its reason.
pub fn broken(reason: &str) -> ErrorBody {
    ErrorBody::new(
        ErrorKind::Upstream,
        &format!("the upstream's stream broke off: {reason}"),
    )
}
