//! Who has done something like this before: vectors of actions that went well, by agent and application.

use std::{collections::VecDeque, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::difficulty::cosine;

/// Most actions that are remembered over all agents; the oldest is forgotten first.
const CAPACITY: usize = 1000;

/// Settings of the memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Whether it is looked at. Default true.
    pub enabled: bool,
    /// How many earlier actions of the same agent must be similar for a request to count as warm, 1 and more. Default 1.
    pub top_m: usize,
    /// From which cosine two actions are similar, -1 to 1. Default 0.7.
    pub min_similarity: f64,
}

/// One action that went well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// The agent and the application.
    pub(super) whose: u64,
    pub(super) vector: Vec<f32>,
}

/// Actions that went well, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(VecDeque<Arc<Remembered>>);

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            top_m: 1,
            min_similarity: 0.7,
        }
    }
}

// === impl Memory ===

impl Memory {
    pub(super) fn of(remembered: impl IntoIterator<Item = Remembered>) -> Self {
        let mut memory = Self::default();
        remembered.into_iter().for_each(|r| memory.keep(r));
        memory
    }

    pub(super) fn keep(&mut self, remembered: Remembered) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(remembered));
    }

    /// Whether so many similar actions of the same agent are remembered. Looks at every entry, at the newest first.
    pub(super) fn is_warm(&self, config: &MemoryConfig, whose: u64, vector: &[f32]) -> bool {
        let similar = |r: &&Arc<Remembered>| {
            r.whose == whose && cosine(&r.vector, vector).is_some_and(|c| c >= config.min_similarity)
        };
        config.enabled && self.0.iter().rev().filter(similar).take(config.top_m).count() >= config.top_m
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Remembered> {
        self.0.iter().map(|r| &**r)
    }
}

/// A stable number for an agent and an application (FNV-1a), so that no name of a person is kept.
pub(super) fn whose(agent: &str, class: &str) -> u64 {
    let bytes = agent.bytes().chain([0xff]).chain(class.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_is_who_did_enough_that_is_similar() {
        let (ann, bob) = (whose("ann", "mail"), whose("bob", "mail"));
        assert_ne!(ann, whose("an", "nmail"));
        let remember = |whose, vector: &[f32]| Remembered {
            whose,
            vector: vector.to_vec(),
        };
        let memory = Memory::of([remember(ann, &[1.0, 0.0]), remember(ann, &[0.0, 1.0])]);
        let config = MemoryConfig::default();
        assert!(memory.is_warm(&config, ann, &[1.0, 0.5]));
        assert!(!memory.is_warm(&config, bob, &[1.0, 0.5]), "another agent");
        assert!(!memory.is_warm(&config, ann, &[-1.0, -1.0]), "another action");
        let two = MemoryConfig { top_m: 2, ..config };
        assert!(!memory.is_warm(&two, ann, &[1.0, 0.5]));
        assert!(memory.is_warm(&two, ann, &[1.0, 1.0]));
        let off = MemoryConfig {
            enabled: false,
            ..MemoryConfig::default()
        };
        assert!(!memory.is_warm(&off, ann, &[1.0, 0.0]));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let entry = |i: usize| Remembered {
            whose: i as u64,
            vector: vec![1.0],
        };
        let memory = Memory::of((0..=CAPACITY).map(entry));
        let config = MemoryConfig::default();
        assert!(!memory.is_warm(&config, 0, &[1.0]) && memory.is_warm(&config, 1, &[1.0]));
    }
}
