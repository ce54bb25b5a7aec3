//! A linear support vector machine by dual coordinate descent.

use fingerpost_encode::dot;
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// Most passes over the examples.
const PASSES: usize = 60;
/// Passes end when no example's gradient is further from where it should be.
const PRECISION: f32 = 0.02;

/// A linear machine: the sign of `weights · x + offset` is its answer.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) weights: Vec<f32>,
    pub(super) offset: f32,
}

// === impl Machine ===

impl Machine {
    /// Minimises `½ |w|² + Σ Cᵢ max(0, 1 − yᵢ w·xᵢ)²` (Hsieh et al. 2008), the offset as the weight of a number that is always 1.
    /// `Cᵢ` is `cost` for an example of a kind that is half of all, more for the rarer kind and less for the other, so that
    /// both weigh the same. Without examples of both kinds the weights are 0.
    pub(super) fn train(examples: &[(&[f32], bool)], width: usize, cost: f64, seed: u64) -> Self {
        let mut machine = Self {
            weights: vec![0.0; width],
            offset: 0.0,
        };
        let right = examples.iter().filter(|e| e.1).count();
        let wrong = examples.len() - right;
        if right == 0 || wrong == 0 {
            return machine;
        }
        let balanced = |count: usize| cost * examples.len() as f64 / (2.0 * count as f64);
        let diagonal = [wrong, right].map(|count| (0.5 / balanced(count)) as f32);
        let squares: Vec<f32> = examples.iter().map(|(x, _)| dot(x, x) + 1.0).collect();
        let mut duals = vec![0.0_f32; examples.len()];
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..PASSES {
            order.shuffle(&mut rng);
            let mut worst = 0.0_f32;
            for &i in &order {
                let (x, label) = examples[i];
                let sign = if label { 1.0 } else { -1.0 };
                let ridge = diagonal[usize::from(label)];
                let gradient = sign * machine.decide(x) - 1.0 + ridge * duals[i];
                let open = if duals[i] > 0.0 {
                    gradient
                } else {
                    gradient.min(0.0)
                };
                worst = worst.max(open.abs());
                let next = (duals[i] - gradient / (squares[i] + ridge)).max(0.0);
                let step = (next - duals[i]) * sign;
                duals[i] = next;
                machine
                    .weights
                    .iter_mut()
                    .zip(x)
                    .for_each(|(w, x)| *w += step * x);
                machine.offset += step;
            }
            if worst < PRECISION {
                break;
            }
        }
        machine
    }

    pub(super) fn decide(&self, x: &[f32]) -> f32 {
        dot(&self.weights, x) + self.offset
    }
}
