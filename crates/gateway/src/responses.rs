//! `GET` and `DELETE /v1/responses/ID`, and `GET /v1/responses/ID/input_items`: answers that were stored.

use std::rc::Rc;

use fingerpost_core::Name;
use fingerpost_protocol::{ErrorBody, ErrorKind, Format, Items};
use fingerpost_store::Store;
use http::{HeaderMap, HeaderValue, Method, Response};
use serde_json::json;

use crate::{
    exchange::{
        headers,
        stored::{Stored, failed, not_found},
    },
    handler,
    reply_body::ReplyBody,
    worker::Worker,
};

/// Answers a request for a stored answer; `rest` is what follows `/v1/responses/`.
pub(crate) async fn stored(
    worker: &Rc<Worker>,
    method: &Method,
    rest: &str,
    client: &HeaderMap,
) -> Response<ReplyBody> {
    let stored = try_stored(worker, method, rest, client).await;
    stored.unwrap_or_else(|error| handler::error(&error, Format::Responses))
}

async fn try_stored(
    worker: &Rc<Worker>,
    method: &Method,
    rest: &str,
    client: &HeaderMap,
) -> Result<Response<ReplyBody>, ErrorBody> {
    let snapshot = worker.snapshot();
    let identity = headers::identity(client, &snapshot.config().server.identity);
    let owner = identity.user.as_deref().map(Name::from);
    let (id, below) = rest
        .split_once('/')
        .map_or((rest, None), |(id, below)| (id, Some(below)));
    if *method == Method::DELETE && below.is_none() {
        let which = id.to_owned();
        let delete = move |store: &dyn Store| store.delete_response(&which, owner.as_deref());
        let deleted = worker.ask_store(delete).await.map_err(|e| failed(&e))?;
        if !deleted {
            return Err(not_found(id));
        }
        return Ok(handler::json(
            &json!({"id": id, "object": "response", "deleted": true}),
        ));
    }
    if *method != Method::GET {
        let message = format!("/v1/responses/ID takes GET and DELETE, not {method}");
        let mut error = ErrorBody::new(ErrorKind::InvalidRequest, &message);
        error.status = 405;
        return Err(error);
    }
    let which = id.to_owned();
    let read = move |store: &dyn Store| store.response(&which, owner.as_deref());
    let record = worker.ask_store(read).await.map_err(|e| failed(&e))?;
    let record = record.ok_or_else(|| not_found(id))?;
    let unreadable =
        |e: serde_json::Error| ErrorBody::new(ErrorKind::Internal, &format!("`{id}` cannot be read: {e}"));
    let stored: Stored<'_> = serde_json::from_slice(&record.body).map_err(unreadable)?;
    match below {
        None => {
            let body = stored.response.get().as_bytes().to_vec();
            Ok(handler::whole(body, HeaderValue::from_static("application/json")))
        }
        Some("input_items") => {
            let items = Items::from_json(stored.input.get().as_bytes()).map_err(unreadable)?;
            // Newest first, as OpenAI lists them.
            let mut data: Vec<_> = items.iter().collect();
            data.reverse();
            Ok(handler::json(
                &json!({"object": "list", "data": data, "has_more": false}),
            ))
        }
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(ErrorBody::new(
                ErrorKind::NotFound,
                &format!("there is no /v1/responses/ID/{other} here"),
            ))
        }
    }
}
