//! BM25 over all text of an entry at once: what a search without fields does, to compare with.

use super::{lexical::Lexical, vectors::best, words::Stem};
use crate::{Entry, Kind};

/// Entries by the words of all their text, as they stand (lower-cased, camel case split; k1 = 1.2, b = 0.75).
#[derive(Debug)]
pub struct PlainWords {
    lexical: Lexical,
}

// === impl PlainWords ===

impl PlainWords {
    /// Indexes entries; `text` says which of their text.
    pub fn new(entries: &[Entry], text: impl Fn(&Entry) -> String) -> Self {
        let flat = entries.iter().map(|entry| Entry {
            name: text(entry),
            ..Entry::named("", Kind::Tool)
        });
        Self {
            lexical: Lexical::new(&flat.collect::<Vec<_>>(), Stem::No),
        }
    }

    /// The places and scores of at most `k` entries that share a word, best first; ties go to the first.
    pub fn rank(&self, request: &str, k: usize) -> Vec<(usize, f32)> {
        let mut scores = vec![0.0; self.lexical.documents()];
        let words = self.lexical.words(request);
        self.lexical.search(&words, &[1.0; 4], &mut scores);
        let best = best(&scores, k, 0.0);
        best.into_iter()
            .map(|p| (p as usize, scores[p as usize]))
            .collect()
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.lexical.bytes()
    }
}
