//! Learning the rows: the sum of a text's rows shall point where the teacher's vector points.
//!
//! The loss of a text is one minus the cosine between the sum of its rows and the teacher's vector
//! on the chosen axes. Its gradient touches only the rows of the text's own ids, so a step (Adam, with
//! averages kept by row) costs little more than reading the batch, and rows that no text mentions
//! keep the value they were given at the start, which lies in the same space. Everything runs in one
//! thread in a fixed order: a seed makes one table.

use super::random::Random;

/// Settings of the learning.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LearnOptions {
    /// Passes over the corpus.
    pub epochs: usize,
    /// Texts in a step.
    pub batch: usize,
    /// Length of the first steps, in units of a row's values; it falls linearly to zero.
    pub rate: f32,
    /// How far the lengths of the learned rows are drawn together in the end: 0 leaves them, 1 makes all
    /// equal. The lengths that serve the loss best let a few rare words drown the rest of a text.
    pub evening: f32,
    /// Seed of the order of the texts.
    pub seed: u64,
}

/// A bag of ids for each text, and the unit vector it shall point along.
pub(super) struct Examples {
    pub(super) dims: usize,
    pub(super) ids: Vec<Vec<u32>>,
    /// `ids.len()` rows of `dims` values.
    pub(super) targets: Vec<f32>,
}

/// Typical size of a row's values at the start; the rate is measured against it.
pub(super) const ROW_SIZE: f32 = 1.0 / 30.0;
const WARM_UP: usize = 50;
const KEEP_MEAN: f32 = 0.9;
const KEEP_SQUARE: f32 = 0.99;

struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
}

// === impl LearnOptions ===

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            epochs: 2,
            evening: 0.5,
            batch: 512,
            rate: 1e-3,
            seed: 1,
        }
    }
}

/// Improves `rows` on the examples; tells epoch, epochs and mean loss after each epoch.
pub(super) fn learn(
    rows: &mut [f32],
    examples: &Examples,
    options: &LearnOptions,
    report: &mut dyn FnMut(usize, usize, f32),
) {
    let dims = examples.dims;
    let mut adam = Adam {
        mean: vec![0.0; rows.len()],
        square: vec![0.0; rows.len()],
    };
    let mut gradient = vec![0.0_f32; rows.len()];
    let mut order: Vec<usize> = (0..examples.ids.len())
        .filter(|&i| !examples.ids[i].is_empty())
        .collect();
    let batch = options.batch.clamp(1, order.len().max(1));
    let steps = options.epochs * order.len().div_ceil(batch);
    let mut random = Random::new(options.seed);
    let mut step = 0;
    let mut touched = Vec::new();
    for epoch in 0..options.epochs {
        random.shuffle(&mut order);
        let mut loss = 0.0_f64;
        for texts in order.chunks(batch) {
            touched.clear();
            for &text in texts {
                let ids = &examples.ids[text];
                loss += f64::from(add_gradient(rows, ids, target(examples, text), &mut gradient));
                touched.extend_from_slice(ids);
            }
            touched.sort_unstable();
            touched.dedup();
            step += 1;
            let warm = (step as f32 / WARM_UP as f32).min(1.0);
            let rate = options.rate * warm * (1.0 - step as f32 / steps as f32);
            for &id in &touched {
                let at = id as usize * dims..(id as usize + 1) * dims;
                adam.step(at.clone(), &mut rows[at.clone()], &mut gradient[at], rate);
            }
        }
        report(
            epoch + 1,
            options.epochs,
            (loss / order.len().max(1) as f64) as f32,
        );
    }
}

