//! Entries and their ids, found by running hashes of prefixes.
//!
//! A word's longest entry is looked for from the longest prefix down. The hashes of all prefixes
//! come out of one pass (each byte is folded into the hash before it), the table tells most
//! prefixes apart by a tag of sixteen bits, and only a tag that fits is compared byte by byte. The
//! table is under half full, so a miss ends after one or two slots.

/// An ordered list of WordPiece entries; an entry's id is its place.
///
/// Entries that begin with `##` continue a word. Empty entries hold the place of ids that no text
/// can produce.
pub struct Vocabulary {
    /// All entries in one string, with their `##`.
    text: String,
    /// Where each entry ends in `text`.
    ends: Vec<u32>,
    /// `tag << 16 | id`, or `EMPTY`.
    slots: Box<[u32]>,
    /// A bit for each entry's hash: most prefixes are no entries, and these 32 KiB stay in the nearest cache.
    filter: Box<[u64; FILTER_WORDS]>,
    /// Bytes in the longest entry, `##` not counted.
    longest: usize,
}

/// Why a list of entries is no vocabulary.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum VocabularyError {
    /// Ids are kept in sixteen bits.
    #[error("a vocabulary may have at most {max} entries, this one has more")]
    TooLarge {
        /// Most entries allowed.
        max: usize,
    },
    /// A longer entry could never match within a word of a hundred characters.
    #[error("vocabulary entry {id} has {bytes} bytes, at most {max} are allowed")]
    EntryTooLong {
        /// The entry's id.
        id: usize,
        /// Its length in bytes.
        bytes: usize,
        /// Greatest length allowed.
        max: usize,
    },
    /// Every id must stand for one entry.
    #[error("vocabulary entries {first} and {second} are the same: `{entry}`")]
    Duplicate {
        /// The entry.
        entry: String,
        /// Id of its first occurrence.
        first: u32,
        /// Id of its second occurrence.
        second: usize,
    },
    /// Words that cannot be built need an id.
    #[error("the vocabulary has no entry `[UNK]` for unknown words")]
    NoUnknown,
    /// Not a tokenizer of the kind this crate reads.
    #[error("{0}")]
    Format(String),
}

const EMPTY: u32 = u32::MAX;
/// The last id stays free, so that no slot can equal `EMPTY`.
const MAX_ENTRIES: usize = 0xffff;
const FILTER_WORDS: usize = 4096;
const MAX_ENTRY_BYTES: usize = 400;
/// What nearly all rests of words fit into.
const USUAL_ENTRY_BYTES: usize = 24;
const CONTINUATION: &str = "##";

// === impl Vocabulary ===

