//! The gateway over real sockets: each module is a behaviour that it promises, tested against scripted upstreams.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod adapters;
mod agents;
mod bad_input;
mod bed;
mod breaks_midway;
mod cache;
mod cascade;
mod circuit;
mod disconnects;
mod drains;
mod embeddings;
mod engines;
mod explains;
mod falls_back;
mod feedback;
mod fleet;
mod health;
mod hedges;
mod kv_events;
mod models_list;
mod panel;
mod passes_through;
mod pods;
mod prompt;
mod queue;
mod reloads;
mod replicas;
mod retries;
mod rounds;
mod secrets;
mod sheds;
mod speak;
mod stay;
mod stored_responses;
mod times_out;
mod traces;
mod translates;
