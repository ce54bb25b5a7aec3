//! Keywords that need not stand in the text letter by letter: `bm25`, `ngram`, `fuzzy`.
//!
//! BM25 is written out here rather than taken from a library: with a single document the library's inverse document
//! frequencies have nothing to count, so what remains is the saturation of the term frequency. It is that of BM25 with
//! k1 1.2, b 0.75, a typical text of [`TYPICAL_WORDS`] words, and the frequency ln(1 + 0.5/1.5) that the formula gives a
//! term which the only document contains. One mention in a text of typical length scores 0.288 a word.
//!
//! All three look at the first [`APPROXIMATE_BYTES`] of the text only: their cost is words times keywords.

use smallvec::SmallVec;

use super::KeywordRule;
use crate::text::{head, words};

/// How much of the text approximate methods look at.
pub(super) const APPROXIMATE_BYTES: usize = 32 * 1024;

/// Words of a text in which a single mention counts fully.
const TYPICAL_WORDS: f64 = 200.0;
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// The words of a text, by place.
pub(super) struct Words(Vec<(u32, u32)>);

pub(super) struct Approximate {
    keyword: String,
    /// Words in the keyword: runs of as many words of the text are compared with it.
    span: usize,
    method: By,
}

enum By {
    Bm25 { terms: Vec<String>, threshold: f64 },
    Ngram { grams: Grams, arity: usize, threshold: f64 },
    Fuzzy { letters: Letters, threshold: f64 },
}

/// Distinct n-grams, sorted, as hashes: two that collide among a dozen are too rare to matter.
type Grams = SmallVec<[u64; 24]>;

/// Length and set of letters, for a lower bound on the edit distance.
#[derive(Clone, Copy)]
struct Letters {
    count: u32,
    set: u64,
}

// === impl Words ===

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let places = words(head(text, APPROXIMATE_BYTES)).map(|(start, end)| (start as u32, end as u32));
        Self(places.collect())
    }

    /// Every run of `span` words, as the text between the first's start and the last's end.
    fn runs<'t>(&self, text: &'t str, span: usize) -> impl Iterator<Item = &'t str> {
        self.0
            .windows(span.max(1))
            .map(move |w| &text[w[0].0 as usize..w[w.len() - 1].1 as usize])
    }
}

// === impl Approximate ===

impl Approximate {
    pub(super) fn bm25(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        let terms = words(&folded).map(|(s, e)| folded[s..e].to_owned()).collect();
        Self::new(folded, By::Bm25 { terms, threshold: rule.bm25_threshold })
    }

    pub(super) fn ngram(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        let grams = grams(&folded, rule.ngram_arity);
        let by = By::Ngram { grams, arity: rule.ngram_arity, threshold: rule.ngram_threshold };
        Self::new(folded, by)
    }

    pub(super) fn fuzzy(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        let letters = Letters::of(&folded);
        Self::new(folded, By::Fuzzy { letters, threshold: rule.fuzzy_threshold / 100.0 })
    }

    fn new(keyword: String, method: By) -> Self {
        Self { span: words(&keyword).count(), keyword, method }
    }

    /// The confidence of the best match that passes the threshold.
    pub(super) fn find(&self, text: &str, words: &Words) -> Option<f64> {
        match &self.method {
            By::Bm25 { terms, threshold } => {
                let (score, share) = bm25(terms, text, words);
                (score > *threshold).then_some(share)
            }
            By::Ngram { grams: own, arity, threshold } => {
                let best = words
                    .runs(text, self.span)
                    .filter(|run| plausible(own.len(), run, *arity, *threshold))
                    .map(|run| jaccard(own, &grams(run, *arity)))
                    .fold(0.0, f64::max);
                (best > 0.0 && best >= *threshold).then_some(best)
            }
            By::Fuzzy { letters, threshold } => {
                let best = words
                    .runs(text, self.span)
                    .filter(|run| letters.best_similarity(Letters::of(run)) >= *threshold)
                    .map(|run| strsim::normalized_levenshtein(&self.keyword, run))
                    .fold(0.0, f64::max);
                (best > 0.0 && best >= *threshold).then_some(best)
            }
        }
    }
}

fn fold(keyword: &str, case_sensitive: bool) -> String {
    if case_sensitive { keyword.to_owned() } else { keyword.to_lowercase() }
}

/// The score, and its share of the highest possible.
fn bm25(terms: &[String], text: &str, words: &Words) -> (f64, f64) {
    let idf = (1.0 + 0.5 / 1.5_f64).ln();
    let length = words.0.len() as f64;
    let damping = K1 * (1.0 - B + B * length / TYPICAL_WORDS);
    let score: f64 = terms
        .iter()
        .map(|term| {
            let count = words.runs(text, 1).filter(|word| word == term).count() as f64;
            idf * count * (K1 + 1.0) / (count + damping)
        })
        .sum();
    (score, score / (idf * (K1 + 1.0) * terms.len().max(1) as f64))
}

/// Distinct character n-grams of the text between `arity - 1` blanks on either side.
fn grams(text: &str, arity: usize) -> Grams {
    let pad = arity.saturating_sub(1);
    let blanks = || std::iter::repeat_n(' ', pad);
    let chars: SmallVec<[char; 32]> = blanks().chain(text.chars()).chain(blanks()).collect();
    let mut grams: Grams = chars
        .windows(arity.max(1))
        .map(|gram| {
            gram.iter()
                .fold(0xCBF2_9CE4_8422_2325, |h: u64, c| (h ^ u64::from(*c)).wrapping_mul(0x0000_0100_0000_01B3))
        })
        .collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// Whether a run of this length can reach the threshold at all: its n-grams are at most its characters and the padding, and
/// two sets are never more alike than their sizes.
fn plausible(own: usize, run: &str, arity: usize, threshold: f64) -> bool {
    let most = (run.chars().count() + arity - 1) as f64;
    most / own as f64 >= threshold
}

fn jaccard(a: &Grams, b: &Grams) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let union = a.len() + b.len() - shared;
    if union == 0 { 0.0 } else { shared as f64 / union as f64 }
}

// === impl Letters ===

impl Letters {
    fn of(text: &str) -> Self {
        let mut letters = Self { count: 0, set: 0 };
        for c in text.chars() {
            letters.count += 1;
            letters.set |= 1 << (u32::from(c) % 64);
        }
        letters
    }

    /// No two texts with these letters are more similar. An edit changes the length by at most one, and adds at most one
    /// letter and removes at most one.
    fn best_similarity(self, other: Self) -> f64 {
        let missing = (self.set & !other.set).count_ones().max((other.set & !self.set).count_ones());
        let distance = missing.max(self.count.abs_diff(other.count));
        1.0 - f64::from(distance) / f64::from(self.count.max(other.count).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_quick_bound_never_hides_a_match(a in "\\PC{0,12}", b in "\\PC{0,12}") {
            let bound = Letters::of(&a).best_similarity(Letters::of(&b));
            prop_assert!(bound + 1e-12 >= strsim::normalized_levenshtein(&a, &b));
            let (x, y) = (grams(&a, 3), grams(&b, 3));
            let index = jaccard(&x, &y);
            prop_assert!(index == 0.0 || plausible(x.len(), &b, 3, index));
        }
    }

    #[test]
    fn one_mention_in_a_typical_text() {
        let text = format!("refund{}", " x".repeat(199));
        let (score, share) = bm25(&["refund".to_owned()], &text, &Words::of(&text));
        assert!((score - (4.0_f64 / 3.0).ln()).abs() < 1e-12);
        assert!((share - 1.0 / 2.2).abs() < 1e-12);
    }
}
