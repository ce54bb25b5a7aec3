//! One HTTP request as Envoy tells of it, message by message, and what is answered. Knows nothing of sockets.
//!
//! Bodies come whole (`BUFFERED`) or in parts that are sent back in parts (`FULL_DUPLEX_STREAMED`, which the Inference Extension
//! uses); in both the request is placed once its body is whole, before any of it has gone on.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fingerpost_gateway::{Parcel, Placed, Placer, Unplaced};
use fingerpost_protocol::Format;

use crate::{
    Options, Role,
    messages::{
        Answer, BodyMutation, BodySendMode, CommonResponse, HeaderMutation, Heard, HttpBody, HttpHeaders,
        HttpStatus, ImmediateResponse, Kind, Metadata, Mutation, ProcessingRequest, ProcessingResponse, Said,
        StreamedBody, Struct, TrailersAnswer,
    },
};

/// Where the endpoint to take stands: as a header, and as metadata for Envoy's load balancer.
pub const DESTINATION: &str = "x-gateway-destination-endpoint";
/// The metadata that load balancers look at.
pub const DESTINATION_NAMESPACE: &str = "envoy.lb";
/// Where the proxy says which endpoints it can reach, and under which key.
pub const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";
/// The key under [`SUBSET_NAMESPACE`].
pub const SUBSET: &str = "x-gateway-destination-endpoint-subset";
/// Most bytes of a body in one message back: Envoy takes 64 KiB.
const PART: usize = 62_000;

/// One HTTP request under way. Dropping it says that Envoy tells no more.
pub struct Exchange {
    placer: Arc<Placer>,
    options: Options,
    state: State,
    within: Vec<String>,
    /// The body goes back in parts.
    duplex: bool,
}

enum State {
    /// Nothing heard yet.
    New,
    /// Nothing here to route: everything passes.
    Passing,
    /// The headers are here, the body is not yet whole.
    Reading(Box<Reading>),
    /// It goes on.
    Placed(Box<Placed>),
    /// The client was answered.
    Refused,
}

struct Reading {
    format: Format,
    headers: http::HeaderMap,
    path: String,
    body: BytesMut,
}

// === impl Exchange ===

impl Exchange {
    /// A request of which nothing was heard.
    pub fn new(placer: Arc<Placer>, options: Options) -> Self {
        Self {
            placer,
            options,
            state: State::New,
            within: Vec::new(),
            duplex: false,
        }
    }

    /// Hears a message. What to answer, in order; nothing where more must come first.
    pub fn hear(&mut self, message: ProcessingRequest) -> Vec<ProcessingResponse> {
        if let Some(config) = message.protocol_config {
            self.duplex = config.request_body_mode == BodySendMode::FullDuplexStreamed as i32;
        }
        if let Some(metadata) = &message.metadata_context {
            self.within.extend(subset(metadata));
        }
        match message.request {
            None => Vec::new(),
            Some(Heard::RequestHeaders(headers)) => self.begins(&headers),
            Some(Heard::RequestBody(part)) => self.body(part),
            Some(Heard::RequestTrailers(_)) => self.request_ends(),
            Some(Heard::ResponseHeaders(headers)) => {
                vec![said(Said::ResponseHeaders(self.answered(&headers)))]
            }
            Some(Heard::ResponseBody(part)) => vec![said(Said::ResponseBody(self.passed_on(part)))],
            Some(Heard::ResponseTrailers(_)) => {
                vec![said(Said::ResponseTrailers(TrailersAnswer::default()))]
            }
        }
    }

    fn begins(&mut self, headers: &HttpHeaders) -> Vec<ProcessingResponse> {
        let (map, path) = read(headers);
        let format = match path.split('?').next() {
            Some("/v1/chat/completions") => Some(Format::Chat),
            Some("/v1/responses") => Some(Format::Responses),
            Some("/v1/messages") => Some(Format::Messages),
            _ => None,
        };
        match format {
            Some(format) if !headers.end_of_stream => {
                self.state = State::Reading(Box::new(Reading {
                    format,
                    headers: map,
                    path,
                    body: BytesMut::new(),
                }));
                // In a full-duplex stream the headers wait for what the body says.
                if self.duplex {
                    Vec::new()
                } else {
                    vec![said(Said::RequestHeaders(Answer::default()))]
                }
            }
            _ => {
                self.state = State::Passing;
                vec![said(Said::RequestHeaders(Answer::default()))]
            }
        }
    }

