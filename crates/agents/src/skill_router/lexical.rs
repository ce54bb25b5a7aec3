//! Words in fields: BM25F for finding, and what each field has of the request for judging.
//!
//! BM25F (Robertson, Zaragoza and Taylor 2004): a term's counts are added over the fields, each weighted and divided by the
//! field's relative length, before they are saturated; so a word in the name counts for several in the body, and a long body
//! does not drown a short description.

use rustc_hash::FxHashMap;

use super::{
    field::{FIELDS, Field},
    words::{Stem, each_term},
};
use crate::Entry;

/// Saturation of a term's count.
const K1: f32 = 1.2;
/// How much a field's length matters.
const B: f32 = 0.75;

/// How often a term stands in each field of a document; from 255 on all are one.
type Counts = [u8; FIELDS];

/// Weights of the fields in [`Lexical::search`].
pub(crate) type Weights = [f32; FIELDS];

/// A name says more than a description, a description more than a body.
pub(crate) const FIELDED: Weights = [2.0, 1.5, 0.7, 0.5];

#[derive(Debug, Clone, Copy)]
struct Posting {
    document: u32,
    counts: Counts,
}

/// Documents by their words.
#[derive(Debug)]
pub(crate) struct Lexical {
    stem: Stem,
    terms: FxHashMap<Box<str>, u32>,
    postings: Vec<Vec<Posting>>,
    documents: Vec<Document>,
    mean_lengths: [f32; FIELDS],
}

#[derive(Debug)]
struct Document {
    /// By term.
    terms: Box<[(u32, Counts)]>,
    /// Pairs of neighbouring terms, hashed, sorted.
    pairs: Box<[u32]>,
    lengths: [u32; FIELDS],
    /// Weight of each field's distinct terms.
    weights: [f32; FIELDS],
}

/// A request's terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    /// The distinct terms, each with its place in the lexicon where it stands in any document, and its inverse document
    /// frequency.
    pub(crate) terms: Vec<Word>,
    pairs: Vec<u32>,
}

/// A term of a request.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: Box<str>,
    pub(crate) term: Option<u32>,
    pub(crate) idf: f32,
}

/// What a document has of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Overlap {
    /// BM25 of each field on its own.
    pub(crate) bm25: [f32; FIELDS],
    /// Share of the request's weight that stands in the field, in 0..=1.
    pub(crate) covered: [f32; FIELDS],
    /// Share of the field's weight that stands in the request, in 0..=1.
    pub(crate) covers: [f32; FIELDS],
    /// Share of the request's weight that stands in any field.
    pub(crate) covered_by_any: f32,
    /// BM25F.
    pub(crate) fielded: f32,
    /// The weight of the heaviest known term of the request that stands in no field.
    pub(crate) heaviest_missing: f32,
    /// Pairs of neighbouring terms in common, per pair of the request.
    pub(crate) pairs: f32,
}

// === impl Lexical ===

impl Lexical {
    pub(crate) fn new(entries: &[Entry], stem: Stem) -> Self {
        let mut this = Self {
            stem,
            terms: FxHashMap::default(),
            postings: Vec::new(),
            documents: Vec::with_capacity(entries.len()),
            mean_lengths: [0.0; FIELDS],
        };
        for entry in entries {
            this.add(entry);
        }
        let of = this.documents.len().max(1) as f32;
        for (field, mean) in this.mean_lengths.iter_mut().enumerate() {
            *mean = this
                .documents
                .iter()
                .map(|d| d.lengths[field] as f32)
                .sum::<f32>()
                / of;
        }
        this.weigh();
        this
    }

