//! Connections: read a request, have it answered, notice when the client leaves meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::answer::plan;
use super::play::{End, play};
use super::{Recorded, Shared};
use crate::wire::{BodyDecoder, RequestHead, WireError, take_request_head};

/// Accepts until dropped.
pub(super) async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(stream, Arc::clone(&shared), number));
            }
            // Out of file descriptors, most likely: give the others time to end.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(mut stream: TcpStream, shared: Arc<Shared>, number: u64) {
    // Without it a stream's small writes wait for acknowledgements; failing to set it only slows.
    let _ = stream.set_nodelay(true);
    let mut buf = BytesMut::new();
    loop {
        let (head, body) = match read_request(&mut stream, &mut buf).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                let reason = error.to_string();
                let length = reason.len();
                let answer = format!(
                    "HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{reason}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
        };
        let close = head.headers.closes() || !head.http11;
        let counted = !head.target.starts_with("/_scripted/");
        if counted {
            shared.requests.fetch_add(1, Ordering::SeqCst);
            shared.in_flight.fetch_add(1, Ordering::SeqCst);
            shared.record(Recorded {
                at: shared.started.elapsed(),
                connection: number,
                method: head.method.clone(),
                path: head.target.clone(),
                headers: head.headers.clone(),
                body: body.clone(),
            });
        }
        let plan = plan(&shared, &head, &body);
        let (mut reader, mut writer) = stream.split();
        let end = tokio::select! {
            // First, so that a client which leaves after the last byte does not count as cancelled.
            biased;
            end = play(&mut writer, &plan) => end,
            () = client_left(&mut reader, &mut buf) => End::Cancelled,
        };
        if counted {
            let counter = if end == End::Cancelled {
                &shared.cancelled
            } else {
                &shared.completed
            };
            counter.fetch_add(1, Ordering::SeqCst);
            shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        match end {
            End::Kept if !close => {}
            End::Reset => {
                // Zero linger turns the close into a reset; when it cannot be set, a close it is.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            _ => {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }
}

/// Resolves when the client closes the connection. What it sends meanwhile (a pipelined request) is kept.
async fn client_left(reader: &mut (impl AsyncRead + Unpin), buf: &mut BytesMut) {
    while let Ok(n) = reader.read_buf(buf).await {
        if n == 0 {
            return;
        }
    }
}

/// The next request; `None` when the client closed the connection between two requests.
async fn read_request(
    stream: &mut TcpStream,
    buf: &mut BytesMut,
) -> Result<Option<(RequestHead, Bytes)>, WireError> {
    let head = loop {
        if let Some(head) = take_request_head(buf)? {
            break head;
        }
        if stream.read_buf(buf).await? == 0 {
            return if buf.is_empty() {
                Ok(None)
            } else {
                Err(WireError::Truncated)
            };
        }
    };
    let mut decoder = BodyDecoder::for_request(&head.headers)?;
    if head.headers.get("expect").is_some() && buf.is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut body = BytesMut::new();
    loop {
        decoder.decode(buf, &mut body)?;
        if decoder.is_done() {
            return Ok(Some((head, body.freeze())));
        }
        if stream.read_buf(buf).await? == 0 {
            return Err(WireError::Truncated);
        }
    }
}
