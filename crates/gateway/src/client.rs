//! One call to an OpenAI-compatible server outside of any request: what commands of the binary ask a model with. The same
//! connections, certificates and addresses as the gateway's own calls.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use thiserror::Error;
use tokio::task::LocalSet;

use crate::upstream::{Address, Connector};

/// Largest answer that is read, in bytes.
const MOST_ANSWER: usize = 16 << 20;

/// A call that gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// No base URL.
    #[error("{0}")]
    Address(String),
    /// A key that cannot be sent.
    #[error("the API key holds characters that a header cannot carry; check the variable that holds it")]
    Key,
    /// Nobody there, or nobody who speaks HTTP.
    #[error(
        "no answer from {url}: {why}; check that the server runs and that the URL is its base, like https://host/v1"
    )]
    Unreachable {
        /// The base URL's host and port.
        url: String,
        /// What happened.
        why: String,
    },
    /// It took too long.
    #[error("no answer from {url} within {limit:?}; ask for more time or a faster model")]
    Slow {
        /// The base URL's host and port.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It refused.
    #[error("{url} answered {status}: {said}; check the model's name and the API key")]
    Refused {
        /// The base URL's host and port.
        url: String,
        /// Its status.
        status: StatusCode,
        /// The beginning of what it said.
        said: String,
    },
}

/// Sends a JSON body to `path` (which begins with a slash) under a base URL and gives the body of the answer.
///
/// Blocks the thread; must not be called within an asynchronous runtime. `limit` is the time for the whole call.
///
/// # Errors
/// [`CallError`]; neither it nor anything else shows the key.
pub fn post_json(
    base: &str,
    path: &str,
    key: Option<&str>,
    body: Vec<u8>,
    limit: Duration,
) -> Result<Bytes, CallError> {
    let address = Address::parse(base).map_err(|e| CallError::Address(e.to_string()))?;
    let unreachable = |why| unreachable(&address, why);
    let uri = address.path(path).map_err(|e| unreachable(e.to_string()))?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(HOST, &address.host_header)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key {
        let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| CallError::Key)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let request = request
        .body(Full::new(fingerpost_protocol::Body::from(Bytes::from(body))))
        .map_err(|e| unreachable(e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| unreachable(e.to_string()))?;
    LocalSet::new().block_on(&runtime, call(&address, request, MOST_ANSWER, limit))
}

/// Gives what stands at `path` on a server, whatever the prefix of its base, up to so many bytes.
///
/// # Errors
/// As [`post_json`]'s.
pub(crate) async fn get(
    address: &Address,
    path: &str,
    most: usize,
    limit: Duration,
) -> Result<Bytes, CallError> {
    let request = Request::builder().method(Method::GET).uri(path);
    let request = request
        .header(HOST, &address.host_header)
        .body(Full::new(fingerpost_protocol::Body::default()))
        .map_err(|e| unreachable(address, e.to_string()))?;
    call(address, request, most, limit).await
}

/// Sends a JSON body to `path` on a server, whatever the prefix of its base, with these headers.
///
/// # Errors
/// As [`post_json`]'s.
pub(crate) async fn post(
    address: &Address,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
    limit: Duration,
) -> Result<Bytes, CallError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, &address.host_header)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(fingerpost_protocol::Body::from(body)))
        .map_err(|e| unreachable(address, e.to_string()))?;
    call(address, request, MOST_ANSWER, limit).await
}

/// Sends a request on a connection of its own and gives the body of the answer, up to `most` bytes, within `limit`. Must run in a
/// [`LocalSet`].
async fn call(
    address: &Address,
    request: Request<Full<fingerpost_protocol::Body>>,
    most: usize,
    limit: Duration,
) -> Result<Bytes, CallError> {
    let call = async {
        let mut sender = Connector::new()
            .open(address)
            .await
            .map_err(|e| unreachable(address, e.to_string()))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|e| unreachable(address, e.to_string()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most)
            .collect()
            .await
            .map_err(|e| unreachable(address, e.to_string()))?
            .to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        Err(CallError::Refused {
            url: place(address),
            status: head.status,
            said: String::from_utf8_lossy(&body).trim().chars().take(200).collect(),
        })
    };
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(CallError::Slow {
            url: place(address),
            limit,
        })
    })
}

fn place(address: &Address) -> String {
    format!("{}:{}", address.host, address.port)
}

fn unreachable(address: &Address, why: String) -> CallError {
    CallError::Unreachable {
        url: place(address),
        why,
    }
}
