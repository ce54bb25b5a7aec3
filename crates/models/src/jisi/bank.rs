//! What is remembered: logged queries, what each model answered, and how good that was.
//!
//! Vectors of the queries are kept as they are, those of the answers in eight bits a value with the factor that brings them back to
//! length one: of a bank of 10,000 queries and ten models at 256 values that is 10 MB and 256 MB instead of 1 GB.

use fingerpost_core::Name;
use fingerpost_index::{Adaptive, DEFAULT_THRESHOLD, Metric, Options};
use serde::{Deserialize, Serialize};

use crate::{
    features::Features,
    jisi::JisiConfig,
    predictor::{Columns, Estimate, Predictor},
    training::{TrainError, Training},
};

/// Logged queries with answers and scores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bank {
    columns: Columns,
    means: Vec<f64>,
    dims: usize,
    /// Row after row.
    queries: Vec<f32>,
    /// By column, the mean vector of a model's answers: what all of them have in common tells no question from another.
    centres: Vec<f32>,
    /// Row after row, a vector a column: how each answer differs from the mean of its model's.
    #[serde(with = "as_bytes")]
    answers: Vec<i8>,
    /// Row after row, what brings each vector of an answer to length one; 0 where there is no answer.
    factors: Vec<f32>,
    /// Row after row, a value a column; NaN where it is not known.
    scores: Vec<f32>,
}

/// A bank that can be searched.
#[derive(Debug)]
pub struct Searched {
    bank: Bank,
    index: Adaptive,
}

/// A remembered query with how near it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) row: usize,
    pub(super) similarity: f64,
}

/// Rows of bytes, so that a file holds one byte a value.
mod as_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[i8], to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().map(|v| v.cast_unsigned()).collect();
        bytes.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i8>, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        Ok(bytes.into_iter().map(u8::cast_signed).collect())
    }
}

// === impl Bank ===

impl Bank {
    /// Remembers every row of a training, answers as far as they were logged.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] where answers cannot be read for want of an encoder, [`TrainError::Stopped`].
    pub fn train(training: &Training<'_>) -> Result<Self, TrainError> {
        const READING: &str = "reading answers";
        let featurizer = training.reader().ok_or_else(|| TrainError::TooLittle {
            algorithm: "jisi",
            needs: "an encoder for answers",
            found: "none".to_owned(),
        })?;
        let (width, dims) = (training.table().models().len(), training.dims());
        let mut bank = Self {
            columns: Columns::new(training.table().models().iter().cloned()),
            means: training.mean_scores(),
            dims,
            centres: vec![0.0; width * dims],
            queries: Vec::with_capacity(training.len() * dims),
            answers: Vec::with_capacity(training.len() * width * dims),
            factors: Vec::with_capacity(training.len() * width),
            scores: Vec::with_capacity(training.len() * width),
        };
        let mut vectors: Vec<Option<fingerpost_encode::Vector>> = Vec::with_capacity(training.len() * width);
        for (done, (row, features)) in training.rows().enumerate() {
            if done % 16 == 0 {
                training.report(READING, done, training.len())?;
            }
            bank.queries.extend(&features.vector);
            bank.scores
                .extend(row.scores.iter().map(|s| s.unwrap_or(f32::NAN)));
            vectors.extend((0..width).map(|model| {
                let text = row.responses.get(model).and_then(Option::as_deref);
                text.map(|t| featurizer.vector(t))
            }));
        }
        for column in 0..width {
            let of_model = vectors.iter().skip(column).step_by(width).flatten();
            let (mut count, centre) = (0.0, &mut bank.centres[column * dims..][..dims]);
            for vector in of_model {
                centre.iter_mut().zip(vector.iter()).for_each(|(c, v)| *c += v);
                count += 1.0;
            }
            centre.iter_mut().for_each(|c| *c /= f32::max(count, 1.0));
        }
        for (place, vector) in vectors.iter().enumerate() {
            let off_centre = vector.as_ref().map(|v| bank.off_centre(place % width, v));
            bank.keep_answer(&off_centre.unwrap_or_default());
        }
        Ok(bank)
    }

