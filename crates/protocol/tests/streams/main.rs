//! Streams in every direction, whole and broken.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod fixtures;
mod pieces;
mod translated;
mod watched;