    fn body(&mut self, part: HttpBody) -> Vec<ProcessingResponse> {
        let most = self.placer.most();
        let reading = match &mut self.state {
            State::Reading(reading) => reading,
            State::Refused => return Vec::new(),
            _ => return vec![said(Said::RequestBody(self.passed_on(part)))],
        };
        if (reading.body.len() + part.body.len()) as u64 > most {
            let refusal = too_large(reading.format, most);
            return self.refuse(refusal);
        }
        reading.body.extend_from_slice(&part.body);
        if part.end_of_stream {
            self.place()
        } else {
            Vec::new()
        }
    }

    /// Trailers end a body whose last part did not say that it was the last.
    fn request_ends(&mut self) -> Vec<ProcessingResponse> {
        let mut answers = match self.state {
            State::Reading(_) => self.place(),
            _ => Vec::new(),
        };
        answers.push(said(Said::RequestTrailers(TrailersAnswer::default())));
        answers
    }

    fn place(&mut self) -> Vec<ProcessingResponse> {
        let State::Reading(reading) = std::mem::replace(&mut self.state, State::Refused) else {
            return Vec::new();
        };
        let body = reading.body.freeze();
        let parcel = Parcel {
            format: reading.format,
            headers: &reading.headers,
            body: &body,
            within: &self.within,
        };
        match self.placer.place(parcel) {
            Ok(placed) => {
                let mut headers = HeaderMutation::default();
                self.address(&placed, &reading.path, &mut headers);
                let destinations = placed.destinations.join(",");
                let answers = self.go_on(headers, placed.body.clone(), Some(&destinations));
                self.state = State::Placed(Box::new(placed));
                answers
            }
            // Nobody in service: Envoy may know better, where it is told to go on.
            Err(unplaced) if self.options.fail_open && unplaced.status == 503 => {
                tracing::warn!(
                    reason = unplaced.message,
                    "a request goes on without a destination"
                );
                self.state = State::Passing;
                self.go_on(HeaderMutation::default(), body, None)
            }
            Err(unplaced) => self.refuse(unplaced),
        }
    }

    /// Writes where a request goes into its headers.
    fn address(&self, placed: &Placed, path: &str, headers: &mut HeaderMutation) {
        headers.set(DESTINATION, placed.destinations.join(",").as_bytes());
        for (name, value) in &placed.told {
            headers.set(name.as_str(), value.as_bytes());
        }
        if self.options.role == Role::Router {
            for (name, value) in &placed.server_headers {
                headers.set(name.as_str(), value.as_bytes());
            }
            if placed.path != path {
                headers.set(":path", placed.path.as_bytes());
            }
        }
        headers.set("content-length", placed.body.len().to_string().as_bytes());
    }

    /// The headers and the body on their way.
    fn go_on(
        &self,
        headers: HeaderMutation,
        body: Bytes,
        destinations: Option<&str>,
    ) -> Vec<ProcessingResponse> {
        let common = CommonResponse {
            header_mutation: Some(headers),
            body_mutation: None,
            clear_route_cache: self.options.role == Role::Router,
        };
        let metadata = destinations.map(|list| {
            let inner = Struct::of(DESTINATION, Kind::Text(list.to_owned()));
            Struct::of(DESTINATION_NAMESPACE, Kind::Object(inner))
        });
        let with = |response| ProcessingResponse {
            response: Some(response),
            dynamic_metadata: metadata.clone(),
        };
        if !self.duplex {
            let whole = CommonResponse {
                body_mutation: Some(changed(Mutation::Body(body))),
                ..common
            };
            return vec![with(Said::RequestBody(done(whole)))];
        }
        let mut answers = vec![with(Said::RequestHeaders(done(common)))];
        let parts: Vec<Bytes> = (0..body.len().max(1))
            .step_by(PART)
            .map(|at| body.slice(at..body.len().min(at + PART)))
            .collect();
        let last = parts.len() - 1;
        answers.extend(
            parts
                .into_iter()
                .enumerate()
                .map(|(i, part)| said(Said::RequestBody(streamed(part, i == last)))),
        );
        answers
    }

