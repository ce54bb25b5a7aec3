//! Keywords that need not stand in the text letter by letter: `bm25`, `ngram`, `fuzzy`.
//!
//! BM25 is written out here rather than taken from a library: with a single document the library's inverse document
//! frequencies have nothing to count, so what remains is the saturation of the term frequency. It is that of BM25 with
//! k1 1.2, b 0.75, a typical text of [`TYPICAL_WORDS`] words, and the frequency ln(1 + 0.5/1.5) that the formula gives a
//! term which the only document contains. One mention in a text of typical length scores 0.288 a word.
//!
//! All three look at the first [`APPROXIMATE_BYTES`] of the text only: their cost is words times keywords.

use std::{borrow::Cow, cell::OnceCell};

use smallvec::SmallVec;

use super::KeywordRule;
use crate::text::{head, words};

/// How much of the text approximate methods look at.
pub(super) const APPROXIMATE_BYTES: usize = 32 * 1024;

/// Words of a text in which a single mention counts fully.
const TYPICAL_WORDS: f64 = 200.0;
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// The words of a text, and what all keywords need of them.
pub(super) struct Words {
    words: Vec<Word>,
    /// The n-grams of the text itself, of the first arity that was asked for.
    grams: OnceCell<(usize, Vec<u64>)>,
}

#[derive(Clone, Copy)]
struct Word {
    /// Place in bytes.
    start: u32,
    end: u32,
    /// Place in characters.
    from: u32,
    to: u32,
    /// Its letters, by hash.
    letters: u64,
}

pub(super) struct Approximate {
    keyword: String,
    /// Words in the keyword: runs of as many words of the text are compared with it.
    span: usize,
    method: By,
}

enum By {
    Bm25 {
        terms: Vec<String>,
        threshold: f64,
    },
    Ngram {
        grams: Grams,
        bloom: u64,
        arity: usize,
        threshold: f64,
    },
    Fuzzy {
        letters: u64,
        count: u32,
        threshold: f64,
    },
}

/// Distinct n-grams, sorted, as hashes: two that collide among a dozen are too rare to matter.
type Grams = SmallVec<[u64; 24]>;

// === impl Words ===

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let text = head(text, APPROXIMATE_BYTES);
        if text.is_ascii() {
            return Self::of_ascii(text);
        }
        let (mut byte, mut at) = (0, 0_u32);
        let place = |(start, end): (usize, usize)| {
            let from = at + text[byte..start].chars().count() as u32;
            let (mut count, mut letters) = (0, 0);
            for c in text[start..end].chars() {
                count += 1;
                letters |= bit(c);
            }
            (byte, at) = (end, from + count);
            Word {
                start: start as u32,
                end: end as u32,
                from,
                to: at,
                letters,
            }
        };
        Self {
            words: words(text).map(place).collect(),
            grams: OnceCell::new(),
        }
    }

    /// The same where every character is a byte.
    fn of_ascii(text: &str) -> Self {
        let letters = |word: &[u8]| word.iter().fold(0, |set, b| set | 1 << (b % 64));
        let word = |(start, end): (usize, usize)| Word {
            start: start as u32,
            end: end as u32,
            from: start as u32,
            to: end as u32,
            letters: letters(&text.as_bytes()[start..end]),
        };
        Self {
            words: words(text).map(word).collect(),
            grams: OnceCell::new(),
        }
    }

    /// Every run of `span` words.
    fn runs(&self, span: usize) -> impl Iterator<Item = &[Word]> {
        self.words.windows(span.max(1))
    }

    /// The n-grams of the text, by the place in characters where they start.
    fn grams(&self, text: &str, arity: usize) -> Cow<'_, [u64]> {
        let all = || {
            let text = head(text, APPROXIMATE_BYTES);
            if text.is_ascii() {
                let grams = text.as_bytes().windows(arity);
                return grams.map(|gram| hash(gram.iter().copied())).collect();
            }
            let chars: Vec<char> = text.chars().collect();
            let grams = chars.windows(arity);
            grams.map(|gram| hash(gram.iter().copied())).collect::<Vec<u64>>()
        };
        let (kept, grams) = self.grams.get_or_init(|| (arity, all()));
        if *kept == arity {
            Cow::Borrowed(grams)
        } else {
            Cow::Owned(all())
        }
    }
}

/// The text from the first word's start to the last one's end.
fn of_run<'t>(text: &'t str, run: &[Word]) -> &'t str {
    match (run.first(), run.last()) {
        (Some(first), Some(last)) => &text[first.start as usize..last.end as usize],
        _ => "",
    }
}

