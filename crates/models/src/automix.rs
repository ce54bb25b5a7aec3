//! `automix`: the model of highest value, by the quality and the reliability that its answers have shown.
//!
//! `value = quality − λ · price / 10 + (1 − p) · γ · reward`, the last term only where the probability `p` that an answer of the model
//! passes is below `verification_threshold`; with `cost_aware` the value is then multiplied by `1 / (1 + price · cost_weight)`, and by
//! 1.1 where `p` reaches the threshold. The price is the blended one, in US dollars per million tokens, 0 where unknown. Quality and
//! `p` are moving averages over outcomes, of step 0.1: the quality of an answer, and whether that was one half or more. They begin
//! at the declared quality (one half without) and at one half. Card: `systems/43`, 5.1 item 6.
//!
//! Scores: the values. Differs from the card: what an escalation is worth is a setting, 0 by default, because nobody verifies and
//! escalates after a choice of this selector (`cascade` does); defaults of `λ`, `γ` and `cost_weight` are ours.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Outcome, Quality,
    Query, Reason, Router,
};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    ranked::Ranked,
    reward,
};

/// Step of the moving averages.
const STEP: f64 = 0.1;
/// What is raised where answers pass reliably.
const RELIABLE: f64 = 1.1;
/// An answer of this quality passes.
const PASSES: f64 = 0.5;
/// Version of the saved state.
const VERSION: u32 = 1;

/// Settings of `automix`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AutomixConfig {
    /// What ten US dollars per million tokens are worth in quality, 0 and more. Default 0.3.
    pub lambda: f64,
    /// How much of an escalation's worth counts, 0 to 1. Default 0.95.
    pub gamma: f64,
    /// What an escalation is worth, 0 to 1. Default 0: nobody escalates after this selector.
    pub escalation_reward: f64,
    /// From which probability of passing a model is reliable, 0 to 1. Default 0.7.
    pub verification_threshold: f64,
    /// Whether values are also scaled by price and reliability. Default false.
    pub cost_aware: bool,
    /// How fast the scale falls with the price, 0 and more. Default 0.1.
    pub cost_weight: f64,
}

/// Moving averages of models.
#[derive(Debug)]
pub struct Automix {
    name: Name,
    config: AutomixConfig,
    seen: ArcSwap<FxHashMap<Name, Average>>,
    writing: Mutex<()>,
}

/// What a model's answers have shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Average {
    quality: f64,
    /// Probability that an answer passes.
    passes: f64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    seen: FxHashMap<Name, Average>,
}

impl Default for AutomixConfig {
    fn default() -> Self {
        Self {
            lambda: 0.3,
            gamma: 0.95,
            escalation_reward: 0.0,
            verification_threshold: 0.7,
            cost_aware: false,
            cost_weight: 0.1,
        }
    }
}

// === impl Automix ===

impl Automix {
    /// A router of this name that has seen nothing.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &AutomixConfig, name: Name) -> Result<Self, ConfigError> {
        for (key, value) in [("lambda", config.lambda), ("cost_weight", config.cost_weight)] {
            let allowed = "a number from 0 to 1000000";
            check("automix", key, value, allowed, |v| (0.0..=1e6).contains(&v))?;
        }
        for (key, value) in [
            ("gamma", config.gamma),
            ("escalation_reward", config.escalation_reward),
            ("verification_threshold", config.verification_threshold),
        ] {
            check("automix", key, value, "a number from 0 to 1", |v| {
                (0.0..=1.0).contains(&v)
            })?;
        }
        Ok(Self {
            name,
            config: config.clone(),
            seen: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// The value of each candidate, and the probability that its answer passes.
    pub(crate) fn values(&self, candidates: &[&Candidate]) -> Vec<(f64, f64)> {
        let seen = self.seen.load();
        let value = |candidate: &&Candidate| {
            let average = seen.get(&candidate.profile.name).copied();
            let average = average.unwrap_or_else(|| Average::start(candidate));
            let price = candidate.profile.price.map_or(0.0, |p| p.blended().get());
            (self.value(average, price), average.passes)
        };
        candidates.iter().map(value).collect()
    }

    fn value(&self, Average { quality, passes }: Average, price: f64) -> f64 {
        let c = &self.config;
        let is_reliable = passes >= c.verification_threshold;
        let mut value = quality - c.lambda * price / 10.0;
        if !is_reliable {
            value += (1.0 - passes) * c.gamma * c.escalation_reward;
        }
        if c.cost_aware {
            value /= 1.0 + price * c.cost_weight;
            value *= if is_reliable { RELIABLE } else { 1.0 };
        }
        value
    }
}

// === impl Average ===

impl Average {
    fn start(candidate: &Candidate) -> Self {
        Self::from_declared(candidate.profile.quality.map(Quality::get))
    }

    fn from_declared(quality: Option<f64>) -> Self {
        Self {
            quality: quality.unwrap_or(0.5),
            passes: 0.5,
        }
    }

    fn take_up(&mut self, quality: f64) {
        let passed = if quality >= PASSES { 1.0 } else { 0.0 };
        self.quality += STEP * (quality - self.quality);
        self.passes += STEP * (passed - self.passes);
    }
}

impl Learn for Automix {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let Some(quality) = reward::quality(outcome) else {
            return;
        };
        let declared = match evidence.feature("declared") {
            Some(Feature::Number(quality)) => Some(*quality),
            _ => None,
        };
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = FxHashMap::clone(&self.seen.load());
        let start = Average::from_declared(declared.filter(|q| (0.0..=1.0).contains(q)));
        seen.entry(decision.first().name.clone())
            .or_insert(start)
            .take_up(quality);
        self.seen.store(Arc::new(seen));
    }

    fn save(&self) -> Option<Vec<u8>> {
        let seen = FxHashMap::clone(&self.seen.load());
        serde_json::to_vec(&Saved {
            version: VERSION,
            seen,
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                self.seen.store(Arc::new(saved.seen));
                true
            }
            _ => false,
        }
    }
}

/// Evidence with the declared quality of the pick, from which its averages begin.
pub(crate) fn with_declared(evidence: Evidence, pick: Option<&Candidate>) -> Evidence {
    match pick.and_then(|c| c.profile.quality) {
        Some(quality) => evidence.with("declared", Feature::Number(quality.get())),
        None => evidence,
    }
}

impl Router<Query<'_>> for Automix {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let candidates: Vec<&Candidate> = cx.admitted(among).collect();
        let values = self.values(&candidates);
        let mut best = Ranked::default();
        best.extend(candidates.iter().zip(&values).map(|(c, (value, _))| (*c, *value)));
        let mut decision = best
            .decide(
                Reason::new("highest value by what was seen"),
                Evidence::of(self.name.clone()),
            )
            .ok_or_else(|| cx.no_route(among))?;
        let pick = decision.first().id;
        if let Some(at) = candidates.iter().position(|c| c.id == pick) {
            decision.reason = decision.reason.with("passes", values[at].1);
            decision.evidence = with_declared(decision.evidence, Some(candidates[at]));
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Price, Profile, Timestamp, UsdPerMillion};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn catalogue() -> Catalogue {
        let profile = |name: &str, quality, usd| Profile {
            quality: Quality::new(quality).ok(),
            price: Some(Price {
                input: UsdPerMillion::new(usd).unwrap(),
                cached_input: None,
                output: UsdPerMillion::new(usd).unwrap(),
            }),
            ..Profile::named(name)
        };
        Catalogue::new([profile("small", 0.5, 1.0), profile("large", 0.8, 10.0)]).unwrap()
    }

