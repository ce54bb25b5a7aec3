//! Small numeric pieces of what is trained here: Adam, a layer, lengths.

use rand::{Rng, rngs::SmallRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// Adam's moments for one set of parameters. Kingma and Ba 2015, with their constants.
pub(crate) struct Adam {
    rate: f32,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

/// Passes over `items` in batches: so many, or as many as make 600 steps where there are few items.
pub(crate) fn passes(passes: usize, items: usize, batch: usize) -> usize {
    passes.max(600_usize.div_ceil(items.div_ceil(batch).max(1)))
}

/// A fully connected layer, `y = W x + b`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Layer {
    inputs: usize,
    /// Output after output, its weights and then its bias.
    pub(crate) values: Vec<f32>,
}

// === impl Adam ===

impl Adam {
    pub(crate) fn new(parameters: usize, rate: f32) -> Self {
        Self {
            rate,
            first: vec![0.0; parameters],
            second: vec![0.0; parameters],
            steps: 0,
        }
    }

    pub(crate) fn step(&mut self, values: &mut [f32], gradient: &[f32]) {
        self.steps += 1;
        let (one, two) = (1.0 - 0.9_f32.powi(self.steps), 1.0 - 0.999_f32.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first = 0.9 * *first + 0.1 * g;
            *second = 0.999 * *second + 0.001 * g * g;
            *value -= self.rate * (*first / one) / ((*second / two).sqrt() + 1e-8);
        }
    }
}

// === impl Layer ===

impl Layer {
    pub(crate) fn random(inputs: usize, outputs: usize, rng: &mut SmallRng) -> Self {
        let spread = (1.0 / inputs.max(1) as f32).sqrt();
        let row = |rng: &mut SmallRng| {
            let mut row: Vec<f32> = (0..inputs)
                .map(|_| rng.sample::<f32, _>(StandardNormal) * spread)
                .collect();
            row.push(0.0);
            row
        };
        Self {
            inputs,
            values: (0..outputs).flat_map(|_| row(rng)).collect(),
        }
    }

    pub(crate) fn apply(&self, x: &[f32]) -> Vec<f32> {
        let output = |row: &[f32]| fingerpost_encode::dot(&row[..self.inputs], x) + row[self.inputs];
        // An input of another length counts as all zeros.
        if x.len() == self.inputs {
            self.values.chunks_exact(self.inputs + 1).map(output).collect()
        } else {
            let biases = self
                .values
                .chunks_exact(self.inputs + 1)
                .map(|row| row[self.inputs]);
            biases.collect()
        }
    }

    /// Adds the gradient of the parameters to `gradient`, and gives that of the input.
    pub(crate) fn back(&self, x: &[f32], dy: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        let mut dx = vec![0.0; self.inputs];
        let rows = self.values.chunks_exact(self.inputs + 1);
        for ((row, into), dy) in rows.zip(gradient.chunks_exact_mut(self.inputs + 1)).zip(dy) {
            if *dy != 0.0 {
                dx.iter_mut().zip(row).for_each(|(d, w)| *d += dy * w);
                into.iter_mut().zip(x).for_each(|(g, x)| *g += dy * x);
                into[self.inputs] += dy;
            }
        }
        dx
    }
}

pub(crate) fn elu(z: f32) -> f32 {
    if z > 0.0 { z } else { z.exp_m1() }
}

/// The derivative of [`elu`] where its value is `y`.
pub(crate) fn elu_slope(y: f32) -> f32 {
    if y > 0.0 { 1.0 } else { y + 1.0 }
}

pub(crate) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

/// The vector at length one; all zeros, or one that is not finite, become zeros.
pub(crate) fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    fingerpost_encode::normalize(&mut vector);
    vector
}

pub(crate) fn length(vector: &[f32]) -> f32 {
    fingerpost_encode::dot(vector, vector).sqrt()
}

/// The gradient before [`normalized`], from that after it: `unit` is what it gave, `length` what it divided by.
pub(crate) fn before_normalized(unit: &[f32], length: f32, gradient: &[f32]) -> Vec<f32> {
    let along: f32 = unit.iter().zip(gradient).map(|(u, g)| u * g).sum();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    unit.iter()
        .zip(gradient)
        .map(|(u, g)| (g - u * along) * scale)
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let mut rng = SmallRng::seed_from_u64(1);
        let layer = Layer::random(3, 2, &mut rng);
        let (x, aim) = ([0.3, -0.7, 0.2], [1.0_f32, -2.0]);
        let loss = |layer: &Layer, x: &[f32]| {
            let y = normalized(layer.apply(x).into_iter().map(elu).collect());
            y.iter().zip(aim).map(|(y, a)| y * a).sum::<f32>()
        };
        let y: Vec<f32> = layer.apply(&x).into_iter().map(elu).collect();
        let unit = normalized(y.clone());
        let mut dz = before_normalized(&unit, length(&y), &aim);
        dz.iter_mut().zip(&y).for_each(|(d, y)| *d *= elu_slope(*y));
        let mut gradient = vec![0.0; layer.values.len()];
        let dx = layer.back(&x, &dz, &mut gradient);
        for (place, gradient) in gradient.iter().enumerate() {
            let mut moved = layer.clone();
            moved.values[place] += 1e-3;
            let slope = (loss(&moved, &x) - loss(&layer, &x)) / 1e-3;
            assert!((slope - gradient).abs() < 5e-3, "{place}: {slope} {gradient}");
        }
        for (place, gradient) in dx.iter().enumerate() {
            let mut moved = x;
            moved[place] += 1e-3;
            let slope = (loss(&layer, &moved) - loss(&layer, &x)) / 1e-3;
            assert!((slope - gradient).abs() < 5e-3, "{place}: {slope} {gradient}");
        }
    }

    #[test]
    fn adam_finds_the_lowest_point() {
        let (mut values, mut adam) = ([3.0_f32, -2.0], Adam::new(2, 0.05));
        for _ in 0..500 {
            let gradient = [2.0 * (values[0] - 1.0), 4.0 * values[1]];
            adam.step(&mut values, &gradient);
        }
        assert!(
            (values[0] - 1.0).abs() < 0.01 && values[1].abs() < 0.01,
            "{values:?}"
        );
    }
}
