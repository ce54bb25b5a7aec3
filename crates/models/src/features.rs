//! What learned selectors see of a query: its vector, its words, and plain facts of its text.

mod facts;

use std::sync::Arc;

use fingerpost_encode::{Encoder, ModelId};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use self::facts::{FACT_NAMES, FACTS};

/// Words and pairs of words fall into so many buckets.
pub const BUCKETS: usize = 1 << 15;
/// Of a longer text so many bytes are read for its words at the beginning and as many at the end: that is where what is asked
/// stands, and it bounds the cost.
const EDGE: usize = 1_500;

/// What a learned selector sees of one query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Features {
    /// The encoder's vector: of length one, or all zeros where the text holds nothing to encode.
    pub vector: Vec<f32>,
    /// How often each word, mark and pair of neighbours occurs, as `1 + ln(count)`, by bucket (below [`BUCKETS`]), ascending.
    pub words: Vec<(u16, f32)>,
    /// Facts of the text, in the order of [`FACT_NAMES`].
    pub facts: [f32; FACTS],
}

/// Makes features of texts, with one encoder.
#[derive(Clone)]
pub struct Featurizer {
    encoder: Arc<dyn Encoder>,
}

// === impl Featurizer ===

impl Featurizer {
    /// Features by this encoder.
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        Self { encoder }
    }

    /// Which weights the vectors come from: what was learned under one is of no use under another.
    pub fn model(&self) -> &ModelId {
        self.encoder.model()
    }

    /// Values of a vector.
    pub fn dims(&self) -> usize {
        self.encoder.dims()
    }

    /// The encoder's vector of a text alone.
    pub fn vector(&self, text: &str) -> fingerpost_encode::Vector {
        self.encoder.encode(text)
    }

    /// The features of a text. Costs one encoding, a few passes over the bytes, and one over the words at the edges.
    pub fn features(&self, text: &str) -> Features {
        Features {
            vector: self.encoder.encode(text).to_vec(),
            words: words(text),
            facts: facts::of(text),
        }
    }
}

/// The words, marks and pairs of neighbours at the edges of a text, lower-cased, by bucket.
fn words(text: &str) -> Vec<(u16, f32)> {
    let mut counts: FxHashMap<u16, u32> = FxHashMap::default();
    let (head, tail) = edges(text);
    for part in [head, tail] {
        let mut before = None;
        for token in tokens(part) {
            let hash = hash(token);
            *counts.entry(bucket(hash)).or_default() += 1;
            if let Some(before) = before.replace(hash) {
                *counts.entry(bucket(before.rotate_left(17) ^ hash)).or_default() += 1;
            }
        }
    }
    let weight = |(bucket, count): (u16, u32)| (bucket, 1.0 + (count as f32).ln());
    let mut words: Vec<(u16, f32)> = counts.into_iter().map(weight).collect();
    words.sort_unstable_by_key(|w| w.0);
    words
}

/// Runs of letters and digits, and every other mark by itself.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if first.is_alphanumeric() {
            rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

/// FNV-1a over the lower-cased characters: stable across machines and versions, since trained files depend on it.
fn hash(token: &str) -> u64 {
    let characters = token.chars().flat_map(char::to_lowercase);
    characters.fold(0xcbf2_9ce4_8422_2325, |hash, c| {
        (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0100_0000_01b3)
    })
}

fn bucket(hash: u64) -> u16 {
    // The upper bits of the product are the well-mixed ones.
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49) as u16
}

/// The beginning and, of a long text, the end.
fn edges(text: &str) -> (&str, &str) {
    if text.len() <= 2 * EDGE {
        return (text, "");
    }
    let head = text.floor_char_boundary(EDGE);
    let tail = text.ceil_char_boundary(text.len() - EDGE);
    (&text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_words_and_marks() {
        let found: Vec<&str> = tokens("  Is 3.14\tn\u{e4}mlich $x_1$?").collect();
        let expected = ["Is", "3", ".", "14", "n\u{e4}mlich", "$", "x", "_", "1", "$", "?"];
        assert_eq!(found, expected);
    }

    #[test]
    fn words_are_counted_by_bucket_whatever_their_case() {
        let once = words("Prove it");
        assert_eq!(once.len(), 3, "two words and their pair");
        assert!(once.iter().all(|w| w.1 == 1.0));
        assert_eq!(once, words("prove IT"));
        // "a a": the word twice, the pair once.
        let mut weights: Vec<f32> = words("a a").iter().map(|w| w.1).collect();
        weights.sort_by(f32::total_cmp);
        assert_eq!(weights, [1.0, 1.0 + 2_f32.ln()]);
        // Trained files depend on it.
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }

    proptest! {
        #[test]
        fn any_text_has_words_in_range(text in "\\PC{0,4000}") {
            let words = words(&text);
            prop_assert!(words.windows(2).all(|w| w[0].0 < w[1].0));
            prop_assert!(words.iter().all(|w| usize::from(w.0) < BUCKETS && w.1 >= 1.0));
        }
    }
}
