//! The loss of pairs: Bradley and Terry's model of who beats whom, with two margins so that it tells "better" from "much better".
//!
//! With `d` the difference of two outputs, `P(much better) = σ(d − wide)`, `P(better or more) = σ(d − margin)`,
//! `P(equal or more) = σ(d + margin)`, `P(not much worse) = σ(d + wide)`; the five classes are the differences of these. The loss is
//! −ln of the probability of the class that was seen. With two classes there are no margins, `P(better) = σ(d)`, and pairs that
//! are equal tell nothing.

use serde::{Deserialize, Serialize};

/// Scores no further apart are equal.
const EQUAL: f32 = 0.05;
/// Scores further apart are much better and much worse.
const MUCH: f32 = 0.5;
/// No class is thought to be less likely: one odd pair must not outweigh all others.
const LEAST: f32 = 1e-6;

/// How differences of scores are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// Much better, better, equal, worse, much worse.
    #[default]
    Five,
    /// Better or worse.
    Two,
}

/// The classes with their margins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    classes: Classes,
    margin: f32,
    wide: f32,
}

// === impl Margins ===

impl Margins {
    pub(super) fn new(classes: Classes, margin: f64, wide: f64) -> Self {
        Self {
            classes,
            margin: margin as f32,
            wide: wide as f32,
        }
    }

    /// The loss of a pair whose outputs differ by `d` and whose scores differ by `seen`, and its slope by `d`; `None` where the pair
    /// tells nothing.
    pub(super) fn loss(self, d: f32, seen: f32) -> Option<(f32, f32)> {
        // A worse pair is the better one seen from the other side.
        if seen < 0.0 {
            return self.loss(-d, -seen).map(|(loss, slope)| (loss, -slope));
        }
        // The class is "over the lower bound and not over the upper one".
        let (lower, upper) = match (self.classes, seen) {
            (Classes::Two, seen) if seen <= EQUAL => return None,
            (Classes::Two, _) => (0.0, None),
            (Classes::Five, seen) if seen <= EQUAL => (-self.margin, Some(self.margin)),
            (Classes::Five, seen) if seen <= MUCH => (self.margin, Some(self.wide)),
            (Classes::Five, _) => (self.wide, None),
        };
        let over = |bound: f32| {
            let p = 1.0 / (1.0 + (bound - d).exp());
            (p, p * (1.0 - p))
        };
        let ((low, low_slope), (high, high_slope)) = (over(lower), upper.map_or((0.0, 0.0), over));
        let likely = (low - high).max(LEAST);
        Some((-likely.ln(), (high_slope - low_slope) / likely))
    }

    /// The mean loss over all pairs of a row whose scores are known, with its slope by each output added to `slopes`, times `share`.
    pub(super) fn row_loss(self, outputs: &[f32], scores: &[f32], share: f32, slopes: &mut [f32]) -> f32 {
        let known: Vec<usize> = (0..scores.len()).filter(|i| !scores[*i].is_nan()).collect();
        let pairs = (known.len() * known.len().saturating_sub(1) / 2).max(1) as f32;
        let mut sum = 0.0;
        for (place, &a) in known.iter().enumerate() {
            for &b in &known[place + 1..] {
                if let Some((loss, slope)) = self.loss(outputs[a] - outputs[b], scores[a] - scores[b]) {
                    sum += loss;
                    slopes[a] += share / pairs * slope;
                    slopes[b] -= share / pairs * slope;
                }
            }
        }
        sum / pairs
    }
}
