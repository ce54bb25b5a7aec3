//! A policy from outside, in one binary: linking it once is most of what its tests cost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod condition;
mod languages;
mod lazy;
mod policy;
mod support;
