//! What searches over vectors give.

use serde::Serialize;

/// A vector found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour {
    /// Its id.
    pub id: u64,
    /// Its distance ([`Metric`](crate::Metric)).
    pub distance: f32,
}

/// What a search found and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Found {
    /// Nearest first; ties by slot.
    pub neighbours: Vec<Neighbour>,
    /// Distances taken.
    pub evaluations: u64,
    /// Nodes expanded.
    pub hops: u64,
}

/// Accepts an id, or not. It is called in the middle of a search, from the thread that searches, and must not change the index it
/// filters, nor search it: a change that waits meanwhile would wait for ever.
pub type Filter<'a> = &'a (dyn Fn(u64) -> bool + Sync);
