//! The head: features of a candidate to its score.
//!
//! A linear part first, then trees on what it leaves wrong. The loss is one of four ([`Objective`]); LambdaRank's is the one that
//! routes, the others are there to be compared with.

mod linear;
mod lists;
mod objective;
mod trees;

use serde::{Deserialize, Serialize};

pub use objective::Objective;
pub(crate) use {
    linear::Linear,
    lists::Lists,
    objective::{logistic, softmax},
    trees::{Growth, Trees},
};

/// A trained head.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    linear: Linear,
    trees: Trees,
}

// === impl Head ===

impl Head {
    /// Learns from lists. Few lists carry only few and shallow trees.
    pub(crate) fn fit(lists: &Lists, objective: Objective, seed: u64) -> Self {
        let many = lists.ends.len();
        let linear = Linear::fit(lists, objective.smooth(), if many < 400 { 0.01 } else { 0.001 });
        let base: Vec<f32> = (0..lists.rows())
            .map(|row| linear.score(lists.row(row)))
            .collect();
        let growth = Growth {
            trees: (many / 4).clamp(20, 160),
            depth: if many < 400 { 2 } else { 5 },
            rate: 0.08,
            l2: 3.0,
            lists: 0.7,
            features: 0.5,
        };
        let trees = Trees::fit(lists, &base, objective, growth, seed);
        Self { linear, trees }
    }

    /// How well a candidate fits, as a logit that is compared within its list.
    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        self.linear.score(row) + self.trees.score(row)
    }

    /// What each feature gave to the score, up to a constant.
    pub(crate) fn explain(&self, row: &[f32]) -> Vec<f32> {
        let mut shares = vec![0.0; row.len()];
        self.linear.explain(row, &mut shares);
        self.trees.explain(row, &mut shares);
        shares
    }

    /// Whether it reads rows of this width.
    pub(crate) fn is_sound(&self, width: usize) -> bool {
        self.linear.width() == width && self.trees.is_sound(width)
    }
}

#[cfg(test)]
mod tests;
