//! Small nets of full layers, as `mlp` and `moma` use them: forward, backward, Adam, and a descent that stops early.

mod descent;

use fingerpost_encode::dot;
use rand::{Rng, rngs::SmallRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

pub(crate) use self::descent::{Adam, Student, committee};

/// Full layers with `max(0, ·)` between them, and after the last where it is not an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Net {
    /// Numbers in, after each hidden layer, and out.
    sizes: Vec<usize>,
    /// Layer after layer: for each number out its weights, then all offsets.
    values: Vec<f32>,
    /// Whether negative numbers out are cut too.
    cut_last: bool,
}

/// What each layer gave on the way forward; the first is the row itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(Vec<Vec<f32>>);

// === impl Net ===

impl Net {
    /// A net for rows of length about one: weights drawn so that the numbers of the hidden layers have a size of about a half,
    /// weights of the output 0. `sizes` names two at least.
    pub(crate) fn new(sizes: &[usize], rng: &mut SmallRng) -> Self {
        let mut values = Vec::new();
        let layers = sizes.len().saturating_sub(1);
        for (layer, pair) in sizes.windows(2).enumerate() {
            let spread = match layer {
                _ if layer + 1 == layers => 0.0,
                0 => 1.0,
                _ => (2.0 / pair[0] as f32).sqrt(),
            };
            values.extend((0..pair[0] * pair[1]).map(|_| spread * rng.sample::<f32, _>(StandardNormal)));
            values.extend(std::iter::repeat_n(0.0, pair[1]));
        }
        Self {
            sizes: sizes.to_vec(),
            values,
            cut_last: false,
        }
    }

    /// A net whose last layer is hidden too: drawn and cut like the others.
    pub(crate) fn hidden(sizes: &[usize], rng: &mut SmallRng) -> Self {
        let mut longer = sizes.to_vec();
        longer.push(0);
        let mut net = Self::new(&longer, rng);
        net.sizes.pop();
        net.cut_last = true;
        net
    }

    /// The same with the weights of its last layer drawn from a normal distribution of this spread.
    pub(crate) fn with_output_spread(mut self, spread: f32, rng: &mut SmallRng) -> Self {
        if let [.., wide, out] = self.sizes[..] {
            let begin = self.values.len() - (wide + 1) * out;
            let weights = &mut self.values[begin..][..wide * out];
            weights
                .iter_mut()
                .for_each(|w| *w = spread * rng.sample::<f32, _>(StandardNormal));
        }
        self
    }

    /// The offsets of the last layer.
    pub(crate) fn output_offsets(&mut self) -> &mut [f32] {
        let out = self.sizes.last().copied().unwrap_or(0);
        let begin = self.values.len() - out;
        &mut self.values[begin..]
    }

