//! `knn`: the models that answered the nearest logged queries best.
//!
//! The `k` nearest remembered queries vote with their outcomes, each with the weight of its cosine to the power `sharpness`; a
//! model's estimate is the weighted mean of its scores among them, drawn towards its mean over all queries by `prior`
//! imaginary neighbours that scored that mean. Feedback in service is remembered too: the latest 1,024 outcomes are searched
//! beside those of the training. Cards: `systems/43`, 5.1 item 8; `systems/18`, C2.
//!
//! Differs from the first card: a vote carries the quality alone; speed is the business of `latency_aware` and `multi_factor`,
//! and of the rule of choice. Cost: one search of the index (exact up to 2,048 queries, a graph above).

use std::{collections::VecDeque, sync::Arc};

use arc_swap::ArcSwap;
use fingerpost_core::Name;
use fingerpost_index::{Adaptive, DEFAULT_THRESHOLD, Metric, Options, Precision, kernel::Kernel};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    predictor::{Columns, Estimate, Predictor},
    training::{TrainError, Training},
};

/// How many outcomes of the service are remembered, the latest.
const REMEMBERED: usize = 1_024;
/// The graph looks at so many of its vectors at least, and at two for every neighbour that is wanted: a vote more or less of many
/// changes little.
const LEAST_EF: usize = 64;
/// Version of the state that is saved in service.
const VERSION: u32 = 1;

/// Settings of `knn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnnSettings {
    /// Neighbours that vote, 1 to 1,000. Default 40.
    pub k: usize,
    /// Power of the cosine that is a vote's weight, 0 (all alike) and more. Default 2.
    pub sharpness: f64,
    /// Imaginary neighbours with a model's mean score, 0 and more. Default 4.
    pub prior: f64,
}

/// The outcomes of remembered queries, and what they say of a new one.
#[derive(Debug)]
pub struct Knn {
    bank: Bank,
    index: Adaptive,
    columns: Columns,
    recent: ArcSwap<VecDeque<Arc<Seen>>>,
}

/// What is kept of the training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bank {
    settings: KnnSettings,
    columns: Columns,
    means: Vec<f64>,
    dims: usize,
    /// Row after row.
    vectors: Vec<f32>,
    /// Row after row, a value a column; NaN where it is not known.
    scores: Vec<f32>,
}

/// An outcome of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    vector: Vec<f32>,
    model: Name,
    quality: f64,
}

/// Where a neighbour comes from.
#[derive(Clone, Copy)]
enum Neighbour {
    /// A row of the training.
    Trained(usize),
    /// A place among those that are remembered.
    Seen(usize),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    recent: Vec<Seen>,
}

impl Default for KnnSettings {
    fn default() -> Self {
        Self {
            k: 40,
            sharpness: 2.0,
            prior: 4.0,
        }
    }
}

// === impl KnnSettings ===

impl KnnSettings {
    fn checked(&self) -> Result<(), ConfigError> {
        check("knn", "k", self.k as f64, "a whole number from 1 to 1000", |k| {
            (1.0..=1000.0).contains(&k)
        })?;
        for (key, value) in [("sharpness", self.sharpness), ("prior", self.prior)] {
            check("knn", key, value, "a finite number of at least 0", |v| {
                v >= 0.0 && v.is_finite()
            })?;
        }
        Ok(())
    }
}

// === impl Bank ===

impl Bank {
    /// Remembers every row.
    ///
    /// # Errors
    /// A setting out of range.
    pub fn train(settings: &KnnSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.checked()?;
        let unknown = |score: &Option<f32>| score.unwrap_or(f32::NAN);
        Ok(Self {
            settings: settings.clone(),
            columns: Columns::new(training.table().models().iter().cloned()),
            means: training.mean_scores(),
            dims: training.dims(),
            vectors: training.rows().flat_map(|(_, f)| &f.vector).copied().collect(),
            scores: training
                .rows()
                .flat_map(|(r, _)| r.scores.iter().map(unknown))
                .collect(),
        })
    }

    /// A bank that remembers nothing yet.
    pub fn empty(dims: usize) -> Self {
        Self {
            settings: KnnSettings::default(),
            columns: Columns::default(),
            means: Vec::new(),
            dims,
            vectors: Vec::new(),
            scores: Vec::new(),
        }
    }
}

// === impl Knn ===

