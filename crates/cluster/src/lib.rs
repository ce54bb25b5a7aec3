//! The pods of model servers, by the API of the Kubernetes cluster that they run in.
//!
//! [`Watch`] lists the pods that an `InferencePool` (Gateway API Inference Extension) or labels select, and follows their changes:
//! which are there, where, and whether they are ready. It tells the whole list anew whenever one of these has changed.
//!
//! Three questions of the API are all that is asked (a pool, a list, a watch), over the HTTP stack that the gateway has
//! already; a client for all of the API would bring fifty crates more.
//!
//! [`Pods`] is what is known, without sockets.

mod api;
mod pods;
mod watch;

pub use api::{Api, ClusterError};
pub use pods::{Event, Pod, Pods};
pub use watch::{Tell, Wanted, Watch, Which};
