//! Envoy in front: Fingerpost as an external processor (`envoy.service.ext_proc.v3`).
//!
//! Envoy carries every request and asks over gRPC where it goes. In the role of a **router** the decision, the model and the
//! destination stand in headers, the body has the model's name as the server knows it, and Envoy looks its route up again. In the
//! role of an **endpoint picker** (Kubernetes Gateway API Inference Extension) the destination and those to fall back on stand in
//! `x-gateway-destination-endpoint`, as a header and as metadata for Envoy's load balancer; the route stays Envoy's.
//!
//! [`Exchange`] is one request, without sockets; [`Server`] listens.

mod exchange;
pub mod messages;
mod server;
mod service;

pub use exchange::{DESTINATION, DESTINATION_NAMESPACE, Exchange, SUBSET, SUBSET_NAMESPACE};
pub use server::Server;

/// What is left to Envoy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The route is looked up again by what was decided; the server's path and headers are set.
    Router,
    /// The route stays; only the endpoint is picked.
    #[default]
    Picker,
}

/// How requests are dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// What is left to Envoy.
    pub role: Role,
    /// Whether a request for which nobody is in service goes on without a destination, to whom Envoy likes; else the client is
    /// told (503, with `retry-after`).
    pub fail_open: bool,
}
