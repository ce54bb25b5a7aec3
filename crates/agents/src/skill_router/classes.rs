//! A classifier over the entries that many requests are known of.
//!
//! Two softmax regressions, one over the request's vectors, one over its word and letter n-grams (hashed): what the one misses
//! the other often sees, and the head learns how far to trust either. Requests that nothing fitted are a class of their own.

use serde::{Deserialize, Serialize};

use super::{
    index::joined,
    words::{Stem, each_term},
};
use fingerpost_encode::Vector;

/// Buckets of hashed n-grams.
const BUCKETS: u32 = 1 << 15;
/// Requests that an entry needs to become a class.
const FEWEST: usize = 4;
/// Over the vectors.
const DENSE: Descent = Descent {
    rounds: 14,
    rate: 6.0,
    smooth: 0.1,
};
/// Over the n-grams.
const GRAMS: Descent = Descent {
    rounds: 10,
    rate: 4.0,
    smooth: 0.0,
};

/// Stands for "nothing fits" among the classes.
pub(crate) const NOTHING: u32 = u32::MAX;
/// Stands for an entry that the catalogue no longer has.
pub(crate) const GONE: u32 = u32::MAX - 1;

/// Log-probabilities by class, of each member.
pub(crate) type Likely = [Vec<f32>; 2];

/// The classifier.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Classes {
    /// The entry of each class, or [`NOTHING`], or [`GONE`].
    pub(crate) entries: Vec<u32>,
    dense: Softmax,
    grams: Softmax,
}

/// How a regression is descended.
#[derive(Clone, Copy)]
struct Descent {
    /// Rounds over the requests.
    rounds: usize,
    /// The first step's length; it falls to nothing.
    rate: f32,
    /// How much of each label goes to all classes alike (Szegedy et al. 2016). A classifier that is never quite sure says more of
    /// what it has never seen.
    smooth: f32,
}

/// Softmax regression: a row of weights a feature, one weight a class.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Softmax {
    classes: usize,
    weights: Vec<f32>,
}

// === impl Classes ===

impl Classes {
    /// Whether enough of these requests are of entries that many are known of.
    pub(crate) fn pay(gold: &[Vec<u32>]) -> bool {
        let entries = Self::frequent(gold);
        let covered = gold
            .iter()
            .filter(|g| g.iter().any(|e| entries.binary_search(e).is_ok()));
        entries.len() > 1 && gold.len() >= 500 && covered.count() * 10 >= gold.len() * 8
    }

    /// Entries with enough requests, sorted; with [`NOTHING`] where enough requests have none.
    fn frequent(gold: &[Vec<u32>]) -> Vec<u32> {
        let mut all: Vec<u32> = gold.iter().flatten().copied().collect();
        all.extend(gold.iter().filter(|g| g.is_empty()).map(|_| NOTHING));
        all.sort_unstable();
        all.chunk_by(|a, b| a == b)
            .filter(|same| same.len() >= FEWEST)
            .map(|same| same[0])
            .collect()
    }

    /// Learns from requests, their vectors by space and their right entries.
    pub(crate) fn fit(texts: &[&str], vectors: &[Vec<Vector>], gold: &[Vec<u32>]) -> Self {
        let entries = Self::frequent(gold);
        let (mut dense, mut grams, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for ((text, vectors), gold) in texts.iter().zip(vectors).zip(gold) {
            let label = match gold.as_slice() {
                [] => NOTHING,
                [one] => *one,
                _ => continue,
            };
            if let Ok(label) = entries.binary_search(&label) {
                dense.push(places(&joined(vectors)));
                grams.push(ngrams(text));
                labels.push(label as u32);
            }
        }
        let width = vectors.first().map_or(0, |v| v.iter().map(|v| v.len()).sum());
        Self {
            dense: Softmax::fit(&dense, &labels, entries.len(), width, DENSE),
            grams: Softmax::fit(&grams, &labels, entries.len(), BUCKETS as usize, GRAMS),
            entries,
        }
    }

    /// What each member makes of a request.
    pub(crate) fn likely(&self, text: &str, vectors: &[Vector]) -> Likely {
        [
            self.dense.log_shares(&places(&joined(vectors))),
            self.grams.log_shares(&ngrams(text)),
        ]
    }

    /// The class of an entry.
    pub(crate) fn class(&self, entry: u32) -> Option<usize> {
        self.entries.iter().position(|e| *e == entry)
    }

    /// Whether the parts fit together, for vectors of so many values over all spaces.
    pub(crate) fn is_sound(&self, dims: usize) -> bool {
        let fits = |softmax: &Softmax, width: usize| {
            softmax.classes == self.entries.len() && softmax.weights.len() == (width + 1) * softmax.classes
        };
        fits(&self.dense, dims) && fits(&self.grams, BUCKETS as usize)
    }
}

// === impl Softmax ===

impl Softmax {
    /// Stochastic descent, one request after the other in a fixed shuffled order.
    fn fit(rows: &[Vec<(u32, f32)>], labels: &[u32], classes: usize, width: usize, descent: Descent) -> Self {
        let mut this = Self {
            classes,
            weights: vec![0.0; (width + 1) * classes],
        };
        let many = rows.len().max(1);
        // A step that shares no divisor with the number of rows visits each once.
        let stride = (many * 7 / 11..).find(|s| gcd(*s, many) == 1).unwrap_or(1);
        let mut shares = vec![0.0; classes];
        let steps = descent.rounds * rows.len();
        for step in 0..steps {
            let place = step.wrapping_mul(stride) % many;
            let rate = descent.rate * (1.0 - step as f32 / steps as f32);
            this.scores(&rows[place], &mut shares);
            let scores = shares.clone();
            super::head::softmax(&scores, &mut shares);
            for share in &mut shares {
                *share -= descent.smooth / classes as f32;
            }
            shares[labels[place] as usize] -= 1.0 - descent.smooth;
            for &(feature, value) in rows[place].iter().chain([&(width as u32, 0.3)]) {
                let by = rate * value;
                for (weight, slope) in this.row_mut(feature).iter_mut().zip(&shares) {
                    *weight -= by * slope;
                }
            }
        }
        this
    }

