//! Bounded concurrency and a bounded queue: what does not fit is turned away at once, with an honest time to come back.
//!
//! Accounting only; waiting for a place is the gateway's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much is let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShedConfig {
    /// Most chat requests under way in the whole process. Default 4096.
    pub max_in_flight: u32,
    /// Most requests that wait for a place in a model's fleet whose endpoints are all at their `max_in_flight`. Default 256.
    pub queue: u32,
    /// Longest wait there. Default `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_wait: Duration,
}

/// Lets a bounded number in, and a bounded number wait. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Gate {
    counts: Arc<Counts>,
    most: u32,
    queue: u32,
}

#[derive(Debug, Default)]
struct Counts {
    inside: AtomicU32,
    waiting: AtomicU32,
}

/// A place inside, held until dropped.
#[derive(Debug)]
pub struct Permit(Arc<Counts>);

/// A place in the queue, held until dropped.
#[derive(Debug)]
pub struct Place(Arc<Counts>);

// === impl ShedConfig ===

impl Default for ShedConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 4096,
            queue: 256,
            max_wait: Duration::from_secs(5),
        }
    }
}

// === impl Gate ===

impl Gate {
    /// Lets `most` in and `queue` wait.
    pub fn new(most: u32, queue: u32) -> Self {
        Self {
            counts: Arc::default(),
            most,
            queue,
        }
    }

    /// The same counts under other bounds, after a reload.
    #[must_use]
    pub fn with_bounds(&self, most: u32, queue: u32) -> Self {
        Self {
            counts: Arc::clone(&self.counts),
            most,
            queue,
        }
    }

    /// A place inside, if there is one.
    pub fn enter(&self) -> Option<Permit> {
        take(&self.counts.inside, self.most).then(|| Permit(Arc::clone(&self.counts)))
    }

    /// A place in the queue, if there is one.
    pub fn wait(&self) -> Option<Place> {
        take(&self.counts.waiting, self.queue).then(|| Place(Arc::clone(&self.counts)))
    }

    /// How many are inside.
    pub fn inside(&self) -> u32 {
        self.counts.inside.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.counts.waiting.load(Ordering::Relaxed)
    }
}

fn take(count: &AtomicU32, most: u32) -> bool {
    count
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| {
            (n < most).then_some(n + 1)
        })
        .is_ok()
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_bounds() {
        let gate = Gate::new(2, 1);
        let (a, _b) = (gate.enter().unwrap(), gate.enter().unwrap());
        assert!(gate.enter().is_none());
        let place = gate.wait().unwrap();
        assert!(gate.wait().is_none());
        drop(a);
        assert!(gate.enter().is_some());
        drop(place);
        assert_eq!((gate.inside(), gate.waiting()), (1, 0));
    }

    #[test]
    fn a_reload_keeps_the_counts() {
        let gate = Gate::new(1, 0);
        let _permit = gate.enter().unwrap();
        assert!(gate.with_bounds(1, 0).enter().is_none());
        assert!(gate.with_bounds(2, 0).enter().is_some());
    }
}
