//! Platt's sigmoid: the probability that a decision is right.

use serde::{Deserialize, Serialize};

/// Most steps of Newton's method.
const STEPS: usize = 100;

/// `1 / (1 + exp(−(slope · decision + offset)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sigmoid {
    pub(super) slope: f64,
    pub(super) offset: f64,
}

// === impl Sigmoid ===

impl Sigmoid {
    /// The sigmoid of greatest likelihood, by Newton's method with halved steps (Lin, Lin and Weng 2007). Labels are taken as
    /// nearly sure only, so that a clean cut has a finite slope. A slope below 0 would turn decisions round, which only chance
    /// asks for: it is 0 then. Without examples of both kinds the answer is their share.
    pub(super) fn fit(examples: &[(f64, bool)]) -> Self {
        let right = examples.iter().filter(|e| e.1).count() as f64;
        let wrong = examples.len() as f64 - right;
        let (high, low) = ((right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0));
        let mut found = Self {
            slope: 0.0,
            offset: ((right + 1.0) / (wrong + 1.0)).ln(),
        };
        if right == 0.0 || wrong == 0.0 {
            return found;
        }
        let target = |label: bool| if label { high } else { low };
        let loss = |s: Self| -> f64 {
            let one = |(d, label): &(f64, bool)| {
                let z = s.slope * d + s.offset;
                z.max(0.0) - target(*label) * z + (-z.abs()).exp().ln_1p()
            };
            examples.iter().map(one).sum()
        };
        let mut now = loss(found);
        for _ in 0..STEPS {
            let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
            for (d, label) in examples {
                let p = found.of(*d);
                let (rest, spread) = (p - target(*label), p * (1.0 - p));
                g = [g[0] + rest * d, g[1] + rest];
                h = [h[0] + spread * d * d, h[1] + spread * d, h[2] + spread];
            }
            if g[0].abs() < 1e-6 && g[1].abs() < 1e-6 {
                break;
            }
            let det = h[0] * h[2] - h[1] * h[1];
            if det <= 0.0 {
                break;
            }
            let step = [
                (h[2] * g[0] - h[1] * g[1]) / det,
                (h[0] * g[1] - h[1] * g[0]) / det,
            ];
            let stepped = |length: f64| Self {
                slope: found.slope - length * step[0],
                offset: found.offset - length * step[1],
            };
            let lengths = (0..20).map(|i| 0.5_f64.powi(i));
            let Some(next) = lengths.map(stepped).find(|s| loss(*s) < now) else {
                break;
            };
            (found, now) = (next, loss(next));
        }
        if found.slope >= 0.0 {
            return found;
        }
        Self {
            slope: 0.0,
            offset: ((right + 1.0) / (wrong + 1.0)).ln(),
        }
    }

    pub(super) fn of(self, decision: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * decision + self.offset)).exp())
    }
}
