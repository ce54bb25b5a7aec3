//! Sending an answer: head, body or events, with the delays and faults that the behaviour asks for.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use super::answer::{Plan, Reply};
use crate::formats::Events;
use crate::script::{Behavior, Fault, Garbage, How, Point};

/// How the sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Answered; the connection may serve the next request.
    Kept,
    /// Answered or broken off; the connection is to be closed.
    Closed,
    /// Broken off; the connection is to be reset.
    Reset,
    /// The client is gone.
    Cancelled,
}

/// Sends what was planned. A stall never returns.
pub(super) async fn play(out: &mut (impl AsyncWrite + Unpin), plan: &Plan) -> End {
    // Writing fails only because the client closed or reset the connection.
    send(out, plan).await.unwrap_or(End::Cancelled)
}

async fn send(out: &mut (impl AsyncWrite + Unpin), plan: &Plan) -> io::Result<End> {
    let behavior = &plan.behavior;
    pause(behavior.delay_ms).await;
    if behavior.garbage == Some(Garbage::NotHttp) {
        out.write_all(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")
            .await?;
        return Ok(End::Closed);
    }
    if let Some(how) = fault_at(behavior, Point::Headers) {
        return Ok(break_off(how).await);
    }
    let end = match &plan.reply {
        Reply::Whole { status, body } => whole(out, behavior, *status, body).await?,
        Reply::Stream { events, error } => stream(out, behavior, events, error).await?,
    };
    Ok(if behavior.close_after && end == End::Kept {
        End::Closed
    } else {
        end
    })
}

async fn whole(
    out: &mut (impl AsyncWrite + Unpin),
    behavior: &Behavior,
    status: u16,
    body: &[u8],
) -> io::Result<End> {
    let mut message = head(behavior, status, "application/json");
    message.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut message = message.into_bytes();
    // An error event makes no sense in a whole body: it ends early instead.
    let broken = match behavior.fault {
        Some(Fault {
            at: Point::Headers, ..
        })
        | None => None,
        Some(Fault {
            at: Point::FirstEvent,
            how,
        }) => Some((0, how)),
        Some(Fault {
            at: Point::Events(_),
            how,
        }) => Some((body.len() / 2, how)),
    };
    if let Some((sent, how)) = broken {
        message.extend_from_slice(&body[..sent]);
        out.write_all(&message).await?;
        return Ok(break_off(how).await);
    }
    let paced = behavior.slow_bytes.filter(|size| *size > 0);
    if paced.is_none() && behavior.first_event_ms == 0 {
        message.extend_from_slice(body);
        out.write_all(&message).await?;
        return Ok(End::Kept);
    }
    out.write_all(&message).await?;
    pause(behavior.first_event_ms).await;
    for piece in body.chunks(paced.unwrap_or(body.len().max(1))) {
        out.write_all(piece).await?;
        pause(behavior.chunk_ms).await;
    }
    Ok(End::Kept)
}

async fn stream(
    out: &mut (impl AsyncWrite + Unpin),
    behavior: &Behavior,
    events: &Events,
    error: &str,
) -> io::Result<End> {
    let mut message = head(behavior, 200, "text/event-stream; charset=utf-8");
    message.push_str("cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    out.write_all(message.as_bytes()).await?;
    pause(behavior.first_event_ms).await;
    let all = events.said.iter().chain(&events.closing);
    for (sent, event) in all.enumerate() {
        let at = if sent == 0 {
            Point::FirstEvent
        } else {
            Point::Events(sent)
        };
        if let Some(how) = fault_at(behavior, at) {
            return broken_stream(out, how, error).await;
        }
        // A fault after more events than there are still keeps the stream from looking complete.
        let overdue = sent >= events.said.len()
            && matches!(
                behavior.fault,
                Some(Fault {
                    at: Point::Events(_),
                    ..
                })
            );
        if overdue && let Some(Fault { how, .. }) = behavior.fault {
            return broken_stream(out, how, error).await;
        }
        if sent > 0 {
            pause(behavior.chunk_ms).await;
        }
        chunk(out, event).await?;
    }
    out.write_all(b"0\r\n\r\n").await?;
    Ok(End::Kept)
}

async fn broken_stream(out: &mut (impl AsyncWrite + Unpin), how: How, error: &str) -> io::Result<End> {
    match how {
        How::CleanEof => {}
        How::ErrorEvent => chunk(out, error).await?,
        _ => return Ok(break_off(how).await),
    }
    out.write_all(b"0\r\n\r\n").await?;
    Ok(End::Kept)
}

async fn chunk(out: &mut (impl AsyncWrite + Unpin), event: &str) -> io::Result<()> {
    out.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
        .await
}

async fn break_off(how: How) -> End {
    match how {
        How::Stall => std::future::pending().await,
        How::Reset => End::Reset,
        How::Eof | How::CleanEof | How::ErrorEvent => End::Closed,
    }
}

fn fault_at(behavior: &Behavior, at: Point) -> Option<How> {
    behavior
        .fault
        .filter(|fault| fault.at == at || (at == Point::FirstEvent && fault.at == Point::Events(0)))
        .map(|fault| fault.how)
}

fn head(behavior: &Behavior, status: u16, content_type: &str) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Scripted",
    };
    let content_type = if behavior.garbage == Some(Garbage::WrongContentType) {
        "text/html"
    } else {
        content_type
    };
    let mut head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\nx-request-id: req_scripted\r\n"
    );
    for (name, value) in &behavior.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}