impl Knn {
    /// A predictor over a bank; builds the index.
    ///
    /// # Errors
    /// [`TrainError::Index`] where the bank's vectors cannot be searched.
    pub fn new(bank: Bank) -> Result<Self, TrainError> {
        // On vectors of length one squared distance and cosine say the same, and a text without a vector is no error. Codes of a
        // byte find the way through the graph; the finds are ranked by the vectors themselves.
        let options = Options {
            metric: Metric::L2,
            precision: Precision::Int8Rerank,
            ..Options::default()
        };
        let dims = bank.dims.max(1);
        let mut index = Adaptive::new(dims, options, DEFAULT_THRESHOLD)?;
        for (id, vector) in (0..).zip(bank.vectors.chunks_exact(dims)) {
            index.insert(id, vector)?;
        }
        Ok(Self {
            columns: bank.columns.clone(),
            bank,
            index,
            recent: ArcSwap::default(),
        })
    }

    /// The `k` nearest of what was trained and what was seen since, each with its cosine, nearest first.
    fn nearest(&self, query: &[f32], k: usize, recent: &VecDeque<Arc<Seen>>) -> Vec<(f32, Neighbour)> {
        // A vector of another length finds nobody: the means are left.
        let ef = LEAST_EF.max(2 * k);
        let found = self.index.search_with(query, k, ef, None).map(|f| f.neighbours);
        let trained = found.into_iter().flatten().map(|n| {
            let cosine = 1.0 - n.distance / 2.0;
            (cosine, Neighbour::Trained(n.id as usize))
        });
        let kernel = Kernel::detect();
        let seen = recent
            .iter()
            .enumerate()
            .filter(|(_, s)| s.vector.len() == query.len());
        let seen = seen.map(|(place, s)| (kernel.dot(&s.vector, query), Neighbour::Seen(place)));
        let mut nearest: Vec<(f32, Neighbour)> = trained.chain(seen).collect();
        let nearer = |a: &(f32, Neighbour), b: &(f32, Neighbour)| b.0.total_cmp(&a.0);
        if nearest.len() > k {
            nearest.select_nth_unstable_by(k, nearer);
            nearest.truncate(k);
        }
        nearest.sort_by(nearer);
        nearest
    }
}

impl Predictor for Knn {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let settings = &self.bank.settings;
        let mut votes: Vec<Votes> = vec![Votes::default(); models.len()];
        let columns: Vec<Option<usize>> = models.iter().map(|m| self.columns.get(m)).collect();
        let width = self.columns.len();
        let recent = self.recent.load();
        for (cosine, neighbour) in self.nearest(&query.vector, settings.k, &recent) {
            let weight = f64::from(cosine.max(0.0)).powf(settings.sharpness);
            match neighbour {
                Neighbour::Trained(row) => {
                    let row = &self.bank.scores[row * width..][..width];
                    for (votes, column) in votes.iter_mut().zip(&columns) {
                        if let Some(score) = column.map(|c| row[c]).filter(|s| !s.is_nan()) {
                            votes.add(weight, f64::from(score));
                        }
                    }
                }
                Neighbour::Seen(place) => {
                    let seen = &recent[place];
                    if let Some(at) = models.iter().position(|m| **m == seen.model) {
                        votes[at].add(weight, seen.quality);
                    }
                }
            }
        }
        out.clear();
        out.extend(votes.iter().zip(&columns).map(|(votes, column)| {
            let mean = column.and_then(|c| self.bank.means.get(c).copied());
            votes.estimate(mean, settings.prior)
        }));
    }

    fn observe(&self, query: &Features, model: &Name, quality: f64) -> bool {
        let seen = Arc::new(Seen {
            vector: query.vector.clone(),
            model: model.clone(),
            quality,
        });
        self.recent.rcu(|recent| {
            let mut recent = VecDeque::clone(recent);
            if recent.len() == REMEMBERED {
                recent.pop_front();
            }
            recent.push_back(Arc::clone(&seen));
            recent
        });
        true
    }

    fn save(&self) -> Option<Vec<u8>> {
        let recent = self.recent.load().iter().map(|s| Seen::clone(s)).collect();
        let version = VERSION;
        serde_json::to_vec(&Saved { version, recent }).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                self.recent
                    .store(Arc::new(saved.recent.into_iter().map(Arc::new).collect()));
                true
            }
            _ => false,
        }
    }
}

