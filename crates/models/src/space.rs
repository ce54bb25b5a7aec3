//! The space that linear predictors work in: three kinds of features side by side, each kind of length at most one.
//!
//! A point has the encoder's vector, the words weighed by how rare they are (inverse document frequency), and a kernel of the
//! plain facts: random Fourier features, whose products come near to `exp(−d²)` of the standardised facts' mean squared
//! distance `d²`. The product of two points is the mean of the products of the three kinds. Rahimi and Recht 2007.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

use crate::{
    features::{BUCKETS, FACTS, Features},
    training::Training,
};

/// Waves that stand for the kernel of the facts.
const WAVES: usize = 256;
/// Kinds of features.
const KINDS: f32 = 3.0;

/// A map from features to points, with what it learned of the training texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Space {
    dims: usize,
    /// Inverse document frequency of each bucket.
    rarity: Vec<f32>,
    /// Mean and inverse deviation of each fact.
    centre: [f32; FACTS],
    sharpness: [f32; FACTS],
    /// Fact after fact its factor in each wave, then the phase of each: in this order one pass goes through all waves at once.
    waves: Vec<f32>,
}

/// A point of the space.
#[derive(Debug, Clone, Default)]
pub(crate) struct Point {
    /// The encoder's vector and the waves.
    pub(crate) dense: Vec<f32>,
    /// The words, by bucket.
    pub(crate) words: Vec<(u16, f32)>,
}

// === impl Space ===

impl Space {
    /// Learns which words are rare and how facts are spread; scores are not looked at.
    pub(crate) fn fit(training: &Training<'_>) -> Self {
        let count = training.len() as f32;
        let mut documents = vec![0_f32; BUCKETS];
        let (mut sums, mut squares) = ([0_f64; FACTS], [0_f64; FACTS]);
        for (_, features) in training.rows() {
            for (bucket, _) in &features.words {
                documents[usize::from(*bucket)] += 1.0;
            }
            for (i, fact) in features.facts.iter().enumerate() {
                sums[i] += f64::from(*fact);
                squares[i] += f64::from(*fact).powi(2);
            }
        }
        let mean = sums.map(|s| s / f64::from(count));
        let deviation = |i: usize| (squares[i] / f64::from(count) - mean[i].powi(2)).max(0.0).sqrt();
        let mut rng = SmallRng::seed_from_u64(training.seed);
        // exp(-|z - z'|² / FACTS) is the kernel of waves whose factors have variance 2 / FACTS.
        let spread = (2.0 / FACTS as f32).sqrt();
        let mut waves = vec![0.0; (FACTS + 1) * WAVES];
        for wave in 0..WAVES {
            waves[FACTS * WAVES + wave] = rng.random::<f32>() * std::f32::consts::TAU;
            for fact in 0..FACTS {
                waves[fact * WAVES + wave] = normal(&mut rng) * spread;
            }
        }
        Self {
            dims: training.dims(),
            rarity: documents
                .iter()
                .map(|d| ((1.0 + count) / (1.0 + d)).ln() + 1.0)
                .collect(),
            centre: mean.map(|m| m as f32),
            sharpness: std::array::from_fn(|i| (1.0 / (deviation(i) + 1e-6)) as f32),
            waves,
        }
    }

    /// Values of a point's dense part.
    pub(crate) fn dense(&self) -> usize {
        self.dims + WAVES
    }

    /// The point of a query. A vector of another length counts as all zeros.
    pub(crate) fn point(&self, features: &Features) -> Point {
        let share = 1.0 / KINDS.sqrt();
        let mut dense = Vec::with_capacity(self.dense());
        if features.vector.len() == self.dims {
            dense.extend(features.vector.iter().map(|v| v * share));
        }
        dense.resize(self.dims, 0.0);
        let height = share * (2.0 / WAVES as f32).sqrt();
        dense.extend(self.angles(features).map(|angle| height * angle.cos()));
        let mut words = self.words(features);
        words.iter_mut().for_each(|w| w.1 *= share);
        Point { dense, words }
    }

