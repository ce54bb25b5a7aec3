//! `two_tower`: a small network for queries and one for profiles, that bring the two near where the model is the better one.
//!
//! Each is a hidden layer with ELU and an output of length one; the score is the product. Trained on all pairs of models that
//! differ at a query: loss `max(0, 0.2 − score(better) + score(worse))`. Card: `systems/24`, MLPRouter.
//!
//! Differs: 96 hidden and 48 output values instead of 512 and 256, no normalisation of layers and no dropout, 40 passes (more where there is little to learn from) at a step of
//! 1e-3 instead of 20 at 1e-4: with some thousand pairs the larger ones are no better.

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use super::{
    net::{Adam, Layer, before_normalized, elu, elu_slope, length, normalized, passes},
    propagate::add,
};
use crate::training::{TrainError, Training};

const HIDDEN: usize = 96;
const OUTPUT: usize = 48;
/// By how much the better one must be ahead.
const MARGIN: f32 = 0.2;
const EPOCHS: usize = 40;
/// Queries a step.
const BATCH: usize = 32;
const RATE: f32 = 1e-3;

/// Both towers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TwoTower {
    queries: Tower,
    profiles: Tower,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tower {
    first: Layer,
    second: Layer,
}

/// What a pass leaves behind for the way back.
struct Pass {
    hidden: Vec<f32>,
    length: f32,
    unit: Vec<f32>,
}

/// The gradient of a tower.
struct Slopes {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// A tower with its optimisers.
struct Trainee {
    tower: Tower,
    first: Adam,
    second: Adam,
}

// === impl TwoTower ===

impl TwoTower {
    /// Trains both on the profiles by column; models with an empty one are left out.
    ///
    /// # Errors
    /// [`TrainError::Stopped`] where whoever watches wants no more.
    pub(crate) fn train(profiles: &[Vec<f32>], training: &Training<'_>) -> Result<Self, TrainError> {
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let width = profiles.iter().map(Vec::len).max().unwrap_or(0);
        let mut queries = Trainee::new(Tower::random(training.dims(), &mut rng));
        let mut towers = Trainee::new(Tower::random(width, &mut rng));
        let rows: Vec<_> = training.rows().collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let epochs = passes(EPOCHS, rows.len(), BATCH);
        for epoch in 0..epochs {
            training.report("training towers", epoch, epochs)?;
            order.shuffle(&mut rng);
            for batch in order.chunks(BATCH) {
                let passes: Vec<Pass> = profiles.iter().map(|p| towers.tower.pass(p)).collect();
                let mut backs = vec![vec![0.0; OUTPUT]; profiles.len()];
                let mut slopes = queries.tower.slopes();
                let mut pairs = 0;
                for row in batch {
                    let (logged, features) = rows[*row];
                    let pass = queries.tower.pass(&features.vector);
                    let known = |m: usize| !profiles[m].is_empty();
                    let (found, back) = hinge(&logged.scores, known, &pass.unit, &passes, &mut backs);
                    pairs += found;
                    if found > 0 {
                        queries.tower.back(&features.vector, &pass, &back, &mut slopes);
                    }
                }
                if pairs == 0 {
                    continue;
                }
                let mut profile_slopes = towers.tower.slopes();
                for ((profile, pass), back) in profiles.iter().zip(&passes).zip(&backs) {
                    towers.tower.back(profile, pass, back, &mut profile_slopes);
                }
                queries.step(&slopes, pairs);
                towers.step(&profile_slopes, pairs);
            }
        }
        Ok(Self {
            queries: queries.tower,
            profiles: towers.tower,
        })
    }

    pub(crate) fn query(&self, query: &[f32]) -> Vec<f32> {
        self.queries.pass(query).unit
    }

    pub(crate) fn profile(&self, profile: &[f32]) -> Vec<f32> {
        self.profiles.pass(profile).unit
    }
}

/// The gradient of one query's hinges: to its own output, and added to those of the models. Also how many pairs differ.
fn hinge(
    scores: &[Option<f32>],
    known: impl Fn(usize) -> bool,
    query: &[f32],
    models: &[Pass],
    backs: &mut [Vec<f32>],
) -> (usize, Vec<f32>) {
    let product = |m: usize| fingerpost_encode::dot(query, &models[m].unit);
    let scored: Vec<(usize, f32, f32)> = scores
        .iter()
        .enumerate()
        .filter_map(|(m, s)| Some((m, (*s).filter(|_| known(m))?, product(m))))
        .collect();
    let (mut pairs, mut back) = (0, vec![0.0; query.len()]);
    for (better, high, near) in &scored {
        for (worse, low, far) in &scored {
            if high > low {
                pairs += 1;
                if MARGIN - near + far > 0.0 {
                    add(&mut back, &models[*better].unit, -1.0);
                    add(&mut back, &models[*worse].unit, 1.0);
                    add(&mut backs[*better], query, -1.0);
                    add(&mut backs[*worse], query, 1.0);
                }
            }
        }
    }
    (pairs, back)
}

// === impl Tower ===

impl Tower {
    fn random(inputs: usize, rng: &mut SmallRng) -> Self {
        Self {
            first: Layer::random(inputs, HIDDEN, rng),
            second: Layer::random(HIDDEN, OUTPUT, rng),
        }
    }

    fn pass(&self, x: &[f32]) -> Pass {
        let hidden: Vec<f32> = self.first.apply(x).into_iter().map(elu).collect();
        let output = self.second.apply(&hidden);
        Pass {
            length: length(&output),
            unit: normalized(output),
            hidden,
        }
    }

    fn slopes(&self) -> Slopes {
        Slopes {
            first: vec![0.0; self.first.values.len()],
            second: vec![0.0; self.second.values.len()],
        }
    }

    fn back(&self, x: &[f32], pass: &Pass, back: &[f32], slopes: &mut Slopes) {
        let back = before_normalized(&pass.unit, pass.length, back);
        let mut back = self.second.back(&pass.hidden, &back, &mut slopes.second);
        back.iter_mut()
            .zip(&pass.hidden)
            .for_each(|(b, y)| *b *= elu_slope(*y));
        self.first.back(x, &back, &mut slopes.first);
    }
}

// === impl Trainee ===

impl Trainee {
    fn new(tower: Tower) -> Self {
        Self {
            first: Adam::new(tower.first.values.len(), RATE),
            second: Adam::new(tower.second.values.len(), RATE),
            tower,
        }
    }

    /// A step down the mean over so many pairs.
    fn step(&mut self, slopes: &Slopes, pairs: usize) {
        let mean = |slopes: &[f32]| slopes.iter().map(|s| s / pairs as f32).collect::<Vec<f32>>();
        self.first
            .step(&mut self.tower.first.values, &mean(&slopes.first));
        self.second
            .step(&mut self.tower.second.values, &mean(&slopes.second));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::graph::tests::table;

    #[test]
    fn it_learns_who_is_better_where() {
        let (table, features) = table();
        let training = Training::new(&table, &features, 3, &|_, _, _| true).unwrap();
        let profiles = [vec![1.0, 0.0], vec![0.0, 1.0], Vec::new()];
        let towers = TwoTower::train(&profiles, &training).unwrap();
        let score = |query: &[f32], model: usize| {
            fingerpost_encode::dot(&towers.query(query), &towers.profile(&profiles[model]))
        };
        let (sums, poems) = (&features[0].vector, &features[2].vector);
        assert!(score(sums, 0) > score(sums, 1) && score(poems, 1) > score(poems, 0));
    }
}
