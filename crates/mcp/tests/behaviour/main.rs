//! The hub over real processes and sockets: scripted servers that answer, sleep, die and talk nonsense.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod calls;
mod coming_and_going;
mod over_http;
mod prompts;
mod rerouting;
mod resources;
mod support;
mod trouble;
