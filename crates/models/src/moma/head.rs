//! The net of `moma`: a shared hidden layer, a gate and experts.

use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::{Lessons, MomaSettings};
use crate::net::{Adam, Net, Student, Tape};

/// An output that is this much above is at the beginning what a point of mean score is worth: the slope of the logistic function
/// at its middle is a quarter.
const PER_POINT: f32 = 4.0;

/// A trained net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    trunk: Net,
    gate: Net,
    /// Expert after expert, an output a model.
    experts: Net,
    /// Experts that have a say; 0 means all.
    top: usize,
}

/// What a row gave on the way forward.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed {
    trunk: Tape,
    gate: Tape,
    experts: Tape,
    /// How much say each expert has; the sum is 1.
    shares: Vec<f32>,
    outputs: Vec<f32>,
}

/// A net that learns.
#[derive(Clone)]
pub(super) struct Pupil<'a> {
    lessons: &'a Lessons,
    head: Head,
    /// Of trunk, gate and experts.
    adams: [Adam; 3],
    slopes: [Vec<f32>; 3],
    passed: Vec<Passed>,
}

// === impl Head ===

impl Head {
    /// A net that rates every query alike to begin with, by how good models are on average.
    pub(super) fn new(lessons: &Lessons, settings: &MomaSettings, rng: &mut SmallRng) -> Self {
        let hidden = settings.hidden;
        let mut experts = Net::new(&[hidden, settings.experts * lessons.above.len()], rng);
        let offsets = experts.output_offsets().iter_mut();
        offsets
            .zip(lessons.above.iter().cycle())
            .for_each(|(o, above)| *o = PER_POINT * above);
        // Were all shares the same, all experts would learn the same.
        let spread = (1.0 / hidden as f32).sqrt();
        Self {
            trunk: Net::hidden(&[lessons.width, hidden], rng),
            gate: Net::new(&[hidden, settings.experts], rng).with_output_spread(spread, rng),
            experts,
            top: settings.top,
        }
    }

    /// The outputs for a row, a model each.
    pub(super) fn rate(&self, row: &[f32]) -> Vec<f32> {
        let mut passed = Passed::default();
        self.pass(row, &mut passed);
        passed.outputs
    }

    fn pass(&self, row: &[f32], passed: &mut Passed) {
        let shared = self.trunk.forward(row, &mut passed.trunk);
        let logits = self.gate.forward(shared, &mut passed.gate);
        shares(logits, self.top, &mut passed.shares);
        let rated = self.experts.forward(shared, &mut passed.experts);
        let models = rated.len() / passed.shares.len().max(1);
        passed.outputs.clear();
        passed.outputs.resize(models, 0.0);
        for (share, rated) in passed.shares.iter().zip(rated.chunks_exact(models.max(1))) {
            passed
                .outputs
                .iter_mut()
                .zip(rated)
                .for_each(|(o, r)| *o += share * r);
        }
    }

    /// Adds the slopes of the loss by all weights, given those by the outputs and, beside that, by the shares.
    fn back(&self, passed: &Passed, by_output: &[f32], by_share: &[f32], slopes: &mut [Vec<f32>; 3]) {
        let shares = &passed.shares;
        let by_rating = shares
            .iter()
            .flat_map(|share| by_output.iter().map(move |s| share * s));
        let by_rating: Vec<f32> = by_rating.collect();
        let rated = passed.experts.output().chunks_exact(by_output.len().max(1));
        let by_share = rated.zip(by_share).map(|(rated, own)| {
            let through: f32 = rated.iter().zip(by_output).map(|(r, s)| r * s).sum();
            own + through
        });
        let by_share: Vec<f32> = by_share.collect();
        let mean: f32 = shares.iter().zip(&by_share).map(|(share, s)| share * s).sum();
        let by_logit = shares.iter().zip(&by_share).map(|(share, s)| share * (s - mean));
        let by_logit: Vec<f32> = by_logit.collect();

        let [trunk, gate, experts] = slopes;
        let mut below = self.gate.backward(&passed.gate, &by_logit, gate, true);
        let more = self.experts.backward(&passed.experts, &by_rating, experts, true);
        below.iter_mut().zip(more).for_each(|(b, m)| *b += m);
        self.trunk.backward(&passed.trunk, &below, trunk, false);
    }
}

/// The softmax of the `top` highest logits (0: of all); the others' share is 0.
fn shares(logits: &[f32], top: usize, shares: &mut Vec<f32>) {
    shares.clear();
    shares.extend_from_slice(logits);
    let mut sorted = logits.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let Some(&highest) = sorted.first() else {
        return;
    };
    let bar = match top {
        0 => f32::NEG_INFINITY,
        top => sorted[top.min(sorted.len()) - 1],
    };
    for share in &mut *shares {
        *share = if *share >= bar {
            (*share - highest).exp()
        } else {
            0.0
        };
    }
    let sum: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|s| *s /= sum);
}

// === impl Pupil ===

