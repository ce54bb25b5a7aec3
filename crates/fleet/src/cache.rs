//! What an instance's prefix cache is believed to hold: blocks, the least recently used leaving first.
//!
//! Read by every decision and written by every completion, so reading takes no lock: the hashes stand in an open-addressed table of
//! atomics, which only the writer, who holds the lock, changes. A reader that comes while a hash moves may miss it; that is an
//! estimate a little too low, once.
//!
//! A chain is touched from its end to its beginning, as servers free it, so a block never leaves before those that build on it. What is held
//! of a chain is therefore always its beginning, and its length is found by bisection.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use crate::Prefix;

/// No slot, no neighbour.
const NONE: u32 = u32::MAX;
/// An empty slot. A block whose hash is this is taken for the next hash.
const EMPTY: u64 = 0;

/// A model of a prefix cache, by blocks.
#[derive(Debug)]
pub struct CacheModel {
    capacity: AtomicUsize,
    /// How many blocks it holds.
    held: AtomicUsize,
    table: ArcSwap<Table>,
    recency: Mutex<Recency>,
}

/// The hashes held, by linear probing; at most half full.
#[derive(Debug)]
struct Table(Box<[AtomicU64]>);

/// The blocks as a ring of neighbours, the latest used after the one least recently used.
#[derive(Debug)]
struct Recency {
    /// For each slot of the table its node.
    node_of: Vec<u32>,
    nodes: Vec<Node>,
    newest: u32,
    oldest: u32,
    /// The part of a block that has been lost and not yet taken.
    owed: f64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    hash: u64,
    newer: u32,
    older: u32,
}

// === impl CacheModel ===

impl CacheModel {
    /// An empty cache of at most `capacity` blocks. Memory grows with what it holds, some 64 bytes a block.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: AtomicUsize::new(capacity.min(NONE as usize / 4)),
            held: AtomicUsize::new(0),
            table: ArcSwap::from_pointee(Table::new(64)),
            recency: Mutex::new(Recency::new(64)),
        }
    }

    /// How many leading blocks of `prefix` it holds. O(log blocks); takes no lock.
    pub fn matched(&self, prefix: &Prefix) -> usize {
        let table = self.table.load();
        let blocks = prefix.blocks();
        // Most prompts of a busy fleet are new here, or have grown by little: both ends are asked first.
        match blocks {
            [] => 0,
            [first, ..] if !table.holds(*first) => 0,
            [.., last] if table.holds(*last) => blocks.len(),
            _ => blocks.partition_point(|block| table.holds(*block)),
        }
    }

    /// How many leading tokens of a prompt of `tokens` tokens it holds.
    pub fn matched_tokens(&self, prefix: &Prefix, tokens: u32) -> u32 {
        let blocks = u32::try_from(self.matched(prefix)).unwrap_or(u32::MAX);
        blocks.saturating_mul(prefix.block_tokens()).min(tokens)
    }

    /// A prompt has been computed: its blocks are the latest used.
    pub fn completed(&self, prefix: &Prefix) {
        let capacity = self.capacity.load(Ordering::Relaxed);
        let mut recency = self.lock();
        for block in prefix.blocks().iter().take(capacity).rev() {
            self.touch(&mut recency, sound(*block));
        }
        self.shrink(&mut recency, capacity);
    }

    /// The cache is gone: its instance has started anew.
    pub fn clear(&self) {
        let mut recency = self.lock();
        self.table.store(Table::new(64).into());
        *recency = Recency::new(64);
        self.held.store(0, Ordering::Relaxed);
    }

    /// The instance has said which share of its cache it has kept, from 0 to 1: the least recently used blocks leave. Parts of a block add up.
    pub fn keep_share(&self, kept: f64) {
        if kept.is_nan() {
            return;
        }
        let mut recency = self.lock();
        let held = recency.nodes.len();
        #[allow(clippy::cast_precision_loss, reason = "blocks far below 2^52")]
        let lost = recency.owed + held as f64 * (1.0 - kept.clamp(0.0, 1.0));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and the conversion saturates"
        )]
        let whole = lost.floor() as usize;
        recency.owed = lost.fract();
        self.shrink(&mut recency, held.saturating_sub(whole));
    }

    /// The instance has said how many blocks it keeps.
    pub fn resize(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.shrink(&mut self.lock(), capacity);
    }

    /// How many blocks it holds.
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recency> {
        self.recency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, recency: &mut Recency, hash: u64) {
        let table = self.table.load();
        match table.slot(hash) {
            Ok(slot) => recency.renew(recency.node_of[slot]),
            Err(slot) => {
                recency.node_of[slot] = recency.push(hash);
                table.0[slot].store(hash, Ordering::Release);
                if 2 * recency.nodes.len() > table.0.len() {
                    self.grow(recency, 2 * table.0.len());
                }
            }
        }
    }

    fn grow(&self, recency: &mut Recency, slots: usize) {
        let table = Table::new(slots);
        recency.node_of = vec![NONE; slots];
        for (at, node) in (0..).zip(&recency.nodes) {
            let (Ok(slot) | Err(slot)) = table.slot(node.hash);
            table.0[slot].store(node.hash, Ordering::Relaxed);
            recency.node_of[slot] = at;
        }
        self.table.store(table.into());
    }

    fn shrink(&self, recency: &mut Recency, capacity: usize) {
        let table = self.table.load();
        while recency.nodes.len() > capacity {
            let oldest = recency.oldest;
            let hash = recency.nodes[oldest as usize].hash;
            if let Ok(slot) = table.slot(hash) {
                table.remove(slot, &mut recency.node_of);
            }
            if let Some(moved) = recency.remove(oldest)
                && let Ok(slot) = table.slot(moved)
            {
                recency.node_of[slot] = oldest;
            }
        }
        self.held.store(recency.nodes.len(), Ordering::Relaxed);
    }
}

