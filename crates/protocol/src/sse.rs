//! Server-sent events out of bytes that come in arbitrary pieces.
//!
//! An event is handed on as soon as the blank line behind it is there. One that stands whole in the piece at hand is borrowed
//! from it; only what is split over pieces is copied.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;
use thiserror::Error;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// Its data, lines joined by line feeds.
    pub data: Cow<'a, [u8]>,
}

/// An event that is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The most bytes that an event may have.
    pub limit: usize,
}

/// Finds the blocks between blank lines.
#[derive(Debug)]
pub(crate) struct Splitter {
    carried: Vec<u8>,
    /// How much of what is carried has been searched: up to a line's beginning.
    searched: usize,
    limit: usize,
}

/// A block with its blank line.
pub(crate) struct Block<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where it stands in the piece at hand; `None` where it began in an earlier piece.
    pub(crate) place: Option<Range<usize>>,
}

/// Reads events out of pieces of bytes.
#[derive(Debug)]
pub struct SseDecoder {
    splitter: Splitter,
    /// Whether nothing has been read yet, so that a byte order mark may stand there.
    fresh: bool,
}

/// The longest event that is taken by default: 16 MiB, room for an image in base64.
pub const LONGEST_EVENT: usize = 16 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

// === impl Splitter ===

impl Splitter {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            carried: Vec::new(),
            searched: 0,
            limit,
        }
    }

    /// Hands on every block that is whole with this piece.
    pub(crate) fn feed(&mut self, piece: &[u8], on: &mut dyn FnMut(Block<'_>)) -> Result<(), TooLong> {
        let mut from = 0;
        if !self.carried.is_empty() {
            // Finish the block that began earlier. It is copied; those behind it are not.
            let before = self.carried.len();
            self.carried.extend_from_slice(piece);
            match end_of_block(&self.carried, self.searched) {
                Ok(end) => {
                    on(Block {
                        bytes: &self.carried[..end],
                        place: None,
                    });
                    from = end - before;
                    self.carried.clear();
                    self.searched = 0;
                }
                Err(searched) => {
                    self.searched = searched;
                    return self.check();
                }
            }
        }
        let mut searched = from;
        loop {
            match end_of_block(piece, searched) {
                Ok(end) => {
                    on(Block {
                        bytes: &piece[from..end],
                        place: Some(from..end),
                    });
                    from = end;
                    searched = end;
                }
                Err(reached) => {
                    searched = reached;
                    break;
                }
            }
        }
        self.carried.extend_from_slice(&piece[from..]);
        self.searched = searched - from;
        self.check()
    }

    /// What is left when the stream has ended.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.carried)
    }

    fn check(&self) -> Result<(), TooLong> {
        if self.carried.len() > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        Ok(())
    }
}

/// The end of the first block after its blank line, or how far the search came. `line` is the beginning of a line.
fn end_of_block(bytes: &[u8], mut line: usize) -> Result<usize, usize> {
    while let Some(offset) = memchr2(b'\n', b'\r', &bytes[line..]) {
        let at = line + offset;
        let next = match (bytes[at], bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => at + 2,
            // The line feed that belongs to it may be under way.
            (b'\r', None) => return Err(line),
            _ => at + 1,
        };
        if at == line {
            return Ok(next);
        }
        line = next;
    }
    Err(line)
}

// === impl SseDecoder ===

impl Default for SseDecoder {
    fn default() -> Self {
        Self::new(LONGEST_EVENT)
    }
}

