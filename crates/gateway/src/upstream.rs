//! Connections to upstream servers: where they are ([`Address`]), how one is opened ([`connect`]), and how it is kept for the
//! next request ([`Pool`]).
//!
//! One pool a worker: a worker is one thread, so a connection never changes threads and the pool needs no lock.

mod address;
mod connect;
mod pool;

pub(crate) use address::Address;
pub(crate) use connect::{ConnectError, Connector, tls_config};
pub(crate) use pool::{Lease, Pool};
/// The body sent upstream: slices of what the client sent, nothing copied. Cloned for a retry by reference counts.
pub(crate) type RequestBody = http_body_util::Full<fingerpost_protocol::Body>;