    /// Where each wave stands at the facts of a query, in radians.
    fn angles(&self, features: &Features) -> [f32; WAVES] {
        let mut angles = [0.0; WAVES];
        let mut add = |factors: &[f32], fact: f32| {
            for (angle, factor) in angles.iter_mut().zip(factors) {
                *angle += factor * fact;
            }
        };
        let (factors, phases) = self.waves.split_at((FACTS * WAVES).min(self.waves.len()));
        for (factors, fact) in factors.chunks_exact(WAVES).zip(self.facts(features)) {
            add(factors, fact);
        }
        add(phases, 1.0);
        angles
    }

    /// The facts of a query in deviations from the mean.
    pub(crate) fn facts(&self, features: &Features) -> [f32; FACTS] {
        let mut facts = features.facts;
        for ((fact, centre), sharpness) in facts.iter_mut().zip(&self.centre).zip(&self.sharpness) {
            // What lies far outside of all that was seen is no further away than ten deviations.
            *fact = ((*fact - centre) * sharpness).clamp(-10.0, 10.0);
        }
        facts
    }

    /// The words of a query by how rare they are, of length one together.
    pub(crate) fn words(&self, features: &Features) -> Vec<(u16, f32)> {
        let weighed =
            |(bucket, count): &(u16, f32)| (*bucket, count * self.rarity[usize::from(*bucket) % BUCKETS]);
        let mut words: Vec<(u16, f32)> = features.words.iter().map(weighed).collect();
        let length = words.iter().map(|w| w.1 * w.1).sum::<f32>().sqrt();
        if length > 0.0 {
            words.iter_mut().for_each(|w| w.1 /= length);
        }
        words
    }

    /// Values of a query's vector.
    pub(crate) fn dims(&self) -> usize {
        self.dims
    }
}

/// A number from the standard normal distribution (Box and Muller).
fn normal(rng: &mut SmallRng) -> f32 {
    let (u, v) = (1.0 - rng.random::<f32>(), rng.random::<f32>());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::{Logged, OutcomeTable};

    fn features(facts: f32, words: &[(u16, f32)]) -> Features {
        Features {
            vector: vec![1.0, 0.0],
            words: words.to_vec(),
            facts: [facts; FACTS],
        }
    }

    fn dot(a: &Point, b: &Point) -> f32 {
        let dense: f32 = a.dense.iter().zip(&b.dense).map(|(x, y)| x * y).sum();
        let shared = |w: &(u16, f32)| b.words.iter().find(|v| v.0 == w.0).map_or(0.0, |v| v.1 * w.1);
        dense + a.words.iter().map(shared).sum::<f32>()
    }

    #[test]
    fn products_are_the_mean_of_three_kernels() {
        let mut table = OutcomeTable::new(["a".into()]).unwrap();
        for _ in 0..2 {
            table
                .push(Logged {
                    scores: vec![None],
                    ..Logged::default()
                })
                .unwrap();
        }
        // Facts of 0 and 2: mean 1, deviation 1. The first bucket is in both texts, the second in one.
        let seen = [features(0.0, &[(0, 1.0)]), features(2.0, &[(0, 1.0), (1, 1.0)])];
        let training = Training::new(&table, &seen, 3, &|_, _, _| true).unwrap();
        let space = Space::fit(&training);
        let [a, b] = [&seen[0], &seen[1]].map(|f| space.point(f));
        let itself = dot(&a, &a);
        assert!((itself - 1.0).abs() < 0.1, "{itself}");
        // Same vector: 1. Facts two deviations apart: exp(-4). Words: 1 / sqrt(1 + (ln 1.5 + 1)²).
        let rare = 1.5_f32.ln() + 1.0;
        let expected = (1.0 + (-4_f32).exp() + 1.0 / (1.0 + rare * rare).sqrt()) / 3.0;
        let found = dot(&a, &b);
        assert!((found - expected).abs() < 0.06, "{found} for {expected}");
    }
}
