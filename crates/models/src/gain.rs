//! What an estimate's differences between models are worth in quality: one number, by least squares.
//!
//! Estimates that only tell models apart (probabilities, outputs of nets) are multiplied by it. It is fitted to rows that the
//! estimates were made without, each row measured from its own mean; where they tell nothing it is about 0, so that each model's
//! mean is left.

/// Sums over rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gain {
    square: f64,
    product: f64,
}

// === impl Gain ===

impl Gain {
    /// Counts a row: what was estimated and what was scored, a pair a model whose score is known.
    pub(crate) fn add(&mut self, pairs: &[(f64, f64)]) {
        let count = pairs.len().max(1) as f64;
        let (x, y) = pairs
            .iter()
            .fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
        for pair in pairs {
            self.square += (pair.0 - x).powi(2);
            self.product += (pair.0 - x) * (pair.1 - y);
        }
    }

    /// The gain; not negative, and 0 where no row tells.
    pub(crate) fn value(self) -> f64 {
        if self.square > 0.0 {
            (self.product / self.square).max(0.0)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_slope_through_rows_measured_from_their_means() {
        let mut gain = Gain::default();
        assert_eq!(gain.value(), 0.0);
        // Twice the estimate in the first row, the estimate itself in the second; levels do not count.
        gain.add(&[(0.0, 5.0), (1.0, 7.0)]);
        gain.add(&[(3.0, 0.0), (4.0, 1.0)]);
        assert!((gain.value() - 1.5).abs() < 1e-12);
        let mut turned = Gain::default();
        turned.add(&[(0.0, 1.0), (1.0, 0.0)]);
        assert_eq!(turned.value(), 0.0);
    }
}
