//! One call to one endpoint of another server: connect, send, wait, and judge what comes, each stage within its time.
//!
//! A whole answer is read to its end and looked at before the client sees a byte of it. A stream is held back until its first
//! token has come: up to then another endpoint can still take over without the client noticing.

use std::{
    collections::VecDeque,
    error::Error as _,
    future::Future,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use fingerpost_core::Failure;
use fingerpost_protocol::{ErrorBody, ErrorKind};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use super::{
    ask::Ask,
    streaming::{Source, Upstream},
    wire::{Pipe, Put, Whole},
};
use crate::{
    snapshot::EndpointSlot,
    upstream::{Lease, RequestBody},
};

/// What an endpoint gave.
pub(crate) enum Given {
    /// A whole answer, in the client's format.
    Whole(Box<WholeAnswer>),
    /// A stream whose first token has come.
    Stream(Box<StreamAnswer>),
}

/// A whole answer in the client's format.
pub(crate) struct WholeAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) answer: Whole,
}

/// A stream whose first token has come.
pub(crate) struct StreamAnswer {
    pub(crate) headers: HeaderMap,
    pub(crate) held: VecDeque<Bytes>,
    pub(crate) source: Source,
    pub(crate) pipe: Pipe,
}

/// How a call failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// How long the other side asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What the other side said, for the client, where the fault is the request's.
    pub(crate) told: Option<ErrorBody>,
}

/// Largest whole answer.
const MOST_ANSWER: usize = 64 << 20;
/// Most that a stream may send before its first token.
const MOST_HELD: usize = 1 << 20;
/// Longest wait that an upstream's `retry-after` can ask for and still be told to the client.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

// === impl Failed ===

impl Failed {
    pub(crate) fn of(failure: Failure) -> Self {
        Self {
            failure,
            retry_after: None,
            told: None,
        }
    }

    fn timeout(stage: &'static str) -> Self {
        Self::of(Failure::Timeout(stage.into()))
    }
}

/// Calls `endpoint` and waits until its answer, or the first token of it, is there.
pub(crate) async fn attempt(ask: &Ask<'_>, endpoint: &Arc<EndpointSlot>) -> Result<Given, Failed> {
    let Put { path, body, mut pipe } = ask.put(endpoint)?;
    let began = Instant::now();
    let first_byte = (began + ask.timeouts.first_byte).min(ask.deadline);
    let (response, lease) = send(ask, endpoint, path, body, first_byte).await?;
    let (head, mut incoming) = response.into_parts();
    if !head.status.is_success() {
        return Err(Box::pin(refused(head.status, &head.headers, incoming, first_byte)).await);
    }
    if !ask.stream() {
        let body = collect(&mut incoming, ask, first_byte).await?;
        lease.give_back();
        let answer = pipe
            .whole(body)
            .map_err(|e| Failed::of(Failure::Garbage(e.to_string().into())))?;
        return Ok(Given::Whole(Box::new(WholeAnswer {
            headers: head.headers,
            answer,
        })));
    }
    if !is_event_stream(&head.headers) {
        let found = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("nothing");
        let message = format!("a stream was asked for, the content type is {found}");
        return Err(Failed::of(Failure::Garbage(message.into())));
    }
    pipe.begin_stream(ask.envelope.include_usage);
    let held = hold(&mut incoming, &mut pipe, first_byte).await?;
    let source = Source::Upstream(Box::new(Upstream {
        incoming,
        lease: Some(lease),
    }));
    Ok(Given::Stream(Box::new(StreamAnswer {
        headers: head.headers,
        held,
        source,
        pipe,
    })))
}

/// Sends on a kept connection or a fresh one, and waits for the head of the answer.
async fn send(
    ask: &Ask<'_>,
    endpoint: &EndpointSlot,
    path: Uri,
    body: RequestBody,
    first_byte: Instant,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let mut request = Some(dressed(ask, endpoint, path, body));
    let key = endpoint.provider.pool_key;
    let mut keep_off = false;
    loop {
        let kept = ask.worker.pool.reuse(key).await;
        let mut lease = match kept.filter(|_| !keep_off) {
            Some(lease) => lease,
            // Rare and large: kept out of the future that every request moves.
            None => Box::pin(connect(ask, endpoint, key, first_byte)).await?,
        };
        let Some(sent) = request.take() else {
            return Err(Failed::of(Failure::Connect(
                "the request was lost with its connection".into(),
            )));
        };
        let answer = within(first_byte, "first byte", lease.sender.try_send_request(sent)).await?;
        match answer {
            Ok(response) => return Ok((response, lease)),
            Err(mut error) => {
                // A kept connection that was closed before it took the request says nothing of the server.
                request = error.take_message().filter(|_| lease.reused);
                let error = error.into_error();
                if request.is_none() {
                    // Nor does one that took it as the server closed, without a byte of answer; once, and then a fresh one.
                    if keep_off || !lease.reused || !vanished(&error) {
                        return Err(broken(&error));
                    }
                    keep_off = true;
                    let Put { path, body, .. } = ask.put(endpoint)?;
                    request = Some(dressed(ask, endpoint, path, body));
                }
            }
        }
    }
}

async fn connect(
    ask: &Ask<'_>,
    endpoint: &EndpointSlot,
    key: u64,
    first_byte: Instant,
) -> Result<Lease, Failed> {
    let by = (Instant::now() + ask.timeouts.connect).min(first_byte);
    let Some(address) = &endpoint.provider.address else {
        return Err(Failed::of(Failure::Connect("the provider has no address".into())));
    };
    let opened = within(by, "connect", ask.worker.pool.open(key, address)).await?;
    opened.map_err(|e| Failed::of(Failure::Connect(e.to_string().into())))
}

