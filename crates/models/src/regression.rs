//! Ridge regression over points of a [`Space`](crate::space), many targets at once, by conjugate gradients on the dual.
//!
//! Finds the weights `W` that minimise `|X W − Y|² + ridge |W|²` without ever holding `X` as a matrix: each step is one pass over
//! the points. With points of length one and a ridge of one or more, some thirty steps suffice.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    features::BUCKETS,
    space::Point,
    training::{TrainError, Training},
};

/// Most steps.
const STEPS: usize = 60;
/// Steps end when every target's residual has fallen to this share of the target.
const PRECISION: f64 = 2e-3;

/// The weights of a linear map from points to so many targets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Weights {
    /// The buckets of words that have weights, ascending: those that occurred where it was fitted.
    buckets: Vec<u16>,
    table: Table,
}

/// Weights feature after feature, a weight a target; words by their number among those that occur.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Table {
    targets: usize,
    dense: Vec<f32>,
    words: Vec<f32>,
}

/// Regresses `targets` columns (row after row in `values`) on the points.
///
/// # Errors
/// [`TrainError::Stopped`] where whoever watches wants no more.
pub(crate) fn regress(
    points: &[Point],
    values: &[f32],
    targets: usize,
    ridge: f64,
    training: &Training<'_>,
) -> Result<Weights, TrainError> {
    // Conjugate gradients for (X Xᵀ + ridge) A = Y, a column a target; W = Xᵀ A.
    let buckets = occurring(points);
    let points: Vec<Point> = points.iter().map(|p| numbered(p, &buckets)).collect();
    let (points, count) = (points.as_slice(), buckets.len());
    let mut solution = vec![0_f32; values.len()];
    let mut residual = values.to_vec();
    let mut direction = values.to_vec();
    let begun = squares(&residual, targets);
    let mut now = begun.clone();
    for step in 0..STEPS {
        training.report("fitting", step, STEPS)?;
        if now
            .iter()
            .zip(&begun)
            .all(|(now, begun)| *now <= begun * PRECISION * PRECISION)
        {
            break;
        }
        let mut product = Table::of(points, count, &direction, targets).apply(points);
        for (p, d) in product.iter_mut().zip(&direction) {
            *p += ridge as f32 * d;
        }
        let mut along = vec![0_f64; targets];
        for (d, p) in direction.chunks_exact(targets).zip(product.chunks_exact(targets)) {
            for t in 0..targets {
                along[t] += f64::from(d[t]) * f64::from(p[t]);
            }
        }
        let length: Vec<f32> = now.iter().zip(&along).map(|(n, a)| ratio(*n, *a)).collect();
        for (place, length) in (0..values.len()).zip(length.iter().cycle()) {
            solution[place] += length * direction[place];
            residual[place] -= length * product[place];
        }
        let next = squares(&residual, targets);
        let turn: Vec<f32> = next
            .iter()
            .zip(&now)
            .map(|(next, now)| ratio(*next, *now))
            .collect();
        for (place, turn) in (0..values.len()).zip(turn.iter().cycle()) {
            direction[place] = residual[place] + turn * direction[place];
        }
        now = next;
    }
    let table = Table::of(points, count, &solution, targets);
    Ok(Weights { buckets, table })
}

/// The buckets that occur in the points, ascending.
fn occurring(points: &[Point]) -> Vec<u16> {
    let mut occurs = vec![false; BUCKETS];
    for (bucket, _) in points.iter().flat_map(|p| &p.words) {
        occurs[usize::from(*bucket) % BUCKETS] = true;
    }
    (0..=u16::MAX)
        .zip(occurs)
        .filter(|(_, o)| *o)
        .map(|(b, _)| b)
        .collect()
}

/// The point with its words by their number among `buckets`; others are left out.
fn numbered(point: &Point, buckets: &[u16]) -> Point {
    let number =
        |(bucket, x): &(u16, f32)| Some((u16::try_from(buckets.binary_search(bucket).ok()?).ok()?, *x));
    Point {
        dense: point.dense.clone(),
        words: point.words.iter().filter_map(number).collect(),
    }
}

fn ratio(a: f64, b: f64) -> f32 {
    if b > 0.0 { (a / b) as f32 } else { 0.0 }
}

/// The sum of squares of each column.
fn squares(values: &[f32], targets: usize) -> Vec<f64> {
    let mut sums = vec![0.0; targets];
    for row in values.chunks_exact(targets.max(1)) {
        for (sum, v) in sums.iter_mut().zip(row) {
            *sum += f64::from(*v) * f64::from(*v);
        }
    }
    sums
}

// === impl Table ===

