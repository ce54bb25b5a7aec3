//! `moma`: the model stage of MoMA: who would beat whom on this query, by how much, by a mixture of experts.
//!
//! Row of the query (vector, facts, words: [`crate::inputs`]) → a shared hidden layer → several experts, each an output a model, and
//! a gate that weighs them. Two models' outputs are compared by an ordinal Bradley-Terry model with two margins ([`pairs`]):
//! much better, better, equal, worse or much worse, as the difference of their scores on a logged query was. Outputs are only
//! relative, so they are brought to qualities: the models' mean score, plus what an output is above the row's own mean, times
//! one gain that is fitted to rows kept from the nets. The pick is the business of the rule of choice; MoMA's is `pareto`. Card:
//! `systems/31`, stage B.
//!
//! Differs from the paper: preferences come from logged scores, not from a judge; the text encoder is not trained; several
//! small nets are averaged, each stopped when rows kept from it get no better. Cost: one product a weight, some 15,000 a net.

mod head;
mod pairs;

use fingerpost_core::Name;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

pub use self::pairs::Classes;
use self::{
    head::{Head, Pupil},
    pairs::Margins,
};
use crate::{
    config::{ConfigError, check},
    features::Features,
    gain::Gain,
    inputs::Inputs,
    net::committee,
    predictor::{Columns, Estimate, Predictor},
    training::{TrainError, Training},
};

/// Settings of `moma`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MomaSettings {
    /// Experts, 1 (a single head, without a gate) to 64. Default 4.
    pub experts: usize,
    /// Experts that have a say in a query, those of highest gate; 0 (default): all.
    pub top: usize,
    /// Numbers of the shared hidden layer, 1 to 1,024. Default 32.
    pub hidden: usize,
    /// How differences of scores are told apart: `five` (default) or `two`.
    pub classes: Classes,
    /// Outputs further apart than this are as likely as not "better", over 0. Default 0.5.
    pub margin: f64,
    /// Outputs further apart than this are as likely as not "much better", over `margin`. Default 1.5.
    pub wide_margin: f64,
    /// What it counts that all experts are used alike, 0 and more. Default 0.01.
    pub balance: f64,
    /// Nets that are averaged, 1 to 32. Default 4.
    pub nets: usize,
    /// Length of Adam's steps, over 0. Default 0.001.
    pub rate: f64,
    /// How strongly weights are drawn to 0, 0 and more. Default 0.1.
    pub decay: f64,
}

/// Nets that are averaged, with what their outputs are worth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moma {
    inputs: Inputs,
    columns: Columns,
    heads: Vec<Head>,
    overall: f64,
    gain: f64,
}

/// The rows as the nets see them.
struct Lessons {
    width: usize,
    /// Row after row.
    rows: Vec<f32>,
    /// Row after row, a score a model; NaN where it is not known.
    scores: Vec<f32>,
    /// By how much each model's mean score is above the mean of all.
    above: Vec<f32>,
    margins: Margins,
    balance: f32,
}

impl Default for MomaSettings {
    fn default() -> Self {
        Self {
            experts: 4,
            top: 0,
            hidden: 32,
            classes: Classes::Five,
            margin: 0.5,
            wide_margin: 1.5,
            balance: 0.01,
            nets: 4,
            rate: 0.001,
            decay: 0.1,
        }
    }
}

// === impl MomaSettings ===

impl MomaSettings {
    fn check(&self) -> Result<(), ConfigError> {
        for (key, value, allowed, most) in [
            ("experts", self.experts, "a whole number from 1 to 64", 64.0),
            ("hidden", self.hidden, "a whole number from 1 to 1024", 1024.0),
            ("nets", self.nets, "a whole number from 1 to 32", 32.0),
        ] {
            check("moma", key, value as f64, allowed, |v| (1.0..=most).contains(&v))?;
        }
        check("moma", "rate", self.rate, "a number over 0 and up to 1", |v| {
            v > 0.0 && v <= 1.0
        })?;
        check("moma", "margin", self.margin, "a finite number over 0", |v| {
            v > 0.0 && v.is_finite()
        })?;
        check(
            "moma",
            "wide_margin",
            self.wide_margin,
            "a finite number over `margin`",
            |v| v > self.margin && v.is_finite(),
        )?;
        for (key, value) in [("balance", self.balance), ("decay", self.decay)] {
            let allowed = "a finite number of at least 0";
            check("moma", key, value, allowed, |v| v >= 0.0 && v.is_finite())?;
        }
        Ok(())
    }
}

// === impl Moma ===

impl Moma {
    /// Trains the nets and fits what their outputs are worth.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &MomaSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let inputs = Inputs::fit(training);
        let means = training.mean_scores();
        let overall = means.iter().sum::<f64>() / means.len().max(1) as f64;
        let unknown = |score: &Option<f32>| score.unwrap_or(f32::NAN);
        let lessons = Lessons {
            width: inputs.width(),
            rows: inputs.rows(training),
            scores: training
                .rows()
                .flat_map(|(row, _)| row.scores.iter().map(unknown))
                .collect(),
            above: means.iter().map(|m| (m - overall) as f32).collect(),
            margins: Margins::new(settings.classes, settings.margin, settings.wide_margin),
            balance: settings.balance as f32,
        };
        let begin = |rng: &mut SmallRng| Pupil::new(&lessons, settings, rng);
        let found = committee(settings.nets, training, begin)?;
        Ok(Self {
            gain: gain(&found, &lessons),
            heads: found.into_iter().map(|(pupil, _)| pupil.into_head()).collect(),
            columns: Columns::new(training.table().models().iter().cloned()),
            inputs,
            overall,
        })
    }
}

impl Predictor for Moma {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let row = self.inputs.of(query);
        let mut sums = vec![0.0; self.columns.len()];
        for head in &self.heads {
            let gave = head.rate(&row);
            sums.iter_mut()
                .zip(gave)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        let heads = self.heads.len().max(1) as f64;
        let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
        out.clear();
        out.extend(models.iter().map(|model| {
            let above = sums[self.columns.get(model)?] - mean;
            Some(Estimate::of(self.overall + self.gain * above / heads))
        }));
    }
}

// === impl Lessons ===

impl Lessons {
    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.width..][..self.width]
    }

    fn scores(&self, row: usize) -> &[f32] {
        let models = self.above.len();
        &self.scores[row * models..][..models]
    }
}

/// What a point of difference between outputs is worth in quality, by the rows that each net was kept from.
fn gain(found: &[(Pupil<'_>, Vec<usize>)], lessons: &Lessons) -> f64 {
    let mut gain = Gain::default();
    for (pupil, judged) in found {
        for &row in judged {
            let gave = pupil.head().rate(lessons.row(row));
            let pairs = gave
                .iter()
                .zip(lessons.scores(row))
                .filter(|(_, score)| !score.is_nan());
            let pairs = pairs.map(|(g, s)| (f64::from(*g), f64::from(*s)));
            gain.add(&pairs.collect::<Vec<_>>());
        }
    }
    gain.value()
}

#[cfg(test)]
mod tests;
