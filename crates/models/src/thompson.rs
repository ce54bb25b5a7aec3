//! `thompson`: a draw from what is believed of each model; the highest draw wins.
//!
//! The belief in a model's quality is a beta distribution: it starts as `Beta(1 + w q, 1 + w (1 − q))` with the quality `q` that its profile
//! declares (one half where it declares none) and the weight `w` of `seed_weight`; an answer of quality `y` adds `y` to the first number
//! and `1 − y` to the second. A cheaper model's draw is raised: `× (1 + cost_bonus (1 − c))`, `c` its price over the dearest
//! candidate's. Card: `systems/43`, 5.2 item 18 and 5.4; `systems/18`, L1.
//!
//! Scores: the draws. The propensity is the share of 64 more draws that the pick wins (never 0), for counterfactual estimates.
//! Differs from the card: users and sessions have no beliefs of their own yet.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Outcome, Quality, Query,
    Reason, Router,
};
use rand::{Rng, rngs::SmallRng};
use rand_distr::Beta;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    ranked::Ranked,
    reward,
};

/// Draws that the propensity is counted over, the one that decided among them.
const DRAWS: usize = 65;
/// Version of the saved state.
const VERSION: u32 = 1;

/// Settings of `thompson`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ThompsonConfig {
    /// How many answers the declared quality counts for. Default 2.
    pub seed_weight: f64,
    /// By how much the draw of a model that costs nothing is raised over that of the dearest, 0 and more. Default 0.
    pub cost_bonus: f64,
}

/// Beliefs in models.
#[derive(Debug)]
pub struct Thompson {
    name: Name,
    config: ThompsonConfig,
    seen: ArcSwap<FxHashMap<Name, Seen>>,
    writing: Mutex<()>,
}

/// What a model's answers added to its belief.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    good: f64,
    bad: f64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    seen: FxHashMap<Name, Seen>,
}

impl Default for ThompsonConfig {
    fn default() -> Self {
        Self {
            seed_weight: 2.0,
            cost_bonus: 0.0,
        }
    }
}

// === impl Thompson ===

impl Thompson {
    /// A router of this name that has seen nothing.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &ThompsonConfig, name: Name) -> Result<Self, ConfigError> {
        for (key, value) in [
            ("seed_weight", config.seed_weight),
            ("cost_bonus", config.cost_bonus),
        ] {
            let allowed = "a number from 0 to 1000000";
            check("thompson", key, value, allowed, |v| (0.0..=1e6).contains(&v))?;
        }
        Ok(Self {
            name,
            config: config.clone(),
            seen: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// The belief in each admitted candidate, with the factor for its price.
    fn beliefs<'a>(&self, among: &[CandidateId], cx: &Context<'a>) -> Vec<Belief<'a>> {
        let seen = self.seen.load();
        let price = |c: &Candidate| c.profile.price.map_or(0.0, |p| p.blended().get());
        let dearest = cx.admitted(among).map(price).fold(0.0, f64::max);
        let belief = |candidate: &'a Candidate| {
            let declared = candidate.profile.quality.map_or(0.5, Quality::get);
            let seen = seen.get(&candidate.profile.name).copied().unwrap_or_default();
            let weight = self.config.seed_weight;
            let relative = if dearest > 0.0 {
                price(candidate) / dearest
            } else {
                0.0
            };
            Belief {
                candidate,
                // Both numbers are finite and at least 1, so that a beta distribution always exists.
                draw: Beta::new(
                    1.0 + weight * declared + seen.good,
                    1.0 + weight * (1.0 - declared) + seen.bad,
                )
                .ok(),
                factor: 1.0 + self.config.cost_bonus * (1.0 - relative),
            }
        };
        cx.admitted(among).map(belief).collect()
    }
}

struct Belief<'a> {
    candidate: &'a Candidate,
    draw: Option<Beta<f64>>,
    factor: f64,
}

// === impl Belief ===

impl Belief<'_> {
    fn sample(&self, rng: &mut SmallRng) -> f64 {
        self.factor * self.draw.map_or(0.5, |beta| rng.sample(beta))
    }
}