    /// How an answer of a model differs from the mean of its answers, as a vector of length one; all zeros where it does not.
    pub(super) fn off_centre(&self, column: usize, answer: &[f32]) -> Vec<f32> {
        let centre = self.centres.iter().skip(column * self.dims);
        let mut difference: Vec<f32> = answer.iter().zip(centre).map(|(a, c)| a - c).collect();
        let length = difference.iter().map(|d| d * d).sum::<f32>().sqrt();
        // Less is rounding: it says nothing.
        let scale = if length > 1e-4 { 1.0 / length } else { 0.0 };
        difference.iter_mut().for_each(|d| *d *= scale);
        difference
    }

    /// In eight bits: the largest value becomes 127.
    fn keep_answer(&mut self, vector: &[f32]) {
        let largest = vector.iter().map(|v| v.abs()).fold(0.0, f32::max);
        if largest <= 0.0 || !largest.is_finite() {
            self.answers.extend(std::iter::repeat_n(0, self.dims));
            self.factors.push(0.0);
            return;
        }
        let step = 127.0 / largest;
        let begin = self.answers.len();
        let values = vector.iter().chain(std::iter::repeat(&0.0)).take(self.dims);
        self.answers.extend(values.map(|v| (v * step).round() as i8));
        let length = self.answers[begin..]
            .iter()
            .map(|v| f32::from(*v).powi(2))
            .sum::<f32>()
            .sqrt();
        self.factors.push(1.0 / length);
    }

    /// The column of a model.
    pub(super) fn column(&self, model: &str) -> Option<usize> {
        self.columns.get(model)
    }

    /// A model's mean score over all rows.
    pub(super) fn mean(&self, column: usize) -> f64 {
        self.means.get(column).copied().unwrap_or(0.0)
    }

    /// How near what a model said ([`Self::off_centre`]) is to what it answered to a remembered query: their cosine. `None` where that was not logged.
    pub(super) fn answer_similarity(&self, row: usize, column: usize, said: &[f32]) -> Option<f64> {
        let place = row * self.columns.len() + column;
        let factor = self.factors.get(place).copied().filter(|f| *f > 0.0)?;
        let kept = self.answers.get(place * self.dims..)?.get(..self.dims)?;
        let product: f32 = kept.iter().zip(said).map(|(k, s)| f32::from(*k) * s).sum();
        Some(f64::from(product * factor))
    }

    /// A model's mean score over some rows, each with the weight `max(similarity, 0)^power`; `None` where none is known.
    pub(super) fn score(&self, near: &[Near], column: usize, power: f64) -> Option<f64> {
        let (mut sum, mut total) = (0.0, 0.0);
        for n in near {
            let score = self.scores.get(n.row * self.columns.len() + column);
            if let Some(score) = score.copied().filter(|s| !s.is_nan()) {
                let weight = n.similarity.max(0.0).powf(power);
                sum += weight * f64::from(score);
                total += weight;
            }
        }
        (total > 0.0).then(|| sum / total)
    }
}

// === impl Searched ===

impl Searched {
    /// Builds the index.
    ///
    /// # Errors
    /// [`TrainError::Index`] where the bank's vectors cannot be searched.
    pub fn new(bank: Bank) -> Result<Self, TrainError> {
        // On vectors of length one squared distance and cosine say the same, and a text without a vector is no error.
        let options = Options {
            metric: Metric::L2,
            ..Options::default()
        };
        let dims = bank.dims.max(1);
        let mut index = Adaptive::new(dims, options, DEFAULT_THRESHOLD)?;
        for (id, vector) in (0..).zip(bank.queries.chunks_exact(dims)) {
            index.insert(id, vector)?;
        }
        Ok(Self { bank, index })
    }

    pub(super) fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The `k` nearest remembered queries, nearest first; none for a vector of another length.
    pub(super) fn support(&self, query: &[f32], k: usize) -> Vec<Near> {
        let found = self.index.search(query, k, None).map(|f| f.neighbours);
        let near = |n: &fingerpost_index::Neighbour| Near {
            row: n.id as usize,
            similarity: 1.0 - f64::from(n.distance) / 2.0,
        };
        found.iter().flatten().map(near).collect()
    }
}

