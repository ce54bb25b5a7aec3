//! `svm`: is this model among the best for this query? A support vector machine a model (one against the rest).
//!
//! A logged query is an example for a model where it scored as high as any, and a counter-example where another scored higher;
//! queries on which all scored alike tell nothing and are left out. Both classes weigh the same in sum. The kernel is
//! `exp(−gamma |x − x'|²)` or linear, over the vector, the facts and the words of a query ([`crate::inputs`]). Platt's sigmoid,
//! fitted to decisions on folds that were not trained on, makes probabilities of decisions; one gain for all models, fitted to
//! the same folds' row-centred scores, makes qualities of these: a model's mean score, plus the gain times what its probability
//! is above its usual one. So rules of choice work, and where nothing is learned the means are left. Card: `systems/43`, 5.1 item
//! 10; Platt 1999.
//!
//! Differs from the card: gamma is used (there it is accepted and ignored). The machines share their support vectors, drawn from
//! the training queries (`supports`, Nyström's method: up to so many rows it is the exact kernel machine); the loss is the
//! squared hinge. Cost: one distance a support vector.

mod landmarks;
mod platt;
mod solver;

use fingerpost_core::Name;
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::{landmarks::Landmarks, platt::Sigmoid, solver::Machine};
use crate::{
    config::{ConfigError, check},
    features::Features,
    gain::Gain,
    inputs::Inputs,
    predictor::{Columns, Estimate, Predictor},
    training::{TrainError, Training},
};

/// Parts of the outcomes that decisions are calibrated on.
const FOLDS: usize = 4;

/// How alike two queries are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SvmKernel {
    /// `exp(−gamma |x − x'|²)`.
    #[default]
    Rbf,
    /// `x · x'`.
    Linear,
}

/// Settings of `svm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SvmSettings {
    /// `rbf` (default) or `linear`.
    pub kernel: SvmKernel,
    /// How fast likeness falls with the squared distance, over 0; unlike queries are about 2 apart. Default 0.5.
    pub gamma: f64,
    /// What an example on the wrong side costs, over 0: the smaller, the smoother. Default 0.05.
    pub cost: f64,
    /// Most support vectors of the `rbf` kernel, 1 to 2,000. Default 768.
    pub supports: usize,
}

/// A machine a model, over shared support vectors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Svm {
    inputs: Inputs,
    columns: Columns,
    means: Vec<f64>,
    landmarks: Landmarks,
    /// Support vector after support vector (of the linear kernel: number after number of a row), a weight a model.
    weights: Vec<f32>,
    offsets: Vec<f32>,
    sigmoids: Vec<Sigmoid>,
    /// What each model's probability is on average.
    usual: Vec<f64>,
    gain: f64,
}

/// The machine of one model with what its folds say.
struct Fitted {
    machine: Machine,
    sigmoid: Sigmoid,
    /// The probability of each training row, by the fold that did not see it.
    unseen: Vec<f64>,
}

impl Default for SvmSettings {
    fn default() -> Self {
        Self {
            kernel: SvmKernel::Rbf,
            gamma: 0.5,
            cost: 0.05,
            supports: 768,
        }
    }
}

// === impl SvmSettings ===

impl SvmSettings {
    fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [("gamma", self.gamma), ("cost", self.cost)] {
            let allowed = "a finite number over 0";
            check("svm", key, value, allowed, |v| v > 0.0 && v.is_finite())?;
        }
        let allowed = "a whole number from 1 to 2000";
        check("svm", "supports", self.supports as f64, allowed, |v| {
            (1.0..=2e3).contains(&v)
        })?;
        Ok(())
    }
}

// === impl Svm ===

impl Svm {
    /// Fits a machine for each model and calibrates them.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &SvmSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        training.report("choosing support vectors", 0, 1)?;
        let mut rng = SmallRng::seed_from_u64(training.seed);
        let inputs = Inputs::fit(training);
        let rows = inputs.rows(training);
        let mut landmarks = match settings.kernel {
            SvmKernel::Linear => Landmarks::linear(inputs.width()),
            SvmKernel::Rbf => Landmarks::draw(&rows, inputs.width(), settings, &mut rng),
        };
        let mapped = landmarks.map(&rows);
        let mut folds: Vec<usize> = (0..training.len()).map(|i| i % FOLDS).collect();
        folds.shuffle(&mut rng);

