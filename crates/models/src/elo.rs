//! `elo`: the model of highest rating, as chess players have one.
//!
//! Every model starts at 1500, or at `1000 + 1000 · quality` where its profile declares one. An answer of quality `y` (0 to 1) counts
//! as a game of that outcome against the mean rating `F` of the models it was chosen among: with `E = 1 / (1 + 10^((F − R) / 400))`
//! the rating moves by `K (y − E)`, and the others' by an equal part of the opposite, so that ratings keep their sum.
//! Card: `systems/43`, 5.2 item 17; `systems/18`, P1.
//!
//! Scores: the share of `10^(R / 400)` among the admitted candidates. Ratings are of one decision; feedback of any kind counts,
//! a failed call as a lost game.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Outcome, Quality,
    Query, Reason, Router,
};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    config::{ConfigError, check},
    ranked::Ranked,
    reward,
};

/// Rating of a model of which nothing is known.
const START: f64 = 1500.0;
/// Version of the saved state.
const VERSION: u32 = 1;

/// Settings of `elo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EloConfig {
    /// How far one outcome moves a rating, over 0. Default 32.
    pub k: f64,
    /// Games after which the confidence in a rating is one half. Default 5.
    pub min_comparisons: f64,
}

/// Ratings of models.
#[derive(Debug)]
pub struct Elo {
    name: Name,
    config: EloConfig,
    ratings: ArcSwap<FxHashMap<Name, Rating>>,
    writing: Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Rating {
    value: f64,
    games: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    ratings: FxHashMap<Name, Rating>,
}

impl Default for EloConfig {
    fn default() -> Self {
        Self {
            k: 32.0,
            min_comparisons: 5.0,
        }
    }
}

// === impl Elo ===

impl Elo {
    /// A router of this name, in which all models have their starting ratings.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &EloConfig, name: Name) -> Result<Self, ConfigError> {
        let over_zero = |v: f64| v > 0.0 && v.is_finite();
        check("elo", "k", config.k, "a finite number over 0", over_zero)?;
        check(
            "elo",
            "min_comparisons",
            config.min_comparisons,
            "a finite number over 0",
            over_zero,
        )?;
        Ok(Self {
            name,
            config: config.clone(),
            ratings: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// Each candidate's share of the strength of all; `None` where nothing is known of any.
    pub(crate) fn shares(&self, candidates: &[&Candidate]) -> Option<Vec<f64>> {
        let ratings = self.ratings.load();
        let is_known = |c: &&Candidate| c.profile.quality.is_some() || ratings.contains_key(&c.profile.name);
        candidates.iter().any(is_known).then(|| {
            let strength = |c: &&Candidate| 10_f64.powf(rating_in(&ratings, c).value / 400.0);
            let total: f64 = candidates.iter().map(strength).sum();
            candidates.iter().map(|c| strength(c) / total).collect()
        })
    }

    /// How sure a candidate's rating is, 0 to 1.
    pub(crate) fn confidence(&self, candidate: &Candidate) -> f64 {
        let games = f64::from(rating_in(&self.ratings.load(), candidate).games);
        games / (games + self.config.min_comparisons)
    }

    /// Evidence with what is needed in order to learn from a pick among `candidates`.
    pub(crate) fn with_standing(
        &self,
        evidence: Evidence,
        pick: &Candidate,
        candidates: &[&Candidate],
    ) -> Evidence {
        let ratings = self.ratings.load();
        let own = rating_in(&ratings, pick).value;
        let others = candidates.iter().filter(|c| c.id != pick.id);
        let (sum, count) = others.fold((0.0, 0.0), |(sum, count), c| {
            (sum + rating_in(&ratings, c).value, count + 1.0)
        });
        let field = if count > 0.0 { sum / count } else { own };
        evidence
            .with("field", Feature::Number(field))
            .with("rating", Feature::Number(own))
    }
}

fn rating_in(ratings: &FxHashMap<Name, Rating>, candidate: &Candidate) -> Rating {
    let known = ratings.get(&candidate.profile.name).copied();
    known.unwrap_or_else(|| start(candidate))
}

fn start(candidate: &Candidate) -> Rating {
    let quality = candidate.profile.quality.map(Quality::get);
    Rating {
        value: quality.map_or(START, |q| 1000.0 + 1000.0 * q),
        games: 0,
    }
}

impl Learn for Elo {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let (Some(quality), Some(Feature::Number(field))) =
            (reward::quality(outcome), evidence.feature("field"))
        else {
            return;
        };
        let Some(Feature::Number(own)) = evidence.feature("rating") else {
            return;
        };
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ratings = FxHashMap::clone(&self.ratings.load());
        let rating = |value: f64| Rating { value, games: 0 };
        let model = ratings
            .entry(decision.first().name.clone())
            .or_insert(rating(*own));
        let expected = 1.0 / (1.0 + 10_f64.powf((field - model.value) / 400.0));
        let step = self.config.k * (quality - expected);
        model.value += step;
        model.games += 1;
        // The others that were chosen among, as far as the decision names them, lose what it won.
        let others = &decision.picks[1..];
        for pick in others {
            if let Some(other) = ratings.get_mut(&pick.name) {
                other.value -= step / others.len() as f64;
            }
        }
        self.ratings.store(Arc::new(ratings));
    }

    fn save(&self) -> Option<Vec<u8>> {
        let ratings = FxHashMap::clone(&self.ratings.load());
        serde_json::to_vec(&Saved {
            version: VERSION,
            ratings,
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                self.ratings.store(Arc::new(saved.ratings));
                true
            }
            _ => false,
        }
    }
}

impl Router<Query<'_>> for Elo {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let ratings = self.ratings.load();
        let rating = |c: &Candidate| rating_in(&ratings, c);
        let strength = |c: &Candidate| 10_f64.powf(rating(c).value / 400.0);
        let candidates: SmallVec<[&Candidate; 32]> = cx.admitted(among).collect();
        let total: f64 = candidates.iter().map(|c| strength(c)).sum();
        let mut best = Ranked::default();
        best.extend(candidates.iter().map(|c| (*c, strength(c) / total)));
        let mut decision = best
            .decide(Reason::new("highest rating"), Evidence::of(self.name.clone()))
            .ok_or_else(|| cx.no_route(among))?;
        if let Some(first) = cx.catalogue.get(decision.first().id) {
            decision.reason = decision
                .reason
                .with("rating", rating(first).value)
                .with("confidence", self.confidence(first));
            decision.evidence = self.with_standing(decision.evidence, first, &candidates);
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Failure, Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn catalogue() -> Catalogue {
        let profile = |name: &str, quality| Profile {
            quality: Quality::new(quality).ok(),
            ..Profile::named(name)
        };
        Catalogue::new([profile("a", 0.5), profile("b", 0.5)]).unwrap()
    }

    fn route(elo: &Elo) -> Decision {
        let (catalogue, limits, mut rng) = (catalogue(), Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        elo.route(&Query::default(), &catalogue.ids(), &mut cx).unwrap()
    }

    #[test]
    fn a_lost_game_moves_half_of_k_between_equals() {
        let elo = Elo::new(&EloConfig::default(), "e".into()).unwrap();
        let decision = route(&elo);
        assert_eq!(decision.first().name, "a", "ties go to the first");
        assert_eq!(decision.first().score, 0.5);
        let lost = Outcome {
            failure: Some(Failure::RateLimited),
            ..Outcome::default()
        };
        elo.learn(&decision.evidence, &decision, &lost);
        // Expected one half of a game: 1500 - 32 / 2.
        let ratings = elo.ratings.load();
        assert_eq!(
            ratings["a"],
            Rating {
                value: 1484.0,
                games: 1
            }
        );
        let after = route(&elo);
        assert_eq!(after.first().name, "b");
        let (strong, weak) = (10_f64.powf(1500.0 / 400.0), 10_f64.powf(1484.0 / 400.0));
        assert!((after.first().score - strong / (strong + weak)).abs() < 1e-12);
    }

    #[test]
    fn ratings_survive_a_restart_and_outcomes_without_quality_teach_nothing() {
        let elo = Elo::new(&EloConfig::default(), "e".into()).unwrap();
        let decision = route(&elo);
        elo.learn(&decision.evidence, &decision, &Outcome::default());
        assert!(elo.ratings.load().is_empty());
        let good = Outcome {
            quality: Quality::new(1.0).ok(),
            ..Outcome::default()
        };
        elo.learn(&decision.evidence, &decision, &good);
        let again = Elo::new(&EloConfig::default(), "e".into()).unwrap();
        assert!(again.restore(&elo.save().unwrap()) && !again.restore(b"[]"));
        assert_eq!(again.ratings.load()["a"].value, 1516.0);
    }

    #[test]
    fn the_better_model_comes_to_lead() {
        let elo = Elo::new(&EloConfig::default(), "e".into()).unwrap();
        for _ in 0..40 {
            let decision = route(&elo);
            let quality = if decision.first().name == "b" { 0.9 } else { 0.2 };
            let outcome = Outcome {
                quality: Quality::new(quality).ok(),
                ..Outcome::default()
            };
            elo.learn(&decision.evidence, &decision, &outcome);
        }
        assert_eq!(route(&elo).first().name, "b");
    }
}
