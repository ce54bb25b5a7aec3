//! What training a learned selector takes: logged outcomes, the features of their texts, and somebody who watches.

use thiserror::Error;

use crate::{
    features::{Features, Featurizer},
    outcomes::OutcomeTable,
};

/// Logged outcomes with the features of their texts, ready to be learned from.
pub struct Training<'a> {
    /// The outcomes.
    pub table: &'a OutcomeTable,
    /// Features of each row's text, in the order of the rows.
    pub features: Vec<Features>,
    /// Of everything that is left to chance.
    pub seed: u64,
    /// Hears how far it is and stops the training by returning false.
    pub progress: Progress<'a>,
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
    /// Somebody stopped it.
    #[error("stopped while {0}")]
    Stopped(&'static str),
}

// === impl Training ===

impl<'a> Training<'a> {
    /// Encodes all rows.
    ///
    /// # Errors
    /// [`TrainError::Stopped`]; [`TrainError::TooLittle`] for a table without rows.
    pub fn new(
        table: &'a OutcomeTable,
        featurizer: &Featurizer,
        seed: u64,
        progress: Progress<'a>,
    ) -> Result<Self, TrainError> {
        const READING: &str = "reading texts";
        if table.is_empty() {
            return Err(TrainError::TooLittle {
                algorithm: "training",
                needs: "rows",
                found: "none".to_owned(),
            });
        }
        let mut features = Vec::with_capacity(table.len());
        for (done, row) in table.rows().iter().enumerate() {
            if done % 16 == 0 && !progress(READING, done, table.len()) {
                return Err(TrainError::Stopped(READING));
            }
            features.push(featurizer.features(&row.text));
        }
        progress(READING, table.len(), table.len());
        Ok(Self {
            table,
            features,
            seed,
            progress,
        })
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

    /// The mean score of each model over the rows where it is known, and over everything where it is known nowhere.
    pub fn mean_scores(&self) -> Vec<f64> {
        let known: Vec<Option<f64>> = (0..self.table.models().len())
            .map(|m| self.table.mean_score(m))
            .collect();
        let (sum, count) = known
            .iter()
            .flatten()
            .fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
        let overall = if count > 0.0 { sum / count } else { 0.5 };
        known.into_iter().map(|k| k.unwrap_or(overall)).collect()
    }
}