    fn add(&mut self, entry: &Entry) {
        let document = self.documents.len() as u32;
        let mut counts: FxHashMap<u32, Counts> = FxHashMap::default();
        let mut lengths = [0; FIELDS];
        let mut pairs = Vec::new();
        Field::each_text(entry, |field, text| {
            let mut before = None;
            each_term(text, self.stem, |word| {
                let term = if let Some(&term) = self.terms.get(word) {
                    term
                } else {
                    let term = self.terms.len() as u32;
                    self.terms.insert(word.into(), term);
                    term
                };
                let count = &mut counts.entry(term).or_default()[field];
                *count = count.saturating_add(1);
                lengths[field] += 1;
                if let Some(before) = before {
                    pairs.push(pair(before, term));
                }
                before = Some(term);
            });
        });
        pairs.sort_unstable();
        pairs.dedup();
        let mut terms: Vec<(u32, Counts)> = counts.into_iter().collect();
        terms.sort_unstable();
        self.postings.resize_with(self.terms.len(), Vec::new);
        for &(term, counts) in &terms {
            self.postings[term as usize].push(Posting { document, counts });
        }
        self.documents.push(Document {
            terms: terms.into(),
            pairs: pairs.into(),
            lengths,
            weights: [0.0; FIELDS],
        });
    }

    /// Once all documents are known, so are the weights of their terms.
    fn weigh(&mut self) {
        let idfs: Vec<f32> = (0..self.postings.len() as u32)
            .map(|t| self.idf(Some(t)))
            .collect();
        for document in &mut self.documents {
            for (term, counts) in &document.terms {
                for (weight, &count) in document.weights.iter_mut().zip(counts) {
                    *weight += if count > 0 { idfs[*term as usize] } else { 0.0 };
                }
            }
        }
    }

    /// The terms of a request.
    pub(crate) fn words(&self, text: &str) -> Words {
        let mut words = Words::default();
        let mut before = None;
        each_term(text, self.stem, |word| {
            let term = self.terms.get(word).copied();
            if let (Some(before), Some(term)) = (before, term) {
                words.pairs.push(pair(before, term));
            }
            before = term;
            if !words.terms.iter().any(|w| &*w.text == word) {
                words.terms.push(Word {
                    text: word.into(),
                    term,
                    idf: self.idf(term),
                });
            }
        });
        words.pairs.sort_unstable();
        words.pairs.dedup();
        words
    }

    /// ln(1 + (N - n + 0.5) / (n + 0.5)), above 0.
    pub(crate) fn idf(&self, term: Option<u32>) -> f32 {
        let with = term.map_or(0.0, |t| self.postings[t as usize].len() as f32);
        (1.0 + (self.documents.len() as f32 - with + 0.5) / (with + 0.5)).ln()
    }

    /// All terms, in the order of their places.
    pub(crate) fn vocabulary(&self) -> Vec<&str> {
        let mut words = vec![""; self.terms.len()];
        for (word, &term) in &self.terms {
            words[term as usize] = word;
        }
        words
    }

    /// Adds the BM25F of every document that shares a term to its place in `scores`.
    pub(crate) fn search(&self, words: &Words, weights: &Weights, scores: &mut [f32]) {
        for word in &words.terms {
            let Some(term) = word.term else { continue };
            for posting in &self.postings[term as usize] {
                let place = posting.document as usize;
                let counted = self.counted(&posting.counts, &self.documents[place].lengths, weights);
                scores[place] += word.idf * counted * (K1 + 1.0) / (K1 + counted);
            }
        }
    }

    /// A term's count over the fields, by weight and relative length.
    fn counted(&self, counts: &Counts, lengths: &[u32; FIELDS], weights: &Weights) -> f32 {
        let mut counted = 0.0;
        for field in 0..FIELDS {
            if counts[field] > 0 {
                counted += weights[field] * f32::from(counts[field]) / self.relative(field, lengths[field]);
            }
        }
        counted
    }

    fn relative(&self, field: usize, length: u32) -> f32 {
        1.0 - B + B * length as f32 / self.mean_lengths[field].max(1.0)
    }

    /// Terms of a document's field.
    pub(crate) fn terms_of(&self, document: usize, field: usize) -> impl Iterator<Item = u32> {
        let terms = &self.documents[document].terms;
        terms
            .iter()
            .filter(move |(_, counts)| counts[field] > 0)
            .map(|&(term, _)| term)
    }

    /// Documents.
    pub(crate) fn documents(&self) -> usize {
        self.documents.len()
    }

    /// Terms in each field of a document.
    pub(crate) fn lengths(&self, document: usize) -> [u32; FIELDS] {
        self.documents[document].lengths
    }

    /// Pairs of neighbouring terms of a document, hashed, sorted.
    pub(crate) fn pairs(&self, document: usize) -> &[u32] {
        &self.documents[document].pairs
    }

