//! The support vectors that all machines share, and the space in which a kernel machine is a linear one.
//!
//! With the kernel matrix of the support vectors `K = L Lᵀ`, the point of a row is `L⁻¹ k(row)`: products of points are kernels
//! (exactly for the support vectors themselves). A linear machine `w` there is one with the weights `L⁻ᵀ w` on the support
//! vectors. Williams and Seeger 2001.

use fingerpost_index::kernel::Kernel;
use rand::{rngs::SmallRng, seq::index::sample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{SvmSettings, solver::Machine};

/// Added to the diagonal, so that support vectors that are all but equal do no harm.
const JITTER: f64 = 1e-3;

/// Support vectors; none of them means the linear kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Landmarks {
    width: usize,
    gamma: f32,
    /// One after the other.
    rows: Vec<f32>,
    /// Of each.
    squares: Vec<f32>,
    /// `L`, row after row. Wanted in training alone.
    #[serde(skip)]
    lower: Vec<f64>,
}

// === impl Landmarks ===

impl Landmarks {
    /// The linear kernel over rows of so many numbers.
    pub(super) fn linear(width: usize) -> Self {
        Self {
            width,
            gamma: 0.0,
            rows: Vec::new(),
            squares: Vec::new(),
            lower: Vec::new(),
        }
    }

    /// Support vectors drawn from the rows, all of them where they are few.
    pub(super) fn draw(rows: &[f32], width: usize, settings: &SvmSettings, rng: &mut SmallRng) -> Self {
        let count = rows.len() / width;
        let mut drawn = sample(rng, count, settings.supports.min(count)).into_vec();
        drawn.sort_unstable();
        let rows: Vec<f32> = drawn
            .iter()
            .flat_map(|i| &rows[i * width..][..width])
            .copied()
            .collect();
        let squares = rows
            .chunks_exact(width)
            .map(|r| fingerpost_encode::dot(r, r))
            .collect();
        let mut landmarks = Self {
            width,
            gamma: settings.gamma as f32,
            rows,
            squares,
            lower: Vec::new(),
        };
        landmarks.lower = landmarks.factor();
        landmarks
    }

    fn is_linear(&self) -> bool {
        self.squares.is_empty()
    }

    /// Numbers of a point.
    fn dims(&self) -> usize {
        if self.is_linear() {
            self.width
        } else {
            self.squares.len()
        }
    }

    /// Tells of each support vector how alike the row is to it; of the linear kernel, each number of the row.
    pub(super) fn likeness(&self, row: &[f32], mut each: impl FnMut(usize, f32)) {
        if self.is_linear() {
            row.iter().enumerate().for_each(|(place, v)| each(place, *v));
            return;
        }
        let kernel = Kernel::detect();
        let square = fingerpost_encode::dot(row, row);
        for (place, (own, own_square)) in self.rows.chunks_exact(self.width).zip(&self.squares).enumerate() {
            let distance = (square + own_square - 2.0 * kernel.dot(row, own)).max(0.0);
            each(place, (-self.gamma * distance).exp());
        }
    }

    /// The points of rows, one after the other.
    pub(super) fn map(&self, rows: &[f32]) -> Vec<f32> {
        if self.is_linear() {
            return rows.to_vec();
        }
        let dims = self.dims();
        let mut points = vec![0.0; rows.len() / self.width * dims];
        let pairs = points
            .par_chunks_exact_mut(dims)
            .zip(rows.par_chunks_exact(self.width));
        pairs.for_each(|(point, row)| {
            let mut solved = vec![0.0; dims];
            self.likeness(row, |place, like| solved[place] = f64::from(like));
            for i in 0..dims {
                let lower = &self.lower[i * dims..][..=i];
                solved[i] = (solved[i] - dot(&lower[..i], &solved[..i])) / lower[i];
            }
            point.iter_mut().zip(&solved).for_each(|(p, s)| *p = *s as f32);
        });
        points
    }

    /// Cholesky's factor of the kernel matrix.
    fn factor(&self) -> Vec<f64> {
        let dims = self.dims();
        let mut lower = vec![0.0; dims * dims];
        for i in 0..dims {
            let row = &self.rows[i * self.width..][..self.width];
            let (above, rest) = lower.split_at_mut(i * dims);
            let own = &mut rest[..dims];
            self.likeness(row, |place, like| {
                if place <= i {
                    own[place] = f64::from(like);
                }
            });
            own[i] += JITTER;
            for j in 0..i {
                let other = &above[j * dims..][..=j];
                own[j] = (own[j] - dot(&own[..j], &other[..j])) / other[j];
            }
            own[i] = (own[i] - dot(&own[..i], &own[..i])).max(JITTER / 10.0).sqrt();
        }
        lower
    }

    /// The machines' weights on the support vectors: one after the other, a weight a machine. Lets go of what only training wants:
    /// nothing can be mapped any more.
    pub(super) fn fold(&mut self, machines: &[&Machine]) -> Vec<f32> {
        let dims = self.dims();
        let factor = std::mem::take(&mut self.lower);
        let mut weights = vec![0.0; dims * machines.len()];
        for (number, machine) in machines.iter().enumerate() {
            let mut solved: Vec<f64> = machine.weights.iter().map(|w| f64::from(*w)).collect();
            if !self.is_linear() {
                for i in (0..dims).rev() {
                    let lower = &factor[i * dims..][..=i];
                    solved[i] /= lower[i];
                    let own = solved[i];
                    solved[..i].iter_mut().zip(lower).for_each(|(s, l)| *s -= l * own);
                }
            }
            let places = weights.iter_mut().skip(number).step_by(machines.len());
            places.zip(solved).for_each(|(to, w)| *to = w as f32);
        }
        weights
    }
}

/// The sum of products, in eight lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f64>()
}