        let means = training.mean_scores();
        let fitted: Vec<Fitted> = (0..means.len())
            .into_par_iter()
            .map(|model| {
                training.report("fitting machines", model, means.len())?;
                Ok(fit(model, training, &mapped, &folds, settings))
            })
            .collect::<Result<_, TrainError>>()?;
        let average = |f: &Fitted| f.unseen.iter().sum::<f64>() / training.len() as f64;
        let usual: Vec<f64> = fitted.iter().map(average).collect();
        let machines: Vec<&Machine> = fitted.iter().map(|f| &f.machine).collect();
        Ok(Self {
            gain: gain(training, &means, &fitted, &usual),
            weights: landmarks.fold(&machines),
            offsets: machines.iter().map(|m| m.offset).collect(),
            sigmoids: fitted.iter().map(|f| f.sigmoid).collect(),
            columns: Columns::new(training.table().models().iter().cloned()),
            inputs,
            means,
            landmarks,
            usual,
        })
    }

    /// How likely each model is to be among the best, by column.
    fn probabilities(&self, query: &Features) -> Vec<f64> {
        let mut decisions = self.offsets.clone();
        let row = self.inputs.of(query);
        let width = decisions.len().max(1);
        self.landmarks.likeness(&row, |place, like| {
            let weights = &self.weights[place * width..][..width];
            decisions
                .iter_mut()
                .zip(weights)
                .for_each(|(d, w)| *d += like * w);
        });
        let probability = |(d, s): (&f32, &Sigmoid)| s.of(f64::from(*d));
        decisions.iter().zip(&self.sigmoids).map(probability).collect()
    }
}

impl Predictor for Svm {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let likely = self.probabilities(query);
        out.clear();
        out.extend(models.iter().map(|model| {
            let column = self.columns.get(model)?;
            let above = self.gain * (likely[column] - self.usual[column]);
            Some(Estimate::of(self.means[column] + above))
        }));
    }
}

/// Whether a model is among the best of each row; `None` for rows that tell nothing.
fn labels(model: usize, training: &Training<'_>) -> Vec<Option<bool>> {
    let label = |scores: &[Option<f32>]| {
        let own = scores[model]?;
        let known = || scores.iter().flatten().copied();
        let best = known().fold(own, f32::max);
        let tells = known().any(|s| s < best);
        tells.then_some(own >= best)
    };
    training.rows().map(|(row, _)| label(&row.scores)).collect()
}

/// Trains the machine of a model on everything, and calibrates it on folds.
fn fit(
    model: usize,
    training: &Training<'_>,
    mapped: &[f32],
    folds: &[usize],
    settings: &SvmSettings,
) -> Fitted {
    let labels = labels(model, training);
    let width = mapped.len() / training.len();
    let seed = training.seed ^ (model as u64 + 1);
    let train = |left_out: Option<usize>| {
        let seen = |i: &usize| Some(folds[*i]) != left_out;
        let examples = (0..labels.len()).filter(seen).filter_map(|i| {
            let row = &mapped[i * width..][..width];
            labels[i].map(|label| (row, label))
        });
        Machine::train(&examples.collect::<Vec<_>>(), width, settings.cost, seed)
    };
    let mut decisions = vec![0.0; labels.len()];
    for fold in 0..FOLDS {
        let machine = train(Some(fold));
        for i in (0..labels.len()).filter(|i| folds[*i] == fold) {
            decisions[i] = f64::from(machine.decide(&mapped[i * width..][..width]));
        }
    }
    let known = decisions
        .iter()
        .zip(&labels)
        .filter_map(|(d, l)| l.map(|l| (*d, l)));
    let sigmoid = Sigmoid::fit(&known.collect::<Vec<_>>());
    Fitted {
        machine: train(None),
        sigmoid,
        unseen: decisions.iter().map(|d| sigmoid.of(*d)).collect(),
    }
}

/// What a point of probability is worth in quality.
fn gain(training: &Training<'_>, means: &[f64], fitted: &[Fitted], usual: &[f64]) -> f64 {
    let mut gain = Gain::default();
    for (i, (row, _)) in training.rows().enumerate() {
        let pair = |(m, score): (usize, &Option<f32>)| {
            let above = f64::from((*score)?) - means[m];
            Some((fitted[m].unseen[i] - usual[m], above))
        };
        gain.add(&row.scores.iter().enumerate().filter_map(pair).collect::<Vec<_>>());
    }
    gain.value()
}

#[cfg(test)]
mod tests;