    fn row_mut(&mut self, feature: u32) -> &mut [f32] {
        let at = feature as usize * self.classes;
        &mut self.weights[at..at + self.classes]
    }

    fn scores(&self, row: &[(u32, f32)], scores: &mut [f32]) {
        scores.fill(0.0);
        let bias = (self.weights.len() / self.classes.max(1)).saturating_sub(1) as u32;
        for &(feature, value) in row.iter().chain([&(bias, 0.3)]) {
            let at = feature as usize * self.classes;
            for (score, weight) in scores.iter_mut().zip(&self.weights[at..at + self.classes]) {
                *score += value * weight;
            }
        }
    }

    /// Natural logarithms of the classes' probabilities.
    fn log_shares(&self, row: &[(u32, f32)]) -> Vec<f32> {
        let mut scores = vec![0.0; self.classes];
        self.scores(row, &mut scores);
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = scores.iter().map(|s| (s - highest).exp()).sum();
        for score in &mut scores {
            *score -= highest + total.ln();
        }
        scores
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn places(vector: &[f32]) -> Vec<(u32, f32)> {
    (0..).zip(vector.iter().copied()).collect()
}

/// Words, pairs of words, and runs of three to five letters within a word and its borders; hashed, of length one.
fn ngrams(text: &str) -> Vec<(u32, f32)> {
    let mut buckets: Vec<u32> = Vec::new();
    let mut before: Option<String> = None;
    let mut bordered = Vec::new();
    each_term(text, Stem::No, |word| {
        buckets.push(bucket(1, word.bytes()));
        if let Some(before) = &before {
            buckets.push(bucket(2, before.bytes().chain([b' ']).chain(word.bytes())));
        }
        bordered.clear();
        bordered.push(b' ');
        bordered.extend_from_slice(word.as_bytes());
        bordered.push(b' ');
        for size in 3..=5 {
            buckets.extend(bordered.windows(size).map(|run| bucket(3, run.iter().copied())));
        }
        before = Some(word.to_owned());
    });
    buckets.sort_unstable();
    let mut grams: Vec<(u32, f32)> = buckets
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0], 1.0 + (same.len() as f32).ln()))
        .collect();
    let length = grams.iter().map(|g| g.1 * g.1).sum::<f32>().sqrt().max(1e-6);
    for gram in &mut grams {
        gram.1 /= length;
    }
    grams
}

fn bucket(kind: u8, bytes: impl Iterator<Item = u8>) -> u32 {
    let hash = [kind]
        .into_iter()
        .chain(bytes)
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    (hash ^ hash >> 15) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_learned_and_so_is_nothing() {
        let texts = ["cats purr", "dogs bark", "blue sky"];
        let (mut asked, mut vectors, mut gold) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..6 {
            for (place, text) in texts.iter().enumerate() {
                asked.push(*text);
                let mut vector = vec![0.0; 3];
                vector[place] = 1.0;
                vectors.push(vec![Vector::from(vector)]);
                gold.push(if place == 2 {
                    vec![]
                } else {
                    vec![place as u32 * 5]
                });
            }
        }
        let classes = Classes::fit(&asked, &vectors, &gold);
        assert_eq!(classes.entries, [0, 5, NOTHING]);
        assert!(classes.is_sound(3) && !classes.is_sound(4));
        for (place, text) in texts.iter().enumerate() {
            for member in classes.likely(text, &vectors[place]) {
                assert!(member[place] > -0.5, "{text}: {member:?}");
                let total: f32 = member.iter().map(|l| l.exp()).sum();
                assert!((total - 1.0).abs() < 1e-4);
            }
        }
        assert!(!Classes::pay(&gold));
    }
}
