//! The books of one instance's cache, kept from the events that it publishes.

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{Batch, Event, EventError};

/// Most blocks of one instance that are kept: 4 million blocks of 16 tokens are 8 TB of a model of 7 billion parameters.
const MOST_BLOCKS: usize = 1 << 22;

/// What one instance holds, by its own account.
///
/// Batches are to be heard in their order. A number that is missing is a [`Heard::Gap`]: what is missed is to be asked for again
/// ([`Ledger::hear`] it in order), or given up ([`Ledger::forget`]).
#[derive(Debug, Default)]
pub struct Ledger {
    /// Blocks held, each with its tokens.
    held: FxHashMap<u64, u32>,
    tokens: u64,
    /// The number of the next batch; `None` where any will do.
    next: Option<u64>,
    /// The hash of the last batch heard.
    last: u64,
    /// Whether everything was heard since the cache was empty.
    is_whole: bool,
    /// Tokens in a block, as last told.
    block_tokens: u32,
}

/// What a batch changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Whether the cache was emptied, before what else happened.
    pub cleared: bool,
    /// The share of what was held before that is still held, from 0 to 1; what came since counts as held.
    pub kept: f64,
}

/// What a batch was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heard {
    /// The next one.
    Change(Change),
    /// One that was heard before.
    Old,
    /// One too early: those from this number on are missing.
    Gap(u64),
}

// === impl Ledger ===

impl Ledger {
    /// Hears the batch of this number. `believed` is how many tokens the instance is otherwise believed to hold: what a removal is a share
    /// of while not everything is known.
    ///
    /// # Errors
    /// [`EventError`]: the batch cannot be read, or cannot be true. What follows is a gap then.
    pub fn hear(&mut self, number: u64, payload: &[u8], believed: u64) -> Result<Heard, EventError> {
        match self.next {
            Some(next) if number < next => return Ok(Heard::Old),
            Some(next) if number > next => return Ok(Heard::Gap(next)),
            Some(_) => {}
            // A publisher counts from nothing, with an empty cache.
            None => self.is_whole = number == 0,
        }
        let batch = Batch::parse(payload)?;
        let change = self.apply(&batch, believed)?;
        self.next = number.checked_add(1);
        self.last = xxh3_64(payload);
        Ok(Heard::Change(change))
    }

    /// The number of the next batch; `None` where any will do.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Whether this was the last batch heard: the publisher that has it under that number is the same as before.
    pub fn is_last(&self, number: u64, payload: &[u8]) -> bool {
        self.next.and_then(|next| next.checked_sub(1)) == Some(number) && self.last == xxh3_64(payload)
    }

    /// Forgets everything: batches were missed that do not come again. The next one may have any number.
    pub fn forget(&mut self) {
        *self = Self {
            block_tokens: self.block_tokens,
            ..Self::default()
        };
    }

    /// Tokens held, exactly; `None` where batches were missed since the cache was last empty.
    pub fn tokens(&self) -> Option<u64> {
        (self.is_whole && self.next.is_some()).then_some(self.tokens)
    }

    fn apply(&mut self, batch: &Batch, believed: u64) -> Result<Change, EventError> {
        let mut change = Change {
            cleared: false,
            kept: 1.0,
        };
        for event in &batch.events {
            match event {
                Event::Stored { blocks, block_tokens } => {
                    self.block_tokens = *block_tokens;
                    for block in blocks {
                        let before = self.held.insert(*block, *block_tokens);
                        self.tokens += u64::from(*block_tokens);
                        self.tokens -= u64::from(before.unwrap_or(0));
                    }
                    if self.held.len() > MOST_BLOCKS {
                        return Err(EventError::TooMany(MOST_BLOCKS));
                    }
                }
                Event::Removed { blocks } => change.kept *= self.remove(blocks, believed),
                Event::Cleared => {
                    self.held.clear();
                    (self.tokens, self.is_whole) = (0, true);
                    change = Change {
                        cleared: true,
                        kept: 1.0,
                    };
                }
            }
        }
        Ok(change)
    }

