//! `auto`: several predictors together, each by as much as it proved worth. The default where nobody wants to choose.
//!
//! Every member is trained five times on four fifths of the outcomes and judged on the fifth it did not see. The weights are the
//! non-negative ones with which the members' estimates come nearest to what was scored, each row measured from its own mean:
//! what matters is by how much one model beats another on a query, not how hard the query is. Members are then trained on
//! everything; one that fails to train (no tasks are named, say) is left out. Wolpert 1992; Breiman 1996 for the signs.
//!
//! Estimate: each model's mean, plus the weighted sum of what the members see above it. Cost: that of the members together.

use fingerpost_core::Name;
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use crate::{
    features::Features,
    kmeans::KmeansSettings,
    linear::LinearSettings,
    low_rank::LowRankSettings,
    predictor::{Columns, Estimate, Predictor},
    svm::SvmSettings,
    task_linear::TaskLinearSettings,
    task_mix::TaskMixSettings,
    trained::{Settings, State},
    training::{TrainError, Training},
};

/// Parts that the outcomes are cut into.
const FOLDS: usize = 5;
/// Members of less weight than this are not worth their time.
const LEAST: f64 = 0.02;

/// Settings of `auto`: there is nothing to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackSettings {}

/// Trained members with their weights, as they are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Members {
    columns: Columns,
    means: Vec<f64>,
    members: Vec<(f64, State)>,
}

/// The predictor over them.
#[derive(Debug)]
pub(crate) struct Stack {
    columns: Columns,
    means: Vec<f64>,
    members: Vec<(f64, Box<dyn Predictor>)>,
}

/// Who is asked.
fn candidates() -> Vec<Settings> {
    vec![
        Settings::TaskMix(TaskMixSettings::default()),
        Settings::TaskLinear(TaskLinearSettings::default()),
        Settings::Linear(LinearSettings { ridge: 1.0 }),
        Settings::Linear(LinearSettings { ridge: 5.0 }),
        Settings::Svm(SvmSettings::default()),
        Settings::LowRank(LowRankSettings::default()),
        Settings::Kmeans(KmeansSettings::default()),
    ]
}

// === impl Members ===

impl Members {
    /// Trains and weighs the members.
    ///
    /// # Errors
    /// [`TrainError::TooLittle`] for fewer rows than folds, [`TrainError::Stopped`].
    pub(crate) fn train(training: &Training<'_>) -> Result<Self, TrainError> {
        if training.len() < FOLDS {
            return Err(TrainError::TooLittle {
                algorithm: "auto",
                needs: "five rows",
                found: training.len().to_string(),
            });
        }
        let means = training.mean_scores();
        let columns = Columns::new(training.table().models().iter().cloned());
        let mut folds: Vec<usize> = (0..training.len()).map(|i| i % FOLDS).collect();
        folds.shuffle(&mut SmallRng::seed_from_u64(training.seed));

        let mut found: Vec<(Settings, Vec<f32>)> = Vec::new();
        let all = candidates();
        for (number, settings) in all.iter().enumerate() {
            training.report("weighing members", number, all.len())?;
            match unseen(settings, training, &folds, columns.names()) {
                Ok(estimates) => found.push((settings.clone(), estimates)),
                Err(stopped @ TrainError::Stopped(_)) => return Err(stopped),
                Err(_) => {}
            }
        }
        let mut targets = training.row_centred_scores(&means);
        targets.iter_mut().filter(|t| t.is_nan()).for_each(|t| *t = 0.0);
        let inputs: Vec<Vec<f32>> = found.iter().map(|(_, e)| above(training, e, &means)).collect();
        let weights = non_negative(&inputs, &targets);
        let mut members = Vec::new();
        for ((settings, _), weight) in found.iter().zip(weights) {
            if weight >= LEAST {
                members.push((weight, State::train(settings, training)?));
            }
        }
        Ok(Self {
            columns,
            means,
            members,
        })
    }

    /// The members' weights, by algorithm.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.members
            .iter()
            .map(|(weight, state)| (state.algorithm(), *weight))
    }

    /// The predictor over them.
    ///
    /// # Errors
    /// As the members'.
    pub(crate) fn predictor(&self) -> Result<Stack, TrainError> {
        let member = |(weight, state): &(f64, State)| Ok((*weight, state.predictor()?));
        Ok(Stack {
            columns: self.columns.clone(),
            means: self.means.clone(),
            members: self
                .members
                .iter()
                .map(member)
                .collect::<Result<_, TrainError>>()?,
        })
    }
}

