//! HTTP/1.1 on the wire, without I/O: heads are parsed from a buffer, bodies are unframed by a small state
//! machine that is fed whatever has arrived.
//!
//! The test bed reads and writes HTTP by hand on purpose: a server library refuses to send the broken answers that
//! the scripted upstream exists for, and a client library hides when each byte came.

use bytes::{Buf, BytesMut};

/// The most bytes that a head (request or status line plus headers) may have.
const HEAD_LIMIT: usize = 256 * 1024;
const MAX_HEADERS: usize = 128;

/// What was wrong with the bytes of an HTTP message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The head is no HTTP/1.x head.
    #[error("not an HTTP/1.x head: {0}")]
    Head(#[from] httparse::Error),
    /// The head did not end within 256 KiB.
    #[error("the head is longer than {HEAD_LIMIT} bytes")]
    HeadTooLong,
    /// `content-length` is not a number.
    #[error("content-length is not a number: {0:?}")]
    Length(String),
    /// A chunk's size line is not a hexadecimal number.
    #[error("bad chunk size line: {0:?}")]
    Chunk(String),
    /// The peer closed the connection before the message was complete.
    #[error("the connection ended in the middle of a message")]
    Truncated,
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
}

/// Header fields in the order in which they came; names compare without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// The head of a request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The header fields.
    pub headers: Headers,
    /// HTTP/1.0 when false.
    pub http11: bool,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
}

/// Takes the framing off a body as its bytes arrive.
#[derive(Debug)]
pub struct BodyDecoder(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

// === impl Headers ===

impl Headers {
    /// The first value of a field, or `None`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// All fields in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    fn is(&self, name: &str, token: &str) -> bool {
        self.get(name)
            .is_some_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }

    /// Whether the sender asked for the connection to be closed after this message.
    pub fn closes(&self) -> bool {
        self.is("connection", "close")
    }
}

impl From<&[httparse::Header<'_>]> for Headers {
    fn from(parsed: &[httparse::Header<'_>]) -> Self {
        let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
        Self(
            parsed
                .iter()
                .map(|h| (h.name.to_owned(), text(h.value)))
                .collect(),
        )
    }
}

// === heads ===

/// Takes a request's head off the front of `buf`, or returns `None` when it is not complete yet.
pub fn take_request_head(buf: &mut BytesMut) -> Result<Option<RequestHead>, WireError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(buf)? else {
        return if buf.len() > HEAD_LIMIT {
            Err(WireError::HeadTooLong)
        } else {
            Ok(None)
        };
    };
    let head = RequestHead {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: Headers::from(&*parsed.headers),
        http11: parsed.version == Some(1),
    };
    buf.advance(length);
    Ok(Some(head))
}

/// Takes an answer's head off the front of `buf`, or returns `None` when it is not complete yet.
pub fn take_response_head(buf: &mut BytesMut) -> Result<Option<ResponseHead>, WireError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(buf)? else {
        return if buf.len() > HEAD_LIMIT {
            Err(WireError::HeadTooLong)
        } else {
            Ok(None)
        };
    };
    let head = ResponseHead {
        status: parsed.code.unwrap_or_default(),
        headers: Headers::from(&*parsed.headers),
    };
    buf.advance(length);
    Ok(Some(head))
}

// === impl BodyDecoder ===

impl BodyDecoder {
    /// The framing of a request's body: by `transfer-encoding` or `content-length`, else there is none.
    pub fn for_request(headers: &Headers) -> Result<Self, WireError> {
        Self::framed(headers, State::Done)
    }

    /// The framing of an answer's body: as for a request, but without a length it lasts until the connection ends.
    pub fn for_response(head: &ResponseHead) -> Result<Self, WireError> {
        if head.status < 200 || head.status == 204 || head.status == 304 {
            return Ok(Self(State::Done));
        }
        Self::framed(&head.headers, State::UntilClose)
    }

    fn framed(headers: &Headers, otherwise: State) -> Result<Self, WireError> {
        if headers.is("transfer-encoding", "chunked") {
            return Ok(Self(State::ChunkSize));
        }
        Ok(Self(match headers.get("content-length") {
            Some(text) => match text.trim().parse() {
                Ok(0) => State::Done,
                Ok(n) => State::Length(n),
                Err(_) => return Err(WireError::Length(text.to_owned())),
            },
            None => otherwise,
        }))
    }

