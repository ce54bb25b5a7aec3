//! The three rules by which a switch is weighed; plain arithmetic over [`Bearing`].
//!
//! | rule | advantage | needed |
//! | --- | --- | --- |
//! | `protection` | gain in score | `switch_margin + stability_weight · cost` |
//! | `gate` | benefit − handoff − warmth · prefix weight | more than `switch_margin` |
//! | `session_aware` | score of the selected model with its penalties − score of the current one with its benefits | more than 0 |
//!
//! The cost of a switch is `handoff + prefix + history`: `prefix = prefix weight · mass · warmth · multiplier` is what there is of the
//! provider's prompt cache to lose, `history = history weight · min(1, switches / 8)` holds a conversation that changes often. The
//! multiplier grows from 1 to `cost_multiplier` with the cost pressure, the share of the price of reading the context that the
//! cache saves. `benefit` is the entry of the quality gap table where there is one, else the gain in score, never both.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StayConfig;

/// Switches after which a conversation is held as much as it can be.
const MANY_SWITCHES: f64 = 8.0;

/// How a switch is weighed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StayRule {
    /// The gain must reach a margin and what the switch costs.
    #[default]
    Protection,
    /// What is left of the benefit after the penalties must be more than the margin.
    Gate,
    /// Both models are scored anew, with what speaks for staying and against leaving.
    SessionAware,
}

/// What bears on a switch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bearing {
    /// Score of the selected model less that of the current one.
    pub(super) gain: f64,
    /// Entry of the quality gap table.
    pub(super) gap: Option<f64>,
    /// How much of the conversation has been seen, 0 to 1.
    pub(super) mass: f64,
    /// How warm the provider's prompt cache is, 0 to 1.
    pub(super) warmth: f64,
    /// Share of the price of reading the context that the cache saves, 0 to 1.
    pub(super) pressure: f64,
    /// In the middle of a tool loop.
    pub(super) tool_loop: bool,
    /// How often the model changed before.
    pub(super) switches: u32,
}

/// A switch, weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighed {
    pub(super) advantage: f64,
    pub(super) needed: f64,
    pub(super) switch: bool,
}

// === impl StayRule ===

impl StayRule {
    pub(super) fn weigh(self, config: &StayConfig, bearing: &Bearing) -> Weighed {
        match self {
            Self::Protection => protection(config, bearing),
            Self::Gate => gate(config, bearing),
            Self::SessionAware => session_aware(config, bearing),
        }
    }
}

// === impl Bearing ===

impl Bearing {
    /// What there is of the prompt cache to lose.
    fn prefix(&self, config: &StayConfig) -> f64 {
        let multiplier = 1.0 + (config.costs.cost_multiplier - 1.0) * self.pressure;
        config.costs.prefix * self.mass * self.warmth * multiplier
    }

    fn history(&self, config: &StayConfig) -> f64 {
        config.costs.history * (f64::from(self.switches) / MANY_SWITCHES).min(1.0)
    }
}

fn protection(config: &StayConfig, bearing: &Bearing) -> Weighed {
    let cost = config.costs.handoff + bearing.prefix(config) + bearing.history(config);
    let needed = config.switch_margin + config.stability_weight * cost;
    Weighed {
        advantage: bearing.gain,
        needed,
        switch: bearing.gain >= needed,
    }
}

fn gate(config: &StayConfig, bearing: &Bearing) -> Weighed {
    let benefit = bearing.gap.unwrap_or(bearing.gain);
    let advantage = benefit - config.costs.handoff - bearing.warmth * config.costs.prefix;
    Weighed {
        advantage,
        needed: config.switch_margin,
        switch: advantage > config.switch_margin,
    }
}

