//! What near means.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Item};

/// What near means: the smaller the distance, the nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Squared Euclidean distance, 0 and up. Ranks unit vectors as the cosine does.
    #[default]
    L2,
    /// One less the inner product, any number. No metric: a vector need not be its own nearest.
    Ip,
    /// One less the cosine, 0 to 2. Vectors are kept as unit vectors.
    Cosine,
}

/// The greatest squared length: a quarter of the greatest f32, less what sums of f32 may be off by.
const LONGEST: f64 = 8.5e37;

// === impl Metric ===

impl Metric {
    /// Checks a vector and brings it to the form that is kept.
    pub(crate) fn admit(self, id: Item, vector: &[f32], dim: usize, out: &mut Vec<f32>) -> Result<(), Error> {
        if vector.len() != dim {
            return Err(Error::Dimension {
                id,
                found: vector.len(),
                expected: dim,
            });
        }
        if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite {
                id,
                at,
                value: vector[at],
            });
        }
        if self != Self::Cosine {
            // Two such vectors are at most twice as far apart as the longer is long, so their squared distance is a number.
            if vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() > LONGEST {
                return Err(Error::TooLong { id });
            }
            out.extend_from_slice(vector);
            return Ok(());
        }
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Error::Zero { id });
        }
        out.extend(vector.iter().map(|x| (f64::from(*x) / norm) as f32));
        Ok(())
    }

    /// What a distance is as a similarity: the greater the nearer. Minus the squared distance, the inner product, the cosine.
    pub fn similarity(self, distance: f32) -> f32 {
        match self {
            Self::L2 => -distance,
            Self::Ip | Self::Cosine => 1.0 - distance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_checked_before_they_are_kept() {
        let mut out = Vec::new();
        let mut admit = |metric: Metric, vector: &[f32]| {
            metric
                .admit(Item::Id(7), vector, 2, &mut out)
                .map_err(|e| e.to_string())
        };
        assert!(admit(Metric::L2, &[1.0]).unwrap_err().contains("vector 7 has 1"));
        assert!(
            admit(Metric::L2, &[1.0, f32::NAN])
                .unwrap_err()
                .contains("component 1 of vector 7")
        );
        assert!(
            admit(Metric::Ip, &[f32::INFINITY, 0.0])
                .unwrap_err()
                .contains("is inf")
        );
        assert!(admit(Metric::Cosine, &[0.0, 0.0]).unwrap_err().contains("zero"));
        admit(Metric::Cosine, &[3.0, 4.0]).unwrap();
        assert_eq!(out, [0.6, 0.8]);
    }

    #[test]
    fn vectors_too_long_for_distances_are_refused() {
        for metric in [Metric::L2, Metric::Ip] {
            let mut out = Vec::new();
            let error = metric.admit(Item::Id(3), &[1e19, 0.0], 2, &mut out).unwrap_err();
            assert!(matches!(error, Error::TooLong { id: Item::Id(3) }), "{error}");
            metric.admit(Item::Id(3), &[9e18, 0.0], 2, &mut out).unwrap();
        }
    }

    #[test]
    fn the_longest_vectors_do_not_overflow() {
        let mut out = Vec::new();
        Metric::Cosine
            .admit(Item::Query, &[f32::MAX, 0.0], 2, &mut out)
            .unwrap();
        assert_eq!(out, [1.0, 0.0]);
    }
}
