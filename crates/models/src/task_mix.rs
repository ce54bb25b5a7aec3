//! `task_mix`: what kind of task is this, and who is good at it?
//!
//! A classifier guesses the task of a query from its vector, words and facts; a model's estimate is the mean of what it scored on
//! each task, weighed by how likely the task is. Means of tasks are drawn to the model's overall mean by `prior` imaginary
//! queries. Needs logged outcomes whose tasks are named. Cards: `systems/21`, V1; `systems/24` (profiles structured by task).
//!
//! The classifier is a ridge regression of each task's indicator; what it gives below 0 is cut, the rest raised to the power
//! 1.5 and brought to a sum of one. Cost: one product a feature and task.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    predictor::{Columns, Estimate, Predictor},
    regression::{Weights, regress},
    space::{Point, Space},
    training::{TrainError, Training},
};

/// Power of what the classifier gives: tells likely tasks from unlikely ones more sharply.
const SHARPNESS: f32 = 1.5;

/// Settings of `task_mix`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskMixSettings {
    /// How strongly the classifier's weights are drawn to 0, over 0. Default 0.5.
    pub ridge: f64,
    /// Imaginary queries of each task with a model's overall mean score, 0 and more. Default 8.
    pub prior: f64,
}

/// A classifier of tasks with what each model scores on each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskMix {
    space: Space,
    columns: Columns,
    tasks: Columns,
    /// How often each task occurs, as a share.
    shares: Vec<f32>,
    classifier: Weights,
    /// Task after task, a mean a model.
    means: Vec<f64>,
    overall: Vec<f64>,
}

impl Default for TaskMixSettings {
    fn default() -> Self {
        Self {
            ridge: 0.5,
            prior: 8.0,
        }
    }
}

// === impl TaskMixSettings ===

impl TaskMixSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let finite = |v: f64| v.is_finite();
        check("task_mix", "ridge", self.ridge, "a finite number over 0", |v| {
            v > 0.0 && finite(v)
        })?;
        check(
            "task_mix",
            "prior",
            self.prior,
            "a finite number of at least 0",
            |v| v >= 0.0 && finite(v),
        )?;
        Ok(())
    }
}

// === impl TaskMix ===

impl TaskMix {
    /// Learns to tell tasks apart and who is good at each.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] where fewer than two tasks are named; a setting out of range; that somebody stopped it.
    pub fn train(settings: &TaskMixSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let mut tasks = Columns::default();
        for task in training.rows().filter_map(|(row, _)| row.task.clone()) {
            tasks.add(task);
        }
        if tasks.len() < 2 {
            return Err(TrainError::TooLittle {
                algorithm: "task_mix",
                needs: "two named tasks",
                found: tasks.len().to_string(),
            });
        }
        let overall = training.mean_scores();
        let space = Space::fit(training);
        let mut means = Means::new(&overall, tasks.len(), settings.prior);
        let (mut points, mut indicators) = (Vec::new(), Vec::new());
        let mut counts = vec![0_f32; tasks.len()];
        for (row, features) in training.rows() {
            let Some(task) = row.task.as_ref().and_then(|t| tasks.get(t)) else {
                continue;
            };
            means.add(task, &row.scores);
            counts[task] += 1.0;
            points.push(space.point(features));
            indicators.extend((0..tasks.len()).map(|t| f32::from(u8::from(t == task))));
        }
        let shares: Vec<f32> = counts.iter().map(|c| c / points.len() as f32).collect();
        for row in indicators.chunks_exact_mut(shares.len()) {
            row.iter_mut().zip(&shares).for_each(|(i, s)| *i -= s);
        }
        Ok(Self {
            classifier: regress(&points, &indicators, tasks.len(), settings.ridge, training)?,
            means: means.finish(),
            columns: Columns::new(training.table().models().iter().cloned()),
            tasks,
            shares,
            overall,
            space,
        })
    }

    /// How likely each task is, in the order of [`TaskMix::tasks`]; the sum is 1.
    pub fn likely(&self, query: &Features) -> Vec<f32> {
        self.likely_at(&self.space.point(query))
    }

    /// The same at a point of its space.
    pub(crate) fn likely_at(&self, point: &Point) -> Vec<f32> {
        let mut likely = self.shares.clone();
        self.classifier.apply_to(point, &mut likely);
        likely.iter_mut().for_each(|p| *p = p.max(0.0).powf(SHARPNESS));
        let sum: f32 = likely.iter().sum();
        if sum > 0.0 {
            likely.iter_mut().for_each(|p| *p /= sum);
        } else {
            likely.copy_from_slice(&self.shares);
        }
        likely
    }

    /// The tasks that it tells apart.
    pub fn tasks(&self) -> &[Name] {
        self.tasks.names()
    }

    /// What each model scores on a task, drawn to what it scores overall.
    pub(crate) fn means(&self, task: usize) -> &[f64] {
        let width = self.columns.len();
        &self.means[task * width..][..width]
    }

    /// The space that tasks are told apart in.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }
}

impl Predictor for TaskMix {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let likely = self.likely(query);
        let width = self.columns.len();
        out.clear();
        out.extend(models.iter().map(|model| {
            let column = self.columns.get(model)?;
            let of_task = |(task, p): (usize, &f32)| f64::from(*p) * self.means[task * width + column];
            Some(Estimate::of(likely.iter().enumerate().map(of_task).sum()))
        }));
    }
}

/// Means of groups of outcomes, drawn to the overall means by a number of imaginary outcomes.
pub(crate) struct Means {
    sums: Vec<f64>,
    counts: Vec<f64>,
    width: usize,
}

// === impl Means ===

impl Means {
    pub(crate) fn new(overall: &[f64], groups: usize, prior: f64) -> Self {
        let sums = overall
            .iter()
            .map(|m| m * prior)
            .cycle()
            .take(overall.len() * groups);
        Self {
            sums: sums.collect(),
            counts: vec![prior; overall.len() * groups],
            width: overall.len(),
        }
    }

    /// Counts a row of scores to a group.
    pub(crate) fn add(&mut self, group: usize, scores: &[Option<f32>]) {
        for (i, score) in scores.iter().enumerate() {
            if let Some(score) = score {
                self.sums[group * self.width + i] += f64::from(*score);
                self.counts[group * self.width + i] += 1.0;
            }
        }
    }

    /// Group after group, a mean a model; half where nothing at all is known.
    pub(crate) fn finish(&self) -> Vec<f64> {
        let mean = |(sum, count): (&f64, &f64)| if *count > 0.0 { sum / count } else { 0.5 };
        self.sums.iter().zip(&self.counts).map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_drawn_to_the_overall_ones() {
        let mut means = Means::new(&[0.5, 0.2], 2, 2.0);
        means.add(1, &[Some(1.0), None]);
        means.add(1, &[Some(1.0), Some(0.8)]);
        // (0.5 * 2 + 2) / 4 and (0.2 * 2 + 0.8) / 3.
        let found = means.finish();
        for (found, expected) in found.iter().zip([0.5, 0.2, 0.75, 0.4]) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
}
