//! Answers that are given again: to the same text, or to one that means the same.
//!
//! A decision with `cache` has one of these. [`Frame`] says which requests may share an answer at all: those that are equal but
//! for their last user text. Among them the same text finds its answer by a hash; another text finds the answer of the nearest
//! text by the cosine of their vectors, where that is at least `similarity` and both name the same numbers.
//!
//! Two locks, so that no request waits long: [`Entries`] is held for a look or a put only; [`Near`], whose inserts now and then
//! rebuild something, is written off the hot path ([`Keeping`]), and a look-up that finds it busy for a while goes without.
//!
//! After card 43, section 6 (response cache). What differs: a stream and a whole answer share an entry, since either can be
//! written from the other; requests that ask the same at the same time each go upstream.

mod entries;
mod frame;
mod near;

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fingerpost_core::{Name, Timestamp};
use fingerpost_encode::{Encoder, Vector};
use fingerpost_index::DEFAULT_THRESHOLD;
use fingerpost_telemetry::CacheMoment;

use self::{entries::Entries, near::Near};
pub(crate) use self::{
    entries::{Gone, Kept},
    frame::{Frame, Keys},
};
use crate::config::{CacheConfig, Decision};

/// The answers of one decision.
pub(crate) struct AnswerCache {
    config: CacheConfig,
    /// The models whose answers these are.
    models: Vec<String>,
    /// Reads texts; absent where only equal texts count.
    encoder: Option<Arc<dyn Encoder>>,
    keys: Keys,
    entries: RwLock<Entries>,
    near: RwLock<Near>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    bypasses: AtomicU64,
}

/// What a look-up found.
pub(crate) enum Looked {
    Hit(Hit),
    Miss(Place),
}

/// An answer given before.
pub(crate) struct Hit {
    pub(crate) kept: Arc<Kept>,
    /// Cosine of the two texts; 1 where they are the same.
    pub(crate) similarity: f32,
    pub(crate) age: Duration,
}

/// Where the answer to a request goes once it is there.
pub(crate) struct Place {
    text: u128,
    near: Option<(u128, Vector)>,
}

/// What is left to do once an answer is kept, and may take a while: its text is put among those that near texts are looked for
/// in, and the texts of answers that had to go are taken out.
pub(crate) struct Keeping {
    cache: Arc<AnswerCache>,
    new: Option<(u128, u64, Vector)>,
    gone: Vec<Gone>,
}

/// Longer texts are compared for equality only: encoders stop reading at some point, and the longer a text, the less a word
/// that changes everything moves its vector.
const LONGEST_NEAR: usize = 1_000;
/// Nearest texts that are looked at: those whose answers are too old are passed over.
const CANDIDATES: usize = 4;
/// How long a look-up waits for inserts before it goes without near texts.
const PATIENCE: Duration = Duration::from_millis(1);

// === impl AnswerCache ===

impl AnswerCache {
    /// An empty one for this decision; `None` where it has none configured.
    pub(crate) fn new(decision: &Decision, encoder: &Arc<dyn Encoder>) -> Option<Self> {
        let config = decision.cache.clone()?;
        Some(Self::with_threshold(
            config,
            decision.models.clone(),
            encoder,
            DEFAULT_THRESHOLD,
        ))
    }

    /// The same, whose vectors become a graph above so many to a frame.
    fn with_threshold(
        config: CacheConfig,
        models: Vec<String>,
        encoder: &Arc<dyn Encoder>,
        threshold: usize,
    ) -> Self {
        let encoder = (config.similarity < 1.0).then(|| Arc::clone(encoder));
        Self {
            keys: Keys::default(),
            entries: RwLock::new(Entries::new(config.entries, config.ttl)),
            near: RwLock::new(Near::new(encoder.as_ref().map_or(0, |e| e.dims()), threshold)),
            tally: Tally::default(),
            config,
            models,
            encoder,
        }
    }

    /// Whether its answers are still good for the decision: same settings, same models, same encoder.
    pub(crate) fn serves(&self, decision: &Decision, encoder: &Arc<dyn Encoder>) -> bool {
        decision.cache.as_ref() == Some(&self.config)
            && decision.models == self.models
            && self.encoder.as_ref().is_none_or(|e| e.model() == encoder.model())
    }

