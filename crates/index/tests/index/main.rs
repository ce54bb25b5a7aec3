//! The index from outside: recall, churn, filters, threads, files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod data;
mod files;
mod recall;
mod threads;
