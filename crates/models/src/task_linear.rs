//! `task_linear`: experts a task: on each task that a query may be of, a linear function of what the query is like.
//!
//! `task_mix` with more beneath it: the chances of the tasks are the same, but what a task says of a model is not the same for
//! all its queries. A task of enough logged queries has a ridge regression of its own ([`crate::space`]), fitted to what each model
//! scored above the task's mean, so that what makes a word problem hard is not learned from law exams. A mixture of linear
//! experts whose gate is fitted first (Jacobs et al. 1991). Cost: one product for the gate, and one for each likely task.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    outcomes::Logged,
    predictor::{Columns, Estimate, Predictor},
    regression::{Weights, regress},
    task_mix::{TaskMix, TaskMixSettings},
    training::{TrainError, Training},
};

/// Tasks of fewer logged queries say the same of all theirs.
const ENOUGH: usize = 60;
/// Tasks less likely than this are not asked for more than their means.
const LIKELY: f32 = 0.05;

/// Settings of `task_linear`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskLinearSettings {
    /// How tasks are told apart, and how their means are drawn to the overall ones.
    pub mix: TaskMixSettings,
    /// How strongly a task's own function is drawn to its means, over 0. Default 8.
    pub ridge: f64,
}

/// A mixture of linear functions, one a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskLinear {
    mix: TaskMix,
    columns: Columns,
    /// By task; `None` for those of few queries.
    experts: Vec<Option<Weights>>,
}

impl Default for TaskLinearSettings {
    fn default() -> Self {
        Self {
            mix: TaskMixSettings::default(),
            ridge: 8.0,
        }
    }
}

// === impl TaskLinearSettings ===

impl TaskLinearSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let allowed = "a finite number over 0";
        check("task_linear", "ridge", self.ridge, allowed, |v| {
            v > 0.0 && v.is_finite()
        })?;
        Ok(())
    }
}

// === impl TaskLinear ===

impl TaskLinear {
    /// Learns the tasks' looks, their means and, where there are rows enough, their functions.
    ///
    /// # Errors
    /// As [`TaskMix::train`].
    pub fn train(settings: &TaskLinearSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let mix = TaskMix::train(&settings.mix, training)?;
        let mut experts = Vec::with_capacity(mix.tasks().len());
        for task in 0..mix.tasks().len() {
            experts.push(expert(&mix, task, settings.ridge, training)?);
        }
        Ok(Self {
            columns: Columns::new(training.table().models().iter().cloned()),
            mix,
            experts,
        })
    }
}

/// What the models score above a task's means, as a function of its queries.
fn expert(
    mix: &TaskMix,
    task: usize,
    ridge: f64,
    training: &Training<'_>,
) -> Result<Option<Weights>, TrainError> {
    let of_task = |row: &Logged| row.task.as_ref() == Some(&mix.tasks()[task]);
    let rows: Vec<_> = training.rows().filter(|(row, _)| of_task(row)).collect();
    if rows.len() < ENOUGH {
        return Ok(None);
    }
    let means = mix.means(task);
    let points: Vec<_> = rows.iter().map(|(_, f)| mix.space().point(f)).collect();
    let above = |(row, _): &(&Logged, &Features)| {
        let above = |(score, mean): (&Option<f32>, &f64)| score.map_or(0.0, |s| s - *mean as f32);
        row.scores.iter().zip(means).map(above).collect::<Vec<f32>>()
    };
    let values: Vec<f32> = rows.iter().flat_map(above).collect();
    regress(&points, &values, means.len(), ridge, training).map(Some)
}

impl Predictor for TaskLinear {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let point = self.mix.space().point(query);
        let likely = self.mix.likely_at(&point);
        let mut expected = vec![0.0; self.columns.len()];
        let mut above = vec![0.0; self.columns.len()];
        for (task, chance) in likely.iter().enumerate() {
            above.fill(0.0);
            if let Some(expert) = self.experts[task].as_ref().filter(|_| *chance >= LIKELY) {
                expert.apply_to(&point, &mut above);
            }
            for ((expected, mean), above) in expected.iter_mut().zip(self.mix.means(task)).zip(&above) {
                *expected += f64::from(*chance) * (mean + f64::from(*above));
            }
        }
        out.clear();
        out.extend(
            models
                .iter()
                .map(|model| Some(Estimate::of(expected[self.columns.get(model)?]))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::OutcomeTable;

    /// Two tasks told apart by the first value; on the second the sign of the second value tells which model is right.
    fn trained() -> TaskLinear {
        let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
        let mut seen = Vec::new();
        for i in 0..2 * ENOUGH {
            let (first, second) = (i < ENOUGH, i % 2 == 0);
            let scores = match (first, second) {
                (true, _) => [1.0, 0.0],
                (false, true) => [1.0, 0.0],
                (false, false) => [0.0, 1.0],
            };
            let sign = |yes: bool| if yes { 0.7 } else { -0.7 };
            table
                .push(Logged {
                    scores: scores.map(Some).to_vec(),
                    task: Some(if first { "one" } else { "two" }.into()),
                    ..Logged::query(format!("{i}"), "x")
                })
                .unwrap();
            seen.push(Features {
                vector: vec![sign(first), sign(second)],
                ..Features::default()
            });
        }
        let training = Training::new(&table, &seen, 1, &|_, _, _| true).unwrap();
        TaskLinear::train(&TaskLinearSettings::default(), &training).unwrap()
    }

    #[test]
    fn a_task_has_a_function_of_its_own() {
        let trained = trained();
        let ask = |vector: [f32; 2]| {
            let (a, b) = (Name::from("a"), Name::from("b"));
            let mut out = Vec::new();
            let query = Features {
                vector: vector.to_vec(),
                ..Features::default()
            };
            trained.estimate(&query, &[&a, &b, &Name::from("new")], &mut out);
            assert!(out[2].is_none());
            out[0].unwrap().quality - out[1].unwrap().quality
        };
        assert!(ask([0.7, -0.7]) > 0.5, "on the first the sign means nothing");
        assert!(ask([-0.7, 0.7]) > 0.3 && ask([-0.7, -0.7]) < -0.3);
    }

    #[test]
    fn a_ridge_of_nothing_is_refused() {
        let settings = TaskLinearSettings {
            ridge: 0.0,
            ..TaskLinearSettings::default()
        };
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "task_linear.ridge must be a finite number over 0, found 0");
    }
}
