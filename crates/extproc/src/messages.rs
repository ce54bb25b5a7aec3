//! The messages of Envoy's external processing (`envoy.service.ext_proc.v3`) that are read and written here, field by field as the
//! protocol numbers them; what is not named is passed over in reading, as protocol buffers do.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

/// What Envoy tells.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessingRequest {
    /// What has come of the request or its answer.
    #[prost(oneof = "Heard", tags = "2, 3, 4, 5, 6, 7")]
    pub request: Option<Heard>,
    /// What filters before this one noted.
    #[prost(message, optional, tag = "8")]
    pub metadata_context: Option<Metadata>,
    /// In the first message: how bodies are sent.
    #[prost(message, optional, tag = "11")]
    pub protocol_config: Option<ProtocolConfiguration>,
}

/// What has come.
#[derive(Clone, PartialEq, Oneof)]
pub enum Heard {
    /// The request's headers.
    #[prost(message, tag = "2")]
    RequestHeaders(HttpHeaders),
    /// The answer's.
    #[prost(message, tag = "3")]
    ResponseHeaders(HttpHeaders),
    /// A part of the request's body, or all of it.
    #[prost(message, tag = "4")]
    RequestBody(HttpBody),
    /// A part of the answer's.
    #[prost(message, tag = "5")]
    ResponseBody(HttpBody),
    /// The request's trailers.
    #[prost(message, tag = "6")]
    RequestTrailers(HttpTrailers),
    /// The answer's.
    #[prost(message, tag = "7")]
    ResponseTrailers(HttpTrailers),
}

/// How bodies are sent.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ProtocolConfiguration {
    /// The request's.
    #[prost(enumeration = "BodySendMode", tag = "1")]
    pub request_body_mode: i32,
    /// The answer's.
    #[prost(enumeration = "BodySendMode", tag = "2")]
    pub response_body_mode: i32,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum BodySendMode {
    /// Not at all.
    None = 0,
    /// In parts, each answered before the next.
    Streamed = 1,
    /// Whole.
    Buffered = 2,
    /// Whole up to a bound.
    BufferedPartial = 3,
    /// In parts, and sent back in parts.
    FullDuplexStreamed = 4,
}

/// Headers that have come.
#[derive(Clone, PartialEq, Message)]
pub struct HttpHeaders {
    /// They themselves.
    #[prost(message, optional, tag = "1")]
    pub headers: Option<HeaderMap>,
    /// Whether nothing follows.
    #[prost(bool, tag = "3")]
    pub end_of_stream: bool,
}

/// A part of a body.
#[derive(Clone, PartialEq, Message)]
pub struct HttpBody {
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: bytes::Bytes,
    /// Whether nothing follows.
    #[prost(bool, tag = "2")]
    pub end_of_stream: bool,
}

/// Trailers that have come.
#[derive(Clone, PartialEq, Message)]
pub struct HttpTrailers {
    /// They themselves.
    #[prost(message, optional, tag = "1")]
    pub trailers: Option<HeaderMap>,
}

/// Headers (`envoy.config.core.v3`).
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMap {
    /// One after the other.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

/// A header.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValue {
    /// Its name, in lower case.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value, from old Envoys.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Its value.
    #[prost(bytes = "bytes", tag = "3")]
    pub raw_value: bytes::Bytes,
}

/// What is answered.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessingResponse {
    /// To what, and what is to be done.
    #[prost(oneof = "Said", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub response: Option<Said>,
    /// What filters and load balancers after this one find.
    #[prost(message, optional, tag = "8")]
    pub dynamic_metadata: Option<Struct>,
}

/// An answer.
#[derive(Clone, PartialEq, Oneof)]
pub enum Said {
    /// To the request's headers.
    #[prost(message, tag = "1")]
    RequestHeaders(Answer),
    /// To the answer's headers.
    #[prost(message, tag = "2")]
    ResponseHeaders(Answer),
    /// To a part of the request's body.
    #[prost(message, tag = "3")]
    RequestBody(Answer),
    /// To a part of the answer's body.
    #[prost(message, tag = "4")]
    ResponseBody(Answer),
    /// To the request's trailers.
    #[prost(message, tag = "5")]
    RequestTrailers(TrailersAnswer),
    /// To the answer's trailers.
    #[prost(message, tag = "6")]
    ResponseTrailers(TrailersAnswer),
    /// The client is answered at once.
    #[prost(message, tag = "7")]
    Immediate(ImmediateResponse),
}

/// An answer to headers or to a part of a body.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    /// What is to be done; nothing where absent.
    #[prost(message, optional, tag = "1")]
    pub response: Option<CommonResponse>,
}

