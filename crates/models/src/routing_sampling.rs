//! `routing_sampling`: a draw from what verdicts say of each model, less what speaks against it.
//!
//! The belief in a model is `Beta(1 + w s + good_fit, 1 + w (1 − s) + underpowered)` with the quality `s` that its profile declares,
//! which counts as `w` = 2 answers (none without it). It is kept by decision, tier and model; where a decision has heard nothing of a
//! model, what its tier has heard counts, then what all have. The score is a draw, or the mean where exploring is off or the
//! conversation is in a tool loop, less `k · price` (`k` is 0.04, 0.06 or 0.10 for the sets `decision`, `tier` and `global`; the price of
//! input over that of the dearest candidate), 0.03 times the share of the context's price that would be paid anew, 0.03 times the
//! share of verdicts `overprovisioned`, 0.10 times that of `failed` and of failed calls, 0.02 times the relative time to first token;
//! 0.001 is added for the base model, the first in the declared order. Another model must be better than the base by 0, 0.03 or 0.08,
//! by set, and by the difference of their price penalties where it is dearer. Models never tried go first while exploring.
//! Card: `systems/43`, 5.4 and annex 17.
//!
//! Scores: those numbers. Differs from the card: of older outcomes no more than `remember` count for each model, so that a model
//! that has changed is noticed; a quality without a verdict counts in part as either; a model's share of cache hits is not told by
//! outcomes and has no term; the input-cost multiplier is read as the share of the context's price that must be paid anew (1 for a model
//! that has not seen it, its cached over its fresh price for the one that answered before, 0 where nothing was seen).

mod posteriors;

use std::sync::Arc;

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Outcome, Quality, Query,
    Reason, Router,
};
use rand::{Rng, rngs::SmallRng};
use rand_distr::Beta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::posteriors::Posteriors;
use crate::{
    config::{ConfigError, check},
    history::History,
    latencies::{Latencies, Metric, View},
    ranked::Ranked,
};

/// Draws that the propensity is counted over, the one that decided among them.
const DRAWS: usize = 65;
/// Version of the saved state.
const VERSION: u32 = 1;
/// Penalties, in quality.
const ANEW: f64 = 0.03;
const OVER: f64 = 0.03;
const FAILED: f64 = 0.10;
const SLOW: f64 = 0.02;
/// What the base model is raised by.
const BASE: f64 = 0.001;

/// Settings of `routing_sampling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingSamplingConfig {
    /// Whether scores are drawn; else the means count. Default true.
    pub explore: bool,
    /// How wide the decision's set of models is meant: the wider, the more must speak against its first model. Default `decision`.
    pub set: CandidateSet,
    /// The tier whose experience counts where this decision has none. Default 0.
    pub tier: u32,
    /// How many answers a declared quality counts for, 0 and more. Default 2.
    pub seed_weight: f64,
    /// How many of the latest answers of a model count, at least 1. Default 200.
    pub remember: f64,
}

/// How wide a set of models is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CandidateSet {
    /// Models that were chosen for this decision.
    #[default]
    Decision,
    /// All models of a tier.
    Tier,
    /// All models there are.
    Global,
}

/// Draws from what verdicts say.
#[derive(Debug)]
pub struct RoutingSampling {
    name: Name,
    config: RoutingSamplingConfig,
    posteriors: Arc<Posteriors>,
    latencies: Arc<Latencies>,
}

/// What is believed of a candidate.
struct Belief<'a> {
    candidate: &'a Candidate,
    alpha: f64,
    beta: f64,
    /// What is taken off, or added, whatever is drawn.
    offset: f64,
    price_penalty: f64,
    is_tried: bool,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    heard: posteriors::Own,
    latencies: serde_json::Value,
}

impl Default for RoutingSamplingConfig {
    fn default() -> Self {
        Self {
            explore: true,
            set: CandidateSet::Decision,
            tier: 0,
            seed_weight: 2.0,
            remember: 200.0,
        }
    }
}

// === impl CandidateSet ===

impl CandidateSet {
    /// What the dearest candidate's price takes off, and what another model must be better by than the base.
    const fn strictness(self) -> (f64, f64) {
        match self {
            Self::Decision => (0.04, 0.0),
            Self::Tier => (0.06, 0.03),
            Self::Global => (0.10, 0.08),
        }
    }
}

// === impl RoutingSampling ===