impl Vocabulary {
    /// # Errors
    /// Over 65,535 entries, an entry of over 400 bytes, or an entry given twice.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, VocabularyError> {
        let mut text = String::new();
        let mut ends = Vec::new();
        let mut longest = 0;
        for (id, entry) in entries.into_iter().enumerate() {
            if id >= MAX_ENTRIES {
                return Err(VocabularyError::TooLarge { max: MAX_ENTRIES });
            }
            let bytes = entry.len();
            if bytes > MAX_ENTRY_BYTES {
                return Err(VocabularyError::EntryTooLong {
                    id,
                    bytes,
                    max: MAX_ENTRY_BYTES,
                });
            }
            longest = longest.max(body(entry).0.len());
            text.push_str(entry);
            ends.push(text.len() as u32); // at most 65,535 entries of 400 bytes
        }
        let slots = vec![EMPTY; (ends.len() * 3 / 2).next_power_of_two().max(4)];
        let mut vocabulary = Self {
            text,
            ends,
            slots: slots.into(),
            filter: Box::new([0; FILTER_WORDS]),
            longest,
        };
        for id in 0..vocabulary.len() {
            vocabulary.insert(id)?;
        }
        Ok(vocabulary)
    }

    /// Reads the entries out of a `tokenizer.json`.
    ///
    /// # Errors
    /// Not JSON, not a WordPiece model with the rules of uncased BERT, or no legal vocabulary.
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Self, VocabularyError> {
        let format = |what: String| VocabularyError::Format(what);
        let file: TokenizerFile = serde_json::from_slice(json)
            .map_err(|error| format(format!("not a WordPiece tokenizer: {error}")))?;
        if !file.normalizer.lowercase || file.model.max_input_chars_per_word != super::MAX_WORD_CHARS {
            return Err(format(
                "only uncased tokenizers with words of 100 characters are supported".into(),
            ));
        }
        let count = file.model.vocab.len();
        let mut entries = vec![""; count];
        for (entry, &id) in &file.model.vocab {
            let place = entries.get_mut(id as usize);
            *place.ok_or_else(|| format(format!("id {id} of `{entry}` is beyond the {count} entries")))? =
                entry;
        }
        Self::new(entries)
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entry with this id, as written (with `##` where it continues a word).
    pub fn entry(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        self.text.get(start..end)
    }

    /// All entries by id.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).filter_map(|id| self.entry(id))
    }

    /// The id of an entry as written.
    pub fn id_of(&self, entry: &str) -> Option<u32> {
        let (bytes, continues) = body(entry);
        self.find(bytes, continues, hash_of(bytes, continues))
    }

    /// The id of a word that is an entry; `hash` is that of all its bytes, from [`seed`] by [`step`].
    pub(super) fn whole(&self, word: &[u8], hash: u64) -> Option<u32> {
        if word.len() > self.longest {
            None
        } else {
            self.find(word, false, hash)
        }
    }

    /// The id of a character that stands alone.
    pub(super) fn id_of_byte(&self, byte: u8) -> Option<u32> {
        self.find(&[byte], false, step(seed(false), byte))
    }

    /// The longest entry that `rest` begins with: its id and length in bytes.
    pub(super) fn longest(&self, rest: &[u8], continues: bool) -> Option<(u32, usize)> {
        let rest = &rest[..rest.len().min(self.longest)];
        // Room is cleared before it is used, and clearing the room for the longest legal entry takes longer than the search.
        if rest.len() <= USUAL_ENTRY_BYTES {
            self.longest_within::<USUAL_ENTRY_BYTES>(rest, continues)
        } else {
            self.longest_within::<MAX_ENTRY_BYTES>(rest, continues)
        }
    }

    /// The longest entry that `rest`, of at most `N` bytes, begins with.
    #[inline]
    fn longest_within<const N: usize>(&self, rest: &[u8], continues: bool) -> Option<(u32, usize)> {
        let mut hashes = [0_u64; N];
        let mut hash = seed(continues);
        for (&byte, slot) in rest.iter().zip(&mut hashes) {
            hash = step(hash, byte);
            *slot = hash;
        }
        let hashes = &hashes[..rest.len()];
        hashes.iter().enumerate().rev().find_map(|(last, &hash)| {
            let length = last + 1;
            self.find(&rest[..length], continues, hash).map(|id| (id, length))
        })
    }

    #[inline]
    fn find(&self, bytes: &[u8], continues: bool, hash: u64) -> Option<u32> {
        let (word, bit) = bit_of(hash);
        if bytes.is_empty() || self.filter[word] & bit == 0 {
            return None;
        }
        let (tag, mut at) = self.place(hash);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            let id = slot & 0xffff;
            if slot >> 16 == tag && self.is(id, bytes, continues) {
                return Some(id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn is(&self, id: u32, bytes: &[u8], continues: bool) -> bool {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        let entry = &self.text.as_bytes()[start..self.ends[id] as usize];
        if continues {
            entry
                .strip_prefix(CONTINUATION.as_bytes())
                .is_some_and(|entry| entry == bytes)
        } else {
            entry == bytes
        }
    }

    fn insert(&mut self, id: usize) -> Result<(), VocabularyError> {
        let Some(entry) = self.entry(id as u32).filter(|entry| !entry.is_empty()) else {
            return Ok(());
        };
        if let Some(first) = self.id_of(entry) {
            return Err(VocabularyError::Duplicate {
                entry: entry.into(),
                first,
                second: id,
            });
        }
        let (bytes, continues) = body(entry);
        let hash = hash_of(bytes, continues);
        let (word, bit) = bit_of(hash);
        let (tag, mut at) = self.place(hash);
        while self.slots[at] != EMPTY {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = tag << 16 | id as u32;
        self.filter[word] |= bit;
        Ok(())
    }

    /// Tag and first slot of a hash; both from its upper half, where all bytes have been mixed in.
    fn place(&self, hash: u64) -> (u32, usize) {
        let mixed = hash ^ hash >> 32;
        ((hash >> 48) as u32, mixed as usize & (self.slots.len() - 1))
    }
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vocabulary({} entries)", self.len())
    }
}

/// The letters of an entry, and whether it continues a word. `##` alone is an entry of its own.
fn body(entry: &str) -> (&[u8], bool) {
    match entry.strip_prefix(CONTINUATION) {
        Some(rest) if !rest.is_empty() => (rest.as_bytes(), true),
        _ => (entry.as_bytes(), false),
    }
}

/// Where in the filter a hash has its bit.
#[inline]
fn bit_of(hash: u64) -> (usize, u64) {
    let place = (hash >> 24) as usize % (FILTER_WORDS * 64);
    (place / 64, 1 << (place % 64))
}

#[inline]
pub(super) fn seed(continues: bool) -> u64 {
    if continues {
        0x9e37_79b9_7f4a_7c15
    } else {
        0x2545_f491_4f6c_dd1d
    }
}

#[inline]
pub(super) fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte))
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .rotate_left(23)
}

