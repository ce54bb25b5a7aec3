//! The risk gate: what looks risky goes to the largest model, or nowhere, before anything else is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::difficulty::Contrast;

/// Settings of the risk gate. Without exemplars it is open to all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RiskConfig {
    /// At or above this contrast of the picture the action is risky, -2 to 2. Default 0.1. Without effect in the gateway, where no
    /// vector of the picture is at hand.
    pub theta_visual: f64,
    /// At or above this contrast of the stated reasoning the action is risky, -2 to 2. Default 0.1.
    pub theta_text: f64,
    /// What a risky action leads to. Default `largest`.
    pub action: OnRisk,
    /// Texts of risky actions, to compare with.
    pub risky: Vec<String>,
    /// Texts of harmless actions, to compare with.
    pub safe: Vec<String>,
}

/// What a risky action leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRisk {
    /// The largest model answers.
    #[default]
    Largest,
    /// Nobody answers.
    Block,
}

/// Two channels, either of which is enough, since they miss different things.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    pub(super) text: Contrast,
    pub(super) visual: Contrast,
}

impl Default for RiskConfig {
    fn default() -> Self {
        Self {
            theta_visual: 0.1,
            theta_text: 0.1,
            action: OnRisk::Largest,
            risky: Vec::new(),
            safe: Vec::new(),
        }
    }
}

// === impl Gate ===

impl Gate {
    /// The contrast of the channel that raised the alarm; `None` where neither did.
    pub(super) fn alarm(
        &self,
        config: &RiskConfig,
        reasoning: &[Vec<f32>],
        visual: Option<&[f32]>,
    ) -> Option<f64> {
        let seen = visual
            .and_then(|v| self.visual.of(v))
            .filter(|r| *r >= config.theta_visual);
        let said = reasoning
            .iter()
            .filter_map(|text| self.text.of(text))
            .reduce(f64::max)
            .filter(|r| *r >= config.theta_text);
        seen.or(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_channel_is_enough() {
        let contrast = || Contrast::new(vec![vec![1.0, 0.0]], vec![vec![0.0, 1.0]]);
        let gate = Gate {
            text: contrast(),
            visual: contrast(),
        };
        let config = RiskConfig {
            theta_visual: 0.5,
            ..RiskConfig::default()
        };
        let (risky, safe) = (vec![1.0, 0.0], vec![0.0, 1.0]);
        let alarm = |text: &[Vec<f32>], visual: Option<&[f32]>| gate.alarm(&config, text, visual).is_some();
        assert!(alarm(&[safe.clone(), risky.clone()], Some(&safe)));
        assert!(alarm(std::slice::from_ref(&safe), Some(&risky)));
        assert!(!alarm(std::slice::from_ref(&safe), Some(&safe)));
        assert!(!alarm(&[], None));
        assert!(
            Gate::default().alarm(&config, &[risky], None).is_none(),
            "without exemplars"
        );
    }
}