    /// How many weights and offsets it has.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The weights and offsets, to be changed.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    fn layers(&self) -> usize {
        self.sizes.len().saturating_sub(1)
    }

    /// Whether what a layer gives is cut below 0.
    fn cuts(&self, layer: usize) -> bool {
        self.cut_last || layer + 1 < self.layers()
    }

    /// Where the values of each layer begin.
    fn begins(&self) -> impl DoubleEndedIterator<Item = (usize, usize, usize, usize)> + use<'_> {
        let mut begin = 0;
        let all: Vec<_> = self
            .sizes
            .windows(2)
            .enumerate()
            .map(|(layer, pair)| {
                let this = begin;
                begin += (pair[0] + 1) * pair[1];
                (layer, this, pair[0], pair[1])
            })
            .collect();
        all.into_iter()
    }

    /// Runs a row through the net; the tape holds what is wanted on the way back. A row of another length counts as far as it goes.
    pub(crate) fn forward<'t>(&self, row: &[f32], tape: &'t mut Tape) -> &'t [f32] {
        tape.0.resize_with(self.sizes.len(), Vec::new);
        tape.0[0].clear();
        tape.0[0].extend_from_slice(row);
        for (layer, begin, wide, out) in self.begins() {
            let (weights, offsets) = self.values[begin..][..(wide + 1) * out].split_at(wide * out);
            let (before, after) = tape.0.split_at_mut(layer + 1);
            let (from, into) = (&before[layer], &mut after[0]);
            into.clear();
            into.extend(
                weights
                    .chunks_exact(wide.max(1))
                    .zip(offsets)
                    .map(|(weights, offset)| {
                        let value = dot(weights, from) + offset;
                        if self.cuts(layer) { value.max(0.0) } else { value }
                    }),
            );
        }
        tape.output()
    }

    /// Adds to `slopes` the slope of the loss by every weight, given its slope by each number out; returns that by the row where
    /// it is `wanted`.
    pub(crate) fn backward(
        &self,
        tape: &Tape,
        out_slopes: &[f32],
        slopes: &mut [f32],
        wanted: bool,
    ) -> Vec<f32> {
        let mut above = out_slopes.to_vec();
        for (layer, begin, wide, out) in self.begins().rev() {
            let (from, gave) = (&tape.0[layer], &tape.0[layer + 1]);
            if self.cuts(layer) {
                above
                    .iter_mut()
                    .zip(gave)
                    .filter(|(_, v)| **v <= 0.0)
                    .for_each(|(s, _)| *s = 0.0);
            }
            let weights = &self.values[begin..][..wide * out];
            let (by_weight, by_offset) = slopes[begin..][..(wide + 1) * out].split_at_mut(wide * out);
            let below_wanted = wanted || layer > 0;
            let mut below = vec![0.0; if below_wanted { wide } else { 0 }];
            for (number, slope) in above.iter().enumerate().filter(|(_, s)| **s != 0.0) {
                by_offset[number] += slope;
                let row = &mut by_weight[number * wide..][..wide];
                row.iter_mut().zip(from).for_each(|(to, x)| *to += slope * x);
                let weights = &weights[number * wide..][..wide];
                below.iter_mut().zip(weights).for_each(|(to, w)| *to += slope * w);
            }
            above = below;
        }
        above
    }
}

// === impl Tape ===

impl Tape {
    /// What the last layer gave.
    pub(crate) fn output(&self) -> &[f32] {
        self.0.last().map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The slope of `loss` by each value, by small steps both ways.
    fn measured(net: &Net, loss: impl Fn(&Net) -> f32) -> Vec<f32> {
        let step = 1e-2;
        let moved = |i: usize, by: f32| {
            let mut net = net.clone();
            net.values[i] += by;
            loss(&net)
        };
        (0..net.len())
            .map(|i| (moved(i, step) - moved(i, -step)) / (2.0 * step))
            .collect()
    }

    #[test]
    fn slopes_are_those_that_small_steps_show() {
        let mut rng = SmallRng::seed_from_u64(4);
        for cut in [false, true] {
            let net = if cut {
                Net::hidden(&[3, 4, 3], &mut rng)
            } else {
                Net::new(&[3, 4, 3, 2], &mut rng).with_output_spread(0.5, &mut rng)
            };
            let row = [0.5, -0.3, 0.8];
            let loss = |net: &Net| {
                net.forward(&row, &mut Tape::default())
                    .iter()
                    .map(|v| v * v / 2.0)
                    .sum::<f32>()
            };
            let mut tape = Tape::default();
            let out = net.forward(&row, &mut tape).to_vec();
            let mut slopes = vec![0.0; net.len()];
            let by_row = net.backward(&tape, &out, &mut slopes, true);
            assert_eq!(by_row.len(), 3);
            for (found, expected) in slopes.iter().zip(measured(&net, loss)) {
                assert!(
                    (found - expected).abs() < 2e-2 * (1.0 + expected.abs()),
                    "{found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn a_new_net_gives_its_offsets() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut net = Net::new(&[2, 5, 3], &mut rng);
        net.output_offsets().copy_from_slice(&[1.0, 2.0, 3.0]);
        assert_eq!(net.forward(&[0.1, 0.2], &mut Tape::default()), [1.0, 2.0, 3.0]);
        assert_eq!(net.len(), 3 * 5 + 6 * 3);
    }
}
