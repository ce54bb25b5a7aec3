//! How many blocks of a prefix make its key: few, and more only where a key is too popular.
//!
//! A short key keeps prompts with a common beginning together, on the instances that hold that beginning. But a system prompt that
//! everybody has would send everybody to one pair of instances. So [`LazyPrefixTable`] knows the keys that have been expanded,
//! [`HotPrefixDetector`] counts keys in a window of the latest requests, and [`LazyExpansionController`] expands a key that is asked
//! for too often, and takes that back when it has long been rare (card 53, step 1, which names the three but not their thresholds;
//! those here are ours).
//!
//! A key is hot above twice an even share of the requests (`2/n` for `n` instances: one pair's worth). It is then expanded past the
//! blocks that all its requests in the window share, since a key that ends among those would be just as hot. It is taken back after
//! ten minutes below a quarter of an even share.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use fingerpost_core::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Prefix;

/// How long keys are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeyConfig {
    /// Tokens in a key that is not expanded; at least one block. Default 1024.
    pub first_tokens: u32,
    /// Tokens by which a key is expanded; at least one block. Default 512.
    pub step_tokens: u32,
    /// Whether hot keys are expanded. Default true.
    pub adaptive: bool,
    /// Requests in the window that tells hot keys. Default 1000.
    pub window: usize,
    /// A key is hot above this many times an even share of the window. Default 2.
    pub hot: f64,
    /// An expansion is taken back below this many times an even share … Default 0.25.
    pub cold: f64,
    /// … for this long. Default `10m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cold_after: Duration,
}

/// The keys that have been expanded. Read without a lock.
#[derive(Debug, Default)]
pub struct LazyPrefixTable(ArcSwap<FxHashSet<u64>>);

/// Counts keys among the latest requests.
#[derive(Debug, Default)]
pub struct HotPrefixDetector {
    window: VecDeque<(u64, Prefix)>,
    counts: FxHashMap<u64, u32>,
}

/// Expands keys that are hot and takes expansions back that no longer are.
#[derive(Debug)]
pub struct LazyExpansionController {
    config: KeyConfig,
    table: LazyPrefixTable,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    detector: HotPrefixDetector,
    instances: usize,
    seen: usize,
    /// Since when each expansion has been rare.
    cold_since: FxHashMap<u64, Timestamp>,
    /// Hot keys that could not be expanded, because all their requests are one prompt; forgotten with each window.
    hopeless: FxHashSet<u64>,
}

// === impl KeyConfig ===

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            first_tokens: 1024,
            step_tokens: 512,
            adaptive: true,
            window: 1000,
            hot: 2.0,
            cold: 0.25,
            cold_after: Duration::from_secs(600),
        }
    }
}

// === impl LazyPrefixTable ===

impl LazyPrefixTable {
    /// How many blocks of `prefix` to hash: `first`, and `step` more for as long as the key so far has been expanded.
    pub fn length(&self, prefix: &Prefix, first: usize, step: usize) -> usize {
        let all = prefix.blocks().len();
        let mut length = first.min(all);
        let expanded = self.0.load();
        if !expanded.is_empty() {
            while length < all && prefix.key(length).is_some_and(|key| expanded.contains(&key)) {
                length = (length + step).min(all);
            }
        }
        length
    }

    /// How many keys are expanded.
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Whether no key is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, change: impl FnOnce(&mut FxHashSet<u64>)) {
        let mut expanded = FxHashSet::clone(&self.0.load());
        change(&mut expanded);
        self.0.store(expanded.into());
    }
}

// === impl HotPrefixDetector ===