impl Learn for Thompson {
    fn learn(&self, _: &Evidence, decision: &Decision, outcome: &Outcome) {
        let Some(quality) = reward::quality(outcome) else {
            return;
        };
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = FxHashMap::clone(&self.seen.load());
        let model = seen.entry(decision.first().name.clone()).or_default();
        model.good += quality;
        model.bad += 1.0 - quality;
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

impl Router<Query<'_>> for Thompson {
    fn route(&self, _: &Query<'_>, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute> {
        let beliefs = self.beliefs(among, cx);
        let mut best = Ranked::default();
        for belief in &beliefs {
            best.offer(belief.candidate, belief.sample(cx.rng));
        }
        let evidence = Evidence::of(self.name.clone());
        let mut decision = best
            .decide(Reason::new("highest draw of what is believed"), evidence)
            .ok_or_else(|| cx.no_route(among))?;
        let pick = decision.first().id;
        let won = |rng: &mut SmallRng| {
            let mut winner = (CandidateId::default(), f64::NEG_INFINITY);
            for belief in &beliefs {
                let draw = belief.sample(rng);
                if draw > winner.1 {
                    winner = (belief.candidate.id, draw);
                }
            }
            winner.0 == pick
        };
        let wins = 1 + (1..DRAWS).filter(|_| won(cx.rng)).count();
        decision.evidence.propensity = wins as f64 / DRAWS as f64;
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::SeedableRng;

    use super::*;

    fn shares(thompson: &Thompson, limits: &Limits) -> (f64, f64) {
        let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
        let mut rng = SmallRng::seed_from_u64(5);
        let mut cx = Context::new(&catalogue, limits, Timestamp::default(), &mut rng);
        let (mut first, mut propensity) = (0, 0.0);
        for _ in 0..2_000 {
            let decision = thompson
                .route(&Query::default(), &catalogue.ids(), &mut cx)
                .unwrap();
            if decision.first().name == "a" {
                first += 1;
                propensity += decision.evidence.propensity;
            }
        }
        (f64::from(first) / 2_000.0, propensity / f64::from(first))
    }

    fn teach(thompson: &Thompson, model: &str, quality: f64, times: usize) {
        let catalogue = Catalogue::new([Profile::named(model)]).unwrap();
        let pick = fingerpost_core::Pick::of(catalogue.get(CandidateId(0)).unwrap(), 1.0);
        let decision = Decision::single(pick, Reason::new("test"), Evidence::of("t"));
        let outcome = Outcome {
            quality: Quality::new(quality).ok(),
            ..Outcome::default()
        };
        (0..times).for_each(|_| thompson.learn(&decision.evidence, &decision, &outcome));
    }

    #[test]
    fn equals_share_and_what_is_learned_tips_the_scale() {
        let thompson = Thompson::new(&ThompsonConfig::default(), "t".into()).unwrap();
        let (share, _) = shares(&thompson, &Limits::NONE);
        assert!((share - 0.5).abs() < 0.045, "four standard deviations: {share}");
        teach(&thompson, "a", 1.0, 1);
        teach(&thompson, "b", 0.0, 1);
        // a: Beta(3, 2), b: Beta(2, 3). P(a > b) is about 0.757.
        let (share, propensity) = shares(&thompson, &Limits::NONE);
        assert!((share - 0.757).abs() < 0.04, "{share}");
        // Counted with the draw that was won: 0.757 + 0.243 / 65.
        assert!((propensity - 0.761).abs() < 0.02, "{propensity}");
        teach(&thompson, "a", 0.9, 200);
        teach(&thompson, "b", 0.4, 200);
        assert_eq!(shares(&thompson, &Limits::NONE).0, 1.0);
    }

    #[test]
    fn beliefs_survive_a_restart_and_limits_hold() {
        let thompson = Thompson::new(&ThompsonConfig::default(), "t".into()).unwrap();
        teach(&thompson, "a", 0.25, 4);
        let again = Thompson::new(&ThompsonConfig::default(), "t".into()).unwrap();
        assert!(again.restore(&thompson.save().unwrap()) && !again.restore(b"{}"));
        assert_eq!(again.seen.load()["a"], Seen { good: 1.0, bad: 3.0 });
        let barred = Limits {
            barred: vec![CandidateId(1)],
            ..Limits::NONE
        };
        assert_eq!(shares(&again, &barred), (1.0, 1.0));
    }
}
