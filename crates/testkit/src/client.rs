//! A blocking HTTP/1.1 client for tests: it sends exactly the bytes given, tells when each server-sent event came,
//! and can leave in the middle of an answer.
//!
//! Every read gives up after a limit (30 s unless set), so a test of a server that hangs fails and does not hang.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::Value;

use crate::wire::{BodyDecoder, Headers, ResponseHead, WireError, take_response_head};

const READ_LIMIT: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    host: String,
    /// Bytes read but not consumed.
    buf: BytesMut,
    /// The answer that is being read.
    decoder: Option<BodyDecoder>,
    /// Body bytes that are no whole event yet.
    body: BytesMut,
    sent_at: Instant,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body without framing.
    pub body: Vec<u8>,
}

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` field; empty when absent.
    pub event: String,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
    /// Since the request was sent.
    pub at: Duration,
}

// === impl Client ===

impl Client {
    /// Connects.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        Ok(Self {
            stream,
            host: addr.to_string(),
            buf: BytesMut::new(),
            decoder: None,
            body: BytesMut::new(),
            sent_at: Instant::now(),
        })
    }

    /// Sets how long a read may take before it fails.
    pub fn set_read_limit(&self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent_at = Instant::now();
        self.stream.write_all(bytes)
    }

    /// Sends a request; `content-length` and `content-type: application/json` are added unless given.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut message = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if !given("content-length") && !given("transfer-encoding") {
            message.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        if !given("content-type") && !body.is_empty() {
            message.push_str("content-type: application/json\r\n");
        }
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.send(&message)
    }

    /// Posts a body and reads the whole answer.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Response, WireError> {
        self.request("POST", path, headers, body.as_bytes())?;
        self.response()
    }

    /// Gets a path and reads the whole answer.
    pub fn get(&mut self, path: &str) -> Result<Response, WireError> {
        self.request("GET", path, &[], b"")?;
        self.response()
    }

    /// Reads a whole answer. A body that ends early is [`WireError::Truncated`].
    pub fn response(&mut self) -> Result<Response, WireError> {
        let head = self.head()?;
        let body = self.rest()?;
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Reads the head of an answer, skipping `100 Continue`; its body is read by [`rest`](Self::rest) or
    /// [`next_event`](Self::next_event).
    pub fn head(&mut self) -> Result<ResponseHead, WireError> {
        loop {
            if let Some(head) = take_response_head(&mut self.buf)? {
                if head.status == 100 {
                    continue;
                }
                self.body.clear();
                self.decoder = Some(BodyDecoder::for_response(&head)?);
                return Ok(head);
            }
            if self.fill()? == 0 {
                return Err(WireError::Truncated);
            }
        }
    }

    /// Reads the rest of the body.
    pub fn rest(&mut self) -> Result<Vec<u8>, WireError> {
        while self.more()? {}
        Ok(self.body.split().to_vec())
    }

    /// Reads the next server-sent event; `None` at the proper end of the body. Comments are skipped.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, WireError> {
        loop {
            if let Some(event) = take_event(&mut self.body, self.sent_at) {
                if event.data.is_empty() && event.event.is_empty() {
                    continue;
                }
                return Ok(Some(event));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Reads all events up to the proper end of the body.
    pub fn events(&mut self) -> Result<Vec<SseEvent>, WireError> {
        let mut events = Vec::new();
        while let Some(event) = self.next_event()? {
            events.push(event);
        }
        Ok(events)
    }

    /// Closes the connection at once.
    pub fn leave(self) {
        // The peer may have closed it already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether the server has closed the connection (waits up to the read limit for it).
    pub fn is_closed(&mut self) -> bool {
        matches!(self.fill(), Ok(0))
    }

    /// Decodes more of the body; false at its end.
    fn more(&mut self) -> Result<bool, WireError> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(false);
        };
        let before = self.body.len();
        decoder.decode(&mut self.buf, &mut self.body)?;
        if decoder.is_done() {
            self.decoder = None;
            return Ok(self.body.len() > before);
        }
        if self.body.len() > before {
            return Ok(true);
        }
        if self.fill()? == 0 {
            if let Some(mut decoder) = self.decoder.take() {
                decoder.end()?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let n = self.stream.read(&mut piece)?;
        self.buf.extend_from_slice(&piece[..n]);
        Ok(n)
    }
}

// === impl Response ===

impl Response {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

// === impl SseEvent ===

impl SseEvent {
    /// The data as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// Takes a whole event (up to its blank line) off the front.
fn take_event(body: &mut BytesMut, since: Instant) -> Option<SseEvent> {
    let (end, blank) = find_blank_line(body)?;
    let block = body.split_to(end + blank);
    let block = String::from_utf8_lossy(&block).into_owned();
    let mut event = SseEvent {
        event: String::new(),
        data: String::new(),
        at: since.elapsed(),
    };
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.event = value.to_owned(),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    Some(event)
}

/// Where the first blank line begins, and the length of the line ends around it.
fn find_blank_line(body: &[u8]) -> Option<(usize, usize)> {
    let plain = body.windows(2).position(|w| w == b"\n\n").map(|at| (at, 2));
    let dos = body.windows(4).position(|w| w == b"\r\n\r\n").map(|at| (at, 4));
    [plain, dos].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole_with_either_line_end() {
        let mut body = BytesMut::from(&b"event: a\ndata: 1\ndata:2\n\n: note\r\n\r\ndata: x"[..]);
        let now = Instant::now();
        let first = take_event(&mut body, now).unwrap();
        assert_eq!((first.event.as_str(), first.data.as_str()), ("a", "1\n2"));
        assert_eq!(take_event(&mut body, now).unwrap().data, "");
        assert!(take_event(&mut body, now).is_none());
        assert_eq!(&body[..], b"data: x");
    }
}
