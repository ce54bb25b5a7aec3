//! `low_rank`: few traits of a query times few abilities of a model.
//!
//! A score is thought to be `mean + ability · traits`: a linear map of the query's vector and facts gives `rank` traits, and each
//! model has an ability for each. Both are fitted in turns to what each model scored above its mean, each row measured from its
//! own mean: the traits by ridge regression, the abilities by least squares, kept at right angles (reduced-rank regression,
//! Izenman 1975). A score that is not known counts as what the turn before says of it. Cards: `systems/18`, L1; `systems/21`,
//! V4 (matrix factorisation); `systems/05`.
//!
//! Read as item response theory: the mean is how able a model is in general, the traits are what a query asks for (its
//! discriminations, in several dimensions), the abilities how good the model is at each; how hard the query is for everybody
//! cancels where models are compared, so it is left out. The link is the identity, not the logistic function: scores
//! need not be 0 or 1.
//!
//! In service each outcome moves its model's mean and abilities by recursive least squares, as far as what was known of
//! them before allows. A model that was not trained on begins as the usual model with the usual spread ([`Factors`]), so that a
//! handful of outcomes place it. Words are not read: evidence does not carry them. Cost: one product a trait and number, some
//! 500 numbers.

mod factors;

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use self::factors::{Factor, Factors};
use crate::{
    config::{ConfigError, check},
    features::Features,
    predictor::{Columns, Estimate, Predictor},
    regression::{Weights, regress},
    space::{Point, Space},
    training::{TrainError, Training},
};

/// Turns of fitting traits and abilities; the space of the abilities stands still after a few.
const TURNS: usize = 3;
/// The same where scores are missing, which have to be guessed anew every time.
const MANY_TURNS: usize = 8;

/// Settings of `low_rank`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowRankSettings {
    /// Traits of a query, 1 to 64; never more than models. Default 4.
    pub rank: usize,
    /// How strongly the map to the traits is drawn to 0, over 0. Default 2.
    pub ridge: f64,
}

/// Traits of queries, and the abilities of models as they were trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traits {
    space: Space,
    weights: Weights,
    columns: Columns,
    factors: Vec<Factor>,
    usual: Factor,
    /// Squared error of a score about its estimate.
    noise: f64,
}

/// The predictor: traits, and the abilities of models as they are by now.
#[derive(Debug)]
pub struct LowRank {
    traits: Traits,
    factors: Factors,
}

impl Default for LowRankSettings {
    fn default() -> Self {
        Self { rank: 4, ridge: 2.0 }
    }
}

// === impl LowRankSettings ===

impl LowRankSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let allowed = "a whole number from 1 to 64";
        check("low_rank", "rank", self.rank as f64, allowed, |v| {
            (1.0..=64.0).contains(&v)
        })?;
        let allowed = "a finite number over 0";
        check("low_rank", "ridge", self.ridge, allowed, |v| {
            v > 0.0 && v.is_finite()
        })?;
        Ok(())
    }
}

// === impl Traits ===

impl Traits {
    /// Fits traits and abilities.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &LowRankSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let space = Space::fit(training);
        let points: Vec<Point> = training
            .rows()
            .map(|(_, features)| point(&space, features))
            .collect();
        let means = training.mean_scores();
        let models = means.len();
        let rank = settings.rank.min(models);
        let known = training.row_centred_scores(&means);
        let mut scores: Vec<f32> = known.iter().map(|s| if s.is_nan() { 0.0 } else { *s }).collect();
        // Abilities: model after model, one a trait. The first turn finds those that explain most, whatever the queries are.
        let mut abilities = leading(&scores, models, rank);
        let fit = |scores: &[f32], abilities: &[f32]| {
            let wanted = times(scores, abilities, models, rank);
            regress(&points, &wanted, rank, settings.ridge, training)
        };
        let mut weights = fit(&scores, &abilities)?;
        let turns = if known.iter().any(|s| s.is_nan()) {
            MANY_TURNS
        } else {
            TURNS
        };
        for _ in 0..turns {
            let traits = weights.apply(&points);
            let all = rows(&mut scores, models).zip(known.chunks(models));
            for ((scores, known), traits) in all.zip(traits.chunks(rank)) {
                fill(scores, known, &abilities, traits);
            }
            abilities = at_right_angles(&times_transposed(&scores, &traits, models, rank), models, rank);
            weights = fit(&scores, &abilities)?;
        }
        let traits = weights.apply(&points);
        let starts = means.iter().zip(abilities.chunks(rank)).map(|(mean, abilities)| {
            let abilities = abilities.iter().map(|a| f64::from(*a));
            abilities.chain([*mean]).collect::<Vec<f64>>()
        });
        let (usual, noise, factors) = factors::known(&starts.collect::<Vec<_>>(), &traits, training);
        Ok(Self {
            space,
            weights,
            columns: Columns::new(training.table().models().iter().cloned()),
            factors,
            usual,
            noise,
        })
    }

    /// The traits of a query, and a one for the mean.
    fn of(&self, query: &Features) -> Vec<f64> {
        let mut traits = vec![0.0; self.weights.targets()];
        self.weights.apply_to(&point(&self.space, query), &mut traits);
        traits.iter().map(|t| f64::from(*t)).chain([1.0]).collect()
    }
}

