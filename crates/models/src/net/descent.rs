//! Descent by Adam in small batches, which stops when rows that are not learned from get no better.

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rayon::prelude::*;

use crate::training::{TrainError, Training};

/// Rows of a batch.
const BATCH: usize = 32;
/// Most passes over the rows.
const PASSES: usize = 60;
/// Passes without a gain after which the descent stops.
const PATIENCE: usize = 6;
/// A member of a committee is judged on one row of so many at most.
const FEWEST_PARTS: usize = 4;

/// Adam with decay of the weights apart from the slope (Kingma and Ba 2015; Loshchilov and Hutter 2019).
#[derive(Debug, Clone)]
pub(crate) struct Adam {
    rate: f32,
    decay: f32,
    steps: i32,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// What learns by descent.
pub(crate) trait Student: Clone + Send {
    /// One step on the rows of a batch, by number.
    fn learn(&mut self, batch: &[usize]);

    /// The mean loss on these rows.
    fn loss(&self, rows: &[usize]) -> f64;
}

// === impl Adam ===

impl Adam {
    pub(crate) fn new(values: usize, rate: f64, decay: f64) -> Self {
        Self {
            rate: rate as f32,
            decay: decay as f32,
            steps: 0,
            first: vec![0.0; values],
            second: vec![0.0; values],
        }
    }

    /// Moves the values against their slopes, and sets the slopes to 0.
    pub(crate) fn step(&mut self, values: &mut [f32], slopes: &mut [f32]) {
        const FIRST: f32 = 0.9;
        const SECOND: f32 = 0.999;
        self.steps += 1;
        let (warm_first, warm_second) = (1.0 - FIRST.powi(self.steps), 1.0 - SECOND.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, slope), (first, second)) in values.iter_mut().zip(slopes).zip(moments) {
            *first += (1.0 - FIRST) * (*slope - *first);
            *second += (1.0 - SECOND) * (*slope * *slope - *second);
            let step = (*first / warm_first) / ((*second / warm_second).sqrt() + 1e-8);
            *value -= self.rate * (step + self.decay * *value);
            *slope = 0.0;
        }
    }
}

/// Trains `count` students, each on all rows but a part that it is judged on after each pass, and returns each at its best, with
/// the rows it was judged on.
///
/// # Errors
/// [`TrainError::Stopped`] where whoever watches wants no more.
pub(crate) fn committee<S: Student>(
    count: usize,
    training: &Training<'_>,
    begin: impl Fn(&mut SmallRng) -> S + Sync,
) -> Result<Vec<(S, Vec<usize>)>, TrainError> {
    let parts = count.max(FEWEST_PARTS);
    let mut order: Vec<usize> = (0..training.len()).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(training.seed));
    let member = |number: usize| {
        let mut rng = SmallRng::seed_from_u64(training.seed.wrapping_mul(31).wrapping_add(number as u64));
        let part = |place: usize| place % parts == number;
        let of = |judge: bool| {
            (0..order.len())
                .filter(|p| part(*p) == judge)
                .map(|p| order[p])
                .collect::<Vec<_>>()
        };
        let (mut learn, mut judge) = (of(false), of(true));
        if learn.is_empty() || judge.is_empty() {
            // Too few rows to keep any back.
            (learn, judge) = (order.clone(), order.clone());
        }
        let student = begin(&mut rng);
        let best = descend(student, &mut learn, &judge, training, &mut rng)?;
        Ok((best, judge))
    };
    (0..count).into_par_iter().map(member).collect()
}

fn descend<S: Student>(
    mut student: S,
    learn: &mut [usize],
    judge: &[usize],
    training: &Training<'_>,
    rng: &mut SmallRng,
) -> Result<S, TrainError> {
    let (mut best, mut least, mut since) = (student.clone(), student.loss(judge), 0);
    for pass in 0..PASSES {
        training.report("descending", pass, PASSES)?;
        learn.shuffle(rng);
        learn.chunks(BATCH).for_each(|batch| student.learn(batch));
        let loss = student.loss(judge);
        since += 1;
        if loss < least {
            (best, least, since) = (student.clone(), loss, 0);
        }
        if since >= PATIENCE || !loss.is_finite() {
            break;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_of_adam_has_the_length_of_the_rate() {
        let mut adam = Adam::new(2, 0.1, 0.0);
        let (mut values, mut slopes) = ([1.0, 1.0], [3.0, -0.01]);
        adam.step(&mut values, &mut slopes);
        assert!(
            (values[0] - 0.9).abs() < 1e-5 && (values[1] - 1.1).abs() < 1e-5,
            "{values:?}"
        );
        assert_eq!(slopes, [0.0, 0.0]);
        // Decay alone: a tenth of a half of the value.
        let mut adam = Adam::new(1, 0.1, 0.5);
        let mut value = [2.0];
        adam.step(&mut value, &mut [0.0]);
        assert!((value[0] - 1.9).abs() < 1e-6);
    }
}
