//! Multinomial logistic regression over the four tiers.
//!
//! Least regularised log loss: sum over rows of -ln P(tier | row), plus half of `l2` times the squares of the weights; the
//! intercepts are held by a thousandth, so that a tier that never occurs does not drift away. Found by Nesterov's accelerated
//! gradient descent with restarts: deterministic, and with so few rows a second-order method gains nothing.

use super::features::Sparse;

/// Probabilities, or logits, by tier.
pub(super) type ByTier = [f64; 4];

/// The learned weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Softmax {
    intercept: ByTier,
    weights: Vec<ByTier>,
}

const INTERCEPT_L2: f64 = 1e-3;
const MOST_STEPS: usize = 2000;
/// Largest slope, per row, at which the search ends.
const FLAT: f64 = 1e-6;

// === impl Softmax ===

impl Softmax {
    /// Learns from rows of `width` features with their tiers.
    pub(super) fn fit(rows: &[Sparse], tiers: &[usize], width: usize, l2: f64) -> Self {
        let mut best = Self {
            intercept: [0.0; 4],
            weights: vec![[0.0; 4]; width],
        };
        // The log loss of a softmax bends at most half as much as a square.
        let step = 1.0 / (0.5 * largest_eigenvalue(rows, width) + l2.max(INTERCEPT_L2));
        let (mut ahead, mut momentum) = (best.clone(), 1.0_f64);
        for _ in 0..MOST_STEPS {
            let slope = ahead.slope(rows, tiers, l2);
            let next = ahead.moved(&slope, -step);
            // Where the last move went uphill, the momentum is wrong: begin anew.
            let uphill: f64 = slope
                .values()
                .zip(next.values().zip(best.values()))
                .map(|(s, (n, b))| s * (n - b))
                .sum();
            let flattest = slope.values().map(f64::abs).fold(0.0, f64::max);
            let following = if uphill > 0.0 {
                momentum = 1.0;
                0.0
            } else {
                let next_momentum = (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0;
                let following = (momentum - 1.0) / next_momentum;
                momentum = next_momentum;
                following
            };
            ahead = next
                .moved(&best, -following / (1.0 + following))
                .scaled(1.0 + following);
            best = next;
            if flattest <= FLAT * rows.len() as f64 {
                break;
            }
        }
        best
    }

    /// The logits of a row: these of several rows may be added up where the intercept is counted once ([`Self::add`]).
    pub(super) fn logits(&self, row: &Sparse) -> ByTier {
        let mut logits = self.intercept;
        self.add(&mut logits, row);
        logits
    }

    /// Adds what further features bear on the logits.
    pub(super) fn add(&self, logits: &mut ByTier, features: &[(u32, f64)]) {
        for &(place, value) in features {
            for (logit, weight) in logits.iter_mut().zip(&self.weights[place as usize]) {
                *logit += weight * value;
            }
        }
    }

    /// The gradient of the regularised loss.
    fn slope(&self, rows: &[Sparse], tiers: &[usize], l2: f64) -> Self {
        let mut slope = Self {
            intercept: self.intercept.map(|w| w * INTERCEPT_L2),
            weights: self.weights.iter().map(|w| w.map(|w| w * l2)).collect(),
        };
        for (row, &tier) in rows.iter().zip(tiers) {
            let mut error = probabilities(self.logits(row));
            error[tier] -= 1.0;
            for (sum, error) in slope.intercept.iter_mut().zip(&error) {
                *sum += error;
            }
            for &(place, value) in row {
                for (sum, error) in slope.weights[place as usize].iter_mut().zip(&error) {
                    *sum += error * value;
                }
            }
        }
        slope
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.intercept
            .iter()
            .chain(self.weights.iter().flatten())
            .copied()
    }

    fn moved(&self, by: &Self, times: f64) -> Self {
        let sum = |a: &ByTier, b: &ByTier| std::array::from_fn(|t| a[t] + b[t] * times);
        Self {
            intercept: sum(&self.intercept, &by.intercept),
            weights: self
                .weights
                .iter()
                .zip(&by.weights)
                .map(|(a, b)| sum(a, b))
                .collect(),
        }
    }

    fn scaled(&self, times: f64) -> Self {
        Self {
            intercept: self.intercept.map(|w| w * times),
            weights: self.weights.iter().map(|w| w.map(|w| w * times)).collect(),
        }
    }
}

/// Logits to probabilities.
pub(super) fn probabilities(logits: ByTier) -> ByTier {
    let most = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let powers = logits.map(|logit| (logit - most).exp());
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}

/// The largest eigenvalue of the squared rows (an intercept of 1 included), by power iteration, a little over.
fn largest_eigenvalue(rows: &[Sparse], width: usize) -> f64 {
    let mut vector = vec![1.0; width + 1];
    let mut value = 1.0;
    for _ in 0..30 {
        let norm = vector
            .iter()
            .map(|v| v * v)
            .sum::<f64>()
            .sqrt()
            .max(f64::MIN_POSITIVE);
        let mut image = vec![0.0; width + 1];
        for row in rows {
            let along: f64 = row
                .iter()
                .map(|&(place, x)| x * vector[place as usize])
                .sum::<f64>()
                + vector[width];
            let along = along / norm;
            for &(place, x) in row {
                image[place as usize] += x * along;
            }
            image[width] += along;
        }
        value = image.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector = image;
    }
    1.05 * value + f64::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_features_the_shares_are_learned() {
        let rows = vec![Sparse::new(); 8];
        let fitted = Softmax::fit(&rows, &[0, 0, 0, 0, 1, 1, 2, 3], 0, 1.0);
        let shares = probabilities(fitted.logits(&Sparse::new()));
        for (share, expected) in shares.into_iter().zip([0.5, 0.25, 0.125, 0.125]) {
            assert!((share - expected).abs() < 1e-3, "{shares:?}");
        }
    }

    #[test]
    fn the_slope_is_flat_where_it_ends_and_regularisation_shrinks() {
        let rows: Vec<Sparse> = (0..40)
            .map(|i| vec![(i % 4, 1.0), (4, f64::from(i) / 40.0)])
            .collect();
        let tiers: Vec<usize> = (0..40).map(|i| if i % 7 == 0 { 3 } else { i % 4 }).collect();
        let fit = |l2| Softmax::fit(&rows, &tiers, 5, l2);
        let loose = fit(0.1);
        let slope = loose.slope(&rows, &tiers, 0.1);
        assert!(slope.values().all(|s| s.abs() < 1e-3), "{slope:?}");
        let size = |of: &Softmax| of.weights.iter().flatten().map(|w| w * w).sum::<f64>();
        assert!(size(&fit(10.0)) < size(&loose));
        let most = probabilities(loose.logits(&vec![(2, 1.0), (4, 0.3)]));
        assert!(most[2] > 0.6, "{most:?}");
    }
}