// === impl LowRank ===

impl LowRank {
    /// A predictor that learns on from these.
    pub fn new(traits: Traits) -> Self {
        let named = traits
            .columns
            .names()
            .iter()
            .cloned()
            .zip(traits.factors.iter().cloned());
        Self {
            factors: Factors::new(named, traits.usual.clone(), traits.noise, traits.weights.sum()),
            traits,
        }
    }
}

impl Predictor for LowRank {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let traits = self.traits.of(query);
        self.factors.estimate(&traits, models, out);
    }

    fn observe(&self, query: &Features, model: &Name, quality: f64) -> bool {
        self.factors.observe(&self.traits.of(query), model, quality)
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.factors.save()
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.factors.restore(state)
    }
}

/// The point of a query without its words.
fn point(space: &Space, features: &Features) -> Point {
    let mut point = space.point(features);
    point.words.clear();
    point
}

/// Guesses what is not known of a row by what traits and abilities say, and measures what is known from where they say that the
/// row's mean would be if all were known.
fn fill(scores: &mut [f32], known: &[f32], abilities: &[f32], traits: &[f32]) {
    let guess = |model: usize| dot(&abilities[model * traits.len()..][..traits.len()], traits);
    let seen = known.iter().enumerate().filter(|(_, s)| !s.is_nan());
    let (sum, count) = seen.fold((0.0, 0.0_f32), |(sum, n), (m, s)| (sum + s - guess(m), n + 1.0));
    let level = sum / count.max(1.0);
    for (model, (score, known)) in scores.iter_mut().zip(known).enumerate() {
        *score = if known.is_nan() {
            guess(model)
        } else {
            known - level
        };
    }
}

fn rows(values: &mut [f32], width: usize) -> impl Iterator<Item = &mut [f32]> {
    values.chunks_mut(width.max(1))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    fingerpost_encode::dot(a, b)
}

/// Row after row of scores times the abilities: a value a trait.
fn times(scores: &[f32], abilities: &[f32], models: usize, rank: usize) -> Vec<f32> {
    let mut traits = Vec::with_capacity(scores.len() / models * rank);
    for row in scores.chunks_exact(models) {
        let of = |k: usize| {
            row.iter()
                .zip(abilities.iter().skip(k).step_by(rank))
                .map(|(s, a)| s * a)
                .sum()
        };
        traits.extend((0..rank).map(of).map(|t: f32| t));
    }
    traits
}

/// The sum over rows of scores by traits: model after model, a value a trait.
fn times_transposed(scores: &[f32], traits: &[f32], models: usize, rank: usize) -> Vec<f32> {
    let mut sums = vec![0.0; models * rank];
    for (row, traits) in scores.chunks_exact(models).zip(traits.chunks_exact(rank)) {
        for (sums, score) in sums.chunks_exact_mut(rank).zip(row) {
            sums.iter_mut().zip(traits).for_each(|(sum, t)| *sum += score * t);
        }
    }
    sums
}

/// The directions between models in which scores vary most, by orthogonal iteration.
fn leading(scores: &[f32], models: usize, rank: usize) -> Vec<f32> {
    let start: Vec<f32> = (0..models * rank)
        .map(|i| {
            if i / rank == i % rank {
                1.0
            } else {
                0.1 / (1.0 + i as f32)
            }
        })
        .collect();
    let mut abilities = at_right_angles(&start, models, rank);
    for _ in 0..20 {
        let traits = times(scores, &abilities, models, rank);
        abilities = at_right_angles(&times_transposed(scores, &traits, models, rank), models, rank);
    }
    abilities
}

/// Columns (a trait each) of length one at right angles, by Gram and Schmidt; a column that the others explain becomes 0.
fn at_right_angles(columns: &[f32], models: usize, rank: usize) -> Vec<f32> {
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(rank);
    for trait_number in 0..rank {
        let column = columns.iter().skip(trait_number).step_by(rank);
        let mut column: Vec<f64> = column.map(|v| f64::from(*v)).collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let whole = product(&column, &column).sqrt();
        // Twice, since once loses digits.
        for other in found.iter().chain(&found) {
            let along = product(&column, other);
            column.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
        }
        let length = product(&column, &column).sqrt();
        let scale = if length > 1e-5 * whole { 1.0 / length } else { 0.0 };
        column.iter_mut().for_each(|v| *v *= scale);
        found.push(column);
    }
    (0..models * rank)
        .map(|i| found[i % rank][i / rank] as f32)
        .collect()
}

#[cfg(test)]
mod tests;
