//! `hybrid`: ratings, descriptions and shown quality together.
//!
//! Three components score every admitted candidate: the rating (`elo`), the fit of the query to the model's description, and the
//! value by what its answers have shown (`automix`). Each component's scores are brought to 0..1 between the least and the greatest
//! (0.5 where all are equal); their weighted mean (0.3, 0.3, 0.2) is over those that have something to say: no rating and no declared
//! quality, no descriptions, and a component is silent. The mean is multiplied by `1 + (1 − C) · w_request · w_cost` with `C` the
//! normalised price (of an unknown one 1), and corrected by at most 0.14 for what a prompt cache may hold (`affinity.rs`; to know
//! who answered before, [`Query::previous`], takes a decision with `stay`).
//! Card: `systems/43`, 5.1 item 5 and annex 17.
//!
//! Scores: that number, about 0 to 1.3. The confidence in the reason is the mean of two: the share of the components that say whose
//! best is the pick, and their own mean confidence. Learns what `elo` and `automix` learn.

mod affinity;
mod descriptions;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Outcome, Query, Reason, Router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{affinity::Affinity, descriptions::Descriptions};
use crate::{
    automix::{Automix, AutomixConfig, with_declared},
    config::{ConfigError, check},
    elo::{Elo, EloConfig},
    features::Featurizer,
    ranked::Ranked,
};

/// Version of the saved state.
const VERSION: u32 = 1;

/// Settings of `hybrid`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HybridConfig {
    /// How much each component counts, over the sum of those that have something to say.
    pub weights: HybridWeights,
    /// Settings of the ratings.
    pub elo: EloConfig,
    /// Settings of the shown quality.
    pub automix: AutomixConfig,
}

/// How much each component of `hybrid` counts, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HybridWeights {
    /// Ratings. Default 0.3.
    pub elo: f64,
    /// Fit of the description. Default 0.3.
    pub description: f64,
    /// Shown quality. Default 0.2.
    pub automix: f64,
    /// By how much a model that costs nothing is raised over the dearest. Default 0.2.
    pub cost: f64,
    /// How much requests of this decision care for cost. Default 1.
    pub request: f64,
}

/// Ratings, descriptions and shown quality together.
pub struct Hybrid {
    name: Name,
    weights: HybridWeights,
    elo: Elo,
    automix: Automix,
    descriptions: Descriptions,
}

/// What a component says.
struct Voice {
    weight: f64,
    /// One a candidate, brought to 0..1.
    scores: Vec<f64>,
    /// How sure it is of its own best.
    confidence: f64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    elo: serde_json::Value,
    automix: serde_json::Value,
}

impl Default for HybridWeights {
    fn default() -> Self {
        Self {
            elo: 0.3,
            description: 0.3,
            automix: 0.2,
            cost: 0.2,
            request: 1.0,
        }
    }
}

// === impl Hybrid ===

impl Hybrid {
    /// A router of this name in which nothing is known but what profiles declare.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &HybridConfig, name: Name, featurizer: Featurizer) -> Result<Self, ConfigError> {
        let w = &config.weights;
        for (key, weight) in [
            ("weights.elo", w.elo),
            ("weights.description", w.description),
            ("weights.automix", w.automix),
            ("weights.cost", w.cost),
            ("weights.request", w.request),
        ] {
            check("hybrid", key, weight, "a number from 0 to 1", |v| {
                (0.0..=1.0).contains(&v)
            })?;
        }
        let within = |part: &'static str| {
            move |e: ConfigError| ConfigError {
                algorithm: "hybrid",
                key: format!("{part}.{}", e.key),
                ..e
            }
        };
        Ok(Self {
            weights: *w,
            elo: Elo::new(&config.elo, name.clone()).map_err(within("elo"))?,
            automix: Automix::new(&config.automix, name.clone()).map_err(within("automix"))?,
            descriptions: Descriptions::new(featurizer),
            name,
        })
    }

    /// What the components that have something to say say.
    fn voices(&self, query: &Query<'_>, candidates: &[&Candidate]) -> Vec<Voice> {
        let w = &self.weights;
        let mut voices = Vec::with_capacity(3);
        if let Some(shares) = self.elo.shares(candidates) {
            let confidence = self.elo.confidence(candidates[first_of_highest(&shares)]);
            voices.push(Voice::new(w.elo, shares, confidence));
        }
        if let Some(fits) = self.descriptions.fits(&query.user_text(), candidates) {
            let confidence = fits[first_of_highest(&fits)];
            voices.push(Voice::new(w.description, fits, confidence));
        }
        let (values, passes): (Vec<f64>, Vec<f64>) = self.automix.values(candidates).into_iter().unzip();
        let confidence = passes[first_of_highest(&values)];
        voices.push(Voice::new(w.automix, values, confidence));
        voices
    }

    fn scores(&self, query: &Query<'_>, candidates: &[&Candidate], voices: &[Voice]) -> Vec<f64> {
        let total: f64 = voices.iter().map(|v| v.weight).sum();
        let prices = prices(candidates);
        let base: Vec<f64> = (0..candidates.len())
            .map(|i| {
                let sum: f64 = voices.iter().map(|v| v.weight * v.scores[i]).sum();
                let mean = if total > 0.0 { sum / total } else { 0.5 };
                mean * (1.0 + (1.0 - prices[i]) * self.weights.request * self.weights.cost)
            })
            .collect();
        let affinity = Affinity::of(query);
        let gap = gap(&base);
        let corrected = candidates.iter().zip(&base);
        corrected
            .map(|(c, score)| score + affinity.correction(c, gap))
            .collect()
    }
}