impl SseDecoder {
    /// A decoder that takes events of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            splitter: Splitter::new(limit),
            fresh: true,
        }
    }

    /// Hands on every event that is whole with this piece.
    ///
    /// # Errors
    /// [`TooLong`] where an event exceeds the limit; the stream cannot be read on.
    pub fn feed(&mut self, piece: &[u8], mut on: impl FnMut(SseEvent<'_>)) -> Result<(), TooLong> {
        let fresh = &mut self.fresh;
        self.splitter.feed(piece, &mut |block| {
            let bytes = start(block.bytes, fresh);
            if let Some(event) = parse(bytes) {
                on(event);
            }
        })
    }

    /// Hands on the last event where the stream ended without a blank line behind it. Gives whether bytes were left that make
    /// no event: a stream that broke off.
    pub fn finish(&mut self, mut on: impl FnMut(SseEvent<'_>)) -> bool {
        let rest = self.splitter.rest();
        let bytes = start(&rest, &mut self.fresh);
        match parse(bytes) {
            Some(event) => {
                on(event);
                false
            }
            None => bytes.iter().any(|b| !b.is_ascii_whitespace()) && !bytes.starts_with(b":"),
        }
    }
}

fn start<'a>(bytes: &'a [u8], fresh: &mut bool) -> &'a [u8] {
    if std::mem::take(fresh) {
        return bytes.strip_prefix(BOM).unwrap_or(bytes);
    }
    bytes
}

/// The event of a block; `None` where it has no data (comments, keep-alives).
pub(crate) fn parse(block: &[u8]) -> Option<SseEvent<'_>> {
    let mut name = "";
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = block;
    while !rest.is_empty() {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        let terminator = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = rest.get(end + terminator..).unwrap_or_default();
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(all) => {
                    let all = all.to_mut();
                    all.push(b'\n');
                    all.extend_from_slice(value);
                }
            },
            b"event" => name = std::str::from_utf8(value).unwrap_or_default(),
            _ => {}
        }
    }
    data.map(|data| SseEvent { name, data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> (Vec<(String, String)>, bool) {
        let mut decoder = SseDecoder::default();
        let mut out = Vec::new();
        let mut take = |e: SseEvent<'_>| {
            out.push((e.name.to_owned(), String::from_utf8_lossy(&e.data).into_owned()));
        };
        for piece in pieces {
            decoder.feed(piece, &mut take).unwrap();
        }
        let broken = decoder.finish(&mut take);
        (out, broken)
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn every_shape_of_event() {
        let stream = "\u{feff}event: a\ndata: 1\n\n: comment\n\ndata:2\r\ndata: 3\r\n\r\ndata\n\nid: 7\nretry: 1\ndata:  x\r\revent: end\ndata: [DONE]\n\n";
        let want = pairs(&[("a", "1"), ("", "2\n3"), ("", ""), ("", " x"), ("end", "[DONE]")]);
        assert_eq!(events(&[stream.as_bytes()]), (want, false));
    }

    #[test]
    fn the_end_without_a_blank_line() {
        assert_eq!(
            events(&[b"data: a\n\ndata: b"]),
            (pairs(&[("", "a"), ("", "b")]), false)
        );
        assert_eq!(events(&[b"data: a\n\ndat"]), (pairs(&[("", "a")]), true));
        assert_eq!(events(&[b""]), (Vec::new(), false));
        assert_eq!(events(&[b": bye"]), (Vec::new(), false));
    }

    #[test]
    fn over_long_events_are_refused() {
        let mut decoder = SseDecoder::new(10);
        assert_eq!(decoder.feed(b"data: 12345", |_| {}), Err(TooLong { limit: 10 }));
        let mut decoder = SseDecoder::new(10);
        decoder.feed(b"data: 1", |_| {}).unwrap();
        assert_eq!(decoder.feed(b"2345678", |_| {}), Err(TooLong { limit: 10 }));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            lines in proptest::collection::vec(prop_oneof![Just("data: x"), Just("data:é"), Just(""), Just(""), Just("event: e"), Just(": c"), Just("junk")], 0..30),
            ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 30),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
            bom in any::<bool>(),
        ) {
            let mut text = String::from(if bom { "\u{feff}" } else { "" });
            for (line, end) in lines.iter().zip(&ends) {
                text.push_str(line);
                text.push_str(end);
            }
            let bytes = text.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = events(&[&bytes]);
        }
    }
}
