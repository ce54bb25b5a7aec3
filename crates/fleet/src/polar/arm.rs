//! What is known of one adapter: a ridge regression of quality on context.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// Rank-one updates after which the inverse is computed afresh: their rounding errors add up.
const AFRESH: u64 = 1000;

/// `A = λI + Σ x xᵀ` and `b = Σ r x`, with what follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    a: DMatrix<f64>,
    b: DVector<f64>,
    inverse: DMatrix<f64>,
    theta: DVector<f64>,
    seen: u64,
}

/// The part of an arm that the rest follows from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedArm {
    a: Vec<f64>,
    b: Vec<f64>,
    seen: u64,
}

// === impl Arm ===

impl Arm {
    pub(crate) fn new(dims: usize, lambda: f64) -> Self {
        Self {
            a: DMatrix::identity(dims, dims) * lambda,
            b: DVector::zeros(dims),
            inverse: DMatrix::identity(dims, dims) / lambda,
            theta: DVector::zeros(dims),
            seen: 0,
        }
    }

    /// Rewards it was taught.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Estimate and width at a context of its length.
    pub(crate) fn at(&self, x: &DVector<f64>) -> (f64, f64) {
        let square = x.dot(&(&self.inverse * x));
        (self.theta.dot(x), square.max(0.0).sqrt())
    }

    pub(crate) fn learn(&mut self, x: &DVector<f64>, reward: f64) {
        self.a.ger(1.0, x, x, 1.0);
        self.b.axpy(reward, x, 1.0);
        self.seen += 1;
        if self.seen.is_multiple_of(AFRESH) {
            self.refresh();
        } else {
            // Sherman and Morrison.
            let ax = &self.inverse * x;
            let below = 1.0 + x.dot(&ax);
            self.inverse.ger(-1.0 / below, &ax, &ax, 1.0);
        }
        self.theta = &self.inverse * &self.b;
    }

    /// The inverse from `A` itself; leaves it where `A` is not positive definite, which rounding alone cannot bring about.
    fn refresh(&mut self) {
        if let Some(factors) = self.a.clone().cholesky() {
            self.inverse = factors.inverse();
        }
    }

    pub(crate) fn save(&self) -> SavedArm {
        SavedArm {
            a: self.a.as_slice().to_vec(),
            b: self.b.as_slice().to_vec(),
            seen: self.seen,
        }
    }

    /// `None` for what no arm of these dimensions was saved as.
    pub(crate) fn restore(saved: &SavedArm, dims: usize) -> Option<Self> {
        let finite = saved.a.iter().chain(&saved.b).all(|v| v.is_finite());
        if saved.a.len() != dims * dims || saved.b.len() != dims || !finite {
            return None;
        }
        let a = DMatrix::from_column_slice(dims, dims, &saved.a);
        let inverse = a.clone().cholesky()?.inverse();
        let b = DVector::from_column_slice(&saved.b);
        Some(Self {
            theta: &inverse * &b,
            a,
            b,
            inverse,
            seen: saved.seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_kept_up_to_date_and_survives() {
        let mut arm = Arm::new(2, 1.0);
        let x = DVector::from_column_slice(&[2.0, 0.0]);
        arm.learn(&x, 1.0);
        // A = diag(5, 1), b = (2, 0): estimate 2 x 2/5, width √(4/5).
        let (estimate, width) = arm.at(&x);
        assert!((estimate - 0.8).abs() < 1e-12 && (width - 0.8_f64.sqrt()).abs() < 1e-12);
        let again = Arm::restore(&arm.save(), 2).unwrap();
        assert!((again.at(&x).0 - 0.8).abs() < 1e-12 && again.seen() == 1);
        assert!(Arm::restore(&arm.save(), 3).is_none());
    }

    #[test]
    fn thousands_of_updates_do_not_drift() {
        let mut arm = Arm::new(3, 1.0);
        for i in 0..5_500_u32 {
            let angle = f64::from(i);
            arm.learn(&DVector::from_column_slice(&[angle.sin(), angle.cos(), 0.5]), 0.7);
        }
        let product = &arm.a * &arm.inverse - DMatrix::identity(3, 3);
        assert!(product.amax() < 1e-9, "{product}");
    }
}