/// The prices, brought to 0..1; an unknown one counts as the dearest.
fn prices(candidates: &[&Candidate]) -> Vec<f64> {
    let price = |c: &&Candidate| c.profile.price.map(|p| p.blended().get());
    let known: Vec<f64> = candidates.iter().filter_map(price).collect();
    let range = Span::of(&known);
    candidates
        .iter()
        .map(|c| price(c).map_or(1.0, |p| range.place(p)))
        .collect()
}

/// Distance of the two best scores; that of one alone is unbounded.
fn gap(scores: &[f64]) -> f64 {
    let (mut best, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for score in scores {
        if *score > best {
            (best, second) = (*score, best);
        } else {
            second = second.max(*score);
        }
    }
    best - second
}

fn first_of_highest(scores: &[f64]) -> usize {
    let better = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
    (0..scores.len()).fold(0, better)
}

/// From the least to the greatest of some values.
struct Span {
    least: f64,
    width: f64,
}

// === impl Span ===

impl Span {
    fn of(values: &[f64]) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            least,
            width: greatest - least,
        }
    }

    /// The value's place between them, 0 to 1; one half where they are equal.
    fn place(&self, value: f64) -> f64 {
        if self.width > 0.0 {
            (value - self.least) / self.width
        } else {
            0.5
        }
    }
}

// === impl Voice ===

impl Voice {
    fn new(weight: f64, scores: Vec<f64>, confidence: f64) -> Self {
        let span = Span::of(&scores);
        Self {
            weight,
            scores: scores.into_iter().map(|s| span.place(s)).collect(),
            confidence,
        }
    }
}

impl Learn for Hybrid {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        self.elo.learn(evidence, decision, outcome);
        self.automix.learn(evidence, decision, outcome);
    }

    fn save(&self) -> Option<Vec<u8>> {
        let value = |part: &dyn Learn| serde_json::from_slice(&part.save()?).ok();
        serde_json::to_vec(&Saved {
            version: VERSION,
            elo: value(&self.elo)?,
            automix: value(&self.automix)?,
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                let elo = self.elo.restore(saved.elo.to_string().as_bytes());
                self.automix.restore(saved.automix.to_string().as_bytes()) && elo
            }
            _ => false,
        }
    }
}

impl Router<Query<'_>> for Hybrid {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let candidates: Vec<&Candidate> = cx.admitted(among).collect();
        if candidates.is_empty() {
            return Err(cx.no_route(among));
        }
        let voices = self.voices(query, &candidates);
        let scores = self.scores(query, &candidates, &voices);
        let mut best = Ranked::default();
        best.extend(candidates.iter().copied().zip(scores.iter().copied()));
        let pick = first_of_highest(&scores);
        let agree = voices
            .iter()
            .filter(|v| first_of_highest(&v.scores) == pick)
            .count();
        let sure: f64 = voices.iter().map(|v| v.confidence).sum();
        let confidence = (agree as f64 + sure) / (2.0 * voices.len() as f64);
        let evidence = Evidence::of(self.name.clone());
        let evidence = self.elo.with_standing(evidence, candidates[pick], &candidates);
        let reason = Reason::new("best by ratings, descriptions and shown quality")
            .with("confidence", confidence)
            .with("agree", agree as f64);
        best.decide(reason, with_declared(evidence, Some(candidates[pick])))
            .ok_or_else(|| cx.no_route(among))
    }
}