/// Weighted votes for one model.
#[derive(Debug, Clone, Copy, Default)]
struct Votes {
    weight: f64,
    squares: f64,
    score: f64,
}

// === impl Votes ===

impl Votes {
    fn add(&mut self, weight: f64, score: f64) {
        self.weight += weight;
        self.squares += weight * weight;
        self.score += weight * score;
    }

    /// Drawn towards the mean by so many imaginary votes; `None` where neither a mean nor a vote is known.
    fn estimate(self, mean: Option<f64>, prior: f64) -> Option<Estimate> {
        let prior = if mean.is_some() { prior } else { 0.0 };
        let total = self.weight + prior;
        if total <= 0.0 {
            return mean.map(|quality| Estimate { quality, error: 0.0 });
        }
        let quality = (self.score + prior * mean.unwrap_or(0.0)) / total;
        // As if so many independent answers of this quality had been seen.
        let votes = if self.squares > 0.0 {
            self.weight.powi(2) / self.squares
        } else {
            0.0
        };
        let spread = (quality * (1.0 - quality)).max(0.0);
        let error = (spread / (votes + prior).max(1.0)).sqrt();
        Some(Estimate { quality, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::{Logged, OutcomeTable};

    fn features(x: f32, y: f32) -> Features {
        Features {
            vector: vec![x, y],
            ..Features::default()
        }
    }

    fn knn(settings: &KnnSettings) -> Knn {
        let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
        for scores in [[Some(1.0), Some(0.0)], [Some(0.5), None], [Some(0.0), Some(1.0)]] {
            let scores = scores.to_vec();
            table
                .push(Logged {
                    scores,
                    ..Logged::default()
                })
                .unwrap();
        }
        let seen = [features(1.0, 0.0), features(0.8, 0.6), features(0.0, 1.0)];
        let training = Training::new(&table, &seen, 1, &|_, _, _| true).unwrap();
        Knn::new(Bank::train(settings, &training).unwrap()).unwrap()
    }

    fn estimates(knn: &Knn, query: &Features, models: &[&str]) -> Vec<Option<f64>> {
        let models: Vec<Name> = models.iter().map(|m| Name::from(*m)).collect();
        let mut out = Vec::new();
        knn.estimate(query, &models.iter().collect::<Vec<_>>(), &mut out);
        out.into_iter()
            .map(|e| e.map(|e| (e.quality * 1e6).round() / 1e6))
            .collect()
    }

    #[test]
    fn votes_weigh_by_their_cosine_and_are_drawn_to_the_mean() {
        let settings = KnnSettings {
            k: 2,
            sharpness: 1.0,
            prior: 1.0,
        };
        // Neighbours of (1, 0): cosines 1 and 0.8. Means: a 0.5, b 0.5.
        // a: (1 + 0.4 + 0.5) / 2.8; b: (0 + 0.5) / 2, the second did not answer.
        let found = estimates(&knn(&settings), &features(1.0, 0.0), &["b", "a", "new"]);
        assert_eq!(found, [Some(0.25), Some(0.678_571), None]);
    }

    #[test]
    fn what_was_seen_in_service_votes_too_and_is_kept() {
        let settings = KnnSettings {
            k: 2,
            sharpness: 1.0,
            prior: 0.0,
        };
        let taught = knn(&settings);
        assert!(taught.observe(&features(1.0, 0.0), &"new".into(), 0.25));
        // Nearest two of (1, 0): the first row and what was seen, both at cosine 1.
        let query = features(1.0, 0.0);
        assert_eq!(estimates(&taught, &query, &["a", "new"]), [Some(1.0), Some(0.25)]);
        let restarted = knn(&settings);
        assert!(restarted.restore(&taught.save().unwrap()));
        assert_eq!(
            estimates(&restarted, &query, &["a", "new"]),
            [Some(1.0), Some(0.25)]
        );
        assert!(!restarted.restore(b"{}"));
    }

    #[test]
    fn an_empty_bank_and_a_foreign_vector_leave_the_means() {
        let settings = KnnSettings {
            prior: 0.0,
            ..KnnSettings::default()
        };
        assert_eq!(
            estimates(&knn(&settings), &Features::default(), &["a"]),
            [Some(0.5)]
        );
        let empty = Knn::new(Bank::empty(2)).unwrap();
        assert_eq!(estimates(&empty, &features(1.0, 0.0), &["a"]), [None]);
    }
}
