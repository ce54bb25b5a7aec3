//! The three chat formats, read, translated and written. Pure: no I/O, no async.

mod bad_request;
mod envelope;
mod error_body;
mod format;
mod redact;

pub use bad_request::BadRequest;
pub use envelope::{Body, Edit, Envelope};
pub use error_body::{ErrorBody, ErrorKind};
pub use format::Format;
pub use redact::{BLOT, redact};