impl<'a> Pupil<'a> {
    pub(super) fn new(lessons: &'a Lessons, settings: &MomaSettings, rng: &mut SmallRng) -> Self {
        let head = Head::new(lessons, settings, rng);
        let lengths = [head.trunk.len(), head.gate.len(), head.experts.len()];
        Self {
            lessons,
            adams: lengths.map(|n| Adam::new(n, settings.rate, settings.decay)),
            slopes: lengths.map(|n| vec![0.0; n]),
            passed: Vec::new(),
            head,
        }
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn into_head(self) -> Head {
        self.head
    }

    /// Adds the slopes of the mean loss of a batch.
    fn slope(&mut self, batch: &[usize]) {
        self.passed.resize_with(batch.len(), Passed::default);
        for (row, passed) in batch.iter().zip(&mut self.passed) {
            self.head.pass(self.lessons.row(*row), passed);
        }
        let share = 1.0 / batch.len() as f32;
        let by_share = balance_slopes(&self.passed, self.lessons.balance * share);
        let mut by_output = vec![0.0; self.lessons.above.len()];
        for (row, passed) in batch.iter().zip(&self.passed) {
            by_output.fill(0.0);
            let scores = self.lessons.scores(*row);
            self.lessons
                .margins
                .row_loss(&passed.outputs, scores, share, &mut by_output);
            self.head.back(passed, &by_output, &by_share, &mut self.slopes);
        }
    }
}

impl Student for Pupil<'_> {
    fn learn(&mut self, batch: &[usize]) {
        self.slope(batch);
        let nets = [&mut self.head.trunk, &mut self.head.gate, &mut self.head.experts];
        for ((net, adam), slopes) in nets.into_iter().zip(&mut self.adams).zip(&mut self.slopes) {
            adam.step(net.values_mut(), slopes);
        }
    }

    fn loss(&self, rows: &[usize]) -> f64 {
        let mut passed = Passed::default();
        let mut slopes = vec![0.0; self.lessons.above.len()];
        let mut sum = 0.0;
        for &row in rows {
            self.head.pass(self.lessons.row(row), &mut passed);
            let scores = self.lessons.scores(row);
            let loss = self
                .lessons
                .margins
                .row_loss(&passed.outputs, scores, 0.0, &mut slopes);
            sum += f64::from(loss);
        }
        sum / rows.len().max(1) as f64
    }
}

/// The slope by an expert's share of `balance · E Σ mean²`, which is least where all experts are used alike.
fn balance_slopes(passed: &[Passed], balance: f32) -> Vec<f32> {
    let experts = passed.first().map_or(0, |p| p.shares.len());
    let mean = |e: usize| passed.iter().map(|p| p.shares[e]).sum::<f32>() / passed.len() as f32;
    (0..experts)
        .map(|e| balance * 2.0 * experts as f32 * mean(e))
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::moma::{Classes, Margins};

    #[test]
    fn shares_are_a_softmax_of_the_highest() {
        let mut found = Vec::new();
        let ln = |v: f32| v.ln();
        shares(&[ln(1.0), ln(2.0), ln(5.0)], 0, &mut found);
        for (found, expected) in found.iter().zip([0.125, 0.25, 0.625]) {
            assert!((found - expected).abs() < 1e-6);
        }
        shares(&[ln(1.0), ln(2.0), ln(6.0)], 2, &mut found);
        assert!(found[0] == 0.0 && (found[1] - 0.25).abs() < 1e-6 && (found[2] - 0.75).abs() < 1e-6);
    }

    #[test]
    fn balance_pulls_down_whoever_is_used_most() {
        let passed = |shares: [f32; 2]| Passed {
            shares: shares.to_vec(),
            ..Passed::default()
        };
        // Means 0.75 and 0.25: 0.01 · 2 · 2 · mean.
        let found = balance_slopes(&[passed([1.0, 0.0]), passed([0.5, 0.5])], 0.01);
        assert!((found[0] - 0.03).abs() < 1e-6 && (found[1] - 0.01).abs() < 1e-6);
    }

    #[test]
    fn the_whole_net_has_the_slopes_that_small_steps_show() {
        let lessons = Lessons {
            width: 2,
            rows: vec![0.6, 0.8, -0.9, 0.3],
            scores: vec![1.0, 0.7, 0.0, 0.2, f32::NAN, 0.2],
            above: vec![0.1, 0.0, -0.1],
            margins: Margins::new(Classes::Five, 0.5, 1.5),
            balance: 0.3,
        };
        let settings = MomaSettings {
            experts: 2,
            hidden: 3,
            ..MomaSettings::default()
        };
        let mut rng = SmallRng::seed_from_u64(5);
        let mut pupil = Pupil::new(&lessons, &settings, &mut rng);
        pupil.head.experts = pupil.head.experts.clone().with_output_spread(1.0, &mut rng);
        let batch = [0, 1];
        pupil.slope(&batch);
        let whole = |head: &Head| {
            let mut means = [0.0_f32; 2];
            let (mut passed, mut ignored, mut sum) = (Passed::default(), [0.0; 3], 0.0);
            for row in batch {
                head.pass(lessons.row(row), &mut passed);
                sum += lessons
                    .margins
                    .row_loss(&passed.outputs, lessons.scores(row), 0.0, &mut ignored)
                    / 2.0;
                means
                    .iter_mut()
                    .zip(&passed.shares)
                    .for_each(|(m, s)| *m += s / 2.0);
            }
            sum + 0.3 * 2.0 * means.iter().map(|m| m * m).sum::<f32>()
        };
        let part = |head: &mut Head, number: usize, value: usize, by: f32| {
            let net = [&mut head.trunk, &mut head.gate, &mut head.experts];
            net[number].values_mut()[value] += by;
        };
        for number in 0..3 {
            for (value, slope) in pupil.slopes[number].iter().enumerate() {
                let (mut more, mut less) = (pupil.head.clone(), pupil.head.clone());
                part(&mut more, number, value, 1e-2);
                part(&mut less, number, value, -1e-2);
                let measured = (whole(&more) - whole(&less)) / 2e-2;
                assert!(
                    (slope - measured).abs() < 5e-3,
                    "{number} {value}: {slope} {measured}"
                );
            }
        }
    }
}