    /// Whether the whole body has been seen.
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Moves body bytes from `input` to `out`; bytes after the body stay in `input`.
    pub fn decode(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), WireError> {
        loop {
            match self.0 {
                State::Done => return Ok(()),
                State::UntilClose => {
                    out.extend_from_slice(input);
                    input.clear();
                    return Ok(());
                }
                State::Length(left) | State::ChunkData(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    out.extend_from_slice(&input[..n]);
                    input.advance(n);
                    let left = left - n as u64;
                    let chunked = matches!(self.0, State::ChunkData(_));
                    self.0 = match (chunked, left) {
                        (true, 0) => State::ChunkEnd,
                        (true, left) => State::ChunkData(left),
                        (false, 0) => State::Done,
                        (false, left) => State::Length(left),
                    };
                    if left > 0 {
                        return Ok(());
                    }
                }
                State::ChunkSize => {
                    let Some(line) = take_line(input) else {
                        return Ok(());
                    };
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(size, 16).map_err(|_| WireError::Chunk(line.clone()))?;
                    self.0 = if size == 0 {
                        State::Trailers
                    } else {
                        State::ChunkData(size)
                    };
                }
                State::ChunkEnd => {
                    let Some(line) = take_line(input) else {
                        return Ok(());
                    };
                    if !line.is_empty() {
                        return Err(WireError::Chunk(line));
                    }
                    self.0 = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(line) = take_line(input) else {
                        return Ok(());
                    };
                    if line.is_empty() {
                        self.0 = State::Done;
                    }
                }
            }
        }
    }

    /// Tells the decoder that the connection has ended: an error unless that is how the body was to end.
    pub fn end(&mut self) -> Result<(), WireError> {
        match self.0 {
            State::Done | State::UntilClose => {
                self.0 = State::Done;
                Ok(())
            }
            _ => Err(WireError::Truncated),
        }
    }
}

fn take_line(input: &mut BytesMut) -> Option<String> {
    let end = input.iter().position(|&b| b == b'\n')?;
    let line = input.split_to(end + 1);
    Some(
        String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_in_pieces(wire: &[u8], cuts: &[usize], headers: &[(&str, &str)]) -> (Vec<u8>, Vec<u8>, bool) {
        let headers = Headers(
            headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        );
        let mut decoder = BodyDecoder::for_request(&headers).unwrap();
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|c| c % (wire.len() + 1))
            .chain([0, wire.len()])
            .collect();
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            input.extend_from_slice(&wire[pair[0]..pair[1]]);
            decoder.decode(&mut input, &mut out).unwrap();
        }
        (out.to_vec(), input.to_vec(), decoder.is_done())
    }

    #[test]
    fn a_head_is_taken_only_when_complete() {
        let mut buf = BytesMut::from(&b"POST /v1/x?y=1 HTTP/1.1\r\nX-A: b\r\n"[..]);
        assert!(take_request_head(&mut buf).unwrap().is_none());
        buf.extend_from_slice(b"\r\nrest");
        let head = take_request_head(&mut buf).unwrap().unwrap();
        assert_eq!(
            (head.method.as_str(), head.target.as_str()),
            ("POST", "/v1/x?y=1")
        );
        assert_eq!(head.headers.get("x-a"), Some("b"));
        assert_eq!(&buf[..], b"rest");
    }

    #[test]
    fn an_unfinished_body_is_an_error_at_the_end() {
        let head = take_response_head(&mut BytesMut::from(
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..],
        ))
        .unwrap()
        .unwrap();
        let mut decoder = BodyDecoder::for_response(&head).unwrap();
        let mut out = BytesMut::new();
        decoder
            .decode(&mut BytesMut::from(&b"3\r\nabc\r\n"[..]), &mut out)
            .unwrap();
        assert_eq!(&out[..], b"abc");
        assert!(matches!(decoder.end(), Err(WireError::Truncated)));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
                              cuts in prop::collection::vec(any::<usize>(), 0..8)) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nnext");
            let (body, left, done) = decode_in_pieces(&wire, &cuts, &[("Transfer-Encoding", "chunked")]);
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(left, b"next".to_vec());
            prop_assert!(done);
        }

        #[test]
        fn a_length_cuts_off_the_rest(body in prop::collection::vec(any::<u8>(), 0..99),
                                      cuts in prop::collection::vec(any::<usize>(), 0..8)) {
            let wire = [&body[..], b"next"].concat();
            let length = body.len().to_string();
            let (out, left, done) = decode_in_pieces(&wire, &cuts, &[("content-length", &length)]);
            prop_assert_eq!(out, body);
            prop_assert_eq!(left, b"next".to_vec());
            prop_assert!(done);
        }
    }
}
