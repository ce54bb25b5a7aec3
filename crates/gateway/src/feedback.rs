//! `POST /v1/feedback`: what somebody says of an answer later, handed to every router on its trace, once; and
//! `GET /v1/traces/ID`, which explains an answer.

use std::rc::Rc;

use fingerpost_core::{Delivered, Outcome, Stage, TraceId, Verdict};
use fingerpost_protocol::{ErrorBody, ErrorKind, Format};
use http::{Request, Response};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use crate::{exchange, handler, reply_body::ReplyBody, worker::Worker};

/// The body of a feedback request.
#[derive(Deserialize)]
struct Feedback {
    /// The trace's id, as the header `x-fingerpost-trace` of the answer gave it.
    trace: TraceId,
    #[serde(flatten)]
    said: Said,
}

/// What can be said.
#[derive(Deserialize)]
struct Said {
    /// How good the answer was, from 0 to 1.
    quality: Option<fingerpost_core::Quality>,
    /// Whether the model was the right one: `good_fit`, `underpowered`, `overprovisioned` or `failed`. Says the quality too where that
    /// is not given.
    verdict: Option<Verdict>,
    /// What it cost in US dollars, where the caller knows better.
    cost: Option<fingerpost_core::Usd>,
}

const MOST: u64 = 64 * 1024;

/// Takes feedback. Twice the same changes nothing and says so.
pub(crate) async fn take(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<ReplyBody> {
    match try_take(worker, request).await {
        Ok(response) => response,
        Err(error) => handler::error(&error, Format::Chat),
    }
}

async fn try_take(worker: &Rc<Worker>, request: Request<Incoming>) -> Result<Response<ReplyBody>, ErrorBody> {
    let body = exchange::read_body(request.into_body(), MOST).await?;
    let feedback: Feedback = serde_json::from_slice(&body).map_err(|e| {
        let message = format!("{e}; expected {{\"trace\": ID, \"quality\": 0 to 1, \"verdict\": VERDICT}}");
        ErrorBody::new(ErrorKind::InvalidRequest, &message)
    })?;
    let Said {
        quality,
        verdict,
        cost,
    } = feedback.said;
    if quality.is_none() && verdict.is_none() && cost.is_none() {
        let message = "nothing is said: give `quality` (0 to 1), `verdict` (`good_fit`, `underpowered`, `overprovisioned`, `failed`), \
                       `cost` (US dollars), or several of them";
        return Err(ErrorBody::new(ErrorKind::InvalidRequest, message).param("quality"));
    }
    // The trace may still be in this worker's batch, or in the recorder's queue.
    worker.flush();
    let shared = std::sync::Arc::clone(&worker.shared);
    let learned = tokio::task::spawn_blocking(move || {
        shared.flush();
        let Some(record) = shared.store().trace(feedback.trace)? else {
            return Ok(None);
        };
        let run = record.outcome.unwrap_or_default();
        let outcome = Outcome {
            quality: quality.or_else(|| verdict?.quality()),
            verdict,
            cost: cost.or(run.cost),
            ..run
        };
        let snapshot = shared.snapshot();
        let store = shared.store();
        let delivered = store.teach(&record.trace, Stage::Feedback, &outcome, snapshot.learners())?;
        Ok::<_, fingerpost_store::StoreError>(Some(delivered))
    });
    let learned = learned
        .await
        .map_err(|e| ErrorBody::new(ErrorKind::Internal, &format!("feedback was not taken: {e}")))?;
    match learned.map_err(|e| exchange::stored::failed(&e))? {
        Some(Delivered::To(routers)) => Ok(handler::json(&json!({"status": "learned", "routers": routers}))),
        Some(Delivered::Before) => Ok(handler::json(&json!({"status": "known", "routers": 0}))),
        None => Err(not_found(&feedback.trace.to_string())),
    }
}

/// Explains an answer.
pub(crate) async fn trace(worker: &Rc<Worker>, id: &str) -> Response<ReplyBody> {
    let Ok(id) = id.parse::<TraceId>() else {
        return handler::error(&not_found(id), Format::Chat);
    };
    worker.flush();
    match worker.ask_store(move |store| store.trace(id)).await {
        Ok(Some(record)) => handler::json(&record),
        Ok(None) => handler::error(&not_found(&id.to_string()), Format::Chat),
        Err(error) => handler::error(&exchange::stored::failed(&error), Format::Chat),
    }
}

fn not_found(id: &str) -> ErrorBody {
    let id: String = id.chars().take(64).collect();
    let message = format!("no trace `{id}`: unknown, past its retention, or not kept (learning.keep_traces)");
    ErrorBody::new(ErrorKind::NotFound, &message)
}
