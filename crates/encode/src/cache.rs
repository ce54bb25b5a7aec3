//! A bounded memory of vectors by text, wrapped around any encoder.
//!
//! The key is 128 bits of keyed hash over the text, with keys drawn once a process: two texts never
//! meet by accident, and nobody can craft a pair that does. The model needs no place in the key,
//! since a cache holds the vectors of the one encoder that it wraps. Sixteen shards keep threads out
//! of each other's way; a shard is locked for the look-up only, never while a text is being encoded,
//! so two threads that miss on one text both encode it, which costs less than making one wait.
//! A full shard drops the entry that entered first among those not read since (second chance).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encoder::{Encoder, ModelId};
use crate::vector::Vector;

const SHARDS: usize = 16;

/// An [`Encoder`] that remembers the vectors of the texts it saw last.
///
/// Worth its hash (about a nanosecond a byte) for transformers; the static encoder is about as
/// quick as the look-up and needs none.
pub struct VectorCache<E> {
    inner: E,
    keys: [RandomState; 2],
    shards: [Mutex<Shard>; SHARDS],
    capacity_per_shard: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often a cache could answer, since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheCounts {
    /// Texts answered from memory.
    pub hits: u64,
    /// Texts that had to be encoded.
    pub misses: u64,
    /// Vectors held now.
    pub entries: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u128, Entry, BuildHasherDefault<AlreadyHashed>>,
    order: VecDeque<u128>,
}

struct Entry {
    vector: Vector,
    read_since: bool,
}

/// The map's keys are hashes already: take their low half as it is.
#[derive(Default)]
struct AlreadyHashed(u64);

// === impl VectorCache ===

impl<E: Encoder> VectorCache<E> {
    /// Remembers at most `capacity` vectors (rounded up to a multiple of 16).
    pub fn new(inner: E, capacity: NonZeroUsize) -> Self {
        Self {
            inner,
            keys: [RandomState::new(), RandomState::new()],
            shards: std::array::from_fn(|_| Mutex::default()),
            capacity_per_shard: capacity.get().div_ceil(SHARDS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The encoder that answers on a miss.
    pub fn inner(&self) -> &E {
        &self.inner
    }

    /// Hits, misses and entries so far.
    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.shards.iter().map(|shard| lock(shard).entries.len()).sum(),
        }
    }

    fn key(&self, text: &str) -> u128 {
        let halves = self.keys.each_ref().map(|key| u128::from(key.hash_one(text)));
        halves[0] << 64 | halves[1]
    }

    fn shard(&self, key: u128) -> &Mutex<Shard> {
        &self.shards[(key >> 64) as usize % SHARDS]
    }

    fn look_up(&self, key: u128) -> Option<Vector> {
        let found = lock(self.shard(key)).read(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    fn remember(&self, key: u128, vector: Vector) {
        lock(self.shard(key)).insert(key, vector, self.capacity_per_shard);
    }
}

impl<E: Encoder> Encoder for VectorCache<E> {
    fn model(&self) -> &ModelId {
        self.inner.model()
    }

    fn dims(&self) -> usize {
        self.inner.dims()
    }

    fn encode_into(&self, text: &str, out: &mut [f32]) {
        out.copy_from_slice(&self.encode(text));
    }

    fn encode(&self, text: &str) -> Vector {
        let key = self.key(text);
        if let Some(vector) = self.look_up(key) {
            return vector;
        }
        let vector = self.inner.encode(text);
        self.remember(key, vector.clone());
        vector
    }

    fn encode_batch(&self, texts: &[&str]) -> Vec<Vector> {
        let keys: Vec<u128> = texts.iter().map(|text| self.key(text)).collect();
        let mut found: Vec<Option<Vector>> = keys.iter().map(|&key| self.look_up(key)).collect();
        let missing: Vec<usize> = (0..texts.len()).filter(|&i| found[i].is_none()).collect();
        let missing_texts: Vec<&str> = missing.iter().map(|&i| texts[i]).collect();
        for (i, vector) in missing.into_iter().zip(self.inner.encode_batch(&missing_texts)) {
            self.remember(keys[i], vector.clone());
            found[i] = Some(vector);
        }
        found.into_iter().flatten().collect()
    }
}

// === impl Shard ===

impl Shard {
    fn read(&mut self, key: u128) -> Option<Vector> {
        let entry = self.entries.get_mut(&key)?;
        entry.read_since = true;
        Some(entry.vector.clone())
    }

    fn insert(&mut self, key: u128, vector: Vector, capacity: usize) {
        let entry = Entry {
            vector,
            read_since: false,
        };
        if self.entries.insert(key, entry).is_some() {
            return; // another thread encoded the same text meanwhile; its place in the order stands
        }
        self.order.push_back(key);
        while self.entries.len() > capacity {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.read_since => {
                    entry.read_since = false;
                    self.order.push_back(oldest);
                }
                _ => {
                    self.entries.remove(&oldest);
                }
            }
        }
    }
}

/// A shard is whole between any two statements that can panic, so a poisoned lock is usable.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl AlreadyHashed ===

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a text as its length, and counts how often it is asked.
    struct Lengths {
        model: ModelId,
        asked: AtomicU64,
    }

    impl Encoder for Lengths {
        fn model(&self) -> &ModelId {
            &self.model
        }
        fn dims(&self) -> usize {
            1
        }
        fn encode_into(&self, text: &str, out: &mut [f32]) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            out[0] = text.len() as f32;
        }
    }

    fn cache(capacity: usize) -> VectorCache<Lengths> {
        let inner = Lengths {
            model: ModelId::new("lengths", 1),
            asked: AtomicU64::new(0),
        };
        VectorCache::new(inner, NonZeroUsize::new(capacity).unwrap())
    }

    #[test]
    fn a_text_is_encoded_once() {
        let cache = cache(64);
        assert_eq!(cache.encode("four")[0], 4.0);
        assert_eq!(cache.encode("four")[0], 4.0);
        assert_eq!(cache.inner().asked.load(Ordering::Relaxed), 1);
        assert_eq!(
            cache.counts(),
            CacheCounts {
                hits: 1,
                misses: 1,
                entries: 1
            }
        );
    }

    #[test]
    fn the_bound_holds() {
        let cache = cache(32);
        for i in 0..1000 {
            cache.encode(&format!("text {i}"));
        }
        assert!(cache.counts().entries <= 32, "{:?}", cache.counts());
    }

    #[test]
    fn what_is_read_again_outlives_what_is_not() {
        let mut shard = Shard::default();
        for key in [1, 2] {
            shard.insert(key, Vector::new([0.0]), 2);
        }
        assert!(shard.read(1).is_some());
        shard.insert(3, Vector::new([0.0]), 2);
        assert!(shard.read(1).is_some() && shard.read(2).is_none() && shard.read(3).is_some());
    }

    #[test]
    fn a_batch_asks_only_for_what_is_missing_and_keeps_the_order() {
        let cache = cache(64);
        cache.encode("22");
        let lengths: Vec<f32> = cache
            .encode_batch(&["1", "22", "333"])
            .iter()
            .map(|v| v[0])
            .collect();
        assert_eq!(lengths, [1.0, 2.0, 3.0]);
        assert_eq!(cache.inner().asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn threads_share_one_cache() {
        let cache = cache(256);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..200 {
                        let text = "x".repeat(i);
                        assert_eq!(cache.encode(&text)[0], i as f32);
                    }
                });
            }
        });
    }
}