fn sound(hash: u64) -> u64 {
    if hash == EMPTY { 1 } else { hash }
}

// === impl Table ===

impl Table {
    fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| AtomicU64::new(EMPTY)).collect())
    }

    fn holds(&self, block: u64) -> bool {
        self.slot(sound(block)).is_ok()
    }

    /// Where the hash stands, or the empty slot where it would.
    fn slot(&self, hash: u64) -> Result<usize, usize> {
        let mut at = self.home(hash);
        loop {
            match self.0[at].load(Ordering::Acquire) {
                found if found == hash => return Ok(at),
                EMPTY => return Err(at),
                _ => at = self.after(at),
            }
        }
    }

    /// Empties a slot and moves up what probed past it. Each move writes the new place before the old one is emptied.
    fn remove(&self, mut hole: usize, node_of: &mut [u32]) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let hash = self.0[at].load(Ordering::Relaxed);
            if hash == EMPTY {
                break;
            }
            let probed = at.wrapping_sub(self.home(hash)) & (self.0.len() - 1);
            if probed >= (at.wrapping_sub(hole) & (self.0.len() - 1)) {
                self.0[hole].store(hash, Ordering::Release);
                node_of[hole] = node_of[at];
                hole = at;
            }
        }
        self.0[hole].store(EMPTY, Ordering::Release);
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.0.len() - 1)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.0.len() - 1)
    }
}

// === impl Recency ===

impl Recency {
    fn new(slots: usize) -> Self {
        Self {
            node_of: vec![NONE; slots],
            nodes: Vec::new(),
            newest: NONE,
            oldest: NONE,
            owed: 0.0,
        }
    }

