//! The router around a predictor: estimate, choose by the rule, now and then explore, remember what the pick was worth.
//!
//! Every learned selector of the model level is this router with a [`Predictor`] of its own. A candidate of which the predictor
//! knows nothing, not even by its profile, counts with the quality of its profile, or with the lowest of the estimates where it has none: it is fallen
//! back on, and explored, and taken up as soon as its outcomes are known. With the chance `explore` the pick is drawn at random
//! from all admitted candidates; the propensity in the evidence counts that in, so that counterfactual estimates hold.
//!
//! Scores: those of the rule of choice ([`Choice`]); `best` gives the expected quality.

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Outcome, Query,
    Reason, Router,
};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Shared,
    choice::{Choice, Offer},
    config::{ConfigError, check},
    costs::Costs,
    features::{FACTS, Features, Featurizer},
    predictor::Predictor,
    ranked::Ranked,
    reward, trained,
};

/// Settings of the learned selectors in service; how they were trained is in the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedConfig {
    /// The file of the trained router (`fingerpost train model-router`), relative to the configuration. Without one a selector
    /// that can learn in service begins with nothing.
    pub trained: Option<String>,
    /// Which model is taken, given how good and how dear each is thought to be. Default `best`.
    pub choose: Choice,
    /// Share of requests that go to a model drawn at random, 0 to 1: what is never tried is never learned. Default 0.
    pub explore: f64,
}

/// A predictor, the rule of choice over it, and what both need.
pub struct Learned {
    name: Name,
    algorithm: &'static str,
    predictor: Arc<dyn Predictor>,
    costs: Costs,
    featurizer: Featurizer,
    choose: Choice,
    explore: f64,
}

// === impl LearnedConfig ===

impl LearnedConfig {
    /// Looks whether every setting is in its range.
    pub(crate) fn check(&self, algorithm: &'static str) -> Result<(), ConfigError> {
        self.choose.check(algorithm)?;
        check(algorithm, "explore", self.explore, "a number from 0 to 1", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        Ok(())
    }
}

// === impl Learned ===

impl Learned {
    /// A router of this name over a predictor.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(
        config: &LearnedConfig,
        name: Name,
        algorithm: &'static str,
        predictor: Arc<dyn Predictor>,
        costs: Costs,
        featurizer: Featurizer,
    ) -> Result<Self, ConfigError> {
        config.check(algorithm)?;
        Ok(Self {
            name,
            algorithm,
            predictor,
            costs,
            featurizer,
            choose: config.choose,
            explore: config.explore,
        })
    }

    /// A router with the predictor of its file, or one that begins with nothing where the algorithm can.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range, a file that is of another algorithm or encoder, or none where one is needed.
    pub(crate) fn build(
        algorithm: &'static str,
        config: &LearnedConfig,
        name: Name,
        shared: &Shared,
    ) -> Result<Self, ConfigError> {
        let wrong = |allowed, found: String| ConfigError {
            algorithm,
            key: "trained".to_owned(),
            allowed,
            found,
        };
        let Some(file) = &config.trained else {
            let featurizer = shared
                .featurizer
                .clone()
                .ok_or_else(|| wrong("used where there is an encoder", "none".to_owned()))?;
            let predictor = trained::untrained(algorithm, featurizer.dims()).ok_or_else(|| {
                wrong(
                    "the file of a trained router (`fingerpost train model-router`)",
                    "null".to_owned(),
                )
            })?;
            return Self::new(config, name, algorithm, predictor, Costs::default(), featurizer);
        };
        let (trained, featurizer) = trained::of_algorithm(algorithm, file, shared)?;
        let predictor = trained
            .predictor()
            .map_err(|e| wrong("a file whose vectors can be searched", e.to_string()))?;
        Self::new(
            config,
            name,
            algorithm,
            predictor,
            trained.costs.clone(),
            featurizer,
        )
    }

