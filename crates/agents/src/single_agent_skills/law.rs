//! How accuracy falls as a library grows: two laws, and which one the measurements follow.

use serde::Serialize;

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Skills in the library, above 0.
    pub size: f64,
    /// Mean over skills of the highest cosine to another skill ([`Audit::confusability`](super::Audit::confusability)).
    pub confusability: f64,
    /// Share of tasks for which the right skill was chosen, from 0 to 1.
    pub accuracy: f64,
}

/// `accuracy = alpha / (1 + (size / kappa)^gamma) - epsilon * confusability`: a capacity, and a steep fall around it where `gamma`
/// is above 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capacity {
    /// Accuracy of a small library without look-alikes.
    pub alpha: f64,
    /// The size at which the first term has halved.
    pub kappa: f64,
    /// Steepness of the fall.
    pub gamma: f64,
    /// What confusability costs, at least 0.
    pub epsilon: f64,
    /// Share of the variance that the law explains; at most 1, negative where the mean explains more.
    pub r_squared: f64,
}

/// `accuracy = a - b ln(size)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decay {
    /// Accuracy of a library of one.
    pub a: f64,
    /// Loss per factor e of size.
    pub b: f64,
    /// Share of the variance that the law explains.
    pub r_squared: f64,
}

/// Both laws over the same points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Laws {
    /// The law with a capacity (four parameters).
    pub capacity: Capacity,
    /// The law of the logarithm (two parameters).
    pub decay: Decay,
    /// By how much the Bayesian information criterion prefers the law with a capacity; negative where it prefers the logarithm.
    /// It charges each parameter ln(points), so that the law with more of them must explain more.
    pub bic_gain: f64,
}

/// How a library is best shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// All skills on one page.
    Flat,
    /// Groups first.
    Hierarchical,
}

// === impl Shape ===

impl Shape {
    /// Flat while the library is within the capacity and its skills are not easily confused; hierarchical beyond either. `capacity`
    /// in skills ([`Capacity::holds_to`]), `most_confusability` a mean cosine.
    pub fn fitting(size: usize, confusability: f64, capacity: f64, most_confusability: f64) -> Self {
        if size as f64 <= capacity && confusability <= most_confusability {
            Self::Flat
        } else {
            Self::Hierarchical
        }
    }
}

// === impl Capacity ===

impl Capacity {
    /// Fits the law by least squares. For given kappa and gamma it is linear in the other two, so only these two are searched
    /// for: a grid on logarithmic scales, refined around its best. `None` for fewer than four points or values that are no
    /// numbers.
    pub fn fit(points: &[Measured]) -> Option<Self> {
        if points.len() < 4 || !sound(points) {
            return None;
        }
        let largest = points.iter().map(|p| p.size).fold(1.0, f64::max);
        let smallest = points.iter().map(|p| p.size).fold(largest, f64::min);
        let (low, high) = ((smallest / 2.0).ln(), (largest * 8.0).ln());
        let mut best = (f64::INFINITY, low, 0.0, (0.0, 0.0));
        let consider = |kappa: f64, gamma: f64, best: &mut (f64, f64, f64, (f64, f64))| {
            let linear = linear_part(points, kappa.exp(), gamma.exp());
            let rest = residual(points, kappa.exp(), gamma.exp(), linear);
            if rest < best.0 {
                *best = (rest, kappa, gamma, linear);
            }
        };
        let (gentle, steep) = (0.2_f64.ln(), 8.0_f64.ln());
        for i in 0..=40 {
            for j in 0..=40 {
                let at = |from: f64, to: f64, step: i32| from + (to - from) * f64::from(step) / 40.0;
                consider(at(low, high, i), at(gentle, steep, j), &mut best);
            }
        }
        let (mut wide, mut tall) = ((high - low) / 40.0, (steep - gentle) / 40.0);
        for _ in 0..40 {
            let (_, kappa, gamma, _) = best;
            for i in -2..=2 {
                for j in -2..=2 {
                    let to = (
                        kappa + wide * f64::from(i) / 2.0,
                        gamma + tall * f64::from(j) / 2.0,
                    );
                    consider(to.0.clamp(low, high), to.1.clamp(gentle, steep), &mut best);
                }
            }
            wide *= 0.7;
            tall *= 0.7;
        }
        let (rest, kappa, gamma, (alpha, epsilon)) = best;
        Some(Self {
            alpha,
            kappa: kappa.exp(),
            gamma: gamma.exp(),
            epsilon,
            r_squared: 1.0 - rest / variance(points),
        })
    }

    /// The accuracy that the law expects.
    pub fn at(&self, size: f64, confusability: f64) -> f64 {
        self.alpha / (1.0 + (size / self.kappa).powf(self.gamma)) - self.epsilon * confusability
    }

    /// The size up to which at most the share `loss` (above 0, below 1) of the first term is lost. At kappa itself half is lost,
    /// which is too late to change over.
    pub fn holds_to(&self, loss: f64) -> f64 {
        self.kappa * (loss / (1.0 - loss)).powf(1.0 / self.gamma)
    }
}

// === impl Decay ===