impl HotPrefixDetector {
    /// Counts a request and forgets the one that falls out of a window of `most`. Returns how often `key` stands in it.
    fn count(&mut self, key: u64, prefix: &Prefix, most: usize) -> u32 {
        self.window.push_back((key, prefix.clone()));
        if self.window.len() > most.max(1)
            && let Some((old, _)) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&old);
            }
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }

    /// How many leading blocks all requests of `key` share.
    fn common(&self, key: u64) -> usize {
        let mut members = self.window.iter().filter(|(k, _)| *k == key).map(|(_, p)| p);
        let Some(first) = members.next() else { return 0 };
        members.fold(first.blocks().len(), |common, p| common.min(first.shared(p)))
    }

    /// Counts anew what had `key`.
    fn recount(&mut self, key: u64, name: impl Fn(&Prefix) -> Option<u64>) {
        self.counts.remove(&key);
        for (k, prefix) in self.window.iter_mut().filter(|(k, _)| *k == key) {
            *k = name(prefix).unwrap_or(*k);
            *self.counts.entry(*k).or_default() += 1;
        }
    }
}

// === impl LazyExpansionController ===

impl LazyExpansionController {
    /// For a fleet of `instances`.
    pub fn new(config: KeyConfig, instances: usize) -> Self {
        Self {
            config,
            table: LazyPrefixTable::default(),
            state: Mutex::new(State {
                instances,
                ..State::default()
            }),
        }
    }

    /// The key of `prefix` and its length in blocks; `None` for an empty prompt. Takes no lock.
    pub fn key(&self, prefix: &Prefix) -> Option<(u64, usize)> {
        let (first, step) = self.blocks(prefix);
        let length = self.table.length(prefix, first, step);
        Some((prefix.key(length)?, length))
    }

    /// Which keys are expanded.
    pub fn table(&self) -> &LazyPrefixTable {
        &self.table
    }

    /// A request was sent at `now`. Not for the way of the decision: it takes a lock.
    pub fn seen(&self, prefix: &Prefix, now: Timestamp) {
        if !self.config.adaptive {
            return;
        }
        let Some((key, length)) = self.key(prefix) else {
            return;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.detector.count(key, prefix, self.config.window);
        state.seen += 1;
        if state.seen.is_multiple_of(self.config.window.max(1)) {
            state.hopeless.clear();
            self.take_back(&mut state, now);
        }
        // A first request is no crowd: what little has been seen is judged as if there were a tenth of a window.
        let even = self.even_share(&state);
        if f64::from(count) > self.config.hot * even && !state.hopeless.contains(&key) {
            self.expand(&mut state, key, prefix, length);
        }
    }

    /// The fleet has `instances` now.
    pub fn resize(&self, instances: usize) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .instances = instances;
    }

    fn even_share(&self, state: &State) -> f64 {
        let seen = state.detector.window.len().max(self.config.window / 10);
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let share = seen as f64 / state.instances.max(1) as f64;
        share
    }

    fn expand(&self, state: &mut State, key: u64, prefix: &Prefix, length: usize) {
        let (first, step) = self.blocks(prefix);
        let common = state.detector.common(key);
        if common >= prefix.blocks().len() {
            state.hopeless.insert(key);
            return;
        }
        // Every length on the way whose key all members share.
        self.table.change(|expanded| {
            let shared = (length..=common.max(length)).step_by(step);
            expanded.extend(shared.filter_map(|length| prefix.key(length)));
        });
        state
            .detector
            .recount(key, |prefix| prefix.key(self.table.length(prefix, first, step)));
    }

    /// Takes back what has been rare for long. A key counts for all the requests whose path went through it.
    fn take_back(&self, state: &mut State, now: Timestamp) {
        if self.table.is_empty() {
            return;
        }
        let mut passed: FxHashMap<u64, u32> = FxHashMap::default();
        for (_, prefix) in &state.detector.window {
            for key in prefix.blocks() {
                *passed.entry(*key).or_default() += 1;
            }
        }
        let least = self.config.cold * self.even_share(state);
        let rare = |key: &u64| f64::from(passed.get(key).copied().unwrap_or(0)) < least;
        let cold_since = &mut state.cold_since;
        cold_since.retain(|key, _| rare(key));
        self.table.change(|expanded| {
            expanded.retain(|key| {
                !rare(key) || now.since(*cold_since.entry(*key).or_insert(now)) < self.config.cold_after
            });
        });
    }