impl std::fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hybrid")
            .field("name", &self.name)
            .field("weights", &self.weights)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_core::{Catalogue, Limits, Price, Profile, Quality, Role, Timestamp, Turn, UsdPerMillion};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn profile(name: &str, quality: Option<f64>, usd: f64, description: &str) -> Profile {
        Profile {
            quality: quality.and_then(|q| Quality::new(q).ok()),
            price: Some(Price {
                input: UsdPerMillion::new(usd).unwrap(),
                cached_input: None,
                output: UsdPerMillion::new(usd).unwrap(),
            }),
            description: description.to_owned(),
            ..Profile::named(name)
        }
    }

    fn hybrid(config: &HybridConfig) -> Hybrid {
        let encoder = fingerpost_encode::StaticEncoder::bundled();
        Hybrid::new(config, "h".into(), Featurizer::new(Arc::new(encoder))).unwrap()
    }

    fn route(hybrid: &Hybrid, catalogue: &Catalogue, query: &Query<'_>) -> Decision {
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
        hybrid.route(query, &catalogue.ids(), &mut cx).unwrap()
    }

    #[test]
    fn what_is_brought_to_0_and_1() {
        let span = Span::of(&[2.0, 6.0, 3.0]);
        assert_eq!(
            (span.place(2.0), span.place(6.0), span.place(3.0)),
            (0.0, 1.0, 0.25)
        );
        assert_eq!(Span::of(&[4.0, 4.0]).place(4.0), 0.5);
        assert_eq!((gap(&[0.2, 0.9, 0.7]), gap(&[1.0])), (0.9 - 0.7, f64::INFINITY));
    }

    #[test]
    fn a_silent_component_has_no_weight_and_cost_tips_the_scale() {
        // No descriptions: ratings 0.3 and shown quality 0.2 of 0.5.
        let catalogue = Catalogue::new([
            profile("good", Some(0.8), 10.0, ""),
            profile("cheap", Some(0.4), 0.0, ""),
            profile("middle", Some(0.6), 5.0, ""),
        ])
        .unwrap();
        let decision = route(&hybrid(&HybridConfig::default()), &catalogue, &Query::text("hi"));
        // Values of automix: 0.8 - 0.3, 0.4, 0.6 - 0.15: places 1, 0, 0.5. Ratings 1800, 1400, 1600: shares as 100, 10, 10^1.5.
        let share = (10_f64.powf(4.0) - 10_f64.powf(3.5)) / (10_f64.powf(4.5) - 10_f64.powf(3.5));
        let expected = [
            ("good", 1.0),
            ("middle", (0.6 * share + 0.4 * 0.5) * 1.1),
            ("cheap", 0.0),
        ];
        for (pick, (name, score)) in decision.picks.iter().zip(expected) {
            assert_eq!(pick.name, name);
            assert!(
                (pick.score - score).abs() < 1e-12,
                "{name}: {} for {score}",
                pick.score
            );
        }
        // Both say `good`; the rating has no games (0), the averages begin at one half.
        let confidence = decision.reason.facts[0].1;
        assert!(
            (confidence - f64::midpoint(1.0, 0.25)).abs() < 1e-12,
            "{confidence}"
        );
    }

    #[test]
    fn the_one_who_answered_before_is_preferred_among_equals() {
        let catalogue = Catalogue::new([profile("a", None, 1.0, ""), profile("b", None, 1.0, "")]).unwrap();
        let hybrid = hybrid(&HybridConfig::default());
        let turn = |role, text: &'static str| Turn {
            role,
            texts: vec![text.into()],
            ..Turn::default()
        };
        let mut query = Query {
            turns: vec![
                turn(Role::User, "hi"),
                turn(Role::Assistant, "hello"),
                turn(Role::User, "so?"),
            ],
            ..Query::default()
        };
        assert_eq!(route(&hybrid, &catalogue, &query).first().name, "a");
        query.previous = Some("b".into());
        assert_eq!(route(&hybrid, &catalogue, &query).first().name, "b");
    }

    #[test]
    fn it_learns_what_its_parts_learn_and_keeps_it() {
        let catalogue = Catalogue::new([profile("a", None, 1.0, ""), profile("b", None, 1.0, "")]).unwrap();
        let taught = hybrid(&HybridConfig::default());
        let query = Query::text("hi");
        let decision = route(&taught, &catalogue, &query);
        let poor = Outcome {
            quality: Quality::new(0.0).ok(),
            ..Outcome::default()
        };
        taught.learn(&decision.evidence, &decision, &poor);
        let after = route(&taught, &catalogue, &query);
        assert_eq!(
            (decision.first().name.as_str(), after.first().name.as_str()),
            ("a", "b")
        );
        let again = hybrid(&HybridConfig::default());
        assert!(again.restore(&taught.save().unwrap()) && !again.restore(b"{}"));
        assert_eq!(route(&again, &catalogue, &query), after);
    }

    #[test]
    fn settings_of_its_parts_are_named() {
        let config = HybridConfig {
            elo: EloConfig {
                k: 0.0,
                ..EloConfig::default()
            },
            ..HybridConfig::default()
        };
        let encoder = fingerpost_encode::StaticEncoder::bundled();
        let error = Hybrid::new(&config, "h".into(), Featurizer::new(Arc::new(encoder))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "hybrid.elo.k must be a finite number over 0, found 0"
        );
    }
}