// === impl Approximate ===

impl Approximate {
    pub(super) fn bm25(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        let terms = words(&folded).map(|(s, e)| folded[s..e].to_owned()).collect();
        Self::new(
            folded,
            By::Bm25 {
                terms,
                threshold: rule.bm25_threshold,
            },
        )
    }

    pub(super) fn ngram(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        // A wrong arity has been reported; the rule is never run.
        let arity = rule.ngram_arity.max(1);
        let grams = grams(&folded, arity);
        let bloom = grams.iter().fold(0, |bits, gram| bits | 1 << (gram % 64));
        Self::new(
            folded,
            By::Ngram {
                grams,
                bloom,
                arity,
                threshold: rule.ngram_threshold,
            },
        )
    }

    pub(super) fn fuzzy(keyword: &str, rule: &KeywordRule) -> Self {
        let folded = fold(keyword, rule.case_sensitive);
        let letters = letters_of_words(&folded);
        let count = folded.chars().count() as u32;
        Self::new(
            folded,
            By::Fuzzy {
                letters,
                count,
                threshold: rule.fuzzy_threshold / 100.0,
            },
        )
    }

    fn new(keyword: String, method: By) -> Self {
        Self {
            span: words(&keyword).count(),
            keyword,
            method,
        }
    }

    /// The confidence of the best match that passes the threshold.
    pub(super) fn find(&self, text: &str, words: &Words) -> Option<f64> {
        match &self.method {
            By::Bm25 { terms, threshold } => {
                let (score, share) = bm25(terms, text, words);
                (score > *threshold).then_some(share)
            }
            By::Ngram {
                grams: own,
                bloom,
                arity,
                threshold,
            } => {
                // How many n-grams up to each place are the keyword's too.
                let mut shared = 0_u32;
                let grams_of_text = words.grams(text, *arity);
                let mut until: Vec<u32> = Vec::with_capacity(grams_of_text.len() + 1);
                until.push(0);
                until.extend(grams_of_text.iter().map(|gram| {
                    let known = bloom >> (gram % 64) & 1 == 1 && own.binary_search(gram).is_ok();
                    shared += u32::from(known);
                    shared
                }));
                let enough = (*threshold * own.len() as f64).ceil() as u32;
                if shared + 2 * (*arity as u32 - 1) < enough {
                    return None;
                }
                // The blanks around a run look like the blank within a keyword of several words.
                let ends = if self.keyword.contains(' ') {
                    None
                } else {
                    self.keyword.chars().next().zip(self.keyword.chars().next_back())
                };
                let can_reach =
                    |run: &&[Word]| shares_enough(of_run(text, run), run, &until, *arity, ends, enough);
                let best = words
                    .runs(self.span)
                    .filter(can_reach)
                    .map(|run| jaccard(own, &grams(of_run(text, run), *arity)))
                    .fold(0.0, f64::max);
                (best > 0.0 && best >= *threshold).then_some(best)
            }
            By::Fuzzy {
                letters,
                count,
                threshold,
            } => {
                let can_reach = |run: &&[Word]| {
                    let (Some(first), Some(last)) = (run.first(), run.last()) else {
                        return false;
                    };
                    let theirs = run.iter().fold(0, |set, word| set | word.letters);
                    best_similarity((*letters, *count), (theirs, last.to - first.from)) >= *threshold
                };
                let best = words
                    .runs(self.span)
                    .filter(can_reach)
                    .map(|run| strsim::normalized_levenshtein(&self.keyword, of_run(text, run)))
                    .fold(0.0, f64::max);
                (best > 0.0 && best >= *threshold).then_some(best)
            }
        }
    }
}

fn fold(keyword: &str, case_sensitive: bool) -> String {
    if case_sensitive {
        keyword.to_owned()
    } else {
        keyword.to_lowercase()
    }
}

/// The score, and its share of the highest possible.
fn bm25(terms: &[String], text: &str, words: &Words) -> (f64, f64) {
    let idf = (1.0 + 0.5 / 1.5_f64).ln();
    let length = words.words.len() as f64;
    let damping = K1 * (1.0 - B + B * length / TYPICAL_WORDS);
    let score: f64 = terms
        .iter()
        .map(|term| {
            let is_term = |word: &&Word| {
                let (start, end) = (word.start as usize, word.end as usize);
                end - start == term.len() && text[start..end] == **term
            };
            let count = words.words.iter().filter(is_term).count() as f64;
            idf * count * (K1 + 1.0) / (count + damping)
        })
        .sum();
    (score, score / (idf * (K1 + 1.0) * terms.len().max(1) as f64))
}

