//! What the predictors that want a plain row of numbers read: vector, facts and words of a query side by side.
//!
//! The three kinds weigh alike: each has a squared length of about a third, so that the squared distance of two unlike queries
//! is about 2. Facts are measured in deviations from their mean over the training texts. Words, weighed by how rare they are,
//! fall with a sign into a few places (a count sketch, Charikar et al. 2002): products of two queries stay what they are on
//! average.

use serde::{Deserialize, Serialize};

use crate::{
    features::{FACTS, Features},
    space::Space,
    training::Training,
};

/// Places that words fall into.
const SKETCH: usize = 128;
/// A fact further out than so many deviations is as if it were there: one odd text must not drown the rest.
const FAR: f32 = 3.0;

/// A map from features to rows of numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inputs {
    space: Space,
}

// === impl Inputs ===

impl Inputs {
    /// Learns which words are rare and how facts are spread; scores are not looked at.
    pub(crate) fn fit(training: &Training<'_>) -> Self {
        Self {
            space: Space::fit(training),
        }
    }

    /// Numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.space.dims() + FACTS + SKETCH
    }

    /// The row of a query. A vector of another length counts as all zeros.
    pub(crate) fn of(&self, features: &Features) -> Vec<f32> {
        let share = (1.0_f32 / 3.0).sqrt();
        let dims = self.space.dims();
        let mut row = Vec::with_capacity(self.width());
        if features.vector.len() == dims {
            row.extend(features.vector.iter().map(|v| v * share));
        }
        row.resize(dims, 0.0);
        let fact = share / (FACTS as f32).sqrt();
        row.extend(self.space.facts(features).map(|f| f.clamp(-FAR, FAR) * fact));
        row.resize(self.width(), 0.0);
        for (bucket, weight) in self.space.words(features) {
            // The buckets are hashes themselves: seven bits are the place, one more the sign.
            let sign = if bucket & 0x80 == 0 { share } else { -share };
            row[dims + FACTS + usize::from(bucket) % SKETCH] += sign * weight;
        }
        row
    }

    /// The rows of all that is trained on, one after the other.
    pub(crate) fn rows(&self, training: &Training<'_>) -> Vec<f32> {
        training
            .rows()
            .flat_map(|(_, features)| self.of(features))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::{Logged, OutcomeTable};

    #[test]
    fn kinds_stand_side_by_side_and_weigh_alike() {
        let mut table = OutcomeTable::new(["a".into()]).unwrap();
        for _ in 0..2 {
            let row = Logged {
                scores: vec![None],
                ..Logged::default()
            };
            table.push(row).unwrap();
        }
        let features = |fact: f32, bucket: u16| Features {
            vector: vec![0.6, 0.8],
            words: vec![(bucket, 1.0)],
            facts: [fact; FACTS],
        };
        // Facts of 0 and 2: mean 1, deviation 1. The second bucket shares its place with the first, with the other sign.
        let seen = [features(0.0, 5), features(2.0, 128 + 5)];
        let training = Training::new(&table, &seen, 1, &|_, _, _| true).unwrap();
        let inputs = Inputs::fit(&training);
        let rows = inputs.rows(&training);
        let (a, b) = rows.split_at(inputs.width());
        let third = |part: &[f32]| part.iter().map(|v| v * v).sum::<f32>();
        for part in [&a[..2], &a[2..2 + FACTS], &a[2 + FACTS..]] {
            assert!((third(part) - 1.0 / 3.0).abs() < 1e-4, "{}", third(part));
        }
        assert_eq!(a[..2], b[..2]);
        assert!((a[2 + FACTS + 5] + b[2 + FACTS + 5]).abs() < 1e-6);
        // A vector of another length counts as zeros, and the width stays.
        let odd = inputs.of(&Features::default());
        assert!(odd.len() == inputs.width() && odd[..2] == [0.0, 0.0]);
    }
}
