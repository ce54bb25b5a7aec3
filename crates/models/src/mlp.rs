//! `mlp`: a small neural net that reads a query and says by how much each model will beat the others on it.
//!
//! Row of the query (vector, facts, words: [`crate::inputs`]) → ReLU → ReLU → an output a model. The outputs are fitted to what
//! each model scored above its own mean, each row measured from its own mean: which model is better is what routing needs, how
//! hard a query is it does not. Where tasks are named, further outputs guess the task; they are learned beside the others, so
//! that the hidden layers tell tasks apart, and are thrown away. Several nets are trained, each stopped when rows kept from it get
//! no better, and averaged. Card: `systems/43`, 5.1 item 11.
//!
//! Differs from the card: outputs are qualities by least squares, not a softmax over "the best model"; the category is something
//! to learn, not something to be told, since nobody tells it in service. Cost: one product a weight, some 30,000 a net.

use fingerpost_core::Name;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    gain::Gain,
    inputs::Inputs,
    net::{Adam, Net, Student, Tape, committee},
    predictor::{Columns, Estimate, Predictor},
    training::{TrainError, Training},
};

/// Settings of `mlp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpSettings {
    /// Numbers of the first hidden layer, 1 to 1,024. Default 64.
    pub hidden: usize,
    /// Numbers of the second hidden layer, 1 to 1,024. Default 32.
    pub second: usize,
    /// Nets that are averaged, 1 to 32. Default 4.
    pub nets: usize,
    /// Length of Adam's steps, over 0. Default 0.001.
    pub rate: f64,
    /// How strongly weights are drawn to 0, 0 and more. Default 0.1.
    pub decay: f64,
    /// What guessing the task counts beside guessing scores, 0 and more. Default 0.3.
    pub task_weight: f64,
}

/// Nets that are averaged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mlp {
    inputs: Inputs,
    columns: Columns,
    means: Vec<f64>,
    nets: Vec<Net>,
    gain: f64,
}

/// The rows as the nets see them.
struct Lessons {
    width: usize,
    /// Row after row.
    rows: Vec<f32>,
    models: usize,
    /// Models and tasks.
    outputs: usize,
    /// Row after row, a value an output; NaN where it is not known.
    targets: Vec<f32>,
    task_weight: f32,
}

/// A net that learns.
#[derive(Clone)]
struct Pupil<'a> {
    lessons: &'a Lessons,
    net: Net,
    adam: Adam,
    slopes: Vec<f32>,
    tape: Tape,
}

impl Default for MlpSettings {
    fn default() -> Self {
        Self {
            hidden: 64,
            second: 32,
            nets: 4,
            rate: 0.001,
            decay: 0.1,
            task_weight: 0.3,
        }
    }
}

// === impl MlpSettings ===

impl MlpSettings {
    fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [("hidden", self.hidden), ("second", self.second)] {
            let allowed = "a whole number from 1 to 1024";
            check("mlp", key, value as f64, allowed, |v| (1.0..=1024.0).contains(&v))?;
        }
        let allowed = "a whole number from 1 to 32";
        check("mlp", "nets", self.nets as f64, allowed, |v| {
            (1.0..=32.0).contains(&v)
        })?;
        check("mlp", "rate", self.rate, "a number over 0 and up to 1", |v| {
            v > 0.0 && v <= 1.0
        })?;
        for (key, value) in [("decay", self.decay), ("task_weight", self.task_weight)] {
            let allowed = "a finite number of at least 0";
            check("mlp", key, value, allowed, |v| v >= 0.0 && v.is_finite())?;
        }
        Ok(())
    }
}

// === impl Mlp ===

impl Mlp {
    /// Trains the nets.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &MlpSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let inputs = Inputs::fit(training);
        let means = training.mean_scores();
        let lessons = Lessons::of(&inputs, &means, settings, training);
        let sizes = [inputs.width(), settings.hidden, settings.second, lessons.outputs];
        let nets = committee(settings.nets, training, |rng| {
            Pupil::new(&lessons, &sizes, settings, rng)
        })?;
        Ok(Self {
            gain: gain(&nets, &lessons),
            nets: nets.into_iter().map(|(pupil, _)| pupil.net).collect(),
            columns: Columns::new(training.table().models().iter().cloned()),
            inputs,
            means,
        })
    }
}

impl Predictor for Mlp {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let row = self.inputs.of(query);
        let mut above = vec![0.0; self.columns.len()];
        let mut tape = Tape::default();
        for net in &self.nets {
            let gave = net.forward(&row, &mut tape);
            above
                .iter_mut()
                .zip(gave)
                .for_each(|(sum, v)| *sum += f64::from(*v));
        }
        let nets = self.nets.len().max(1) as f64;
        out.clear();
        out.extend(models.iter().map(|model| {
            let column = self.columns.get(model)?;
            Some(Estimate::of(
                self.means[column] + self.gain * above[column] / nets,
            ))
        }));
    }
}

// === impl Lessons ===

impl Lessons {
    fn of(inputs: &Inputs, means: &[f64], settings: &MlpSettings, training: &Training<'_>) -> Self {
        let mut tasks = Columns::default();
        if settings.task_weight > 0.0 {
            for task in training.rows().filter_map(|(row, _)| row.task.clone()) {
                tasks.add(task);
            }
        }
        let scores = training.row_centred_scores(means);
        let mut targets = Vec::with_capacity(training.len() * (means.len() + tasks.len()));
        for ((row, _), scores) in training.rows().zip(scores.chunks_exact(means.len().max(1))) {
            targets.extend_from_slice(scores);
            let own = row.task.as_ref().and_then(|t| tasks.get(t));
            let flag = |task: usize| own.map_or(f32::NAN, |own| f32::from(u8::from(own == task)));
            targets.extend((0..tasks.len()).map(flag));
        }
        Self {
            width: inputs.width(),
            rows: inputs.rows(training),
            models: means.len(),
            outputs: means.len() + tasks.len(),
            targets,
            task_weight: settings.task_weight as f32,
        }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.width..][..self.width]
    }

    fn targets(&self, row: usize) -> &[f32] {
        &self.targets[row * self.outputs..][..self.outputs]
    }
}

