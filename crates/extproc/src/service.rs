//! The gRPC services: external processing, and health for whoever asks whether it is up.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Ready,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use fingerpost_gateway::Placer;
use futures_util::Stream;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{
    Status, Streaming,
    body::Body,
    server::{Grpc, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use crate::{
    Options,
    exchange::Exchange,
    messages::{HealthCheckRequest, HealthCheckResponse, ProcessingRequest, ProcessingResponse},
};

/// What says that a service serves.
const SERVING: i32 = 1;

/// Answers gRPC calls.
#[derive(Clone)]
pub(crate) struct Services {
    placer: Arc<Placer>,
    options: Options,
}

/// The answers of one stream: what is heard is answered as it comes, without a task or a channel between.
pub(crate) struct Answers {
    heard: Streaming<ProcessingRequest>,
    exchange: Exchange,
    waiting: VecDeque<ProcessingResponse>,
}

// === impl Services ===

impl Services {
    pub(crate) fn new(placer: Arc<Placer>, options: Options) -> Self {
        Self { placer, options }
    }

    /// Answers one call.
    pub(crate) async fn call(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let request = request.map(Body::new);
        Ok(match request.uri().path() {
            "/envoy.service.ext_proc.v3.ExternalProcessor/Process" => {
                Grpc::new(ProstCodec::default()).streaming(self, request).await
            }
            "/grpc.health.v1.Health/Check" => Grpc::new(ProstCodec::default()).unary(self, request).await,
            other => Status::unimplemented(format!("no method {other}")).into_http(),
        })
    }
}

impl StreamingService<ProcessingRequest> for Services {
    type Response = ProcessingResponse;
    type ResponseStream = Answers;
    type Future = Ready<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<ProcessingRequest>>) -> Self::Future {
        let answers = Answers {
            exchange: Exchange::new(Arc::clone(&self.placer), self.options),
            heard: request.into_inner(),
            waiting: VecDeque::new(),
        };
        std::future::ready(Ok(tonic::Response::new(answers)))
    }
}

impl UnaryService<HealthCheckRequest> for Services {
    type Response = HealthCheckResponse;
    type Future = Ready<Result<tonic::Response<HealthCheckResponse>, Status>>;

    fn call(&mut self, _: tonic::Request<HealthCheckRequest>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(HealthCheckResponse { status: SERVING })))
    }
}

impl Stream for Answers {
    type Item = Result<ProcessingResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        let own = self.get_mut();
        loop {
            if let Some(answer) = own.waiting.pop_front() {
                return Poll::Ready(Some(Ok(answer)));
            }
            match ready!(Pin::new(&mut own.heard).poll_next(cx)) {
                Some(Ok(message)) => own.waiting.extend(own.exchange.hear(message)),
                // A stream that breaks off is one of which no more is heard.
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}