    /// Decides for a query whose features are at hand.
    ///
    /// # Errors
    /// [`NoRoute`] where no candidate satisfies the limits.
    pub fn route_features(
        &self,
        features: &Features,
        bytes: usize,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let candidates: Vec<&Candidate> = cx.admitted(among).collect();
        if candidates.is_empty() {
            return Err(cx.no_route(among));
        }
        let names: Vec<&Name> = candidates.iter().map(|c| &c.profile.name).collect();
        let mut estimates = Vec::with_capacity(names.len());
        self.predictor.estimate(features, &names, &mut estimates);
        for (estimate, candidate) in estimates.iter_mut().zip(&candidates) {
            if estimate.is_none() {
                *estimate = self
                    .predictor
                    .introduce(features, &candidate.profile, &self.featurizer);
            }
        }
        let lowest = estimates
            .iter()
            .flatten()
            .map(|e| e.quality)
            .reduce(f64::min)
            .unwrap_or(0.0);
        let costs = self.costs.expect(&candidates, features, bytes);
        let offers: Vec<Offer> = candidates
            .iter()
            .zip(estimates.iter().zip(&costs))
            .map(|(candidate, (estimate, cost))| Offer {
                quality: estimate.map_or_else(
                    || {
                        candidate
                            .profile
                            .quality
                            .map_or(lowest, fingerpost_core::Quality::get)
                    },
                    |e| e.quality,
                ),
                cost: cost.get(),
            })
            .collect();
        let scores = self.choose.scores(&offers);
        let best = first_of_highest(&scores);
        let explores = self.explore > 0.0 && cx.rng.random::<f64>() < self.explore;
        let pick = if explores {
            cx.rng.random_range(0..candidates.len())
        } else {
            best
        };
        let by_chance = self.explore / candidates.len() as f64;
        let propensity = if pick == best {
            1.0 - self.explore + by_chance
        } else {
            by_chance
        };

        let mut ranked = Ranked::default();
        ranked.offer(candidates[pick], f64::INFINITY);
        let others = (0..candidates.len()).filter(|i| *i != pick);
        ranked.extend(others.map(|i| (candidates[i], scores[i])));
        let reason = Reason::new(match (explores, estimates[pick].is_some()) {
            (true, _) => "explored: drawn at random",
            (false, true) => "best by the rule of choice",
            (false, false) => "nothing learned of it yet: by its declared quality",
        });
        let reason = reason
            .with("expected quality", offers[pick].quality)
            .with("expected cost in USD", offers[pick].cost);
        let evidence = Evidence::of(self.name.clone())
            .with_propensity(propensity)
            .with("vector", Feature::Vector(features.vector.clone()))
            .with("facts", Feature::Vector(features.facts.to_vec()));
        let mut decision = ranked
            .decide(reason, evidence)
            .ok_or_else(|| cx.no_route(among))?;
        decision.picks[0].score = scores[pick];
        Ok(decision)
    }
}

impl std::fmt::Debug for Learned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learned")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .field("choose", &self.choose)
            .field("explore", &self.explore)
            .finish_non_exhaustive()
    }
}

impl Learn for Learned {
    /// Feedback teaches quality; a call that failed is worth 0, unless it was the client's doing.
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let quality = reward::quality(outcome);
        if let (Some(quality), Some(features)) = (quality, seen(evidence)) {
            self.predictor.observe(&features, &decision.first().name, quality);
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.predictor.save()
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.predictor.restore(state)
    }
}

impl Router<Query<'_>> for Learned {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let features = self.featurizer.features(&query.user_text());
        self.route_features(&features, query.text_bytes(), among, cx)
    }
}

/// The features that a decision was made on, from its evidence: all but the words, which no predictor learns from in service.
fn seen(evidence: &Evidence) -> Option<Features> {
    let vector = |name| match evidence.feature(name) {
        Some(Feature::Vector(values)) => Some(values.clone()),
        _ => None,
    };
    let facts: [f32; FACTS] = vector("facts")?.try_into().ok()?;
    Some(Features {
        vector: vector("vector")?,
        words: Vec::new(),
        facts,
    })
}