// === impl Pupil ===

impl<'a> Pupil<'a> {
    fn new(lessons: &'a Lessons, sizes: &[usize], settings: &MlpSettings, rng: &mut SmallRng) -> Self {
        let net = Net::new(sizes, rng);
        Self {
            lessons,
            adam: Adam::new(net.len(), settings.rate, settings.decay),
            slopes: vec![0.0; net.len()],
            net,
            tape: Tape::default(),
        }
    }
}

impl Student for Pupil<'_> {
    fn learn(&mut self, batch: &[usize]) {
        let share = 1.0 / batch.len() as f32;
        for &row in batch {
            let gave = self.net.forward(self.lessons.row(row), &mut self.tape);
            let off = gave.iter().zip(self.lessons.targets(row)).enumerate();
            let slopes = off.map(|(output, (gave, target))| {
                let weight = if output < self.lessons.models {
                    1.0
                } else {
                    self.lessons.task_weight
                };
                if target.is_nan() {
                    0.0
                } else {
                    share * weight * (gave - target)
                }
            });
            let slopes: Vec<f32> = slopes.collect();
            self.net.backward(&self.tape, &slopes, &mut self.slopes, false);
        }
        self.adam.step(self.net.values_mut(), &mut self.slopes);
    }

    /// Of the scores alone.
    fn loss(&self, rows: &[usize]) -> f64 {
        let mut tape = Tape::default();
        let mut sum = 0.0;
        for &row in rows {
            let gave = self.net.forward(self.lessons.row(row), &mut tape);
            let pairs = gave
                .iter()
                .zip(self.lessons.targets(row))
                .take(self.lessons.models);
            let known = pairs.filter(|(_, target)| !target.is_nan());
            sum += known
                .map(|(gave, target)| f64::from(gave - target).powi(2))
                .sum::<f64>();
        }
        sum / rows.len().max(1) as f64
    }
}

/// What a point of an output is worth in quality, by the rows that each net was kept from.
fn gain(found: &[(Pupil<'_>, Vec<usize>)], lessons: &Lessons) -> f64 {
    let (mut gain, mut tape) = (Gain::default(), Tape::default());
    for (pupil, judged) in found {
        for &row in judged {
            let gave = pupil.net.forward(lessons.row(row), &mut tape);
            let pairs = gave.iter().zip(lessons.targets(row)).take(lessons.models);
            let known = pairs.filter(|(_, target)| !target.is_nan());
            let pairs = known.map(|(g, t)| (f64::from(*g), f64::from(*t)));
            gain.add(&pairs.collect::<Vec<_>>());
        }
    }
    gain.value()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::outcomes::{Logged, OutcomeTable};

    /// Two models, each right where the product of two numbers has its sign: no linear function tells it.
    fn table(rows: usize, seed: u64) -> (OutcomeTable, Vec<Features>) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut table = OutcomeTable::new(["alike".into(), "unlike".into()]).unwrap();
        let mut features = Vec::new();
        for i in 0..rows {
            let (x, y) = (rng.random_range(-1.0..1.0_f32), rng.random_range(-1.0..1.0_f32));
            let alike = f32::from(u8::from(x * y > 0.0));
            let second = (i % 10 > 0).then_some(1.0 - alike);
            let row = Logged {
                task: Some(if alike > 0.5 { "a" } else { "b" }.into()),
                scores: vec![Some(alike), second],
                ..Logged::default()
            };
            table.push(row).unwrap();
            features.push(Features {
                vector: vec![2.0 * x, 2.0 * y],
                ..Features::default()
            });
        }
        (table, features)
    }

    #[test]
    fn it_learns_what_no_linear_function_tells() {
        let (table, features) = table(800, 1);
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        let settings = MlpSettings {
            rate: 0.01,
            nets: 2,
            decay: 0.0,
            ..MlpSettings::default()
        };
        let mlp = Mlp::train(&settings, &training).unwrap();
        let (tests, queries) = self::table(300, 2);
        let names: Vec<&Name> = tests.models().iter().collect();
        let mut out = Vec::new();
        let right = tests.rows().iter().zip(&queries).filter(|(row, query)| {
            mlp.estimate(query, &names, &mut out);
            let first = out[0].unwrap().quality > out[1].unwrap().quality;
            first == (row.scores[0] == Some(1.0))
        });
        let share = right.count() as f64 / 300.0;
        assert!(share > 0.85, "{share}");
        // The same seed trains the same nets; a model that it does not know has no estimate.
        assert_eq!(Mlp::train(&settings, &training).unwrap().nets, mlp.nets);
        mlp.estimate(&Features::default(), &[&"new".into()], &mut out);
        assert_eq!(out, [None]);
    }

    #[test]
    fn one_row_is_enough_to_begin_and_settings_have_ranges() {
        let (table, features) = table(1, 1);
        let training = Training::new(&table, &features, 1, &|_, _, _| true).unwrap();
        assert!(Mlp::train(&MlpSettings::default(), &training).is_ok());
        let wrong = MlpSettings {
            nets: 0,
            ..MlpSettings::default()
        };
        let error = Mlp::train(&wrong, &training).unwrap_err().to_string();
        assert_eq!(error, "mlp.nets must be a whole number from 1 to 32, found 0");
    }
}
