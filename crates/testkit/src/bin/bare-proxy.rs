//! The floor of the gateway benchmark: what a proxy on this HTTP stack costs when it does nothing but its duty.
//!
//! One single-threaded runtime, `SO_REUSEPORT`, no-delay on both sides, pipelined flush, connections to the upstream
//! kept in a plain list, and one borrowing pass over the JSON body for the model's name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use clap::Parser;
use fingerpost_testkit::socket::listen_shared;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

type Fault = Box<dyn Error + Send + Sync>;
type Sender = SendRequest<Full<Bytes>>;

/// Passes requests on to one upstream.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// The upstream.
    #[arg(long)]
    upstream: SocketAddr,
}

/// The fields that a router must see.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
}

/// Idle connections to the upstream.
struct Pool {
    upstream: SocketAddr,
    host: HeaderValue,
    idle: RefCell<Vec<Sender>>,
}

/// The upstream's body; its connection goes back to the pool when it has ended.
struct Returning {
    body: Incoming,
    sender: Option<Sender>,
    pool: Rc<Pool>,
}

/// What the client gets.
enum Answer {
    Passed(Returning),
    Told(Full<Bytes>),
}

fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(args))
}

async fn serve(args: Args) -> Result<(), Fault> {
    let listener = listen_shared(args.listen)?;
    let host = HeaderValue::from_str(&args.upstream.to_string())?;
    let pool = Rc::new(Pool {
        upstream: args.upstream,
        host,
        idle: RefCell::new(Vec::new()),
    });
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        let service = service_fn(move |request| answer(request, Rc::clone(&pool)));
        let connection = http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service);
        // A connection that fails concerns its client alone.
        spawn_local(async move { connection.await.ok() });
    }
}

async fn answer(
    request: Request<Incoming>,
    pool: Rc<Pool>,
) -> Result<Response<Answer>, std::convert::Infallible> {
    Ok(forward(request, pool).await.unwrap_or_else(|fault| {
        let mut response = Response::new(Answer::Told(Full::from(fault.to_string())));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

async fn forward(request: Request<Incoming>, pool: Rc<Pool>) -> Result<Response<Answer>, Fault> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let peek: Peek = serde_json::from_slice(&body)?;
    if peek.model.is_empty() {
        return Err("no model".into());
    }
    head.headers.insert(HOST, pool.host.clone());
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut sender = pool.take().await?;
    let response = sender
        .send_request(Request::from_parts(head, Full::new(body)))
        .await?;
    Ok(response.map(|body| {
        Answer::Passed(Returning {
            body,
            sender: Some(sender),
            pool,
        })
    }))
}

// === impl Pool ===

impl Pool {
    async fn take(&self) -> Result<Sender, Fault> {
        loop {
            // Not in the loop's head: the borrow must end before the await.
            let idle = self.idle.borrow_mut().pop();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        spawn_local(async move { connection.await.ok() });
        Ok(sender)
    }
}

// === impl Body ===

impl Body for Answer {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let passed = match self.get_mut() {
            Self::Passed(passed) => passed,
            Self::Told(text) => return Pin::new(text).poll_frame(cx).map_err(Into::into),
        };
        let polled = Pin::new(&mut passed.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || (polled.is_ready() && passed.body.is_end_stream()) {
            passed.pool.idle.borrow_mut().extend(passed.sender.take());
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(passed) => passed.body.is_end_stream(),
            Self::Told(text) => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(passed) => passed.body.size_hint(),
            Self::Told(text) => text.size_hint(),
        }
    }
}
