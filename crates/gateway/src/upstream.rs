//! Connections to upstream servers: where they are ([`Address`]), how one is opened ([`connect`]), and how it is kept for the
//! next request ([`Pool`]).
//!
//! One pool a worker: a worker is one thread, so a connection never changes threads and the pool needs no lock.

mod address;
mod connect;
mod pool;
mod request_body;

pub(crate) use address::{Address, AddressError};
pub(crate) use connect::{ConnectError, Connector};
pub(crate) use pool::{Lease, Pool};
pub(crate) use request_body::RequestBody;
