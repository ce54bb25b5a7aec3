//! What operators and clients ask of the server itself: is it alive, is it ready, what does it count, which models are there.

use std::rc::Rc;

use fingerpost_protocol::{ErrorBody, ErrorKind, Format};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::{handler, reply_body::ReplyBody, shared::Shared, snapshot::Snapshot, worker::Worker};

/// One entry of the list of models, as OpenAI's and Anthropic's clients both read it.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    object: &'static str,
    r#type: &'static str,
    created: u64,
    created_at: &'static str,
    display_name: &'a str,
    owned_by: &'static str,
}

/// Alive: the process answers and its recorder lives.
pub(crate) fn health(worker: &Rc<Worker>) -> Response<ReplyBody> {
    let recording = worker.shared.recorder().is_alive();
    let encoder = worker.shared.encoder();
    let store = worker.shared.store().stats();
    // Serving goes on without the store, so its failure is told, but is none of this process.
    let mut response = handler::json(&json!({
        "status": if recording { "ok" } else { "recorder stopped" },
        "version": env!("CARGO_PKG_VERSION"),
        "encoder": encoder.name(),
        "store": {
            "status": if store.failure.is_none() { "ok" } else { "failing" },
            "failure": store.failure,
            "waiting": store.waiting,
            "dropped": store.dropped,
        },
    }));
    if !recording {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Ready for requests: not draining.
pub(crate) fn ready(worker: &Rc<Worker>) -> Response<ReplyBody> {
    if worker.shared.is_draining() {
        let mut response = handler::json(&json!({"status": "draining"}));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    let snapshot = worker.snapshot();
    handler::json(
        &json!({"status": "ready", "configuration": snapshot.version(), "models": snapshot.catalogue().len()}),
    )
}

/// Prometheus' text.
pub(crate) fn metrics(worker: &Rc<Worker>) -> Response<ReplyBody> {
    worker.flush();
    let snapshot = worker.snapshot();
    let shared = &worker.shared;
    let text = shared
        .outlets()
        .metrics(&snapshot, shared.recorder().dropped(), &shared.store().stats());
    handler::whole(
        text.into_bytes(),
        HeaderValue::from_static(crate::telemetry::METRICS_TYPE),
    )
}

/// All names that a request's `model` can carry.
pub(crate) fn models(worker: &Rc<Worker>) -> Response<ReplyBody> {
    let snapshot = worker.snapshot();
    let data: Vec<Listed<'_>> = names(&snapshot, &worker.shared).map(listed).collect();
    let (first, last) = (data.first().map(|m| m.id), data.last().map(|m| m.id));
    handler::json(
        &json!({"object": "list", "data": data, "has_more": false, "first_id": first, "last_id": last}),
    )
}

/// One of them.
pub(crate) fn model(worker: &Rc<Worker>, name: &str) -> Response<ReplyBody> {
    let snapshot = worker.snapshot();
    let found = names(&snapshot, &worker.shared).find(|n| *n == name).map(listed);
    found.map_or_else(
        || handler::error(&unknown(&snapshot, name), Format::Chat),
        |m| handler::json(&m),
    )
}

/// The error for a model that is not configured.
pub(crate) fn unknown(snapshot: &Snapshot, name: &str) -> ErrorBody {
    let name: String = name.chars().take(100).collect();
    let aliases = snapshot.config().aliases.0.iter().map(String::as_str);
    let models = snapshot.catalogue().iter().map(|c| c.profile.name.as_str());
    let known: Vec<&str> = aliases.chain(models).take(20).collect();
    let message = format!(
        "the model `{name}` is not configured; there are: {}",
        known.join(", ")
    );
    ErrorBody::new(ErrorKind::ModelNotFound, &message).param("model")
}

fn names<'a>(snapshot: &'a Snapshot, shared: &'a Shared) -> impl Iterator<Item = &'a str> {
    let aliases = snapshot.config().aliases.0.iter().map(String::as_str);
    let models = snapshot.catalogue().iter().map(|c| c.profile.name.as_str());
    aliases.chain(models).chain(shared.encoder_names())
}

fn listed(id: &str) -> Listed<'_> {
    Listed {
        id,
        object: "model",
        r#type: "model",
        created: 0,
        created_at: "1970-01-01T00:00:00Z",
        display_name: id,
        owned_by: "fingerpost",
    }
}