impl Table {
    /// `Xᵀ A`, for points with numbered words, of which there are so many.
    fn of(points: &[Point], words: usize, values: &[f32], targets: usize) -> Self {
        let dense = points.first().map_or(0, |p| p.dense.len());
        let mut table = Self {
            targets,
            dense: vec![0.0; dense * targets],
            words: vec![0.0; words * targets],
        };
        for (point, row) in points.iter().zip(values.chunks_exact(targets.max(1))) {
            for (x, into) in point.dense.iter().zip(table.dense.chunks_exact_mut(targets)) {
                into.iter_mut().zip(row).for_each(|(w, v)| *w += x * v);
            }
            for (number, x) in &point.words {
                let into = &mut table.words[usize::from(*number) * targets..][..targets];
                into.iter_mut().zip(row).for_each(|(w, v)| *w += x * v);
            }
        }
        table
    }

    /// `X W`, row after row, for points with numbered words.
    fn apply(&self, points: &[Point]) -> Vec<f32> {
        let mut values = vec![0.0; points.len() * self.targets];
        values
            .par_chunks_mut(self.targets.max(1))
            .zip(points)
            .for_each(|(out, point)| {
                self.add_dense(point, out);
                for (number, x) in &point.words {
                    self.add_word(usize::from(*number), *x, out);
                }
            });
        values
    }

    fn add_dense(&self, point: &Point, out: &mut [f32]) {
        let rows = self.dense.chunks_exact(self.targets.max(1));
        for (x, weights) in point.dense.iter().zip(rows) {
            out.iter_mut().zip(weights).for_each(|(o, w)| *o += x * w);
        }
    }

    fn add_word(&self, number: usize, x: f32, out: &mut [f32]) {
        let weights = &self.words[number * self.targets..][..self.targets];
        out.iter_mut().zip(weights).for_each(|(o, w)| *o += x * w);
    }
}

// === impl Weights ===

impl Weights {
    /// The targets' values at a point, added to `out`. Words that did not occur where it was fitted count nothing.
    pub(crate) fn apply_to(&self, point: &Point, out: &mut [f32]) {
        self.table.add_dense(point, out);
        for (bucket, x) in &point.words {
            if let Ok(number) = self.buckets.binary_search(bucket) {
                self.table.add_word(number, *x, out);
            }
        }
    }

    /// `X W`, row after row: the targets' values at points.
    pub(crate) fn apply(&self, points: &[Point]) -> Vec<f32> {
        let mut values = vec![0.0; points.len() * self.targets()];
        values
            .par_chunks_mut(self.targets().max(1))
            .zip(points)
            .for_each(|(out, point)| self.apply_to(point, out));
        values
    }

    /// A checksum: equal for equal weights.
    pub(crate) fn sum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        let all = self.table.dense.iter().chain(&self.table.words);
        all.for_each(|w| sum.update(&w.to_le_bytes()));
        sum.finalize()
    }

    /// How many targets there are.
    pub(crate) fn targets(&self) -> usize {
        self.table.targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        features::Features,
        outcomes::{Logged, OutcomeTable},
    };

    #[test]
    fn it_solves_the_normal_equations() {
        let point = |dense: [f32; 2], word: f32| Point {
            dense: dense.to_vec(),
            words: vec![(7, word)],
        };
        let points = [
            point([1.0, 0.0], 0.5),
            point([0.0, 1.0], -0.5),
            point([0.6, 0.8], 0.0),
        ];
        let values = [1.0, 0.0, 0.0, 2.0, 1.0, 1.0];
        let mut table = OutcomeTable::new(["a".into()]).unwrap();
        table
            .push(Logged {
                scores: vec![None],
                ..Logged::default()
            })
            .unwrap();
        let features = [Features::default()];
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        let ridge = 0.5;
        let weights = regress(&points, &values, 2, ridge, &training).unwrap();
        // Xᵀ (Y − X W) = ridge W at the minimum, for each of the three features and both targets.
        let fitted = weights.apply(&points);
        for target in 0..2 {
            let rest: Vec<f32> = (0..3)
                .map(|i| values[2 * i + target] - fitted[2 * i + target])
                .collect();
            let feature = |f: fn(&Point) -> f32| points.iter().zip(&rest).map(|(p, r)| f(p) * r).sum::<f32>();
            for (gradient, weight) in [
                (feature(|p| p.dense[0]), weights.table.dense[target]),
                (feature(|p| p.dense[1]), weights.table.dense[2 + target]),
                (feature(|p| p.words[0].1), weights.table.words[target]),
            ] {
                assert!(
                    (gradient - ridge as f32 * weight).abs() < 5e-3,
                    "{gradient} {weight}"
                );
            }
        }
    }
}