fn dressed(ask: &Ask<'_>, endpoint: &EndpointSlot, path: Uri, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path;
    let mut headers = ask.forwarded_headers();
    let provider = &endpoint.provider;
    if let Some(address) = &provider.address {
        headers.insert(HOST, address.host_header.clone());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &provider.headers {
        headers.insert(name, value.clone());
    }
    *request.headers_mut() = headers;
    request
}

/// Waits for `future` until `by`; past it, the failure names the stage.
async fn within<F: Future>(by: Instant, stage: &'static str, future: F) -> Result<F::Output, Failed> {
    timeout_at(by.into(), future)
        .await
        .map_err(|_| Failed::timeout(stage))
}

/// The answer's body to its end. The first piece must come by `first_byte`, further ones within the idle time each.
async fn collect(incoming: &mut Incoming, ask: &Ask<'_>, first_byte: Instant) -> Result<Bytes, Failed> {
    let mut by = first_byte;
    let mut stage = "first byte";
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = within(by, stage, incoming.frame()).await? {
        let Ok(data) = frame.map_err(|e| broken(&e))?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > MOST_ANSWER {
            return Err(Failed::of(Failure::Garbage(
                format!("answer of more than {MOST_ANSWER} bytes").into(),
            )));
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
        by = (Instant::now() + ask.timeouts.idle).min(ask.deadline);
        stage = "idle";
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads a stream up to its first token.
async fn hold(
    incoming: &mut Incoming,
    pipe: &mut Pipe,
    first_byte: Instant,
) -> Result<VecDeque<Bytes>, Failed> {
    let mut held = VecDeque::new();
    let mut size = 0;
    while !pipe.has_token() {
        let frame = within(first_byte, "first token", incoming.frame()).await?;
        let Some(frame) = frame else {
            // An answer without a token is an answer, if it is whole.
            return match pipe.finish(&mut held) {
                Ok(()) => Ok(held),
                Err(reason) => Err(Failed::of(Failure::Broken(
                    format!("before its first token: {reason}").into(),
                ))),
            };
        };
        let Ok(data) = frame.map_err(|e| broken(&e))?.into_data() else {
            continue;
        };
        size += data.len();
        if size > MOST_HELD {
            return Err(Failed::of(Failure::Garbage(
                format!("no token within {MOST_HELD} bytes of stream").into(),
            )));
        }
        pipe.feed(&data, &mut held)
            .map_err(|reason| Failed::of(Failure::Garbage(reason.into())))?;
        if let Some(error) = pipe.error() {
            return Err(Failed::of(Failure::Broken(error.to_owned().into())));
        }
    }
    Ok(held)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    value
        .trim_start()
        .get(..17)
        .is_some_and(|t| t.eq_ignore_ascii_case("text/event-stream"))
}

/// Whether the connection was gone before an answer came.
fn vanished(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let io = error.source().and_then(|e| e.downcast_ref::<std::io::Error>());
    let gone = |e: &std::io::Error| matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
    error.is_incomplete_message() || io.is_some_and(gone)
}

fn broken(error: &hyper::Error) -> Failed {
    let failure = if error.is_parse() {
        Failure::Garbage(format!("no HTTP: {error}").into())
    } else {
        Failure::Broken(error.to_string().into())
    };
    Failed::of(failure)
}

/// What an error status means: for the request (the client is told), or for the endpoint.
async fn refused(status: StatusCode, headers: &HeaderMap, mut incoming: Incoming, by: Instant) -> Failed {
    let retry_after = retry_after(headers);
    let code = status.as_u16();
    let failure = match code {
        429 => Failure::RateLimited,
        400..=499 if code != 408 => Failure::Refused(code),
        _ => Failure::Status(code),
    };
    let mut body = BytesMut::new();
    // What an error says is worth a short wait, no more.
    let by = by.min(Instant::now() + Duration::from_secs(5));
    while let Ok(Some(Ok(frame))) = timeout_at(by.into(), incoming.frame()).await {
        if let Ok(data) = frame.into_data() {
            body.extend_from_slice(&data[..data.len().min(MOST_HELD - body.len())]);
        }
        if body.len() >= MOST_HELD {
            break;
        }
    }
    let mut told = ErrorBody::read(code, &body);
    if matches!(code, 401..=404) {
        // The client's request is not at fault: the key, the account or the model's name in our configuration is.
        told = ErrorBody::new(
            ErrorKind::Upstream,
            &format!("the upstream refused Fingerpost ({code}): {}", told.message),
        );
    } else if !status.is_client_error() {
        told = ErrorBody::new(ErrorKind::Upstream, &told.message);
    }
    Failed {
        failure,
        retry_after,
        told: Some(told),
    }
}

/// `retry-after` in seconds or as a date; `retry-after-ms` as OpenAI sends it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms")
        .and_then(|t| t.parse::<f64>().ok())
        .filter(|ms| *ms >= 0.0)
    {
        return Duration::try_from_secs_f64(ms / 1e3)
            .ok()
            .map(|d| d.min(LONGEST_RETRY_AFTER));
    }
    let value = text(RETRY_AFTER.as_str())?;
    fingerpost_fleet::parse_retry_after(value, SystemTime::now()).map(|d| d.min(LONGEST_RETRY_AFTER))
}