    fn push(&mut self, hash: u64) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "the capacity is below 2^30")]
        let at = self.nodes.len() as u32;
        self.nodes.push(Node {
            hash,
            newer: NONE,
            older: NONE,
        });
        self.link(at);
        at
    }

    fn renew(&mut self, at: u32) {
        if at != self.newest {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Removes a node; the last one takes its place, whose hash is returned.
    fn remove(&mut self, at: u32) -> Option<u64> {
        self.unlink(at);
        self.nodes.swap_remove(at as usize);
        let moved = *self.nodes.get(at as usize)?;
        match moved.newer {
            NONE => self.newest = at,
            newer => self.nodes[newer as usize].older = at,
        }
        match moved.older {
            NONE => self.oldest = at,
            older => self.nodes[older as usize].newer = at,
        }
        Some(moved.hash)
    }

    fn link(&mut self, at: u32) {
        self.nodes[at as usize].older = self.newest;
        self.nodes[at as usize].newer = NONE;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.nodes[newest as usize].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::PrefixHasher;

    fn prefix(blocks: &[u64]) -> Prefix {
        PrefixHasher::new(NonZeroU32::new(10).unwrap(), None).named(blocks)
    }

    #[test]
    fn the_least_recently_used_tail_leaves_first() {
        let cache = CacheModel::new(4);
        cache.completed(&prefix(&[1, 2, 3]));
        cache.completed(&prefix(&[1, 9]));
        // [1], [1 9], [1 2], [1 2 3] fill it; one more block, and the end of the first chain leaves.
        cache.completed(&prefix(&[7]));
        assert_eq!(cache.matched(&prefix(&[1, 2, 3])), 2);
        assert_eq!(cache.matched(&prefix(&[1, 9])), 2);
        assert_eq!(cache.matched(&prefix(&[2])), 0);
        assert_eq!(cache.len(), 4);
        assert_eq!(cache.matched_tokens(&prefix(&[1, 9]), 15), 15);
        assert_eq!(cache.matched_tokens(&prefix(&[1, 2, 3]), 30), 20);
    }

    #[test]
    fn a_cache_without_room_holds_nothing_and_a_lost_one_is_empty() {
        let none = CacheModel::new(0);
        none.completed(&prefix(&[1]));
        assert!(none.is_empty());
        let cache = CacheModel::new(9);
        cache.completed(&prefix(&[1, 2]));
        cache.resize(1);
        assert_eq!(cache.matched(&prefix(&[1, 2])), 1);
        cache.clear();
        assert_eq!(cache.matched(&prefix(&[1, 2])), 0);
    }

    #[test]
    fn what_an_instance_has_dropped_leaves_the_least_recently_used_first() {
        let cache = CacheModel::new(99);
        for name in 0..8 {
            cache.completed(&prefix(&[name]));
        }
        cache.keep_share(0.75);
        assert_eq!(
            (
                cache.len(),
                cache.matched(&prefix(&[1])),
                cache.matched(&prefix(&[2]))
            ),
            (6, 0, 1)
        );
        // Nine tenths of six, twice: 0.6 blocks, then 0.6 more.
        cache.keep_share(0.9);
        assert_eq!(cache.len(), 6);
        cache.keep_share(0.9);
        assert_eq!(cache.len(), 5);
        cache.keep_share(f64::NAN);
        assert_eq!(cache.len(), 5);
        cache.keep_share(0.0);
        assert!(cache.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a list of hashes, latest first.
        #[test]
        fn it_is_an_lru(
            chains in prop::collection::vec(prop::collection::vec(0u64..4, 0..9), 0..200),
            capacity in 0usize..150,
        ) {
            let (cache, mut list) = (CacheModel::new(capacity), Vec::<u64>::new());
            for chain in &chains {
                let prefix = prefix(chain);
                let held = prefix.blocks().iter().take_while(|b| list.contains(b)).count();
                prop_assert_eq!(cache.matched(&prefix), held);
                cache.completed(&prefix);
                for block in prefix.blocks().iter().take(capacity).rev() {
                    list.retain(|b| b != block);
                    list.insert(0, *block);
                }
                list.truncate(capacity);
                prop_assert_eq!(cache.len(), list.len());
            }
        }
    }
}
