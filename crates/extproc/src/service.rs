//! The gRPC services: external processing, and health for whoever asks whether it is up.

use std::{convert::Infallible, future::Ready, pin::Pin, sync::Arc, task::Poll};

use fingerpost_gateway::Placer;
use futures_util::Stream;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;
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

/// Answers that may wait for Envoy to read them.
const WAITING: usize = 16;
/// What says that a service serves.
const SERVING: i32 = 1;

/// Answers gRPC calls.
#[derive(Clone)]
pub(crate) struct Services {
    placer: Arc<Placer>,
    options: Options,
}

/// The answers of one stream.
struct Answers(mpsc::Receiver<Result<ProcessingResponse, Status>>);

type Called<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

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
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;
    type Future = Called<Self::ResponseStream>;

    fn call(&mut self, request: tonic::Request<Streaming<ProcessingRequest>>) -> Self::Future {
        let services = self.clone();
        Box::pin(async move {
            let (answers, heard) = mpsc::channel(WAITING);
            tokio::spawn(services.process(request.into_inner(), answers));
            Ok(tonic::Response::new(
                Box::pin(Answers(heard)) as Self::ResponseStream
            ))
        })
    }
}

impl Services {
    /// Hears one HTTP request out.
    async fn process(
        self,
        mut heard: Streaming<ProcessingRequest>,
        answers: mpsc::Sender<Result<ProcessingResponse, Status>>,
    ) {
        let mut exchange = Exchange::new(&self.placer, self.options);
        // A stream that breaks off is one of which no more is heard.
        while let Ok(Some(message)) = heard.message().await {
            for answer in exchange.hear(message) {
                if answers.send(Ok(answer)).await.is_err() {
                    return exchange.over();
                }
            }
        }
        exchange.over();
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

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