/// Distinct character n-grams of the text between `arity - 1` blanks on either side.
fn grams(text: &str, arity: usize) -> Grams {
    let blanks = || std::iter::repeat_n(' ', arity - 1);
    let chars: SmallVec<[char; 32]> = blanks().chain(text.chars()).chain(blanks()).collect();
    let mut grams: Grams = chars
        .windows(arity)
        .map(|gram| hash(gram.iter().copied()))
        .collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// FNV-1a over characters.
fn hash(gram: impl Iterator<Item = impl Into<u64>>) -> u64 {
    gram.fold(0xCBF2_9CE4_8422_2325, |h: u64, c| {
        (h ^ c.into()).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Whether the run can share `enough` n-grams with a keyword: those within it that are the keyword's, and those that reach
/// into the blanks around it, which can be the keyword's only where it begins or ends with the same letter (`ends`; `None`
/// where that cannot be told). Two sets are never more alike than what they share over the size of one.
fn shares_enough(
    text: &str,
    run: &[Word],
    until: &[u32],
    arity: usize,
    ends: Option<(char, char)>,
    enough: u32,
) -> bool {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return false;
    };
    let reach = arity as u32 - 1;
    let (from, to) = (first.from, last.to.saturating_sub(reach));
    let at = |place: u32| until.get(place as usize).or(until.last()).copied().unwrap_or(0);
    let within = if to > from { at(to) - at(from) } else { 0 };
    // Nearly all runs end here.
    if within + 2 * reach < enough {
        return false;
    }
    // A run shorter than an n-gram has some that reach out on both sides; they are counted on either.
    let begins = ends.is_none_or(|(begin, _)| text.starts_with(begin));
    let closes = ends.is_none_or(|(_, close)| text.ends_with(close));
    within + reach * (u32::from(begins) + u32::from(closes)) >= enough
}

fn jaccard(a: &Grams, b: &Grams) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let union = a.len() + b.len() - shared;
    if union == 0 {
        0.0
    } else {
        shared as f64 / union as f64
    }
}

/// A letter as one of 64 bits.
fn bit(c: char) -> u64 {
    1 << (u32::from(c) % 64)
}

/// The letters of the words in a text, without what stands between them.
fn letters_of_words(text: &str) -> u64 {
    words(text)
        .flat_map(|(s, e)| text[s..e].chars())
        .fold(0, |set, c| set | bit(c))
}

/// No two texts with these letters and lengths are more similar: an edit changes the length by at most one, adds at most one
/// letter and removes at most one.
fn best_similarity(a: (u64, u32), b: (u64, u32)) -> f64 {
    let missing = (a.0 & !b.0).count_ones().max((b.0 & !a.0).count_ones());
    let distance = missing.max(a.1.abs_diff(b.1));
    1.0 - f64::from(distance) / f64::from(a.1.max(b.1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The best of all runs without any short cut.
    fn plainly(keyword: &str, text: &str, similarity: impl Fn(&str, &str) -> f64) -> f64 {
        let words = Words::of(text);
        let span = super::words(keyword).count();
        words
            .runs(span)
            .map(|run| similarity(keyword, of_run(text, run)))
            .fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn short_cuts_never_hide_a_match(
            keyword in "[a-cä紧急]{1,6}( [a-c]{1,4})?",
            text in "([a-c]{1,6}|[ä紧急]{1,3}|[ ,.-]{1,2}){0,12}",
            arity in 1..5_usize,
            threshold in 0.05..1.0_f64,
        ) {
            let rule = KeywordRule {
                ngram_arity: arity,
                ngram_threshold: threshold,
                fuzzy_threshold: threshold * 100.0,
                ..KeywordRule::default()
            };
            let words = Words::of(&text);
            let passed = |best: f64, threshold: f64| (best > 0.0 && best >= threshold).then_some(best);
            let by_grams = plainly(&keyword, &text, |a, b| jaccard(&grams(a, arity), &grams(b, arity)));
            prop_assert_eq!(Approximate::ngram(&keyword, &rule).find(&text, &words), passed(by_grams, threshold));
            let by_edits = plainly(&keyword, &text, strsim::normalized_levenshtein);
            let found = Approximate::fuzzy(&keyword, &rule).find(&text, &words);
            prop_assert_eq!(found, passed(by_edits, rule.fuzzy_threshold / 100.0));
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