impl Predictor for Stack {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let mean = |model: &&Name| Some(self.means[self.columns.get(model)?]);
        let means: Vec<Option<f64>> = models.iter().map(mean).collect();
        let mut sums = vec![0.0; models.len()];
        for (weight, member) in &self.members {
            member.estimate(query, models, out);
            for ((sum, estimate), mean) in sums.iter_mut().zip(&*out).zip(&means) {
                *sum += weight * estimate.zip(*mean).map_or(0.0, |(e, m)| e.quality - m);
            }
        }
        out.clear();
        out.extend(
            means
                .iter()
                .zip(sums)
                .map(|(mean, sum)| Some(Estimate::of((*mean)? + sum))),
        );
    }

    fn observe(&self, query: &Features, model: &Name, quality: f64) -> bool {
        // All of them, not the first that does.
        self.members
            .iter()
            .fold(false, |any, (_, m)| m.observe(query, model, quality) | any)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let states: Vec<Option<Vec<u8>>> = self.members.iter().map(|(_, m)| m.save()).collect();
        postcard::to_allocvec(&states).ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match postcard::from_bytes::<Vec<Option<Vec<u8>>>>(state) {
            Ok(states) if states.len() == self.members.len() => {
                let mut pairs = states.iter().zip(&self.members);
                pairs.all(|(state, (_, member))| state.as_ref().is_none_or(|s| member.restore(s)))
            }
            _ => false,
        }
    }
}

/// What a member says of each row when it was trained without it, row after row.
fn unseen(
    settings: &Settings,
    training: &Training<'_>,
    folds: &[usize],
    models: &[Name],
) -> Result<Vec<f32>, TrainError> {
    let models: Vec<&Name> = models.iter().collect();
    let mut estimates = vec![0.0; training.len() * models.len()];
    let mut out = Vec::new();
    for fold in 0..FOLDS {
        let member = State::train(settings, &training.part(|place| folds[place] != fold))?.predictor()?;
        let places = (0..training.len()).filter(|p| folds[*p] == fold);
        for (place, (_, features)) in places.zip(training.part(|p| folds[p] == fold).rows()) {
            member.estimate(features, &models, &mut out);
            let row = &mut estimates[place * models.len()..][..models.len()];
            row.iter_mut()
                .zip(&out)
                .for_each(|(to, e)| *to = e.map_or(0.0, |e| e.quality as f32));
        }
    }
    Ok(estimates)
}

/// What a member says above each model's mean, measured from the row's own mean of that; 0 where the score is not known.
fn above(training: &Training<'_>, estimates: &[f32], means: &[f64]) -> Vec<f32> {
    let mut above: Vec<f32> = estimates
        .iter()
        .zip(means.iter().cycle())
        .map(|(e, m)| e - *m as f32)
        .collect();
    centre_rows(training, &mut above, means.len());
    above
}

/// Takes from each row its mean over the models whose score is known, and sets the others to 0.
fn centre_rows(training: &Training<'_>, values: &mut [f32], width: usize) {
    for ((row, _), values) in training.rows().zip(values.chunks_exact_mut(width)) {
        let known = || row.scores.iter().map(Option::is_some);
        let count = known().filter(|k| *k).count().max(1) as f32;
        let sum: f32 = values
            .iter()
            .zip(known())
            .filter(|(_, k)| *k)
            .map(|(v, _)| *v)
            .sum();
        for (value, known) in values.iter_mut().zip(known()) {
            *value = if known { *value - sum / count } else { 0.0 };
        }
    }
}

/// The weights of least squares that are not negative, by cyclic coordinate descent.
fn non_negative(inputs: &[Vec<f32>], targets: &[f32]) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum::<f64>()
    };
    let gram: Vec<Vec<f64>> = inputs
        .iter()
        .map(|a| inputs.iter().map(|b| dot(a, b)).collect())
        .collect();
    let with_target: Vec<f64> = inputs.iter().map(|a| dot(a, targets)).collect();
    let mut weights = vec![0.0; inputs.len()];
    for _ in 0..10_000 {
        let mut moved = 0.0_f64;
        for i in 0..inputs.len() {
            if gram[i][i] <= 0.0 {
                continue;
            }
            let fitted: f64 = (0..inputs.len()).map(|j| gram[i][j] * weights[j]).sum();
            let next = (weights[i] + (with_target[i] - fitted) / gram[i][i]).max(0.0);
            moved = moved.max((next - weights[i]).abs());
            weights[i] = next;
        }
        if moved < 1e-9 {
            break;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_not_negative() {
        let inputs = [vec![1.0, 0.0, 1.0], vec![0.0, 1.0, 1.0]];
        // 2 of the first and 3 of the second give the target exactly.
        let found = non_negative(&inputs, &[2.0, 3.0, 5.0]);
        assert!(
            (found[0] - 2.0).abs() < 1e-6 && (found[1] - 3.0).abs() < 1e-6,
            "{found:?}"
        );
        // Without the bound the second would be negative; then the first alone: (2 + 1) / 2.
        let found = non_negative(&inputs, &[2.0, -1.0, 1.0]);
        assert!((found[0] - 1.5).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
        assert_eq!(non_negative(&[vec![0.0; 3]], &[1.0; 3]), [0.0]);
    }
}