    /// Returns the share that is left.
    #[allow(clippy::cast_precision_loss, reason = "tokens far below 2^52")]
    fn remove(&mut self, blocks: &[u64], believed: u64) -> f64 {
        let before = if self.is_whole {
            self.tokens
        } else {
            self.tokens.max(believed)
        };
        let mut removed = 0;
        for block in blocks {
            match self.held.remove(block) {
                Some(tokens) => {
                    self.tokens -= u64::from(tokens);
                    removed += u64::from(tokens);
                }
                // Stored before anything was heard.
                None if !self.is_whole => removed += u64::from(self.block_tokens),
                None => {}
            }
        }
        if before == 0 {
            return 1.0;
        }
        1.0 - (removed.min(before)) as f64 / before as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn batch(events: &Value) -> Vec<u8> {
        rmp_serde::to_vec(&json!([0.0, events])).unwrap()
    }

    fn stored(blocks: &[u64]) -> Value {
        json!(["BlockStored", blocks, null, [], 16, null, null])
    }

    fn kept(heard: Heard) -> f64 {
        let Heard::Change(change) = heard else {
            panic!("{heard:?}")
        };
        assert!(!change.cleared);
        change.kept
    }

    #[test]
    fn tokens_are_exact_from_the_first_batch_on() {
        let mut ledger = Ledger::default();
        let mut hear = |number, events: Value| ledger.hear(number, &batch(&events), 0).unwrap();
        assert_eq!(kept(hear(0, json!([stored(&[1, 2, 3])]))), 1.0);
        // One that is there already does not count twice.
        assert_eq!(kept(hear(1, json!([stored(&[3, 4])]))), 1.0);
        // One of four, then one of three; a stranger is nobody's.
        let left = kept(hear(2, json!([["BlockRemoved", [1]], ["BlockRemoved", [2, 99]]])));
        assert!((left - 0.5).abs() < 1e-12, "{left}");
        assert_eq!(ledger.tokens(), Some(32));
        let cleared = ledger
            .hear(3, &batch(&json!([["AllBlocksCleared"], stored(&[9])])), 0)
            .unwrap();
        let expected = Change {
            cleared: true,
            kept: 1.0,
        };
        assert_eq!((cleared, ledger.tokens()), (Heard::Change(expected), Some(16)));
    }

    #[test]
    fn what_is_missed_is_asked_for_or_given_up() {
        let mut ledger = Ledger::default();
        let (one, two) = (batch(&json!([stored(&[1])])), batch(&json!([stored(&[2])])));
        ledger.hear(0, &one, 0).unwrap();
        assert_eq!(ledger.hear(2, &two, 0).unwrap(), Heard::Gap(1));
        assert_eq!(ledger.hear(0, &one, 0).unwrap(), Heard::Old);
        assert!(ledger.is_last(0, &one) && !ledger.is_last(0, &two) && !ledger.is_last(1, &one));
        ledger.forget();
        assert_eq!((ledger.tokens(), ledger.next()), (None, None));
        ledger.hear(2, &two, 0).unwrap();
        assert_eq!((ledger.tokens(), ledger.next()), (None, Some(3)));
        // 16 tokens of which nothing was heard, of 64 that are believed to be there.
        let left = kept(
            ledger
                .hear(3, &batch(&json!([["BlockRemoved", [77]]])), 64)
                .unwrap(),
        );
        assert!((left - 0.75).abs() < 1e-12, "{left}");
        // Emptied, everything is known again.
        ledger
            .hear(4, &batch(&json!([["AllBlocksCleared"]])), 64)
            .unwrap();
        assert_eq!(ledger.tokens(), Some(0));
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_missed() {
        let mut ledger = Ledger::default();
        assert!(ledger.hear(0, b"\xc1", 0).is_err());
        assert_eq!(ledger.next(), None);
        ledger.hear(0, &batch(&json!([])), 0).unwrap();
        assert!(ledger.hear(1, b"", 0).is_err());
        assert_eq!(ledger.hear(2, &batch(&json!([])), 0).unwrap(), Heard::Gap(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a set of blocks.
        #[test]
        fn the_books_are_right(batches in prop::collection::vec((0u8..9, prop::collection::vec(0u64..9, 0..6)), 0..40)) {
            let (mut ledger, mut set) = (Ledger::default(), std::collections::BTreeSet::new());
            for (number, (kind, blocks)) in (0..).zip(batches) {
                let event = match kind {
                    0 => { set.clear(); json!(["AllBlocksCleared"]) }
                    1..=4 => { set.extend(blocks.iter().copied()); stored(&blocks) }
                    _ => { set.retain(|b| !blocks.contains(b)); json!(["BlockRemoved", blocks]) }
                };
                let Heard::Change(change) = ledger.hear(number, &batch(&json!([event])), 5).unwrap() else { unreachable!() };
                prop_assert!((0.0..=1.0).contains(&change.kept));
                prop_assert_eq!(ledger.tokens(), Some(16 * set.len() as u64));
            }
        }
    }
}
