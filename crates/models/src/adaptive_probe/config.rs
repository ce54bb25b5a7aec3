//! The settings of `adaptive_probe`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CalibrationConfig, MemoryConfig, ProbeConfig, RiskConfig};
use crate::config::{ConfigError, check};

/// Settings of `adaptive_probe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveProbeConfig {
    /// Success probability that is aimed at, 0 to 1. Default 0.9.
    pub tau: f64,
    /// How far a contrast must be from 0 for an action to be plainly easy or hard, 0 to 2. Default 0.1.
    pub delta: f64,
    /// Confidence from which a probe's answer is served until its threshold is learned, 0 to 1. Default 0.8.
    pub t_small: f64,
    /// Share of requests that are answered by a model drawn at random, 0 to 1. Default 0.02.
    pub explore: f64,
    /// US dollars a call, by model; by the model's price where it is not named.
    pub cost_per_call: BTreeMap<String, f64>,
    /// Key of the request's metadata that names the application. Without one all requests are of one class.
    pub class: Option<String>,
    /// Texts of hard actions, to compare with. Without exemplars of both kinds nothing is plainly easy or hard.
    pub hard: Vec<String>,
    /// Texts of easy actions, to compare with.
    pub easy: Vec<String>,
    /// The probe.
    pub probe: ProbeConfig,
    /// Who counts as warm.
    pub memory: MemoryConfig,
    /// What looks risky.
    pub risk: RiskConfig,
    /// How outcomes become probabilities.
    pub calibration: CalibrationConfig,
}

impl Default for AdaptiveProbeConfig {
    fn default() -> Self {
        Self {
            tau: 0.9,
            delta: 0.1,
            t_small: 0.8,
            explore: 0.02,
            cost_per_call: BTreeMap::new(),
            class: None,
            hard: Vec::new(),
            easy: Vec::new(),
            probe: ProbeConfig::default(),
            memory: MemoryConfig::default(),
            risk: RiskConfig::default(),
            calibration: CalibrationConfig::default(),
        }
    }
}

// === impl AdaptiveProbeConfig ===

impl AdaptiveProbeConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let within = |key: &str, value: f64, allowed, low: f64, high: f64| {
            check("adaptive_probe", key, value, allowed, |v| {
                (low..=high).contains(&v)
            })
        };
        for (key, value) in [
            ("tau", self.tau),
            ("t_small", self.t_small),
            ("explore", self.explore),
        ] {
            within(key, value, "a number from 0 to 1", 0.0, 1.0)?;
        }
        within("delta", self.delta, "a number from 0 to 2", 0.0, 2.0)?;
        for (key, value) in [
            ("risk.theta_visual", self.risk.theta_visual),
            ("risk.theta_text", self.risk.theta_text),
        ] {
            within(key, value, "a number from -2 to 2", -2.0, 2.0)?;
        }
        within(
            "probe.min_auroc",
            self.probe.min_auroc,
            "a number from 0.5 to 1",
            0.5,
            1.0,
        )?;
        within(
            "memory.min_similarity",
            self.memory.min_similarity,
            "a number from -1 to 1",
            -1.0,
            1.0,
        )?;
        for (key, value, least) in [
            ("memory.top_m", self.memory.top_m, 1),
            ("calibration.refit_every", self.calibration.refit_every, 1),
            ("calibration.min_samples", self.calibration.min_samples, 2),
        ] {
            let allowed = if least == 1 {
                "a whole number of at least 1"
            } else {
                "a whole number of at least 2"
            };
            within(key, value as f64, allowed, f64::from(least), f64::INFINITY)?;
        }
        for (model, cost) in &self.cost_per_call {
            let allowed = "a finite number of at least 0";
            within(&format!("cost_per_call.{model}"), *cost, allowed, 0.0, f64::MAX)?;
        }
        Ok(())
    }
}
