//! A weighted sum of features.

use serde::{Deserialize, Serialize};

use super::{Lists, Objective};

/// Steps of the descent.
const STEPS: usize = 160;
const RATE: f32 = 0.06;
/// Features beyond so many deviations of their mean count as that many.
const REACH: f32 = 4.0;

/// Weights of standardised features.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Linear {
    means: Vec<f32>,
    scales: Vec<f32>,
    weights: Vec<f32>,
    bias: f32,
}

// === impl Linear ===

impl Linear {
    /// Learns by Adam (Kingma and Ba 2015) over all lists at once; `l2` holds the weights.
    pub(crate) fn fit(lists: &Lists, objective: Objective, l2: f32) -> Self {
        let (means, scales) = moments(lists);
        let mut this = Self {
            weights: vec![0.0; lists.width],
            means,
            scales,
            bias: 0.0,
        };
        let mut rows = Vec::with_capacity(lists.values.len());
        for row in 0..lists.rows() {
            rows.extend(this.standard(lists.row(row)));
        }
        let (mut scores, mut slopes, mut bends) = (
            vec![0.0; lists.rows()],
            vec![0.0; lists.rows()],
            vec![0.0; lists.rows()],
        );
        let width = lists.width;
        let (mut first, mut second) = (vec![0.0_f32; width + 1], vec![0.0_f32; width + 1]);
        let of = lists.ends.len().max(1) as f32;
        for step in 1..=STEPS as i32 {
            for (row, score) in rows.chunks_exact(width.max(1)).zip(&mut scores) {
                *score = this.bias + fingerpost_encode::dot(row, &this.weights);
            }
            for span in lists.spans() {
                let (slopes, bends) = (&mut slopes[span.clone()], &mut bends[span.clone()]);
                objective.slopes(&scores[span.clone()], &lists.grades[span], slopes, bends);
            }
            let mut gradient: Vec<f32> = this.weights.iter().map(|w| w * l2).chain([0.0]).collect();
            for (row, slope) in rows.chunks_exact(width.max(1)).zip(&slopes) {
                if *slope != 0.0 {
                    let slope = slope / of;
                    for (sum, value) in gradient.iter_mut().zip(row) {
                        *sum += slope * value;
                    }
                    gradient[width] += slope;
                }
            }
            let rate = RATE * (1.0 - step as f32 / (STEPS + 1) as f32);
            let weights = this.weights.iter_mut().chain([&mut this.bias]);
            for (place, weight) in weights.enumerate() {
                let g = gradient[place];
                first[place] = 0.9 * first[place] + 0.1 * g;
                second[place] = 0.99 * second[place] + 0.01 * g * g;
                let (m, v) = (
                    first[place] / (1.0 - 0.9_f32.powi(step)),
                    second[place] / (1.0 - 0.99_f32.powi(step)),
                );
                *weight -= rate * m / (v.sqrt() + 1e-8);
            }
        }
        this
    }

    fn standard<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let moments = self.means.iter().zip(&self.scales);
        row.iter()
            .zip(moments)
            .map(|(x, (mean, scale))| ((x - mean) * scale).clamp(-REACH, REACH))
    }

    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        let terms = self.standard(row).zip(&self.weights).map(|(x, w)| x * w);
        self.bias + terms.sum::<f32>()
    }

    /// Features that it reads; 0 where it is damaged.
    pub(crate) fn width(&self) -> usize {
        let width = self.weights.len();
        let same = self.means.len() == width && self.scales.len() == width;
        if same { width } else { 0 }
    }

    /// Adds what each feature gives to its place.
    pub(crate) fn explain(&self, row: &[f32], shares: &mut [f32]) {
        for ((share, x), weight) in shares.iter_mut().zip(self.standard(row)).zip(&self.weights) {
            *share += x * weight;
        }
    }
}

/// Mean and inverse deviation of every feature; 0 for features that never change.
fn moments(lists: &Lists) -> (Vec<f32>, Vec<f32>) {
    let of = lists.rows().max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0_f64; lists.width], vec![0.0_f64; lists.width]);
    for row in 0..lists.rows() {
        for (place, &value) in lists.row(row).iter().enumerate() {
            sums[place] += f64::from(value);
            squares[place] += f64::from(value) * f64::from(value);
        }
    }
    let scale = |place: usize| {
        let mean = sums[place] / of;
        let variance = squares[place] / of - mean * mean;
        if variance > 1e-9 {
            (1.0 / variance.sqrt()) as f32
        } else {
            0.0
        }
    };
    let scales = (0..lists.width).map(scale).collect();
    (sums.iter().map(|s| (s / of) as f32).collect(), scales)
}
