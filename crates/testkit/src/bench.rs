//! The upstream of the benchmarks: a fixed answer at the least cost, so that it is not what is measured.
//!
//! It looks at a request only as far as it must: where it ends, and whether a stream is wanted. A stream's head and
//! first event leave in one write, every later event in its own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::socket::listen_shared;

/// The last words of every whole answer, by which a generator knows that it got all of it.
pub const LAST_WORDS: &str = "and so the traveller arrives.";

/// What the upstream sends.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Events of a stream, `[DONE]` not counted.
    pub chunks: usize,
    /// Time between two events of a stream.
    pub gap: Duration,
}

/// The ready-made bytes.
struct Answers {
    whole: Vec<u8>,
    first: Vec<u8>,
    later: Vec<u8>,
    last: Vec<u8>,
    options: Options,
}

/// Serves on one thread until the process ends.
pub fn serve(addr: SocketAddr, options: Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answers = Rc::new(Answers::new(options));
    LocalSet::new().block_on(&runtime, async {
        let listener = listen_shared(addr)?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answers = Rc::clone(&answers);
            // A connection that fails concerns its client alone.
            tokio::task::spawn_local(async move { connection(stream, &answers).await.ok() });
        }
    })
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut buf = BytesMut::with_capacity(16 * 1024);
    loop {
        let Some(length) = request_length(&buf)? else {
            if stream.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let streamed =
            contains(&buf[..length], "\"stream\":true") || contains(&buf[..length], "\"stream\": true");
        buf.advance(length);
        if streamed {
            stream.write_all(&answers.first).await?;
            for _ in 1..answers.options.chunks {
                if !answers.options.gap.is_zero() {
                    tokio::time::sleep(answers.options.gap).await;
                }
                stream.write_all(&answers.later).await?;
            }
            stream.write_all(&answers.last).await?;
        } else {
            stream.write_all(&answers.whole).await?;
        }
    }
}

/// The length of the first request in the buffer; `None` while it is not whole.
fn request_length(buf: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let head = match request.parse(buf) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    let field = |name: &str| request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    let length = match field("content-length") {
        Some(header) => {
            let digits = std::str::from_utf8(header.value).map_err(io::Error::other)?;
            head + digits.trim().parse::<usize>().map_err(io::Error::other)?
        }
        // The end of a chunked body is found by its last chunk: enough for bodies of benchmarks.
        None if field("transfer-encoding").is_some() => match find(&buf[head..], "0\r\n\r\n") {
            Some(end) => head + end + 5,
            None => return Ok(None),
        },
        None => head,
    };
    Ok((buf.len() >= length).then_some(length))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    find(bytes, text).is_some()
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    // `str::find` searches in linear time; a request of a benchmark is UTF-8.
    std::str::from_utf8(bytes).ok()?.find(text)
}

// === impl Answers ===

impl Answers {
    fn new(options: Options) -> Self {
        let filler = "The road forks where the old post stands; one arm points to the mill, one to the sea. "
            .repeat(5);
        let body = format!(
            "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1767322800,\"model\":\"bench\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{filler}{LAST_WORDS}\",\"refusal\":null}},\
             \"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":180,\"completion_tokens\":110,\
             \"total_tokens\":290,\"prompt_tokens_details\":{{\"cached_tokens\":0}}}}}}"
        );
        let length = body.len();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let chunk = |event: &str| format!("{:x}\r\n{event}\r\n", event.len());
        let delta = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767322800,\
                     \"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"road \"},\"finish_reason\":null}]}\n\n";
        let end = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767322800,\
                   \"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
        Self {
            whole: whole.into_bytes(),
            first: format!("{head}{}", chunk(delta)).into_bytes(),
            later: chunk(delta).into_bytes(),
            last: format!("{}0\r\n\r\n", chunk(end)).into_bytes(),
            options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is() {
        let plain = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET";
        assert_eq!(request_length(plain).unwrap(), Some(plain.len() - 3));
        assert_eq!(request_length(&plain[..plain.len() - 4]).unwrap(), None);
        let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(request_length(chunked).unwrap(), Some(chunked.len()));
        assert_eq!(request_length(&chunked[..chunked.len() - 1]).unwrap(), None);
        assert!(request_length(b"\x00nonsense").is_err());
    }
}