    fn blocks(&self, prefix: &Prefix) -> (usize, usize) {
        let blocks = |tokens: u32| (tokens / prefix.block_tokens()).max(1) as usize;
        (blocks(self.config.first_tokens), blocks(self.config.step_tokens))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::PrefixHasher;

    fn config() -> KeyConfig {
        KeyConfig {
            first_tokens: 2,
            step_tokens: 1,
            window: 100,
            ..KeyConfig::default()
        }
    }

    fn prefix(blocks: &[u64]) -> Prefix {
        PrefixHasher::new(NonZeroU32::MIN, None).named(blocks)
    }

    #[test]
    fn a_hot_key_is_expanded_past_what_its_requests_share() {
        let keys = LazyExpansionController::new(config(), 8);
        let at = Timestamp::from_millis(0);
        // 25 requests of 100 are 2/8: not above. They share four blocks.
        for i in 0..75 {
            keys.seen(&prefix(&[1000 + i, 1]), at);
        }
        for i in 0..25 {
            keys.seen(&prefix(&[0, 1, 2, 3, 100 + i, 7]), at);
        }
        assert!(keys.table().is_empty());
        assert_eq!(keys.key(&prefix(&[0, 1, 2, 3, 4])).unwrap().1, 2);
        keys.seen(&prefix(&[0, 1, 2, 3, 125, 7]), at);
        // Lengths 2, 3 and 4 are shared by all, so the key is the first five.
        assert_eq!(keys.table().len(), 3);
        assert_eq!(keys.key(&prefix(&[0, 1, 2, 3, 4, 5])).unwrap().1, 5);
        assert_eq!(keys.key(&prefix(&[0, 1, 2, 9, 4, 5])).unwrap().1, 4);
        assert_eq!(keys.key(&prefix(&[0, 5, 2, 9])).unwrap().1, 2);
    }

    #[test]
    fn a_crowd_at_the_very_beginning_is_seen_soon() {
        let keys = LazyExpansionController::new(config(), 8);
        // A tenth of a window is 10 requests, of which more than 2/8 are hot.
        (0..2).for_each(|i| keys.seen(&prefix(&[0, 1, i]), Timestamp::from_millis(0)));
        assert!(keys.table().is_empty());
        keys.seen(&prefix(&[0, 1, 2]), Timestamp::from_millis(0));
        assert_eq!(keys.table().len(), 1);
    }

    #[test]
    fn one_prompt_again_and_again_cannot_be_told_apart() {
        let keys = LazyExpansionController::new(config(), 8);
        (0..500).for_each(|i| keys.seen(&prefix(&[1, 2, 3]), Timestamp::from_millis(i)));
        assert!(keys.table().is_empty());
    }

    #[test]
    fn an_expansion_is_taken_back_when_it_has_long_been_rare() {
        let keys = LazyExpansionController::new(config(), 8);
        (0..26).for_each(|i| keys.seen(&prefix(&[0, 1, 100 + i]), Timestamp::from_millis(0)));
        assert_eq!(keys.table().len(), 1);
        let other = |from: u64, second: u64| {
            let at = Timestamp::from_millis(second * 1000);
            (from..from + 100).for_each(|i| keys.seen(&prefix(&[i, 1, 2]), at));
        };
        other(1000, 1);
        other(2000, 2);
        assert_eq!(keys.table().len(), 1, "rare for a second only");
        other(3000, 603);
        assert!(keys.table().is_empty());
    }

    #[test]
    fn keys_stay_short_where_that_is_asked_for() {
        let fixed = KeyConfig {
            adaptive: false,
            ..config()
        };
        let keys = LazyExpansionController::new(fixed, 8);
        (0..500).for_each(|i| keys.seen(&prefix(&[0, 1, i]), Timestamp::from_millis(i)));
        assert_eq!(keys.key(&prefix(&[0, 1, 2])).unwrap().1, 2);
    }
}