    /// The beginning of a frame.
    pub(crate) fn frame(&self) -> Frame {
        self.keys.frame()
    }

    /// Looks for an answer to `text` in this frame. Encodes the text where no answer to the same text is there.
    pub(crate) fn look(&self, frame: &Frame, text: &str, now: Timestamp) -> Looked {
        let looked = self.find(frame, text, now);
        let count = match &looked {
            Looked::Hit(_) => &self.tally.hits,
            Looked::Miss(_) => &self.tally.misses,
        };
        count.fetch_add(1, Ordering::Relaxed);
        looked
    }

    /// Notes a request that was not looked for.
    pub(crate) fn bypassed(&self) {
        self.tally.bypasses.fetch_add(1, Ordering::Relaxed);
    }

    fn find(&self, frame: &Frame, text: &str, now: Timestamp) -> Looked {
        let hit = |kept: Arc<Kept>, similarity| {
            let age = kept.age(now);
            Looked::Hit(Hit {
                kept,
                similarity,
                age,
            })
        };
        let same = frame.with(text);
        if let Some(kept) = read(&self.entries).of_text(same, now) {
            return hit(kept, 1.0);
        }
        let encoder = self.encoder.as_ref().filter(|_| text.len() <= LONGEST_NEAR);
        let place = Place {
            text: same,
            near: encoder.map(|encoder| (frame.with_numbers(text), encoder.encode(text))),
        };
        if let Some((frame, vector)) = &place.near
            && let Some(near) = self.near_within(PATIENCE)
        {
            for (id, similarity) in near.nearest(*frame, vector, CANDIDATES) {
                if f64::from(similarity) < self.config.similarity {
                    break;
                }
                if let Some(kept) = read(&self.entries).of_id(id, now) {
                    return hit(kept, similarity.min(1.0));
                }
            }
        }
        Looked::Miss(place)
    }

    /// Keeps an answer: from now on the same text finds it. Near texts do once what is returned has run.
    pub(crate) fn keep(self: &Arc<Self>, place: Place, kept: Kept, now: Timestamp) -> Keeping {
        let Place { text, near } = place;
        let (id, gone) = write(&self.entries).put(text, near.as_ref(), kept, now);
        Keeping {
            cache: Arc::clone(self),
            new: id.zip(near).map(|(id, (frame, vector))| (frame, id, vector)),
            gone,
        }
    }

    /// What it tells of itself.
    pub(crate) fn moment(&self, decision: Name) -> CacheMoment {
        let entries = read(&self.entries);
        CacheMoment {
            decision,
            hits: self.tally.hits.load(Ordering::Relaxed),
            misses: self.tally.misses.load(Ordering::Relaxed),
            bypasses: self.tally.bypasses.load(Ordering::Relaxed),
            entries: entries.len() as u64,
            bytes: entries.bytes() as u64,
        }
    }

    fn near_within(&self, patience: Duration) -> Option<RwLockReadGuard<'_, Near>> {
        let mut began = None;
        loop {
            match self.near.try_read() {
                Ok(near) => return Some(near),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    if began.get_or_insert_with(Instant::now).elapsed() >= patience {
                        return None;
                    }
                    std::thread::yield_now();
                }
            }
        }
    }
}

// === impl Keeping ===

impl Keeping {
    /// Whether there is anything to do.
    pub(crate) fn is_needed(&self) -> bool {
        self.new.is_some() || !self.gone.is_empty()
    }

    /// Does it.
    pub(crate) fn run(self) {
        let Self { cache, new, gone } = self;
        let mut near = write(&cache.near);
        for Gone { frame, id } in gone {
            near.remove(frame, id);
        }
        // Jobs may overtake each other: an answer that had to go meanwhile leaves no vector behind.
        if let Some((frame, id, vector)) = new
            && read(&cache.entries).has(id)
        {
            near.insert(frame, id, &vector);
        }
    }
}

// What the locks guard is whole between any two statements that can panic.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
