//! Which request goes where.

use std::{net::SocketAddr, rc::Rc};

use fingerpost_protocol::{ErrorBody, ErrorKind, Format};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use hyper::body::Incoming;
use serde::Serialize;

use crate::{admin, embeddings, exchange, feedback, reply_body::ReplyBody, responses, worker::Worker};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one request. Whatever goes wrong becomes an error object in the client's own format.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    _peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let method = request.method().clone();
    let path = request.uri().path();
    match (&method, path) {
        (&Method::POST, "/v1/chat/completions") => exchange::answer(&worker, Format::Chat, request).await,
        (&Method::POST, "/v1/messages") => exchange::answer(&worker, Format::Messages, request).await,
        (&Method::POST, "/v1/responses") => exchange::answer(&worker, Format::Responses, request).await,
        (&Method::POST, "/v1/embeddings") => embeddings::answer(&worker, request).await,
        (&Method::POST, "/v1/feedback") => feedback::take(&worker, request).await,
        (&Method::GET | &Method::HEAD, "/v1/models") => admin::models(&worker),
        (&Method::GET | &Method::HEAD, "/healthz") => admin::health(&worker),
        (&Method::GET | &Method::HEAD, "/readyz") => admin::ready(&worker),
        (&Method::GET | &Method::HEAD, "/metrics") => admin::metrics(&worker),
        _ => below(&worker, &method, path, request.headers()).await,
    }
}

/// Paths that carry a name.
async fn below(
    worker: &Rc<Worker>,
    method: &Method,
    path: &str,
    headers: &http::HeaderMap,
) -> Response<ReplyBody> {
    if let Some(name) = path.strip_prefix("/v1/models/").filter(|_| method == Method::GET) {
        return admin::model(worker, name);
    }
    if let Some(id) = path.strip_prefix("/v1/traces/").filter(|_| method == Method::GET) {
        return feedback::trace(worker, id).await;
    }
    if let Some(rest) = path.strip_prefix("/v1/responses/") {
        return responses::stored(worker, method, rest, headers).await;
    }
    let allowed = match path {
        "/v1/chat/completions" | "/v1/messages" | "/v1/responses" | "/v1/embeddings" | "/v1/feedback" => {
            "POST"
        }
        "/v1/models" | "/healthz" | "/readyz" | "/metrics" => "GET, HEAD",
        _ => {
            let message = format!("there is no {method} {path} here");
            return error(&ErrorBody::new(ErrorKind::NotFound, &message), format_of(path));
        }
    };
    let mut body = ErrorBody::new(
        ErrorKind::InvalidRequest,
        &format!("{path} takes {allowed}, not {method}"),
    );
    body.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    let mut response = error(&body, format_of(path));
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The format in which errors about a path are told.
fn format_of(path: &str) -> Format {
    if path.starts_with("/v1/messages") {
        Format::Messages
    } else {
        Format::Chat
    }
}

/// An error object in the client's format.
pub(crate) fn error(error: &ErrorBody, format: Format) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::from(error.to_body(format)));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if matches!(error.kind, ErrorKind::Overloaded) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A JSON object.
pub(crate) fn json(value: &impl Serialize) -> Response<ReplyBody> {
    // What is answered here is made of strings, numbers and maps with text keys, which always serialise.
    whole(serde_json::to_vec(value).unwrap_or_default(), JSON)
}

/// A whole body of this type.
pub(crate) fn whole(body: impl Into<ReplyBody>, content_type: HeaderValue) -> Response<ReplyBody> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What moves when a request begins: it is copied into the connection's state, so it must stay small.
    fn size_of_future<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn sizes() {
        eprintln!("future of a request: {} bytes", size_of_future(handle));
        assert!(size_of_future(handle) < 16 * 1024);
    }
}
