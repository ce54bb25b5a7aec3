//! The gateway: an HTTP server that takes requests in three chat formats, decides where each goes, calls, and answers.
//!
//! [`Config`] is the one configuration file; [`Snapshot`] is what it stands for, built and ready; [`Shared`] holds the snapshot in
//! place and everything that outlives it; [`Server`] listens. `exchange` is the way of one request.

mod adapters;
mod admin;
mod agents;
mod cache;
pub mod client;
pub mod config;
mod dispatch;
mod embeddings;
mod engine;
mod exchange;
mod explain;
mod feedback;
mod found;
mod handler;
mod kv_events;
mod placement;
mod recorder;
mod reply_body;
mod responses;
mod server;
mod shared;
mod snapshot;
mod telemetry;
mod upstream;
mod watch;
mod worker;

pub use config::Config;
pub use engine::{Engine, Engines};
pub use explain::{Explanation, Unroutable, explain};
pub use found::Found;
pub use placement::{Parcel, Placed, Placer, Unplaced};
pub use server::{DEFAULT_ADDRESS, ServeError, Server, listen};
pub use shared::{Shared, StartError};
pub use snapshot::Snapshot;