    fn route(automix: &Automix) -> Decision {
        let (catalogue, limits, mut rng) = (catalogue(), Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        automix
            .route(&Query::default(), &catalogue.ids(), &mut cx)
            .unwrap()
    }

    fn scores(config: &AutomixConfig) -> Vec<(String, f64)> {
        let automix = Automix::new(config, "a".into()).unwrap();
        let picks = route(&automix).picks;
        picks.iter().map(|p| (p.name.to_string(), p.score)).collect()
    }

    fn quality(quality: f64) -> Outcome {
        Outcome {
            quality: Quality::new(quality).ok(),
            ..Outcome::default()
        }
    }

    #[test]
    fn values_on_hand_computed_numbers() {
        let near = |found: Vec<(String, f64)>, expected: [(&str, f64); 2]| {
            for ((name, value), (expected_name, expected)) in found.iter().zip(expected) {
                assert_eq!(name, expected_name);
                assert!((value - expected).abs() < 1e-12, "{found:?}");
            }
        };
        // 0.5 - 0.3 · 1/10 and 0.8 - 0.3 · 10/10.
        near(
            scores(&AutomixConfig::default()),
            [("large", 0.5), ("small", 0.47)],
        );
        let escalates = AutomixConfig {
            escalation_reward: 0.6,
            gamma: 0.5,
            ..AutomixConfig::default()
        };
        // Nothing is verified yet: both gain (1 - 0.5) · 0.5 · 0.6.
        near(scores(&escalates), [("large", 0.65), ("small", 0.62)]);
        let reliable = AutomixConfig {
            verification_threshold: 0.5,
            cost_aware: true,
            ..escalates
        };
        // Reliable, so no escalation: 1.1 · 0.47 / 1.1 and 1.1 · 0.5 / 2.
        near(scores(&reliable), [("small", 0.47), ("large", 0.275)]);
    }

    #[test]
    fn averages_move_by_a_tenth_and_survive_a_restart() {
        let automix = Automix::new(&AutomixConfig::default(), "a".into()).unwrap();
        let decision = route(&automix);
        assert_eq!(decision.first().name, "large");
        automix.learn(&decision.evidence, &decision, &Outcome::default());
        assert!(automix.seen.load().is_empty());
        automix.learn(&decision.evidence, &decision, &quality(0.3));
        let large = automix.seen.load()["large"];
        assert!((large.quality - 0.75).abs() < 1e-12 && (large.passes - 0.45).abs() < 1e-12);
        // 0.75 - 0.3 is below 0.47.
        assert_eq!(route(&automix).first().name, "small");
        let again = Automix::new(&AutomixConfig::default(), "a".into()).unwrap();
        assert!(again.restore(&automix.save().unwrap()) && !again.restore(b"[]"));
        assert_eq!(route(&again), route(&automix));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = AutomixConfig {
            gamma: 1.5,
            ..AutomixConfig::default()
        };
        let error = Automix::new(&config, "a".into()).unwrap_err().to_string();
        assert_eq!(error, "automix.gamma must be a number from 0 to 1, found 1.5");
    }
}
