//! Logistic regression: p(yes | x) = 1 / (1 + exp(-(w x + b))), with a ridge on w.
//!
//! Newton's method on the penalised log-likelihood, which is concave with a single maximum; a step that makes it worse is
//! halved. Features are standardised first, so that one ridge suits all.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Newton steps at most; some ten suffice.
const MOST_STEPS: usize = 50;
/// Gain of the log-likelihood, per example, below which it has settled.
const SETTLED: f64 = 1e-9;

/// A fitted model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    means: Vec<f64>,
    scales: Vec<f64>,
    /// One a feature, then the bias.
    weights: Vec<f64>,
}

/// What keeps a model from being fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FitError {
    /// No rows, or none of one kind.
    #[error("there are {yes} examples of yes and {no} of no; give some of both")]
    OneSided {
        /// Examples of yes.
        yes: usize,
        /// Examples of no.
        no: usize,
    },
    /// Rows and labels do not fit.
    #[error("{values} values are not {labels} rows of one length; give a label for each row")]
    Shape {
        /// Values given.
        values: usize,
        /// Labels given.
        labels: usize,
    },
    /// A value that is no number.
    #[error("row {row} holds a value that is not finite; leave it out")]
    NotFinite {
        /// Which, from 0.
        row: usize,
    },
}

// === impl Logistic ===

impl Logistic {
    /// Fits the model to rows of `features` values each (row after row) and their labels. `ridge` above 0 is the weight of half
    /// the squared length of w beside the log-likelihood's sum. Time O(rows * features^2) a step.
    ///
    /// # Errors
    /// [`FitError`]: no examples of one kind, shapes, values that are not finite.
    pub fn fit(rows: &[f64], features: usize, labels: &[bool], ridge: f64) -> Result<Self, FitError> {
        if rows.len() != features * labels.len() {
            return Err(FitError::Shape {
                values: rows.len(),
                labels: labels.len(),
            });
        }
        let yes = labels.iter().filter(|&&label| label).count();
        if yes == 0 || yes == labels.len() {
            return Err(FitError::OneSided {
                yes,
                no: labels.len() - yes,
            });
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            return Err(FitError::NotFinite {
                row: at / features.max(1),
            });
        }
        let mut model = Self::standardising(rows, features, labels.len());
        let rows = model.standardised(rows, features);
        let ridge = ridge.max(1e-6);
        let mut now = model.likelihood(&rows, labels, ridge);
        for _ in 0..MOST_STEPS {
            let Some(step) = model.newton_step(&rows, labels, ridge) else {
                break;
            };
            let before = model.weights.clone();
            let mut size = 1.0;
            let mut better = false;
            while !better && size > 1e-4 {
                model.weights = before.iter().zip(&step).map(|(w, s)| w + size * s).collect();
                let next = model.likelihood(&rows, labels, ridge);
                better = next >= now;
                if better {
                    size = next - now;
                    now = next;
                } else {
                    size /= 2.0;
                }
            }
            if !better {
                model.weights = before;
                break;
            }
            if size < SETTLED * labels.len() as f64 {
                break;
            }
        }
        Ok(model)
    }

    /// The chance of yes, 0 to 1. A row of another length is read as far as both go.
    #[must_use]
    pub fn probability(&self, row: &[f64]) -> f64 {
        sigmoid(self.log_odds(row))
    }

    /// ln(p / (1 - p)) of the chance of yes: 0 and more where yes is the likelier.
    #[must_use]
    pub fn log_odds(&self, row: &[f64]) -> f64 {
        let scaled = row.iter().zip(&self.means).zip(&self.scales);
        let sum: f64 = scaled
            .zip(&self.weights)
            .map(|(((value, mean), scale), weight)| (value - mean) / scale * weight)
            .sum();
        sum + self.weights.last().copied().unwrap_or(0.0)
    }

