//! The directions along which vectors differ most: principal axes, for fewer dims at little loss.

/// A projection: subtract the mean, take the inner product with each axis.
pub(super) struct Axes {
    mean: Vec<f64>,
    /// Unit vectors, the one of greatest variance first.
    axes: Vec<Vec<f64>>,
}

/// Rounds of Jacobi's method at most; it converges in fewer than ten.
const MAX_SWEEPS: usize = 30;

// === impl Axes ===

impl Axes {
    /// The `count` first principal axes of the vectors that `vectors` yields, each of `width` values.
    pub(super) fn of<V: Iterator<Item = f32>>(
        width: usize,
        count: usize,
        vectors: impl Iterator<Item = V> + Clone,
    ) -> Self {
        let mut mean = vec![0.0; width];
        let mut total = 0.0_f64;
        for vector in vectors.clone() {
            total += 1.0;
            mean.iter_mut()
                .zip(vector)
                .for_each(|(sum, value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= total.max(1.0));
        let mut covariance = vec![vec![0.0_f64; width]; width];
        let mut centred = vec![0.0_f64; width];
        for vector in vectors {
            centred
                .iter_mut()
                .zip(vector.zip(&mean))
                .for_each(|(place, (value, mean))| *place = f64::from(value) - mean);
            for (i, row) in covariance.iter_mut().enumerate() {
                let scale = centred[i];
                row[i..]
                    .iter_mut()
                    .zip(&centred[i..])
                    .for_each(|(sum, value)| *sum += scale * value);
            }
        }
        #[allow(
            clippy::needless_range_loop,
            reason = "a symmetric matrix is read at both places"
        )]
        for i in 0..width {
            for j in 0..i {
                covariance[i][j] = covariance[j][i];
            }
        }
        let (variances, vectors) = eigen(covariance);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
        let axes = order
            .into_iter()
            .take(count)
            .map(|axis| with_fixed_sign(vectors[axis].clone()))
            .collect();
        Self { mean, axes }
    }

    /// The values of a vector on the axes.
    pub(super) fn project(&self, vector: impl Iterator<Item = f32>, into: &mut [f32]) {
        let centred: Vec<f64> = vector
            .zip(&self.mean)
            .map(|(value, mean)| f64::from(value) - mean)
            .collect();
        for (place, axis) in into.iter_mut().zip(&self.axes) {
            *place = axis.iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() as f32;
        }
    }

    /// The same axes about another mean.
    pub(super) fn about(&self, mean: Vec<f64>) -> Self {
        Self {
            mean,
            axes: self.axes.clone(),
        }
    }
}

/// An axis is the same axis reversed; make its largest value positive.
fn with_fixed_sign(mut axis: Vec<f64>) -> Vec<f64> {
    let largest = axis.iter().fold(
        0.0_f64,
        |top, value| if value.abs() > top.abs() { *value } else { top },
    );
    if largest < 0.0 {
        axis.iter_mut().for_each(|value| *value = -*value);
    }
    axis
}

/// Eigenvalues and, row by row, eigenvectors of a symmetric matrix, by Jacobi rotations.
fn eigen(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect())
        .collect();
    let scale: f64 = matrix.iter().flatten().map(|value| value * value).sum();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..n)
            .map(|i| matrix[i][i + 1..].iter().map(|value| value * value).sum::<f64>())
            .sum();
        if off <= 1e-22 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if matrix[p][q].abs() > 1e-300 {
                    rotate(&mut matrix, &mut vectors, p, q);
                }
            }
        }
    }
    ((0..n).map(|i| matrix[i][i]).collect(), vectors)
}

/// The rotation in the plane of `p` and `q` that makes their common entry zero.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for row in matrix.iter_mut() {
        let (a, b) = (row[p], row[q]);
        row[p] = c * a - s * b;
        row[q] = s * a + c * b;
    }
    mix_rows(matrix, p, q, c, s);
    mix_rows(vectors, p, q, c, s);
}

fn mix_rows(rows: &mut [Vec<f64>], p: usize, q: usize, c: f64, s: f64) {
    let (before, from_q) = rows.split_at_mut(q);
    for (a, b) in before[p].iter_mut().zip(&mut from_q[0]) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_known_matrix() {
        let (values, vectors) = eigen(vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(
            (sorted[0] - 1.0).abs() < 1e-12 && (sorted[1] - 3.0).abs() < 1e-12,
            "{values:?}"
        );
        assert!((vectors[0][0].abs() - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_first_axis_follows_the_spread() {
        // Points on a line of slope 2 through (1, 1), and a little noise across it.
        let points: Vec<[f32; 2]> = (-5..=5)
            .map(|t| {
                [
                    1.0 + t as f32 + if t % 2 == 0 { 0.02 } else { -0.02 },
                    1.0 + 2.0 * t as f32,
                ]
            })
            .collect();
        let axes = Axes::of(2, 1, points.iter().map(|point| point.iter().copied()));
        let mut on_axis = [0.0];
        axes.project([2.0, 3.0].into_iter(), &mut on_axis);
        assert!((on_axis[0] - 5.0_f32.sqrt()).abs() < 0.02, "{on_axis:?}");
    }

    #[test]
    fn all_axes_together_keep_lengths() {
        let points: Vec<[f32; 3]> = (0..20)
            .map(|i| [i as f32, (i * i % 7) as f32, (i * 5 % 11) as f32])
            .collect();
        let axes = Axes::of(3, 3, points.iter().map(|point| point.iter().copied())).about(vec![0.0; 3]);
        let mut turned = [0.0; 3];
        axes.project([1.0, 2.0, 2.0].into_iter(), &mut turned);
        assert!(
            (turned.iter().map(|x| x * x).sum::<f32>() - 9.0).abs() < 1e-4,
            "{turned:?}"
        );
    }
}
