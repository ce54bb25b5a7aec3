//! `linear`: each model's score as a linear function of what the query is like (ridge regression).
//!
//! One regression for all models over the encoder's vector, the words and the facts of a query ([`crate::space`]), fitted to what
//! each model scored above its own mean, so that a query of which nothing is known gives the means. Cards: `systems/21`, V3;
//! `systems/05`, R2. Cost: one product a feature and model, some 800 features.

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Features,
    predictor::{Columns, Estimate, Predictor},
    regression::{Weights, regress},
    space::Space,
    training::{TrainError, Training},
};

/// Settings of `linear`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearSettings {
    /// How strongly weights are drawn to 0, over 0: the larger, the closer estimates stay to each model's mean. Default 2.
    pub ridge: f64,
}

/// A linear predictor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Linear {
    space: Space,
    columns: Columns,
    means: Vec<f64>,
    weights: Weights,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self { ridge: 2.0 }
    }
}

// === impl LinearSettings ===

impl LinearSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let allowed = "a finite number over 0";
        check("linear", "ridge", self.ridge, allowed, |v| {
            v > 0.0 && v.is_finite()
        })?;
        Ok(())
    }
}

// === impl Linear ===

impl Linear {
    /// Fits all models at once.
    ///
    /// # Errors
    /// A setting out of range, or that somebody stopped it.
    pub fn train(settings: &LinearSettings, training: &Training<'_>) -> Result<Self, TrainError> {
        settings.check()?;
        let space = Space::fit(training);
        let points: Vec<_> = training
            .rows()
            .map(|(_, features)| space.point(features))
            .collect();
        let means = training.mean_scores();
        let scores = training.centred_scores(&means);
        Ok(Self {
            weights: regress(&points, &scores, means.len(), settings.ridge, training)?,
            columns: Columns::new(training.table().models().iter().cloned()),
            space,
            means,
        })
    }
}

impl Predictor for Linear {
    fn estimate(&self, query: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
        let mut above = vec![0.0; self.weights.targets()];
        self.weights.apply_to(&self.space.point(query), &mut above);
        out.clear();
        out.extend(models.iter().map(|model| {
            let column = self.columns.get(model)?;
            Some(Estimate::of(self.means[column] + f64::from(above[column])))
        }));
    }
}
