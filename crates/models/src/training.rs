//! What training a learned selector takes: logged outcomes, the features of their texts, and somebody who watches.

use thiserror::Error;

use crate::{
    features::{Features, Featurizer},
    outcomes::{Logged, OutcomeTable},
};

/// Rows of an outcome table with the features of their texts, ready to be learned from.
#[derive(Clone)]
pub struct Training<'a> {
    table: &'a OutcomeTable,
    features: &'a [Features],
    /// The rows that are learned from, by number.
    rows: Vec<usize>,
    /// Of everything that is left to chance.
    pub seed: u64,
    progress: Progress<'a>,
    reader: Option<&'a Featurizer>,
}

/// Hears what is being done, how much of it is done and how much there is; false stops it.
pub type Progress<'a> = &'a (dyn Fn(&'static str, usize, usize) -> bool + Sync);

/// Why a training came to nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Nothing to learn from.
    #[error("{algorithm} needs {needs}; the outcomes hold {found}")]
    TooLittle {
        /// What was to be trained.
        algorithm: &'static str,
        /// What it needs.
        needs: &'static str,
        /// What there is.
        found: String,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Setting(#[from] crate::ConfigError),
    /// The vectors could not be indexed.
    #[error("the vectors of the training queries cannot be searched")]
    Index(#[from] fingerpost_index::Error),
    /// It estimates no answers.
    #[error("what `{0}` trains is a policy; it does not estimate how good an answer would be")]
    NoPredictor(&'static str),
    /// Somebody stopped it.
    #[error("stopped while {0}")]
    Stopped(&'static str),
}

/// The features of every row of a table.
///
/// # Errors
/// [`TrainError::Stopped`] where whoever watches wants no more.
pub fn features(
    table: &OutcomeTable,
    featurizer: &Featurizer,
    progress: Progress<'_>,
) -> Result<Vec<Features>, TrainError> {
    const READING: &str = "reading texts";
    let mut features = Vec::with_capacity(table.len());
    for (done, row) in table.rows().iter().enumerate() {
        if done % 16 == 0 && !progress(READING, done, table.len()) {
            return Err(TrainError::Stopped(READING));
        }
        features.push(featurizer.features(&row.text));
    }
    progress(READING, table.len(), table.len());
    Ok(features)
}

// === impl Training ===

impl<'a> Training<'a> {
    /// All rows of a table, with their [`features`].
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] for a table without rows, or one with more or fewer features than rows.
    pub fn new(
        table: &'a OutcomeTable,
        features: &'a [Features],
        seed: u64,
        progress: Progress<'a>,
    ) -> Result<Self, TrainError> {
        if table.is_empty() || features.len() != table.len() {
            return Err(TrainError::TooLittle {
                algorithm: "training",
                needs: "rows, and the features of each",
                found: format!("{} rows and {} features", table.len(), features.len()),
            });
        }
        Ok(Self {
            table,
            features,
            rows: (0..table.len()).collect(),
            seed,
            progress,
            reader: None,
        })
    }

    /// The same with the featurizer that read its texts, for those who read more than queries: descriptions, logged answers.
    #[must_use]
    pub fn reading(&self, reader: &'a Featurizer) -> Self {
        Self {
            reader: Some(reader),
            ..self.clone()
        }
    }

    /// The featurizer that read its texts, where it is at hand.
    pub fn reader(&self) -> Option<&'a Featurizer> {
        self.reader
    }

    /// The same with those of its rows alone whose place (counted from 0) is accepted.
    #[must_use]
    pub fn part(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows = self.rows.iter().enumerate().filter(|(place, _)| keep(*place));
        Self {
            rows: rows.map(|(_, row)| *row).collect(),
            ..self.clone()
        }
    }

    /// The table whose models these are.
    pub fn table(&self) -> &'a OutcomeTable {
        self.table
    }

    /// The rows with their features, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&'a Logged, &'a Features)> {
        let (table, features) = (self.table, self.features);
        self.rows
            .iter()
            .map(move |&row| (&table.rows()[row], &features[row]))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where whoever watches wants no more.
    pub fn report(&self, what: &'static str, done: usize, of: usize) -> Result<(), TrainError> {
        if (self.progress)(what, done, of) {
            Ok(())
        } else {
            Err(TrainError::Stopped(what))
        }
    }

    /// Values of a vector.
    pub fn dims(&self) -> usize {
        self.features.first().map_or(0, |f| f.vector.len())
    }

    /// The mean score of each model over the rows where it is known; the mean of the others' where it is known nowhere.
    pub fn mean_scores(&self) -> Vec<f64> {
        let known = |model: usize| {
            let scores = self.rows().filter_map(|(row, _)| row.scores[model]);
            let (sum, count) = scores.fold((0.0, 0.0), |(s, c), v| (s + f64::from(v), c + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        let known: Vec<Option<f64>> = (0..self.table.models().len()).map(known).collect();
        let (sum, count) = known
            .iter()
            .flatten()
            .fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
        let overall = if count > 0.0 { sum / count } else { 0.5 };
        known.into_iter().map(|k| k.unwrap_or(overall)).collect()
    }

    /// Row after row, what each model scored above its mean; 0 where that is not known.
    pub(crate) fn centred_scores(&self, means: &[f64]) -> Vec<f32> {
        let centred = |(row, _): (&'a Logged, &'a Features)| {
            let above = |(score, mean): (&Option<f32>, &f64)| score.map_or(0.0, |s| s - *mean as f32);
            row.scores.iter().zip(means).map(above).collect::<Vec<f32>>()
        };
        self.rows().flat_map(centred).collect()
    }

    /// The same, each row measured from its own mean over what is known of it; NaN where that is not known.
    pub(crate) fn row_centred_scores(&self, means: &[f64]) -> Vec<f32> {
        let centred = |(row, _): (&'a Logged, &'a Features)| {
            let above = |(score, mean): (&Option<f32>, &f64)| score.map_or(f32::NAN, |s| s - *mean as f32);
            let mut above: Vec<f32> = row.scores.iter().zip(means).map(above).collect();
            let known = above.iter().filter(|v| !v.is_nan());
            let (sum, count) = known.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0_f32));
            above.iter_mut().for_each(|v| *v -= sum / count.max(1.0));
            above
        };
        self.rows().flat_map(centred).collect()
    }
}