    /// A part of a body that is not ours to change.
    fn passed_on(&self, part: HttpBody) -> Answer {
        if self.duplex {
            streamed(part.body, part.end_of_stream)
        } else {
            Answer::default()
        }
    }

    fn refuse(&mut self, unplaced: Unplaced) -> Vec<ProcessingResponse> {
        self.state = State::Refused;
        let mut headers = HeaderMutation::default();
        headers.set("content-type", b"application/json");
        if let Some(wait) = unplaced.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.set("retry-after", seconds.max(1).to_string().as_bytes());
        }
        vec![said(Said::Immediate(ImmediateResponse {
            status: Some(HttpStatus {
                code: i32::from(unplaced.status),
            }),
            headers: Some(headers),
            body: unplaced.body.into(),
            details: "fingerpost".to_owned(),
        }))]
    }

    /// The answer begins: its status is noted, and the client is told where it comes from.
    fn answered(&mut self, headers: &HttpHeaders) -> Answer {
        let State::Placed(placed) = &mut self.state else {
            return Answer::default();
        };
        let status = headers.headers.iter().flat_map(|map| &map.headers);
        let status = status.into_iter().find(|h| h.key == ":status");
        let status = status.and_then(|h| std::str::from_utf8(h.bytes()).ok()?.parse().ok());
        placed.answered(status.unwrap_or(502));
        let mut mutation = HeaderMutation::default();
        for (name, value) in &placed.told {
            mutation.set(name.as_str(), value.as_bytes());
        }
        done(CommonResponse {
            header_mutation: Some(mutation),
            ..CommonResponse::default()
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let State::Placed(placed) = std::mem::replace(&mut self.state, State::Refused) {
            placed.over();
        }
    }
}

fn said(response: Said) -> ProcessingResponse {
    ProcessingResponse {
        response: Some(response),
        dynamic_metadata: None,
    }
}

fn done(response: CommonResponse) -> Answer {
    Answer {
        response: Some(response),
    }
}

fn changed(mutation: Mutation) -> BodyMutation {
    BodyMutation {
        mutation: Some(mutation),
    }
}

fn streamed(body: Bytes, end_of_stream: bool) -> Answer {
    done(CommonResponse {
        body_mutation: Some(changed(Mutation::Streamed(StreamedBody { body, end_of_stream }))),
        ..CommonResponse::default()
    })
}

/// The headers as a map, without those that are none (`:method` and its like), and the path.
fn read(headers: &HttpHeaders) -> (http::HeaderMap, String) {
    let mut map = http::HeaderMap::new();
    let mut path = String::new();
    for header in headers.headers.iter().flat_map(|map| &map.headers) {
        if header.key == ":path" {
            path = String::from_utf8_lossy(header.bytes()).into_owned();
        }
        let name = http::HeaderName::from_bytes(header.key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(header.bytes())) {
            map.append(name, value);
        }
    }
    (map, path)
}

/// The endpoints that the proxy can reach, where it says so.
fn subset(metadata: &Metadata) -> Vec<String> {
    let hint = metadata.filter_metadata.get(SUBSET_NAMESPACE);
    let listed = hint
        .and_then(|hint| hint.fields.get(SUBSET))
        .and_then(|value| value.kind.as_ref());
    let texts: Vec<&str> = match listed {
        Some(Kind::Text(text)) => text.split(',').collect(),
        Some(Kind::List(list)) => {
            let text = |value: &'_ crate::messages::Value| match &value.kind {
                Some(Kind::Text(text)) => Some(text.clone()),
                _ => None,
            };
            return list.values.iter().filter_map(text).collect();
        }
        _ => Vec::new(),
    };
    let texts = texts.into_iter().map(|t| t.trim().to_owned());
    texts.filter(|t| !t.is_empty()).collect()
}

fn too_large(format: Format, most: u64) -> Unplaced {
    use fingerpost_protocol::{ErrorBody, ErrorKind};
    let message = format!("the request body is larger than the limit of {most} bytes (server.max_body)");
    let error = ErrorBody::new(ErrorKind::TooLarge, &message);
    Unplaced {
        status: error.status,
        body: error.to_body(format),
        retry_after: None,
        message,
    }
}
