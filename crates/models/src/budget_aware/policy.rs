//! The policy: a small network from a state to the log-odds of the large model.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::view::STATE;
use crate::TrainError;

/// Width of both hidden layers.
const HIDDEN: usize = 32;

/// Log-odds of the large model, by a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    inputs: usize,
    /// Layer after layer: weights row by row, then biases.
    weights: Vec<f32>,
}

/// Adam (Kingma and Ba) with its usual settings.
#[derive(Debug, Clone)]
pub(super) struct Adam {
    rate: f32,
    step: i32,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// The hidden layers at one state.
struct Layers {
    first: [f32; HIDDEN],
    second: [f32; HIDDEN],
    logit: f32,
}

// === impl Policy ===

impl Policy {
    /// A policy for states of so many numbers, with small random weights.
    pub fn new(inputs: usize, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut layer = |rows: usize, columns: usize| {
            let scale = (1.0 / columns as f32).sqrt();
            let mut weights: Vec<f32> = (0..rows * columns)
                .map(|_| scale * rng.sample::<f32, _>(StandardNormal))
                .collect();
            weights.resize(rows * (columns + 1), 0.0);
            weights
        };
        let weights = [layer(HIDDEN, inputs), layer(HIDDEN, HIDDEN), layer(1, HIDDEN)].concat();
        Self { inputs, weights }
    }

    /// Numbers of a state.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values of the projected text that it reads.
    pub fn text(&self) -> usize {
        self.inputs.saturating_sub(STATE)
    }

    /// Whether its weights are as many as they must be, and numbers.
    pub(super) fn is_sound(&self) -> bool {
        self.weights.len() == weights(self.inputs) && self.weights.iter().all(|w| w.is_finite())
    }

    /// The probability of the large model; a state of another length counts as all zeros.
    pub fn large(&self, state: &[f32]) -> f64 {
        1.0 / (1.0 + (-f64::from(self.logit(state))).exp())
    }

    /// Its log-odds.
    pub fn logit(&self, state: &[f32]) -> f32 {
        self.layers(state).logit
    }

    /// The same policy with every log-odds raised by so much.
    #[must_use]
    pub fn raised(mut self, by: f32) -> Self {
        if let Some(bias) = self.weights.last_mut() {
            *bias += by;
        }
        self
    }

    fn layers(&self, state: &[f32]) -> Layers {
        let (first, second, third) = self.split();
        let mut layers = Layers {
            first: [0.0; HIDDEN],
            second: [0.0; HIDDEN],
            logit: 0.0,
        };
        let state = if state.len() == self.inputs { state } else { &[] };
        affine(first, self.inputs, state, &mut layers.first);
        layers.first.iter_mut().for_each(|v| *v = v.tanh());
        affine(second, HIDDEN, &layers.first, &mut layers.second);
        layers.second.iter_mut().for_each(|v| *v = v.tanh());
        let mut out = [0.0];
        affine(third, HIDDEN, &layers.second, &mut out);
        layers.logit = out[0];
        layers
    }

    fn split(&self) -> (&[f32], &[f32], &[f32]) {
        let (first, rest) = self.weights.split_at(HIDDEN * (self.inputs + 1));
        let (second, third) = rest.split_at(HIDDEN * (HIDDEN + 1));
        (first, second, third)
    }

    /// Adds to `gradient` what a loss with derivative `slope` (by the log-odds) has by each weight; `slope` sees the log-odds.
    pub(super) fn backward(&self, state: &[f32], slope: impl FnOnce(f32) -> f32, gradient: &mut [f32]) {
        if state.len() != self.inputs {
            return;
        }
        let layers = self.layers(state);
        let slope = slope(layers.logit);
        let (_, second, third) = self.split();
        let (g1, rest) = gradient.split_at_mut(HIDDEN * (self.inputs + 1));
        let (g2, g3) = rest.split_at_mut(HIDDEN * (HIDDEN + 1));
        let mut d2 = [0.0; HIDDEN];
        for i in 0..HIDDEN {
            g3[i] += slope * layers.second[i];
            d2[i] = slope * third[i] * (1.0 - layers.second[i].powi(2));
        }
        g3[HIDDEN] += slope;
        let mut d1 = [0.0; HIDDEN];
        for i in 0..HIDDEN {
            let row = i * HIDDEN..(i + 1) * HIDDEN;
            for ((g, w), (d, h)) in g2[row.clone()]
                .iter_mut()
                .zip(&second[row])
                .zip(d1.iter_mut().zip(&layers.first))
            {
                *g += d2[i] * h;
                *d += d2[i] * w;
            }
            g2[HIDDEN * HIDDEN + i] += d2[i];
        }
        for i in 0..HIDDEN {
            let d = d1[i] * (1.0 - layers.first[i].powi(2));
            g1[i * self.inputs..(i + 1) * self.inputs]
                .iter_mut()
                .zip(state)
                .for_each(|(g, x)| *g += d * x);
            g1[HIDDEN * self.inputs + i] += d;
        }
    }

