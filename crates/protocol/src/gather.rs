//! A stream that is read along while it passes, put together into the whole answer that it tells.

use crate::{Answer, Event, Format, SseDecoder, SseEvent, StreamReader, blocks::Blocks};

/// Puts a stream together into a whole answer.
#[derive(Debug)]
pub struct Gather {
    decoder: SseDecoder,
    reader: StreamReader,
    blocks: Blocks,
    /// Whether it could not be read, or told an error.
    is_broken: bool,
}

// === impl Gather ===

impl Gather {
    /// At the beginning of a stream of `format`.
    pub fn new(format: Format) -> Self {
        Self {
            decoder: SseDecoder::default(),
            reader: StreamReader::new(format),
            blocks: Blocks::default(),
            is_broken: false,
        }
    }

    /// Takes a piece of the stream, cut anywhere.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.is_broken {
            return;
        }
        let Self {
            decoder,
            reader,
            blocks,
            is_broken,
        } = self;
        let fed = decoder.feed(piece, |event| *is_broken |= !read(&event, reader, blocks));
        self.is_broken |= fed.is_err();
    }

    /// The answer; `None` where the stream was not whole.
    pub fn finish(mut self) -> Option<Answer<'static>> {
        let Self {
            decoder,
            reader,
            blocks,
            is_broken,
        } = &mut self;
        decoder.finish(|event| *is_broken |= !read(&event, reader, blocks));
        self.blocks.end(&mut |_, _| {});
        let is_whole = !self.is_broken && !self.blocks.torn && self.reader.missing().is_none();
        is_whole.then(|| self.blocks.into_answer())
    }
}

/// Reads one event; false where it is none of the format, or tells an error.
fn read(event: &SseEvent<'_>, reader: &mut StreamReader, blocks: &mut Blocks) -> bool {
    let mut is_error = false;
    let read = reader.read(event, |event| match event {
        Event::Error(_) => is_error = true,
        event => blocks.push(&event, &mut |_, _| {}),
    });
    read.is_ok() && !is_error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finish, Head, StreamWriter, Usage};

    const FORMATS: [Format; 3] = [Format::Chat, Format::Responses, Format::Messages];

    fn written(format: Format) -> Vec<u8> {
        let mut writer = StreamWriter::new(format, Head::default(), true);
        let mut out = Vec::new();
        let usage = Usage {
            input: 3,
            output: 2,
            ..Usage::default()
        };
        let text = |text: &'static str| Event::Text {
            text: text.into(),
            logprobs: None,
        };
        for event in [
            Event::Start,
            Event::Reasoning("hm".into()),
            text("good "),
            text("day"),
            Event::Finish(Finish::Stop),
            Event::Usage(usage),
        ] {
            writer.write(&event, &mut out);
        }
        writer.end(&mut out);
        out
    }

    #[test]
    fn a_whole_stream_is_an_answer_however_it_is_cut() {
        for format in FORMATS {
            for size in [1, 7, 10_000] {
                let mut gather = Gather::new(format);
                written(format).chunks(size).for_each(|piece| gather.feed(piece));
                let answer = gather.finish().unwrap();
                assert_eq!(
                    (answer.text().as_str(), answer.finish),
                    ("good day", Finish::Stop)
                );
                assert_eq!(
                    answer.usage.map(|u| (u.input, u.output)),
                    Some((3, 2)),
                    "{format:?}"
                );
            }
        }
    }

    #[test]
    fn half_a_stream_an_error_and_garbage_are_none() {
        for format in FORMATS {
            let whole = written(format);
            let mut half = Gather::new(format);
            half.feed(&whole[..whole.len() / 2]);
            assert!(half.finish().is_none(), "{format:?}");
            let mut failed = Gather::new(format);
            failed.feed(&crate::broken_stream(format, &crate::broken("gone")));
            failed.feed(&whole);
            assert!(failed.finish().is_none(), "{format:?}");
            let mut garbage = Gather::new(format);
            garbage.feed(b"data: {\n\n");
            assert!(garbage.finish().is_none(), "{format:?}");
        }
    }
}