    /// What a document has of a request.
    pub(crate) fn overlap(&self, words: &Words, document: usize) -> Overlap {
        let mut overlap = Overlap::default();
        let doc = &self.documents[document];
        let (mut asked, mut shared) = (0.0, [0.0; FIELDS]);
        for word in &words.terms {
            asked += word.idf;
            let found = word
                .term
                .and_then(|term| doc.terms.binary_search_by_key(&term, |t| t.0).ok());
            let Some(found) = found else {
                if word.term.is_some() {
                    overlap.heaviest_missing = overlap.heaviest_missing.max(word.idf);
                }
                continue;
            };
            let counts = &doc.terms[found].1;
            overlap.covered_by_any += word.idf;
            let counted = self.counted(counts, &doc.lengths, &FIELDED);
            overlap.fielded += word.idf * counted * (K1 + 1.0) / (K1 + counted);
            for field in 0..FIELDS {
                if counts[field] > 0 {
                    shared[field] += word.idf;
                    let count = f32::from(counts[field]);
                    let relative = self.relative(field, doc.lengths[field]);
                    overlap.bm25[field] += word.idf * count * (K1 + 1.0) / (count + K1 * relative);
                }
            }
        }
        overlap.covered = shared.map(|shared| ratio(shared, asked));
        overlap.covers = std::array::from_fn(|field| ratio(shared[field], doc.weights[field]));
        overlap.covered_by_any = ratio(overlap.covered_by_any, asked);
        let pairs = words
            .pairs
            .iter()
            .filter(|pair| doc.pairs.binary_search(pair).is_ok());
        overlap.pairs = ratio(pairs.count() as f32, words.pairs.len() as f32);
        overlap
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let postings: usize = self
            .postings
            .iter()
            .map(|p| p.capacity() * size_of::<Posting>())
            .sum();
        let documents = self
            .documents
            .iter()
            .map(|d| size_of_val(&*d.terms) + size_of_val(&*d.pairs) + size_of::<Document>());
        let words: usize = self.terms.keys().map(|w| w.len() + 40).sum();
        postings + documents.sum::<usize>() + words
    }
}

fn pair(first: u32, second: u32) -> u32 {
    (first.wrapping_mul(0x9e37_79b1) ^ second).wrapping_mul(0x85eb_ca6b)
}

fn ratio(part: f32, whole: f32) -> f32 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn entry(name: &str, description: &str) -> Entry {
        Entry {
            description: description.to_owned(),
            ..Entry::named(name, Kind::Tool)
        }
    }

    #[test]
    fn by_hand() {
        let lexical = Lexical::new(
            &[entry("cats", "cats and dogs"), entry("dogs", "dogs")],
            Stem::Light,
        );
        let words = lexical.words("the cat");
        assert_eq!(words.terms.len(), 2);
        // "the" stands nowhere: ln(1 + 2.5 / 0.5); "cat" in one of two: ln(1 + 1.5 / 1.5).
        assert!((words.terms[0].idf - 6.0_f32.ln()).abs() < 1e-6);
        assert!((words.terms[1].idf - 2.0_f32.ln()).abs() < 1e-6);
        let overlap = lexical.overlap(&words, 0);
        let share = 2.0_f32.ln() / (2.0_f32.ln() + 6.0_f32.ln());
        assert!((overlap.covered[0] - share).abs() < 1e-6);
        assert_eq!(overlap.covers[0], 1.0);
        // One count in a name of mean length: idf * 2.2 / (1 + 1.2).
        assert!((overlap.bm25[0] - 2.0_f32.ln()).abs() < 1e-6);
        let mut scores = [0.0; 2];
        lexical.search(&words, &FIELDED, &mut scores);
        assert!((scores[0] - overlap.fielded).abs() < 1e-6 && scores[1] == 0.0);
    }

    #[test]
    fn a_word_in_the_name_counts_for_more() {
        let lexical = Lexical::new(&[entry("x", "weather y"), entry("weather", "x y")], Stem::Light);
        let mut scores = [0.0; 2];
        lexical.search(&lexical.words("weather"), &FIELDED, &mut scores);
        assert!(scores[1] > scores[0] && scores[0] > 0.0);
    }
}