    /// Weights, to be filled by [`Policy::backward`].
    pub(super) fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.weights.len()]
    }

    /// Fits the policy to choices that were shown, by cross-entropy. Each is a state, whether the large model was taken, a weight.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] where nothing was shown.
    pub fn imitate(
        &mut self,
        shown: &[(Vec<f32>, bool, f32)],
        epochs: usize,
        rate: f32,
        seed: u64,
    ) -> Result<(), TrainError> {
        if shown.is_empty() {
            return Err(TrainError::TooLittle {
                algorithm: "budget_aware",
                needs: "choices to imitate",
                found: "none".to_owned(),
            });
        }
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut adam = Adam::new(self.weights.len(), rate);
        let mut order: Vec<usize> = (0..shown.len()).collect();
        for _ in 0..epochs {
            shuffle(&mut order, &mut rng);
            for batch in order.chunks(256) {
                let mut gradient = self.zeros();
                for (state, large, weight) in batch.iter().map(|i| &shown[*i]) {
                    let share = weight / batch.len() as f32;
                    let slope = |logit: f32| share * (sigmoid(logit) - f32::from(u8::from(*large)));
                    self.backward(state, slope, &mut gradient);
                }
                self.step(&mut adam, &gradient);
            }
        }
        Ok(())
    }

    pub(super) fn step(&mut self, adam: &mut Adam, gradient: &[f32]) {
        adam.step(&mut self.weights, gradient);
    }
}

const fn weights(inputs: usize) -> usize {
    HIDDEN * (inputs + 1) + HIDDEN * (HIDDEN + 1) + HIDDEN + 1
}

/// Rows of weights, then a bias a row.
fn affine(layer: &[f32], columns: usize, x: &[f32], out: &mut [f32]) {
    let (rows, biases) = layer.split_at(out.len() * columns);
    for (i, (out, bias)) in out.iter_mut().zip(biases).enumerate() {
        let row = &rows[i * columns..(i + 1) * columns];
        *out = bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn shuffle<T>(items: &mut [T], rng: &mut SmallRng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

// === impl Adam ===

impl Adam {
    pub(super) fn new(weights: usize, rate: f32) -> Self {
        Self {
            rate,
            step: 0,
            mean: vec![0.0; weights],
            square: vec![0.0; weights],
        }
    }

    fn step(&mut self, weights: &mut [f32], gradient: &[f32]) {
        self.step += 1;
        let (b1, b2) = (0.9_f32, 0.999_f32);
        let (c1, c2) = (1.0 - b1.powi(self.step), 1.0 - b2.powi(self.step));
        for (i, g) in gradient.iter().enumerate() {
            self.mean[i] = b1 * self.mean[i] + (1.0 - b1) * g;
            self.square[i] = b2 * self.square[i] + (1.0 - b2) * g * g;
            weights[i] -= self.rate * (self.mean[i] / c1) / ((self.square[i] / c2).sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_differences() {
        let policy = Policy::new(4, 7);
        let state = [0.5, -1.0, 2.0, 0.1];
        let mut gradient = policy.zeros();
        policy.backward(&state, |_| 1.0, &mut gradient);
        for i in (0..gradient.len()).step_by(37).chain([gradient.len() - 1]) {
            let at = |by: f32| {
                let mut moved = policy.clone();
                moved.weights[i] += by;
                f64::from(moved.logit(&state))
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (slope - f64::from(gradient[i])).abs() < 2e-3,
                "{i}: {slope} {}",
                gradient[i]
            );
        }
    }

    #[test]
    fn a_shown_rule_is_learned() {
        let mut rng = SmallRng::seed_from_u64(1);
        let shown: Vec<(Vec<f32>, bool, f32)> = (0..2000)
            .map(|_| {
                let x: f32 = rng.random_range(-1.0..1.0);
                let y: f32 = rng.random_range(-1.0..1.0);
                (vec![x, y], x * y > 0.0, 1.0)
            })
            .collect();
        let mut policy = Policy::new(2, 1);
        policy.imitate(&shown, 30, 0.01, 1).unwrap();
        let right = shown
            .iter()
            .filter(|(x, large, _)| (policy.large(x) > 0.5) == *large)
            .count();
        assert!(right > 1900, "{right}");
        assert!(policy.imitate(&[], 1, 0.1, 1).is_err());
        let raised = policy.clone().raised(1.5);
        assert!((raised.logit(&[0.1, 0.2]) - policy.logit(&[0.1, 0.2]) - 1.5).abs() < 1e-5);
    }
}