impl Decay {
    /// Fits the law by least squares. `None` for fewer than two sizes or values that are no numbers.
    pub fn fit(points: &[Measured]) -> Option<Self> {
        if !sound(points) {
            return None;
        }
        let n = points.len() as f64;
        let x = |p: &Measured| p.size.ln();
        let (mean_x, mean_y) = (
            points.iter().map(x).sum::<f64>() / n,
            points.iter().map(|p| p.accuracy).sum::<f64>() / n,
        );
        let spread: f64 = points.iter().map(|p| (x(p) - mean_x).powi(2)).sum();
        let shared: f64 = points
            .iter()
            .map(|p| (x(p) - mean_x) * (p.accuracy - mean_y))
            .sum();
        if spread <= 0.0 || !spread.is_finite() {
            return None;
        }
        let b = -shared / spread;
        let a = mean_y + b * mean_x;
        let rest: f64 = points.iter().map(|p| (p.accuracy - a + b * x(p)).powi(2)).sum();
        Some(Self {
            a,
            b,
            r_squared: 1.0 - rest / variance(points),
        })
    }
}

// === impl Laws ===

impl Laws {
    /// Fits both. `None` where one of them cannot be fitted.
    pub fn fit(points: &[Measured]) -> Option<Self> {
        let (capacity, decay) = (Capacity::fit(points)?, Decay::fit(points)?);
        let n = points.len() as f64;
        // A perfect fit would be infinitely preferred.
        let score =
            |r_squared: f64, parameters: f64| n * (1.0 - r_squared).max(1e-9).ln() + parameters * n.ln();
        Some(Self {
            capacity,
            decay,
            bic_gain: score(decay.r_squared, 2.0) - score(capacity.r_squared, 4.0),
        })
    }
}

fn sound(points: &[Measured]) -> bool {
    let sound = |p: &Measured| {
        p.size > 0.0 && p.size.is_finite() && p.confusability.is_finite() && p.accuracy.is_finite()
    };
    !points.is_empty() && points.iter().all(sound)
}

/// Sum of squares around the mean; never 0, so that it can divide.
fn variance(points: &[Measured]) -> f64 {
    let mean = points.iter().map(|p| p.accuracy).sum::<f64>() / points.len() as f64;
    let sum: f64 = points.iter().map(|p| (p.accuracy - mean).powi(2)).sum();
    sum.max(f64::MIN_POSITIVE)
}

/// The best alpha and epsilon for given kappa and gamma; epsilon is not let below 0.
fn linear_part(points: &[Measured], kappa: f64, gamma: f64) -> (f64, f64) {
    let (mut xx, mut xz, mut zz, mut xy, mut zy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for p in points {
        let (x, z) = (1.0 / (1.0 + (p.size / kappa).powf(gamma)), -p.confusability);
        xx += x * x;
        xz += x * z;
        zz += z * z;
        xy += x * p.accuracy;
        zy += z * p.accuracy;
    }
    let determinant = xx * zz - xz * xz;
    if determinant > 1e-12 * xx * zz {
        let epsilon = (xx * zy - xz * xy) / determinant;
        if epsilon > 0.0 {
            return ((zz * xy - xz * zy) / determinant, epsilon);
        }
    }
    (if xx > 0.0 { xy / xx } else { 0.0 }, 0.0)
}

fn residual(points: &[Measured], kappa: f64, gamma: f64, (alpha, epsilon): (f64, f64)) -> f64 {
    let expected = |p: &Measured| alpha / (1.0 + (p.size / kappa).powf(gamma)) - epsilon * p.confusability;
    points.iter().map(|p| (p.accuracy - expected(p)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(accuracy: impl Fn(f64, f64) -> f64) -> Vec<Measured> {
        let sizes = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
        let all = sizes.iter().flat_map(|&size| [0.3, 0.6].map(|c| (size, c)));
        all.map(|(size, confusability)| Measured {
            size,
            confusability,
            accuracy: accuracy(size, confusability),
        })
        .collect()
    }

    #[test]
    fn the_constants_of_a_law_are_found_again() {
        let law = |size: f64, c: f64| 0.95 / (1.0 + (size / 60.0).powf(1.8)) - 0.1 * c;
        let laws = Laws::fit(&points(law)).unwrap();
        let found = laws.capacity;
        assert!(
            (found.kappa - 60.0).abs() < 1.0 && (found.gamma - 1.8).abs() < 0.03,
            "{found:?}"
        );
        assert!(
            (found.alpha - 0.95).abs() < 0.01 && (found.epsilon - 0.1).abs() < 0.01,
            "{found:?}"
        );
        assert!(found.r_squared > 0.9999 && laws.bic_gain > 0.0);
        assert!((found.at(30.0, 0.3) - law(30.0, 0.3)).abs() < 1e-2);
        // 5 % are lost where (size / 60)^1.8 = 1/19: at 11.7.
        assert!((found.holds_to(0.05) - 11.7).abs() < 0.5);
    }

    #[test]
    fn a_logarithm_is_told_from_a_capacity() {
        let laws = Laws::fit(&points(|size, _| 0.9 - 0.1 * size.ln())).unwrap();
        assert!((laws.decay.a - 0.9).abs() < 1e-9 && (laws.decay.b - 0.1).abs() < 1e-9);
        assert!(laws.decay.r_squared > 0.999_999 && laws.bic_gain < 0.0);
    }

    #[test]
    fn what_cannot_be_fitted_is_none() {
        assert!(Laws::fit(&[]).is_none());
        let one = points(|_, _| 0.5)[0];
        assert!(Laws::fit(&[one; 5]).is_none());
        assert!(
            Laws::fit(
                &[Measured {
                    accuracy: f64::NAN,
                    ..one
                }; 5]
            )
            .is_none()
        );
    }

    #[test]
    fn the_change_over() {
        assert_eq!(Shape::fitting(20, 0.5, 30.0, 0.7), Shape::Flat);
        assert_eq!(Shape::fitting(40, 0.5, 30.0, 0.7), Shape::Hierarchical);
        assert_eq!(Shape::fitting(20, 0.8, 30.0, 0.7), Shape::Hierarchical);
    }
}
