//! What learned selectors see of a query: its vector, and a few plain facts of its text.

use std::sync::Arc;

use fingerpost_encode::{Encoder, ModelId};
use serde::{Deserialize, Serialize};

/// How many facts there are.
pub const FACTS: usize = 8;

/// What a learned selector sees of one query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Features {
    /// The encoder's vector: of length one, or all zeros where the text holds nothing to encode.
    pub vector: Vec<f32>,
    /// Facts of the text, each in 0 to 1, in the order of [`Features::FACT_NAMES`].
    pub facts: [f32; FACTS],
}

/// Makes features of texts, with one encoder.
#[derive(Clone)]
pub struct Featurizer {
    encoder: Arc<dyn Encoder>,
}

// === impl Features ===

impl Features {
    /// What each of the facts is.
    pub const FACT_NAMES: [&'static str; FACTS] = [
        "length",
        "digits",
        "lines",
        "non_ascii",
        "code",
        "options",
        "question",
        "words_long",
    ];
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

    /// The features of a text. Costs one encoding and one pass over the bytes.
    pub fn features(&self, text: &str) -> Features {
        Features {
            vector: self.encoder.encode(text).to_vec(),
            facts: facts(text),
        }
    }
}

/// Plain facts of a text, each in 0 to 1. Empty text: all 0.
fn facts(text: &str) -> [f32; FACTS] {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return [0.0; FACTS];
    }
    let share = |is: fn(&u8) -> bool| bytes.iter().filter(|b| is(b)).count() as f32 / bytes.len() as f32;
    let lines = bytes.iter().filter(|b| **b == b'\n').count();
    let words = text.split_ascii_whitespace().count().max(1);
    [
        // 64 kB and more count as 1.
        ((bytes.len() as f32).ln_1p() / (65_536_f32).ln_1p()).min(1.0),
        share(u8::is_ascii_digit),
        ((lines as f32).ln_1p() / (1_024_f32).ln_1p()).min(1.0),
        share(|b| !b.is_ascii()),
        share(|b| {
            matches!(
                b,
                b'{' | b'}' | b'(' | b')' | b'[' | b']' | b';' | b'=' | b'<' | b'>' | b'_' | b'`'
            )
        }),
        f32::from(has_options(text)),
        f32::from(text.trim_end().ends_with('?')),
        ((bytes.len() as f32 / words as f32) / 16.0).min(1.0),
    ]
}

/// Whether the text offers lettered options to choose from: two or more of `A`, `B`, `C` at the head of a line, each followed
/// by a mark.
fn has_options(text: &str) -> bool {
    let is_option = |line: &str| {
        let line = line.trim_start().trim_start_matches('(').as_bytes();
        matches!(line, [b'A'..=b'E' | b'a'..=b'e', b'.' | b')' | b':', ..])
    };
    text.lines().filter(|line| is_option(line)).nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn facts_of_a_small_text() {
        // 12 bytes, 2 of them digits, 1 line feed, 4 words.
        let facts = facts("what is\n4 2?");
        assert!((facts[0] - 13_f32.ln() / 65_537_f32.ln()).abs() < 1e-6);
        assert!((facts[1] - 2.0 / 12.0).abs() < 1e-6);
        assert!((facts[2] - 2_f32.ln() / 1_025_f32.ln()).abs() < 1e-6);
        assert_eq!(&facts[3..7], [0.0, 0.0, 0.0, 1.0]);
        assert!((facts[7] - 3.0 / 16.0).abs() < 1e-6);
    }

    #[test]
    fn options_stand_at_the_head_of_lines() {
        assert!(has_options("Which?\nA) one\nB) two"));
        assert!(has_options("Which?\n (a) one\n (b) two"));
        assert!(!has_options("A. Smith wrote it."));
        assert!(!has_options("Are we there yet?\nA dog barks.\nBut no."));
    }

    proptest! {
        #[test]
        fn facts_of_any_text_lie_in_range(text in ".{0,200}") {
            prop_assert!(facts(&text).iter().all(|f| (0.0..=1.0).contains(f)));
        }
    }
}
