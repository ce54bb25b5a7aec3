//! `POST /v1/embeddings`, answered by the encoders in this process.

use std::rc::Rc;

use fingerpost_protocol::{EmbeddingsRequest, ErrorBody, ErrorKind, Format, write_embeddings};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::{exchange, handler, reply_body::ReplyBody, worker::Worker};

/// Answers an embeddings request.
pub(crate) async fn answer(worker: &Rc<Worker>, request: Request<Incoming>) -> Response<ReplyBody> {
    match try_answer(worker, request).await {
        Ok(response) => response,
        Err(error) => handler::error(&error, Format::Chat),
    }
}

async fn try_answer(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, ErrorBody> {
    let snapshot = worker.snapshot();
    let _under_way = worker.begin();
    let body = exchange::read_body(request.into_body(), snapshot.config().server.max_body).await?;
    let request = EmbeddingsRequest::parse(&body).map_err(|bad| ErrorBody::from(&bad))?;
    let encoder = worker.shared.encoder_named(&request.model).ok_or_else(|| {
        let known: Vec<&str> = worker.shared.encoder_names().collect();
        let known = known.join(", ");
        let name: String = request.model.chars().take(100).collect();
        let message = format!("the embedding model `{name}` is not here; there are: {known}");
        ErrorBody::new(ErrorKind::ModelNotFound, &message).param("model")
    })?;
    if let Some(dims) = request.dimensions
        && dims as usize != encoder.dims()
    {
        let message = format!(
            "`dimensions`: found {dims}, `{}` has {}",
            request.model,
            encoder.dims()
        );
        return Err(ErrorBody::new(ErrorKind::InvalidRequest, &message).param("dimensions"));
    }
    let EmbeddingsRequest {
        model,
        input,
        encoding,
        ..
    } = request;
    let encode = move || {
        let tokens: u32 = input
            .iter()
            .map(|t| u32::try_from(t.len().div_ceil(4)).unwrap_or(u32::MAX))
            .fold(0, u32::saturating_add);
        let vectors: Vec<Vec<f32>> = input.iter().map(|t| encoder.encode(t).to_vec()).collect();
        write_embeddings(&model, &vectors, tokens, encoding)
    };
    // Many texts, or a slow encoder, must not hold up this worker's other requests.
    let failed =
        |e: tokio::task::JoinError| ErrorBody::new(ErrorKind::Internal, &format!("the encoder failed: {e}"));
    let body = tokio::task::spawn_blocking(encode).await.map_err(failed)?;
    Ok(handler::whole(body, HeaderValue::from_static("application/json")))
}