fn first_of_highest(scores: &[f64]) -> usize {
    let better = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
    (0..scores.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Failure, Limits, Price, Profile, Quality, Timestamp, UsdPerMillion};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::predictor::Estimate;

    /// Knows two models, and writes down what it is told.
    #[derive(Debug, Default)]
    struct Told(std::sync::Mutex<Vec<(String, f64)>>);

    impl Predictor for Told {
        fn estimate(&self, _: &Features, models: &[&Name], out: &mut Vec<Option<Estimate>>) {
            let quality = |name: &str| match name {
                "small" => Some(0.6),
                "large" => Some(0.9),
                _ => None,
            };
            out.extend(
                models
                    .iter()
                    .map(|m| quality(m).map(|quality| Estimate { quality, error: 0.0 })),
            );
        }

        fn observe(&self, _: &Features, model: &Name, quality: f64) -> bool {
            self.0.lock().unwrap().push((model.to_string(), quality));
            true
        }
    }

    fn catalogue() -> Catalogue {
        let price = |usd| {
            Some(Price {
                input: UsdPerMillion::new(usd).unwrap(),
                cached_input: None,
                output: UsdPerMillion::new(usd).unwrap(),
            })
        };
        let profile = |name: &str, usd, quality: Option<f64>| Profile {
            price: price(usd),
            quality: quality.map(|q| Quality::new(q).unwrap()),
            ..Profile::named(name)
        };
        Catalogue::new([
            profile("small", 0.1, None),
            profile("large", 10.0, None),
            profile("new", 1.0, Some(0.7)),
            profile("unknown", 1.0, None),
        ])
        .unwrap()
    }

    fn router(config: &LearnedConfig, told: Arc<Told>) -> Learned {
        let featurizer = Featurizer::new(Arc::new(fingerpost_encode::StaticEncoder::bundled()));
        Learned::new(config, "l".into(), "test", told, Costs::default(), featurizer).unwrap()
    }

    fn route(router: &Learned, limits: &Limits, seed: u64) -> Result<Decision, NoRoute> {
        let (catalogue, mut rng) = (catalogue(), SmallRng::seed_from_u64(seed));
        let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        router.route(&Query::text("what is it?"), &catalogue.ids(), &mut cx)
    }

    fn names(decision: &Decision) -> Vec<&str> {
        decision.picks.iter().map(|p| p.name.as_str()).collect()
    }

    #[test]
    fn who_is_not_known_counts_as_declared_or_lowest() {
        let decision = route(
            &router(&LearnedConfig::default(), Arc::default()),
            &Limits::NONE,
            1,
        )
        .unwrap();
        assert_eq!(names(&decision), ["large", "new", "small", "unknown"]);
        assert_eq!(decision.first().score, 0.9);
        assert_eq!(decision.evidence.propensity, 1.0);
    }

    #[test]
    fn the_rule_chooses() {
        let config = LearnedConfig {
            choose: Choice::Cheapest { quality: 0.65 },
            ..LearnedConfig::default()
        };
        let decision = route(&router(&config, Arc::default()), &Limits::NONE, 1).unwrap();
        assert_eq!(names(&decision)[..2], ["new", "large"]);
    }

    #[test]
    fn exploration_shows_in_the_propensity() {
        let config = LearnedConfig {
            explore: 0.4,
            ..LearnedConfig::default()
        };
        let router = router(&config, Arc::default());
        let drawn: Vec<Decision> = (0..4000)
            .map(|seed| route(&router, &Limits::NONE, seed).unwrap())
            .collect();
        let large = drawn.iter().filter(|d| d.first().name == "large").count() as f64 / 4000.0;
        // 0.6 + 0.4 / 4; four standard deviations are 0.029.
        assert!((large - 0.7).abs() < 0.029, "{large}");
        for decision in &drawn {
            let expected = if decision.first().name == "large" {
                0.7
            } else {
                0.1
            };
            assert!((decision.evidence.propensity - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn limits_hold_and_nobody_left_says_why() {
        let barred = |ids: &[u32]| Limits {
            barred: ids.iter().map(|id| CandidateId(*id)).collect(),
            ..Limits::NONE
        };
        let router = router(
            &LearnedConfig {
                explore: 1.0,
                ..LearnedConfig::default()
            },
            Arc::default(),
        );
        for seed in 0..50 {
            let decision = route(&router, &barred(&[1, 3]), seed).unwrap();
            assert!(["small", "new"].contains(&decision.first().name.as_str()));
        }
        assert_eq!(
            route(&router, &barred(&[0, 1, 2, 3]), 1)
                .unwrap_err()
                .excluded
                .len(),
            4
        );
    }

    #[test]
    fn feedback_and_failures_teach_and_refusals_do_not() {
        let told = Arc::new(Told::default());
        let router = router(&LearnedConfig::default(), told.clone());
        let decision = route(&router, &Limits::NONE, 1).unwrap();
        let evidence: Evidence =
            serde_json::from_str(&serde_json::to_string(&decision.evidence).unwrap()).unwrap();
        let quality = |q| Outcome {
            quality: Quality::new(q).ok(),
            ..Outcome::default()
        };
        let failed = |failure| Outcome {
            failure: Some(failure),
            ..Outcome::default()
        };
        for outcome in [
            quality(0.25),
            Outcome::default(),
            failed(Failure::RateLimited),
            failed(Failure::Refused(400)),
            failed(Failure::Cancelled),
        ] {
            router.learn(&evidence, &decision, &outcome);
        }
        assert_eq!(
            *told.0.lock().unwrap(),
            [("large".to_owned(), 0.25), ("large".to_owned(), 0.0)]
        );
    }
}