/// Divides each row by its length to the power `evening`.
pub(super) fn even_out(rows: &mut [f32], dims: usize, evening: f32) {
    for row in rows.chunks_exact_mut(dims) {
        let length = crate::vector::dot(row, row).sqrt();
        if length > 0.0 {
            let factor = length.powf(-evening);
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

fn target(examples: &Examples, text: usize) -> &[f32] {
    &examples.targets[text * examples.dims..(text + 1) * examples.dims]
}

/// Adds the gradient of one text's loss at the rows of its ids; gives the loss.
fn add_gradient(rows: &[f32], ids: &[u32], target: &[f32], gradient: &mut [f32]) -> f32 {
    let dims = target.len();
    let mut sum = vec![0.0_f32; dims];
    for &id in ids {
        for (total, value) in sum.iter_mut().zip(&rows[id as usize * dims..][..dims]) {
            *total += value;
        }
    }
    let length = crate::vector::dot(&sum, &sum).sqrt() + 1e-9;
    let cosine = crate::vector::dot(&sum, target) / length;
    // d(1 - cos) / d(sum) = (cos * sum / |sum| - target) / |sum|
    for (value, target) in sum.iter_mut().zip(target) {
        *value = (cosine * *value / length - target) / length;
    }
    for &id in ids {
        for (total, value) in gradient[id as usize * dims..][..dims].iter_mut().zip(&sum) {
            *total += value;
        }
    }
    1.0 - cosine
}

// === impl Adam ===

impl Adam {
    /// One step on a row; clears the gradient.
    fn step(&mut self, at: std::ops::Range<usize>, row: &mut [f32], gradient: &mut [f32], rate: f32) {
        let moments = self.mean[at.clone()].iter_mut().zip(&mut self.square[at]);
        for ((value, slope), (mean, square)) in row.iter_mut().zip(gradient).zip(moments) {
            *mean = KEEP_MEAN * *mean + (1.0 - KEEP_MEAN) * *slope;
            *square = KEEP_SQUARE * *square + (1.0 - KEEP_SQUARE) * *slope * *slope;
            *value -= rate * *mean / (square.sqrt() + 1e-6);
            *slope = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Examples {
        Examples {
            dims: 2,
            ids: vec![vec![0, 1], vec![0], vec![]],
            targets: vec![0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_cosine() {
        let rows = [0.5_f32, 0.2, -0.1, 0.4, 9.0, 9.0];
        let target = [0.6, 0.8];
        let mut gradient = [0.0; 6];
        add_gradient(&rows, &[0, 1], &target, &mut gradient);
        for place in 0..4 {
            let loss = |by: f32| {
                let mut moved = rows;
                moved[place] += by;
                add_gradient(&moved, &[0, 1], &target, &mut [0.0; 6])
            };
            let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            assert!(
                (slope - gradient[place]).abs() < 1e-3,
                "{slope} for {}",
                gradient[place]
            );
        }
        assert_eq!(gradient[4..], [0.0, 0.0]);
    }

    #[test]
    fn learning_turns_the_sums_towards_their_targets() {
        let mut rows = [0.03, 0.03, 0.03, -0.03, 0.01, 0.02];
        let options = LearnOptions {
            epochs: 400,
            batch: 2,
            rate: 1e-3,
            evening: 0.0,
            seed: 3,
        };
        let mut losses = Vec::new();
        learn(&mut rows, &example(), &options, &mut |_, _, loss| {
            losses.push(loss);
        });
        assert!(
            losses[0] > 0.2 && losses[399] < 1e-2,
            "{} to {}",
            losses[0],
            losses[399]
        );
        assert_eq!(rows[4..], [0.01, 0.02], "a row that no text mentions stays");
    }

    #[test]
    fn evening_draws_lengths_together() {
        let mut rows = [3.0, 4.0, 0.0, 20.0, 0.0, 0.0];
        even_out(&mut rows, 2, 0.5);
        let lengths: Vec<f32> = rows.chunks(2).map(|row| row[0].hypot(row[1])).collect();
        assert!((lengths[0] - 5.0_f32.sqrt()).abs() < 1e-6 && (lengths[1] - 20.0_f32.sqrt()).abs() < 1e-6);
        assert_eq!(lengths[2], 0.0);
    }

    #[test]
    fn a_seed_makes_one_table() {
        let run = || {
            let mut rows = [0.03, 0.03, 0.03, -0.03, 0.01, 0.02];
            learn(&mut rows, &example(), &LearnOptions::default(), &mut |_, _, _| {});
            rows
        };
        assert_eq!(run(), run());
    }
}