impl RoutingSampling {
    /// A router of this name over what is known of models.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(
        config: &RoutingSamplingConfig,
        name: Name,
        posteriors: Arc<Posteriors>,
        latencies: Arc<Latencies>,
    ) -> Result<Self, ConfigError> {
        let algorithm = "routing_sampling";
        let allowed = "a number from 0 to 1000000";
        check(algorithm, "seed_weight", config.seed_weight, allowed, |v| {
            (0.0..=1e6).contains(&v)
        })?;
        let allowed = "a number from 1 to 1000000";
        check(algorithm, "remember", config.remember, allowed, |v| {
            (1.0..=1e6).contains(&v)
        })?;
        Ok(Self {
            name,
            config: config.clone(),
            posteriors,
            latencies,
        })
    }

    fn beliefs<'a>(&self, query: &Query<'_>, among: &[CandidateId], cx: &Context<'a>) -> Vec<Belief<'a>> {
        let candidates: Vec<&'a Candidate> = cx.admitted(among).collect();
        let names = candidates.iter().map(|c| &c.profile.name);
        let tallies = self.posteriors.read(&self.name, self.config.tier, names);
        let dearest = candidates.iter().map(|c| price(c)).fold(0.0, f64::max);
        let view = self.latencies.view();
        let slowest = candidates
            .iter()
            .filter_map(|c| first_token(&view, c))
            .fold(0.0, f64::max);
        let has_history = History::of(query).seen > 0.0;
        let (per_price, _) = self.config.set.strictness();
        let belief = |(i, candidate): (usize, &&'a Candidate)| {
            let tally = &tallies[i];
            let declared = candidate.profile.quality.map(Quality::get);
            let weight = declared.map_or(0.0, |_| self.config.seed_weight);
            let (alpha, beta) = tally.beta(declared.unwrap_or(0.5), weight);
            let price_penalty = per_price * over(price(candidate), dearest);
            let anew = if has_history {
                paid_anew(query, candidate)
            } else {
                0.0
            };
            let slow = over(first_token(&view, candidate).unwrap_or(0.0), slowest);
            let against =
                price_penalty + ANEW * anew + OVER * tally.over() + FAILED * tally.failed() + SLOW * slow;
            Belief {
                candidate,
                alpha,
                beta,
                offset: if i == 0 { BASE - against } else { -against },
                price_penalty,
                is_tried: tally.is_tried(),
            }
        };
        candidates.iter().enumerate().map(belief).collect()
    }

    /// The winner by these scores, which are those of `beliefs`, not empty, the base first.
    fn winner(&self, beliefs: &[Belief<'_>], scores: &[f64]) -> usize {
        let better = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
        let best = (0..scores.len()).fold(0, better);
        let (_, margin) = self.config.set.strictness();
        let dearer = (beliefs[best].price_penalty - beliefs[0].price_penalty).max(0.0);
        if scores[best] - scores[0] > margin + dearer {
            best
        } else {
            0
        }
    }
}

// === impl Belief ===

impl Belief<'_> {
    fn mean(&self) -> f64 {
        self.alpha / (self.alpha + self.beta) + self.offset
    }

    fn draw(&self, rng: &mut SmallRng) -> f64 {
        // Both numbers are finite and at least 1, so that there always is a distribution.
        let quality = Beta::new(self.alpha, self.beta).map_or(0.5, |beta| rng.sample(beta));
        quality + self.offset
    }
}

fn price(candidate: &Candidate) -> f64 {
    candidate.profile.price.map_or(0.0, |p| p.input.get())
}

fn over(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn first_token(view: &View, candidate: &Candidate) -> Option<f64> {
    view.percentile(&candidate.profile.name, Metric::Ttft, 50.0)
}

/// Share of the context's price that a candidate must be paid.
fn paid_anew(query: &Query<'_>, candidate: &Candidate) -> f64 {
    let is_known = query.previous.as_deref() == Some(candidate.profile.name.as_str());
    match candidate.profile.price {
        Some(price) if is_known && price.input.get() > 0.0 => {
            let cached = price.cached_input.unwrap_or(price.input).get();
            (cached / price.input.get()).min(1.0)
        }
        _ if is_known => 0.0,
        _ => 1.0,
    }
}

impl Learn for RoutingSampling {
    fn learn(&self, _: &Evidence, decision: &Decision, outcome: &Outcome) {
        let (config, model) = (&self.config, &decision.first().name);
        // What somebody says later repeats the times of the run.
        if outcome.verdict.is_none() && outcome.quality.is_none() {
            self.latencies.learn(decision, outcome);
        }
        self.posteriors
            .learn(&self.name, config.tier, model, outcome, config.remember);
    }

    fn save(&self) -> Option<Vec<u8>> {
        let latencies = serde_json::from_slice(&self.latencies.save()?).ok()?;
        serde_json::to_vec(&Saved {
            version: VERSION,
            heard: self.posteriors.own(&self.name),
            latencies,
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved) if saved.version == VERSION => {
                self.posteriors.replace(&self.name, saved.heard);
                self.latencies.restore(saved.latencies.to_string().as_bytes())
            }
            _ => false,
        }
    }
}

impl Router<Query<'_>> for RoutingSampling {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let beliefs = self.beliefs(query, among, cx);
        if beliefs.is_empty() {
            return Err(cx.no_route(among));
        }
        let explores = self.config.explore && !query.in_tool_loop();
        let score = |belief: &Belief<'_>, rng: &mut SmallRng| {
            if explores { belief.draw(rng) } else { belief.mean() }
        };
        let scores: Vec<f64> = beliefs.iter().map(|b| score(b, cx.rng)).collect();
        let untried = beliefs.iter().position(|b| explores && !b.is_tried);
        let pick = untried.unwrap_or_else(|| self.winner(&beliefs, &scores));
        let reason = Reason::new(match (untried, explores) {
            (Some(_), _) => "never tried",
            (None, true) => "highest draw of what verdicts say",
            (None, false) => "highest mean of what verdicts say",
        });
        let mut propensity = 1.0;
        if explores && untried.is_none() {
            let mut drawn = Vec::with_capacity(beliefs.len());
            let wins = (1..DRAWS).filter(|_| {
                drawn.clear();
                drawn.extend(beliefs.iter().map(|b| b.draw(cx.rng)));
                self.winner(&beliefs, &drawn) == pick
            });
            propensity = (1 + wins.count()) as f64 / DRAWS as f64;
        }
        let mut ranked = Ranked::default();
        ranked.offer(beliefs[pick].candidate, f64::INFINITY);
        let others = (0..beliefs.len()).filter(|i| *i != pick);
        ranked.extend(others.map(|i| (beliefs[i].candidate, scores[i])));
        let evidence = Evidence::of(self.name.clone()).with_propensity(propensity);
        let mut decision = ranked
            .decide(reason.with("mean", beliefs[pick].mean()), evidence)
            .ok_or_else(|| cx.no_route(among))?;
        decision.picks[0].score = scores[pick];
        Ok(decision)
    }
}

#[cfg(test)]
#[path = "routing_sampling_tests.rs"]
mod tests;