    /// Weight of each feature in units of its standard deviation.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights[..self.weights.len() - 1]
    }

    fn standardising(rows: &[f64], features: usize, count: usize) -> Self {
        let mut means = vec![0.0; features];
        let mut squares = vec![0.0; features];
        for row in rows.chunks_exact(features.max(1)) {
            for (at, value) in row.iter().enumerate() {
                means[at] += value / count as f64;
                squares[at] += value * value / count as f64;
            }
        }
        // A feature that never changes is left at zero.
        let scale = |(square, mean): (f64, &f64)| {
            let deviation = (square - mean * mean).max(0.0).sqrt();
            if deviation > 1e-9 { deviation } else { 1.0 }
        };
        let scales = squares.into_iter().zip(&means).map(scale).collect();
        Self {
            means,
            scales,
            weights: vec![0.0; features + 1],
        }
    }

    /// Standardised rows with a 1 for the bias at their ends.
    fn standardised(&self, rows: &[f64], features: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(rows.len() / features.max(1) * (features + 1));
        for row in rows.chunks_exact(features.max(1)) {
            let scaled = row.iter().zip(&self.means).zip(&self.scales);
            out.extend(scaled.map(|((value, mean), scale)| (value - mean) / scale));
            out.push(1.0);
        }
        out
    }

    fn likelihood(&self, rows: &[f64], labels: &[bool], ridge: f64) -> f64 {
        let wide = self.weights.len();
        let fit: f64 = rows
            .chunks_exact(wide)
            .zip(labels)
            .map(|(row, &label)| {
                let margin = dot(row, &self.weights) * if label { 1.0 } else { -1.0 };
                // ln sigmoid(margin) without overflow.
                margin.min(0.0) - (-margin.abs()).exp().ln_1p()
            })
            .sum();
        fit - ridge / 2.0 * self.weights().iter().map(|w| w * w).sum::<f64>()
    }

    fn newton_step(&self, rows: &[f64], labels: &[bool], ridge: f64) -> Option<Vec<f64>> {
        let wide = self.weights.len();
        let mut gradient = DVector::zeros(wide);
        let mut curvature = DMatrix::zeros(wide, wide);
        for (row, &label) in rows.chunks_exact(wide).zip(labels) {
            let p = sigmoid(dot(row, &self.weights));
            let (miss, weight) = (f64::from(u8::from(label)) - p, (p * (1.0 - p)).max(1e-12));
            for a in 0..wide {
                gradient[a] += miss * row[a];
                for b in 0..=a {
                    curvature[(a, b)] += weight * row[a] * row[b];
                }
            }
        }
        for a in 0..wide {
            if a + 1 < wide {
                gradient[a] -= ridge * self.weights[a];
                curvature[(a, a)] += ridge;
            }
            for b in 0..a {
                curvature[(b, a)] = curvature[(a, b)];
            }
        }
        let step = curvature.cholesky()?.solve(&gradient);
        Some(step.iter().copied().collect())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_binary_feature_by_hand() {
        // Without a ridge the chances are the shares: 3 of 4 where the feature is 1, 1 of 4 where it is 0.
        let rows = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let labels = [true, true, true, false, true, false, false, false];
        let model = Logistic::fit(&rows, 1, &labels, 0.0).unwrap();
        assert!((model.probability(&[1.0]) - 0.75).abs() < 1e-4);
        assert!((model.probability(&[0.0]) - 0.25).abs() < 1e-4);
        // The more ridge, the nearer to the share of all.
        let bound = Logistic::fit(&rows, 1, &labels, 100.0).unwrap();
        assert!((bound.probability(&[1.0]) - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_clean_cut_stays_finite() {
        let rows = [-2.0, -1.0, 1.0, 2.0];
        let model = Logistic::fit(&rows, 1, &[false, false, true, true], 0.1).unwrap();
        assert!(model.probability(&[3.0]) > 0.9 && model.probability(&[-3.0]) < 0.1);
        assert!(model.weights().iter().all(|w| w.is_finite()));
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        assert_eq!(
            Logistic::fit(&[1.0], 1, &[true], 1.0),
            Err(FitError::OneSided { yes: 1, no: 0 })
        );
        assert_eq!(
            Logistic::fit(&[1.0, 2.0, 3.0], 2, &[true, false], 1.0),
            Err(FitError::Shape { values: 3, labels: 2 })
        );
        assert_eq!(
            Logistic::fit(&[1.0, f64::NAN], 1, &[true, false], 1.0),
            Err(FitError::NotFinite { row: 1 })
        );
    }
}
