//! Logged outcomes as requests to adapters: models stand in for adapters, and a query's context is the bundled encoder's vector on its
//! main axes.

use std::path::Path;

use fingerpost_encode::{Encoder, StaticEncoder};
use fingerpost_eval::DataSet;
use fingerpost_fleet::polar::{Rows, RowsError};
use fingerpost_models::OutcomeTable;
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// The rows of one part of a data set, on so many axes as may be asked for.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) adapters: usize,
    /// By query, on the main axes of the texts of the part `train`, the first first.
    points: Vec<Vec<f32>>,
    rewards: Vec<Vec<f64>>,
}

// === impl World ===

impl World {
    /// Reads a data set; axes come from the texts of `train` alone, requests from `part`.
    pub(crate) fn open(folder: &Path, part: &str, axes: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let data = DataSet::open(folder)?;
        let encoder = StaticEncoder::bundled();
        let (mean, main) = main_axes(&vectors(&encoder, &data.part("train")?), axes);
        let table = data.part(part)?;
        let whole = table.filtered(|row| row.scores.iter().all(Option::is_some));
        let on_axes = |v: &DVector<f64>| {
            (main.transpose() * (v - &mean))
                .iter()
                .map(|x| *x as f32)
                .collect()
        };
        let scores = |row: &fingerpost_models::Logged| {
            row.scores
                .iter()
                .flatten()
                .map(|s| f64::from(*s).clamp(0.0, 1.0))
                .collect()
        };
        Ok(Self {
            name: data.name,
            adapters: whole.models().len(),
            points: vectors(&encoder, &whole).iter().map(on_axes).collect(),
            rewards: whole.rows().iter().map(scores).collect(),
        })
    }

    /// Requests on the first `axes` axes to the first `adapters` adapters. Contexts are scaled so that the longest has length 1.
    pub(crate) fn rows(
        &self,
        axes: usize,
        adapters: usize,
        page_in: f64,
        slots: usize,
    ) -> Result<Rows, RowsError> {
        let cut = |p: &Vec<f32>| p[..axes.min(p.len())].to_vec();
        let mut features: Vec<Vec<f32>> = self.points.iter().map(cut).collect();
        let length = |f: &Vec<f32>| f.iter().map(|v| v * v).sum::<f32>().sqrt();
        let longest = features.iter().map(length).fold(f32::MIN_POSITIVE, f32::max);
        features.iter_mut().flatten().for_each(|v| *v /= longest);
        let rewards = self.rewards.iter().map(|r| r[..adapters.min(r.len())].to_vec());
        Rows::new(features, rewards.collect(), page_in, slots)
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }
}

fn vectors(encoder: &StaticEncoder, table: &OutcomeTable) -> Vec<DVector<f64>> {
    let vector = |text: &str| {
        let vector = encoder.encode(text);
        DVector::from_iterator(vector.len(), vector.iter().map(|v| f64::from(*v)))
    };
    table.rows().iter().map(|row| vector(&row.text)).collect()
}

/// The mean, and the axes of most variance as columns.
fn main_axes(vectors: &[DVector<f64>], axes: usize) -> (DVector<f64>, DMatrix<f64>) {
    let dims = vectors.first().map_or(0, DVector::len);
    let mean = vectors.iter().sum::<DVector<f64>>() / vectors.len().max(1) as f64;
    let mut covariance = DMatrix::zeros(dims, dims);
    for vector in vectors {
        let from_mean = vector - &mean;
        covariance.ger(1.0, &from_mean, &from_mean, 1.0);
    }
    let eigen = SymmetricEigen::new(covariance);
    let mut order: Vec<usize> = (0..dims).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    order.truncate(axes);
    (mean, eigen.eigenvectors.select_columns(&order))
}
