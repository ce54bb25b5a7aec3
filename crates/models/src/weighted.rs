//! `weighted`: a model at random, each with the probability of its share of the weights of those that the limits admit. Made
//! for canaries, A/B tests and the splitting of quotas. The probability of the pick is in the evidence, so that a
//! counterfactual estimate can be made of the log later. The others follow by weight, to fall back on. Learns nothing. Scores:
//! the probability.

use std::collections::BTreeMap;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Query, Reason, Router,
};
use rand::Rng;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    ranked::Ranked,
};

/// Settings of `weighted`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedConfig {
    /// Weights by model name, each at least 0. A model that is not named has weight 1. Where all admitted models have weight
    /// 0 the first of them is taken.
    pub weights: BTreeMap<String, f64>,
}

/// A random model by weight.
#[derive(Debug, Clone)]
pub struct Weighted {
    name: Name,
    weights: FxHashMap<Name, f64>,
}

// === impl Weighted ===

impl Weighted {
    /// A router of this name.
    ///
    /// # Errors
    /// [`ConfigError`] for a weight that is negative or not finite.
    pub fn new(config: &WeightedConfig, name: Name) -> Result<Self, ConfigError> {
        let weight = |(model, weight): (&String, &f64)| {
            let allowed = |w: f64| w >= 0.0 && w <= f64::from(f32::MAX);
            let key = format!("weights.{model}");
            let weight = check("weighted", key, *weight, "a finite number of at least 0", allowed)?;
            Ok((Name::from(model.as_str()), weight))
        };
        let weights = config.weights.iter().map(weight).collect::<Result<_, _>>()?;
        Ok(Self { name, weights })
    }

    fn weight(&self, candidate: &Candidate) -> f64 {
        self.weights.get(&candidate.profile.name).copied().unwrap_or(1.0)
    }
}

impl Learn for Weighted {}

impl Router<Query<'_>> for Weighted {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let total: f64 = cx.admitted(among).map(|c| self.weight(c)).sum();
        let mut left = cx.rng.random::<f64>() * total;
        let mut pick: Option<&Candidate> = None;
        for candidate in cx.admitted(among) {
            let weight = self.weight(candidate);
            // Rounding may leave a rest after the last: then the last one with a weight stays the pick.
            if pick.is_none() || weight > 0.0 {
                pick = Some(candidate);
            }
            left -= weight;
            if left < 0.0 || total <= 0.0 {
                break;
            }
        }
        let pick = pick.ok_or_else(|| cx.no_route(among))?;
        let probability = |c| if total > 0.0 { self.weight(c) / total } else { 1.0 };
        let mut others = Ranked::default();
        others.offer(pick, f64::INFINITY);
        others.extend(
            cx.admitted(among)
                .filter(|c| c.id != pick.id)
                .map(|c| (c, probability(c))),
        );
        let reason = Reason::new("drawn by weight").with("probability", probability(pick));
        let evidence = Evidence::of(self.name.clone()).with_propensity(probability(pick));
        let mut decision = others
            .decide(reason, evidence)
            .ok_or_else(|| cx.no_route(among))?;
        decision.picks[0].score = probability(pick);
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn draws(weights: &[(&str, f64)], barred: Vec<CandidateId>) -> Vec<(String, f64)> {
        let config = WeightedConfig {
            weights: weights.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect(),
        };
        let router = Weighted::new(&config, "w".into()).unwrap();
        let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
        let limits = Limits {
            barred,
            ..Limits::NONE
        };
        let mut rng = SmallRng::seed_from_u64(11);
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let mut draw = |_| {
            let decision = router
                .route(&Query::default(), &catalogue.ids(), &mut cx)
                .unwrap();
            (decision.first().name.to_string(), decision.evidence.propensity)
        };
        (0..6000).map(&mut draw).collect()
    }

    #[test]
    fn shares_follow_the_weights_and_the_propensity_says_so() {
        let drawn = draws(&[("a", 1.0), ("b", 3.0), ("c", 0.0)], Vec::new());
        let share = drawn.iter().filter(|(name, _)| name == "b").count() as f64 / 6000.0;
        // Four standard deviations of a binomial share are 0.0224.
        assert!((share - 0.75).abs() < 0.0224, "{share}");
        assert!(
            drawn
                .iter()
                .all(|(name, p)| *p == if name == "b" { 0.75 } else { 0.25 })
        );
        assert!(drawn.iter().all(|(name, _)| name != "c"));
    }

    #[test]
    fn shares_are_those_of_the_admitted_alone() {
        let drawn = draws(&[("a", 8.0), ("b", 1.0), ("c", 3.0)], vec![CandidateId(0)]);
        assert!(
            drawn
                .iter()
                .all(|(name, p)| *p == if name == "b" { 0.25 } else { 0.75 })
        );
    }

    #[test]
    fn without_any_weight_the_first_is_taken() {
        let drawn = draws(&[("a", 0.0), ("b", 0.0), ("c", 0.0)], Vec::new());
        assert!(drawn.iter().all(|(name, p)| name == "a" && *p == 1.0));
    }
}