fn session_aware(config: &StayConfig, bearing: &Bearing) -> Weighed {
    let costs = &config.costs;
    let (prefix, tools) = (
        bearing.prefix(config),
        if bearing.tool_loop {
            costs.tool_loop_bias
        } else {
            0.0
        },
    );
    let staying = costs.stay_bias + prefix + tools;
    let leaving = bearing.gap.unwrap_or(0.0)
        - costs.handoff
        - prefix
        - tools
        - bearing.history(config)
        - config.switch_margin;
    let advantage = bearing.gain + leaving - staying;
    Weighed {
        advantage,
        needed: 0.0,
        switch: advantage > 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(weighed: Weighed, advantage: f64, needed: f64, switch: bool) {
        assert!((weighed.advantage - advantage).abs() < 1e-12, "{weighed:?}");
        assert!((weighed.needed - needed).abs() < 1e-12, "{weighed:?}");
        assert_eq!(weighed.switch, switch, "{weighed:?}");
    }

    const BEARING: Bearing = Bearing {
        gain: 0.3,
        gap: None,
        mass: 0.5,
        warmth: 0.8,
        pressure: 0.6,
        tool_loop: false,
        switches: 2,
    };

    #[test]
    fn protection_asks_for_the_margin_and_the_cost() {
        let config = StayConfig::default();
        // Multiplier 1 + 1.5 · 0.6 = 1.9; prefix 0.2 · 0.5 · 0.8 · 1.9 = 0.152; history 0.04 · 2/8 = 0.01.
        near(
            StayRule::Protection.weigh(&config, &BEARING),
            0.3,
            0.05 + 0.05 + 0.152 + 0.01,
            true,
        );
        let less = Bearing {
            gain: 0.26,
            ..BEARING
        };
        near(StayRule::Protection.weigh(&config, &less), 0.26, 0.262, false);
        let light = StayConfig {
            stability_weight: 0.0,
            ..StayConfig::default()
        };
        near(StayRule::Protection.weigh(&light, &less), 0.26, 0.05, true);
        // A conversation in which nothing lies behind: the margin and the handoff.
        let new = Bearing {
            mass: 0.0,
            switches: 0,
            ..BEARING
        };
        near(StayRule::Protection.weigh(&config, &new), 0.3, 0.1, true);
    }

    #[test]
    fn the_gate_takes_the_gap_table_or_the_scores_never_both() {
        let config = StayConfig::default();
        // 0.3 - 0.05 - 0.8 · 0.2.
        near(StayRule::Gate.weigh(&config, &BEARING), 0.09, 0.05, true);
        let known = Bearing {
            gap: Some(0.25),
            ..BEARING
        };
        near(StayRule::Gate.weigh(&config, &known), 0.04, 0.05, false);
        let exactly = Bearing {
            gap: Some(0.1),
            warmth: 0.0,
            ..BEARING
        };
        near(StayRule::Gate.weigh(&config, &exactly), 0.05, 0.05, false);
    }

    #[test]
    fn session_aware_scores_both_anew() {
        let config = StayConfig::default();
        // Staying: 0.1 + 0.152. Leaving: -0.05 - 0.152 - 0.01 - 0.05.
        near(
            StayRule::SessionAware.weigh(&config, &BEARING),
            0.3 - 0.252 - 0.262,
            0.0,
            false,
        );
        let gap = Bearing {
            gap: Some(0.3),
            ..BEARING
        };
        near(
            StayRule::SessionAware.weigh(&config, &gap),
            0.6 - 0.252 - 0.262,
            0.0,
            true,
        );
        let loops = Bearing {
            tool_loop: true,
            ..gap
        };
        near(
            StayRule::SessionAware.weigh(&config, &loops),
            0.6 - 0.252 - 0.262 - 0.7,
            0.0,
            false,
        );
    }

    #[test]
    fn switches_count_up_to_eight() {
        let config = StayConfig::default();
        let needed = |switches| {
            let bearing = Bearing {
                switches,
                mass: 0.0,
                ..BEARING
            };
            StayRule::Protection.weigh(&config, &bearing).needed
        };
        assert!((needed(8) - 0.14).abs() < 1e-12);
        assert_eq!(needed(8), needed(80));
    }
}
