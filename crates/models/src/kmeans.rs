//! `kmeans`: the model that is best on average in the query's cluster.
//!
//! Logged queries are grouped by k-means of their vectors; a model's estimate is the mean of what it scored in the cluster whose
//! centre is nearest, drawn to its overall mean by `prior` imaginary queries. Cards: `systems/43`, 5.1 item 9; `systems/18`, C1;
//! `systems/21`, S3. Cost: one distance a cluster.

use fingerpost_core::Name;
use fingerpost_hierarchy::{Effort, k_means};
use rand::{SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    predictor::{Columns, Estimate, Predictor},
    task_mix::Means,
    training::{TrainError, Training},
};

/// Settings of `kmeans`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KmeansSettings {
    /// Clusters, 1 to 10,000; at most one for every eight rows are made. Default 16.
    pub clusters: usize,
    /// Imaginary queries of each cluster with a model's overall mean score, 0 and more. Default 10.
    pub prior: f64,
}

/// Clusters of logged queries with what each model scored in each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kmeans {
    columns: Columns,
    dims: usize,
    /// Cluster after cluster.
    centres: Vec<f32>,
    /// Cluster after cluster, a mean a model.
    means: Vec<f64>,
    overall: Vec<f64>,
}

impl Default for KmeansSettings {
    fn default() -> Self {
        Self {
            clusters: 16,
            prior: 10.0,
        }
    }
}

// === impl KmeansSettings ===

impl KmeansSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let allowed = "a whole number from 1 to 10000";
        check("kmeans", "clusters", self.clusters as f64, allowed, |c| {
            (1.0..=1e4).contains(&c)
        })?;
        let allowed = "a finite number of at least 0";
        check("kmeans", "prior", self.prior, allowed, |v| {
            v >= 0.0 && v.is_finite()
        })?;
        Ok(())
    }
}

// === impl Kmeans ===

impl Kmeans {
    /// Groups the queries and takes the means.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &KmeansSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        const GROUPING: &str = "grouping queries";
        settings.check()?;
        let dims = training.dims();
        let clusters = settings.clusters.min(training.len() / 8).max(1);
        let vectors: Vec<f32> = training.rows().flat_map(|(_, f)| &f.vector).copied().collect();
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let effort = Effort {
            starts: 2,
            rounds: 25,
        };
        let mut go_on = || training.report(GROUPING, 0, 1).is_ok();
        let groups = k_means(&vectors, dims, clusters, effort, &mut rng, &mut go_on)
            .ok_or(TrainError::Stopped(GROUPING))?;
        let groups = if dims == 0 {
            vec![0; training.len()]
        } else {
            groups
        };
        let clusters = groups.iter().max().map_or(1, |g| g + 1);

        let overall = training.mean_scores();
        let mut means = Means::new(&overall, clusters, settings.prior);
        let mut centres = vec![0.0; clusters * dims];
        let mut counts = vec![0.0; clusters];
        for ((row, features), &group) in training.rows().zip(&groups) {
            means.add(group, &row.scores);
            counts[group] += 1.0;
            let centre = &mut centres[group * dims..][..dims];
            centre.iter_mut().zip(&features.vector).for_each(|(c, v)| *c += v);
        }
        for (centre, count) in centres.chunks_exact_mut(dims.max(1)).zip(&counts) {
            centre.iter_mut().for_each(|c| *c /= count);
        }
        Ok(Self {
            columns: Columns::new(training.table().models().iter().cloned()),
            dims,
            centres,
            means: means.finish(),
            overall,
        })
    }

    /// The cluster whose centre is nearest to a vector; `None` for a vector of another length.
    fn nearest(&self, vector: &[f32]) -> Option<usize> {
        if vector.len() != self.dims || self.dims == 0 {
            return None;
        }
        let square = |centre: &[f32]| {
            centre
                .iter()
                .zip(vector)
                .map(|(c, v)| (c - v).powi(2))
                .sum::<f32>()
        };
        let squares = self.centres.chunks_exact(self.dims).map(square).enumerate();
        squares
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(cluster, _)| cluster)
    }
}

impl Predictor for Kmeans {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let width = self.overall.len();
        let means = match self.nearest(&query.vector) {
            Some(cluster) => &self.means[cluster * width..][..width],
            None => &self.overall,
        };
        out.clear();
        out.extend(
            models
                .iter()
                .map(|model| Some(Estimate::of(means[self.columns.get(model)?]))),
        );
    }
}