/// As a predictor: what the support set alone says, before anybody is asked. Cost: one search.
impl Predictor for Searched {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let config = JisiConfig::default();
        let near = self.support(&query.vector, config.support as usize);
        out.clear();
        out.extend(models.iter().map(|model| {
            let column = self.bank.column(model)?;
            let score = self.bank.score(&near, column, config.power);
            Some(Estimate::of(score.unwrap_or_else(|| self.bank.mean(column))))
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_encode::StaticEncoder;

    use super::*;
    use crate::{
        features::Featurizer,
        outcomes::{Logged, OutcomeTable},
    };

    fn bank() -> (Bank, Featurizer) {
        let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
        let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
        for (text, scores, responses) in [
            (
                "add two and three",
                [Some(1.0), None],
                vec![Some("five apples".to_owned()), None],
            ),
            (
                "name the capital of France",
                [Some(0.0), Some(1.0)],
                vec![Some("the river runs through Paris".to_owned()), None],
            ),
        ] {
            let row = Logged {
                scores: scores.to_vec(),
                responses,
                ..Logged::query(text, text)
            };
            table.push(row).unwrap();
        }
        let features: Vec<Features> = table
            .rows()
            .iter()
            .map(|r| featurizer.features(&r.text))
            .collect();
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        assert!(matches!(
            Bank::train(&training),
            Err(TrainError::TooLittle { .. })
        ));
        (Bank::train(&training.reading(&featurizer)).unwrap(), featurizer)
    }

    #[test]
    fn answers_are_kept_nearly_whole() {
        let (bank, featurizer) = bank();
        // Of two answers each differs from their mean as the other does, the other way round.
        let said = bank.off_centre(0, &featurizer.vector("five apples"));
        let near = |row| bank.answer_similarity(row, 0, &said).unwrap();
        assert!((near(0) - 1.0).abs() < 1e-3, "{}", near(0));
        assert!((near(1) + 1.0).abs() < 1e-3, "{}", near(1));
        let other = bank.off_centre(0, &featurizer.vector("the moon is a harsh mistress"));
        let exact = f64::from(fingerpost_encode::dot(&said, &other));
        assert!((bank.answer_similarity(0, 0, &other).unwrap() - exact).abs() < 0.01);
        let mean = bank.centres[..bank.dims].to_vec();
        assert!(bank.off_centre(0, &mean).iter().all(|d| *d == 0.0));
        for (row, column) in [(0, 1), (1, 1), (7, 0)] {
            assert_eq!(bank.answer_similarity(row, column, &said), None, "not logged");
        }
    }

    #[test]
    fn scores_weigh_by_similarity_on_hand_computed_numbers() {
        let (bank, _) = bank();
        let near = |pairs: &[(usize, f64)]| -> Vec<Near> {
            pairs
                .iter()
                .map(|&(row, similarity)| Near { row, similarity })
                .collect()
        };
        // Weights 0.25 and 1.
        let both = near(&[(0, 0.5), (1, 1.0)]);
        assert!((bank.score(&both, 0, 2.0).unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(bank.score(&both, 1, 2.0), Some(1.0), "known of one row only");
        assert_eq!(
            bank.score(&near(&[(0, -0.5)]), 0, 2.0),
            None,
            "what points away has no say"
        );
        assert_eq!(bank.score(&near(&[(0, 0.9)]), 1, 2.0), None);
        assert_eq!((bank.mean(0), bank.mean(1)), (0.5, 1.0));
    }

    #[test]
    fn it_is_searched_and_kept() {
        let (bank, featurizer) = bank();
        let bytes = postcard::to_allocvec(&bank).unwrap();
        let bank: Bank = postcard::from_bytes(&bytes).unwrap();
        let searched = Searched::new(bank).unwrap();
        let query = featurizer.features("which city is the capital of France?");
        let near = searched.support(&query.vector, 5);
        assert_eq!(near.iter().map(|n| n.row).collect::<Vec<_>>(), [1, 0]);
        assert!(near[0].similarity > near[1].similarity && near[0].similarity <= 1.0 + 1e-6);
        assert!(searched.support(&[1.0], 5).is_empty());
        let mut out = Vec::new();
        searched.estimate(&query, &[&"b".into(), &"c".into()], &mut out);
        assert_eq!(out, [Some(Estimate::of(1.0)), None]);
    }
}
