//! The smallest eigenvalues of a large symmetric operator: Lanczos with full reorthogonalisation.

use nalgebra::{DMatrix, SymmetricEigen};
use rand::{Rng, rngs::SmallRng};

/// Eigenvalues with unit eigenvectors, smallest first.
pub(super) struct Spectrum {
    pub(super) values: Vec<f64>,
    pub(super) vectors: Vec<Vec<f64>>,
    /// Whether all came within the tolerance; else more may be wanted than were found.
    pub(super) settled: bool,
}

/// Which eigenvalues are wanted.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// All below zero, or so many of the smallest among them. Values inside the spectrum never come out below it, so none is
    /// invented.
    Negative(usize),
    /// Whether there are so many below zero: the search ends with the first sight of them, settled or not.
    SomeNegative(usize),
    /// So many of the smallest.
    Smallest(usize),
}

/// Most steps; what has not converged by then is taken as it stands.
const MOST_STEPS: usize = 800;
/// A pair has converged when its residual is below this share of the operator's size.
const TOLERANCE: f64 = 1e-4;

/// Finds them. `apply(x, y)` sets y to the operator's image of x. Time: a call of `apply` and n * steps a step.
pub(super) fn smallest(
    n: usize,
    wanted: Wanted,
    rng: &mut SmallRng,
    mut apply: impl FnMut(&[f64], &mut [f64]),
) -> Spectrum {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut target = n.min(64);
    let mut image = vec![0.0; n];
    let mut last_norm = 0.0;
    basis.extend(fresh(n, &[], rng));
    if basis.is_empty() {
        return Spectrum {
            values: Vec::new(),
            vectors: Vec::new(),
            settled: true,
        };
    }
    loop {
        while diagonal.len() < target && diagonal.len() < basis.len() {
            let step = diagonal.len();
            apply(&basis[step], &mut image);
            diagonal.push(dot(&image, &basis[step]));
            // Twice is enough.
            for _ in 0..2 {
                for vector in &basis {
                    let share = dot(&image, vector);
                    image.iter_mut().zip(vector).for_each(|(x, v)| *x -= share * v);
                }
            }
            last_norm = dot(&image, &image).sqrt();
            if basis.len() == n {
                last_norm = 0.0;
            } else if last_norm > 1e-9 {
                basis.push(image.iter().map(|x| x / last_norm).collect());
            } else {
                // The space is closed: go on in another one.
                last_norm = 0.0;
                basis.extend(fresh(n, &basis, rng));
            }
            beside.push(last_norm);
        }
        let steps = diagonal.len();
        let eigen = SymmetricEigen::new(DMatrix::from_fn(steps, steps, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.min(j)],
            _ => 0.0,
        }));
        let mut order: Vec<usize> = (0..steps).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
        let scale = eigen.eigenvalues.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        let negative = order.iter().take_while(|&&i| eigen.eigenvalues[i] < 0.0).count();
        let (asked, seen) = match wanted {
            Wanted::Negative(most) => (negative.min(most), false),
            Wanted::SomeNegative(count) => (negative.min(count), negative >= count),
            Wanted::Smallest(count) => (count.min(steps), false),
        };
        let residual = |i: usize| (last_norm * eigen.eigenvectors[(steps - 1, i)]).abs();
        let converged = order.iter().take(asked).all(|&i| residual(i) < TOLERANCE * scale);
        // A few values beyond those asked for must show, or more may be hidden behind them.
        let enough = seen || converged && (asked + 8 <= steps || steps == n);
        if enough || steps >= n.min(MOST_STEPS) {
            let vectors = order.iter().take(asked).map(|&i| {
                let mut vector = vec![0.0; n];
                for (step, part) in basis.iter().take(steps).enumerate() {
                    let share = eigen.eigenvectors[(step, i)];
                    vector.iter_mut().zip(part).for_each(|(x, v)| *x += share * v);
                }
                vector
            });
            return Spectrum {
                values: order.iter().take(asked).map(|&i| eigen.eigenvalues[i]).collect(),
                vectors: vectors.collect(),
                settled: enough || steps == n,
            };
        }
        target = (2 * steps).min(n).min(MOST_STEPS);
    }
}

/// A random unit vector orthogonal to the basis, or none if it spans all.
fn fresh(n: usize, basis: &[Vec<f64>], rng: &mut SmallRng) -> Option<Vec<f64>> {
    for _ in 0..4 {
        let mut vector: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        for _ in 0..2 {
            for other in basis {
                let share = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, v)| *x -= share * v);
            }
        }
        let norm = dot(&vector, &vector).sqrt();
        if norm > 1e-6 {
            return Some(vector.into_iter().map(|x| x / norm).collect());
        }
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn against_a_dense_solution() {
        let n = 90;
        let mut rng = SmallRng::seed_from_u64(3);
        let mut dense = DMatrix::from_fn(n, n, |_, _| rng.random_range(-1.0..1.0_f64));
        dense = (&dense + dense.transpose()) / 2.0;
        let apply = |x: &[f64], y: &mut [f64]| {
            for (i, y) in y.iter_mut().enumerate() {
                *y = (0..n).map(|j| dense[(i, j)] * x[j]).sum();
            }
        };
        let mut expected: Vec<f64> = SymmetricEigen::new(dense.clone())
            .eigenvalues
            .iter()
            .copied()
            .collect();
        expected.sort_by(f64::total_cmp);
        let found = smallest(n, Wanted::Smallest(5), &mut rng, apply);
        for (found, expected) in found.values.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
        let found = smallest(n, Wanted::Negative(usize::MAX), &mut rng, apply);
        assert!(found.settled);
        let negative = found.values.len();
        assert_eq!(negative, expected.iter().filter(|v| **v < 0.0).count());
    }

    #[test]
    fn what_did_not_settle_says_so() {
        // More negative values than there are steps.
        let n = MOST_STEPS + 200;
        let apply = |x: &[f64], y: &mut [f64]| {
            y.iter_mut()
                .zip(x)
                .enumerate()
                .for_each(|(i, (y, x))| *y = -((i + 1) as f64) * x);
        };
        let found = smallest(
            n,
            Wanted::Negative(usize::MAX),
            &mut SmallRng::seed_from_u64(5),
            apply,
        );
        assert!(!found.settled && found.values.len() == MOST_STEPS);
    }

    #[test]
    fn eigenvalues_that_repeat_are_found_by_going_on() {
        // diag(-1, -1, -1, 2, 2, ...)
        let mut rng = SmallRng::seed_from_u64(4);
        let apply = |x: &[f64], y: &mut [f64]| {
            y.iter_mut()
                .enumerate()
                .for_each(|(i, y)| *y = if i < 3 { -x[i] } else { 2.0 * x[i] });
        };
        let found = smallest(20, Wanted::Negative(usize::MAX), &mut rng, apply);
        assert_eq!(found.values.len(), 3);
        assert!(
            smallest(0, Wanted::Negative(usize::MAX), &mut rng, |_, _| ())
                .values
                .is_empty()
        );
    }
}