/// An answer to trailers.
#[derive(Clone, PartialEq, Message)]
pub struct TrailersAnswer {
    /// Changes to them.
    #[prost(message, optional, tag = "1")]
    pub header_mutation: Option<HeaderMutation>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Message)]
pub struct CommonResponse {
    /// Changes to the headers.
    #[prost(message, optional, tag = "2")]
    pub header_mutation: Option<HeaderMutation>,
    /// Changes to the body.
    #[prost(message, optional, tag = "3")]
    pub body_mutation: Option<BodyMutation>,
    /// Whether the route is to be looked up again, by the headers as they are now.
    #[prost(bool, tag = "5")]
    pub clear_route_cache: bool,
}

/// Changes to headers.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMutation {
    /// Those to set.
    #[prost(message, repeated, tag = "1")]
    pub set_headers: Vec<HeaderValueOption>,
    /// Those to take away.
    #[prost(string, repeated, tag = "2")]
    pub remove_headers: Vec<String>,
}

/// A header to set.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValueOption {
    /// It itself.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// What becomes of one that is there.
    #[prost(enumeration = "AppendAction", tag = "3")]
    pub append_action: i32,
}

/// What becomes of a header that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AppendAction {
    /// Both stand.
    AppendIfExistsOrAdd = 0,
    /// The old one stands.
    AddIfAbsent = 1,
    /// The new one stands.
    OverwriteIfExistsOrAdd = 2,
}

/// Changes to a body.
#[derive(Clone, PartialEq, Message)]
pub struct BodyMutation {
    /// Which.
    #[prost(oneof = "Mutation", tags = "1, 2, 3")]
    pub mutation: Option<Mutation>,
}

/// A change to a body.
#[derive(Clone, PartialEq, Oneof)]
pub enum Mutation {
    /// This in its place.
    #[prost(bytes = "bytes", tag = "1")]
    Body(bytes::Bytes),
    /// Nothing in its place.
    #[prost(bool, tag = "2")]
    Clear(bool),
    /// A part of what goes on, in full-duplex streams.
    #[prost(message, tag = "3")]
    Streamed(StreamedBody),
}

/// A part of a body that goes on.
#[derive(Clone, PartialEq, Message)]
pub struct StreamedBody {
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: bytes::Bytes,
    /// Whether nothing follows.
    #[prost(bool, tag = "2")]
    pub end_of_stream: bool,
}

/// An answer to the client.
#[derive(Clone, PartialEq, Message)]
pub struct ImmediateResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// Its headers.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<HeaderMutation>,
    /// Its body.
    #[prost(bytes = "bytes", tag = "3")]
    pub body: bytes::Bytes,
    /// What Envoy's log says of it.
    #[prost(string, tag = "5")]
    pub details: String,
}

/// A status (`envoy.type.v3`).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HttpStatus {
    /// Its code.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// What filters noted, by their names (`envoy.config.core.v3`).
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// As structs.
    #[prost(btree_map = "string, message", tag = "1")]
    pub filter_metadata: BTreeMap<String, Struct>,
}

/// A JSON object (`google.protobuf`).
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    /// Its members.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// A JSON value.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Of which kind.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of JSON values.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    /// Null.
    #[prost(int32, tag = "1")]
    Null(i32),
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "3")]
    Text(String),
    /// True or false.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// An object.
    #[prost(message, tag = "5")]
    Object(Struct),
    /// A list.
    #[prost(message, tag = "6")]
    List(List),
}

/// A list of JSON values.
#[derive(Clone, PartialEq, Message)]
pub struct List {
    /// One after the other.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// Whether a service is well (`grpc.health.v1`).
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckRequest {
    /// Which; all together where empty.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// Whether it is.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct HealthCheckResponse {
    /// 1 where it serves.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

// === impl HeaderValue ===

impl HeaderValue {
    /// Its value, wherever it stands.
    pub fn bytes(&self) -> &[u8] {
        if self.raw_value.is_empty() {
            self.value.as_bytes()
        } else {
            &self.raw_value
        }
    }
}

// === impl HeaderMutation ===

impl HeaderMutation {
    /// Sets a header, whatever stands there.
    pub fn set(&mut self, key: &str, value: &[u8]) {
        self.set_headers.push(HeaderValueOption {
            header: Some(HeaderValue {
                key: key.to_owned(),
                value: String::new(),
                raw_value: bytes::Bytes::copy_from_slice(value),
            }),
            append_action: AppendAction::OverwriteIfExistsOrAdd as i32,
        });
    }
}

// === impl Struct ===

impl Struct {
    /// An object of one member.
    pub fn of(key: &str, kind: Kind) -> Self {
        Self {
            fields: [(key.to_owned(), Value { kind: Some(kind) })].into(),
        }
    }
}
