//! The answers themselves: so many, for so long; of those not read since they were last passed over the oldest goes first.

use std::{
    collections::VecDeque,
    mem::size_of,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fingerpost_core::{Name, Timestamp};
use fingerpost_encode::Vector;
use http::HeaderValue;
use rustc_hash::FxHashMap;

/// A kept answer.
pub(crate) struct Kept {
    /// The whole answer in the client's format.
    pub(crate) body: Bytes,
    /// The model that gave it.
    pub(crate) model: Name,
    /// What a change of format could not carry.
    pub(crate) warnings: Option<HeaderValue>,
    /// When the request came that it answered.
    pub(crate) at: Timestamp,
}

/// An answer that had to go, and among which texts its own is.
pub(crate) struct Gone {
    pub(crate) frame: u128,
    pub(crate) id: u64,
}

/// The answers.
pub(super) struct Entries {
    most: NonZeroUsize,
    ttl: Duration,
    by_id: FxHashMap<u64, Entry>,
    by_text: FxHashMap<u128, u64>,
    order: VecDeque<u64>,
    next: u64,
    bytes: usize,
}

struct Entry {
    text: u128,
    /// Among which texts near ones find it.
    frame: Option<u128>,
    kept: Arc<Kept>,
    bytes: usize,
    read_since: AtomicBool,
}

/// What an entry takes beside its answer and its vector: itself, its answer's head, and its places in two maps and a queue.
const OVERHEAD: usize =
    size_of::<Entry>() + size_of::<Kept>() + 2 * size_of::<(u128, u64)>() + size_of::<u64>();
/// What a vector takes beside its numbers: its id both ways and its part of the links of a graph.
const PER_VECTOR: usize = 200;

// === impl Kept ===

impl Kept {
    /// How long ago its request came.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        Duration::from_micros(now.micros().saturating_sub(self.at.micros()))
    }
}

// === impl Entries ===

impl Entries {
    pub(super) fn new(most: NonZeroUsize, ttl: Duration) -> Self {
        Self {
            most,
            ttl,
            by_id: FxHashMap::default(),
            by_text: FxHashMap::default(),
            order: VecDeque::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// The answer to this text, if there is one that is not too old.
    pub(super) fn of_text(&self, text: u128, now: Timestamp) -> Option<Arc<Kept>> {
        self.of_id(*self.by_text.get(&text)?, now)
    }

    /// The answer of this id, if it is there and not too old.
    pub(super) fn of_id(&self, id: u64, now: Timestamp) -> Option<Arc<Kept>> {
        let entry = self.by_id.get(&id)?;
        if self.is_old(entry, now) {
            return None;
        }
        entry.read_since.store(true, Ordering::Relaxed);
        Some(Arc::clone(&entry.kept))
    }

    pub(super) fn has(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// About how much memory they take, their vectors included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an answer in place. Gives its id where its text is new here, and those that had to go for it.
    pub(super) fn put(
        &mut self,
        text: u128,
        near: Option<&(u128, Vector)>,
        kept: Kept,
        now: Timestamp,
    ) -> (Option<u64>, Vec<Gone>) {
        let vector = near.map_or(0, |(_, vector)| vector.len() * size_of::<f32>() + PER_VECTOR);
        let bytes = OVERHEAD + kept.body.len() + vector;
        let kept = Arc::new(kept);
        if let Some(entry) = self.by_text.get(&text).and_then(|id| self.by_id.get_mut(id)) {
            // Asked for again: its place among the oldest is not where it belongs.
            entry.read_since = AtomicBool::new(true);
            self.bytes = self.bytes - entry.bytes + bytes;
            (entry.kept, entry.bytes) = (kept, bytes);
            return (None, self.make_room(now, 0));
        }
        // Before the new one is in: it is the one that nobody can have read yet.
        let gone = self.make_room(now, 1);
        let id = self.next;
        self.next += 1;
        self.by_text.insert(text, id);
        let entry = Entry {
            text,
            frame: near.map(|(frame, _)| *frame),
            kept,
            bytes,
            read_since: AtomicBool::new(false),
        };
        self.by_id.insert(id, entry);
        self.order.push_back(id);
        self.bytes += bytes;
        (Some(id), gone)
    }

    /// Lets go of the oldest that are too old, and of as many as it takes for `more` to fit.
    fn make_room(&mut self, now: Timestamp, more: usize) -> Vec<Gone> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.order.front().and_then(|id| self.by_id.get(id)) {
            let is_old = self.is_old(oldest, now);
            let is_read = oldest.read_since.swap(false, Ordering::Relaxed);
            if !is_old && self.by_id.len() + more <= self.most.get() {
                oldest.read_since.store(is_read, Ordering::Relaxed);
                break;
            }
            let Some(id) = self.order.pop_front() else { break };
            if is_read && !is_old {
                self.order.push_back(id);
            } else if let Some(entry) = self.by_id.remove(&id) {
                self.by_text.remove(&entry.text);
                self.bytes -= entry.bytes;
                gone.extend(entry.frame.map(|frame| Gone { frame, id }));
            }
        }
        gone
    }

    fn is_old(&self, entry: &Entry, now: Timestamp) -> bool {
        entry.kept.age(now) >= self.ttl
    }
}