#[inline]
fn hash_of(bytes: &[u8], continues: bool) -> u64 {
    bytes.iter().fold(seed(continues), |hash, &byte| step(hash, byte))
}

// The part of a tokenizer.json that matters here.

#[derive(serde::Deserialize)]
struct TokenizerFile {
    normalizer: NormalizerPart,
    model: ModelPart,
}

#[derive(serde::Deserialize)]
struct NormalizerPart {
    lowercase: bool,
}

#[derive(serde::Deserialize)]
struct ModelPart {
    max_input_chars_per_word: usize,
    vocab: std::collections::HashMap<String, u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_and_words_are_told_apart() {
        let vocabulary = Vocabulary::new(["a", "##a", "##", "#"]).unwrap();
        assert_eq!(vocabulary.id_of("a"), Some(0));
        assert_eq!(vocabulary.id_of("##a"), Some(1));
        assert_eq!(vocabulary.id_of("##"), Some(2));
        assert_eq!(vocabulary.longest(b"ab", false), Some((0, 1)));
        assert_eq!(vocabulary.longest(b"ab", true), Some((1, 1)));
        assert_eq!(vocabulary.entries().collect::<Vec<_>>(), ["a", "##a", "##", "#"]);
    }

    #[test]
    fn a_gap_keeps_its_id_and_matches_nothing() {
        let vocabulary = Vocabulary::new(["", "x", ""]).unwrap();
        assert_eq!(
            (vocabulary.len(), vocabulary.id_of("x"), vocabulary.id_of("")),
            (3, Some(1), None)
        );
    }

    #[test]
    fn an_entry_given_twice_is_refused() {
        let error = Vocabulary::new(["x", "y", "x"]).unwrap_err();
        assert_eq!(
            error,
            VocabularyError::Duplicate {
                entry: "x".into(),
                first: 0,
                second: 2
            }
        );
    }

    #[test]
    fn overlong_entries_and_lists_are_refused() {
        let long = "x".repeat(401);
        assert!(matches!(
            Vocabulary::new([long.as_str()]),
            Err(VocabularyError::EntryTooLong { .. })
        ));
        let many: Vec<String> = (0..65_536).map(|i| i.to_string()).collect();
        let many = Vocabulary::new(many.iter().map(String::as_str));
        assert!(matches!(many, Err(VocabularyError::TooLarge { .. })));
    }
}
