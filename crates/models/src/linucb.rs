//! `linucb`: a linear bandit with the query as its context: the best guess plus what is not known yet.
//!
//! Each model has a ridge regression of its answers' quality on the query's features: `A = I + Σ x xᵀ`, `b = Σ r x`, estimate
//! `θ·x` with `θ = A⁻¹ b`, and the width `√(xᵀ A⁻¹ x)` of what is not known. The pick has the highest `θ·x + α width`; with
//! `explore: thompson` the width is the deviation of a normal draw around the estimate instead. `A⁻¹` is kept up to date by
//! Sherman and Morrison's rule. The reward of an answer is its quality, less `per_dollar` times its cost.
//! Li et al. 2010; card: `systems/18`, L1; `systems/05`, R10.
//!
//! The context `x` is the encoder's vector brought to 31 values by a fixed random projection, and a constant: small enough for
//! some 20,000 products a decision among 20 models. Scores: the bounds, or the draws.
//! The upper bound decides without chance, so its propensity is 1; the draw's is counted over 64 more draws.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Feature, Learn, Name, NoRoute, Outcome, Quality,
    Query, Reason, Router,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::StandardNormal;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, check},
    features::Featurizer,
    ranked::Ranked,
    reward,
};

/// Values of a context.
const DIM: usize = 32;
/// Draws that a propensity is counted over, the one that decided among them.
const DRAWS: usize = 65;
/// Version of the saved state and of the features in the evidence.
const VERSION: u32 = 1;

/// Settings of `linucb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinUcbConfig {
    /// How much what is not known counts, 0 and more. Default 0.5.
    pub alpha: f64,
    /// How what is not known counts. Default `ucb`.
    pub explore: Explore,
    /// What a US dollar costs in quality, 0 and more. Default 0.
    pub per_dollar: f64,
}

/// How what is not known counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Explore {
    /// The upper end of what may be.
    #[default]
    Ucb,
    /// A draw from what may be.
    Thompson,
}

/// A linear bandit.
pub struct LinUcb {
    name: Name,
    config: LinUcbConfig,
    featurizer: Featurizer,
    /// Row after row, `DIM - 1` of them.
    projection: Vec<f32>,
    arms: ArcSwap<FxHashMap<Name, Arc<Arm>>>,
    writing: Mutex<()>,
}

/// What is known of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Arm {
    /// `A⁻¹`, row after row.
    inverse: Vec<f64>,
    b: Vec<f64>,
    theta: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    encoder: String,
    arms: FxHashMap<Name, Arm>,
}

impl Default for LinUcbConfig {
    fn default() -> Self {
        Self {
            alpha: 0.5,
            explore: Explore::Ucb,
            per_dollar: 0.0,
        }
    }
}

// === impl LinUcb ===

impl LinUcb {
    /// A router of this name that has seen nothing.
    ///
    /// # Errors
    /// [`ConfigError`] for a setting out of range.
    pub fn new(config: &LinUcbConfig, name: Name, featurizer: Featurizer) -> Result<Self, ConfigError> {
        for (key, value) in [("alpha", config.alpha), ("per_dollar", config.per_dollar)] {
            check("linucb", key, value, "a finite number of at least 0", |v| {
                v >= 0.0 && v.is_finite()
            })?;
        }
        // Fixed, since saved state is of no use under another projection.
        let mut rng = SmallRng::seed_from_u64(0x11b);
        let length = (DIM - 1) * featurizer.dims();
        let projection =
            (0..length).map(|_| rng.sample::<f32, _>(StandardNormal) / ((DIM - 1) as f32).sqrt());
        Ok(Self {
            name,
            config: config.clone(),
            projection: projection.collect(),
            featurizer,
            arms: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    fn context(&self, text: &str) -> Vec<f64> {
        let vector = self.featurizer.vector(text);
        let dot = |row: &[f32]| f64::from(fingerpost_encode::dot(row, &vector));
        let projected = self.projection.chunks_exact(vector.len().max(1)).map(dot);
        projected.chain([1.0]).collect()
    }
}

impl std::fmt::Debug for LinUcb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = (&self.name, &self.config);
        f.debug_tuple("LinUcb").field(&fields).finish()
    }
}

// === impl Arm ===

impl Arm {
    fn new() -> Self {
        let identity = |i: usize| f64::from(u8::from(i / DIM == i % DIM));
        Self {
            inverse: (0..DIM * DIM).map(identity).collect(),
            b: vec![0.0; DIM],
            theta: vec![0.0; DIM],
        }
    }

    /// Estimate and width at a context.
    fn at(&self, x: &[f64]) -> (f64, f64) {
        let square = dot(x, &times(&self.inverse, x));
        (dot(&self.theta, x), square.max(0.0).sqrt())
    }

    fn learn(&mut self, x: &[f64], reward: f64) {
        let ax = times(&self.inverse, x);
        let below = 1.0 + dot(x, &ax);
        for (row, i) in self.inverse.chunks_exact_mut(DIM).zip(0..) {
            row.iter_mut().zip(&ax).for_each(|(a, v)| *a -= ax[i] * v / below);
        }
        self.b.iter_mut().zip(x).for_each(|(b, x)| *b += reward * x);
        self.theta = times(&self.inverse, &self.b);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(DIM).map(|row| dot(row, x)).collect()
}

impl Learn for LinUcb {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let Some(quality) = reward::quality(outcome) else {
            return;
        };
        let Some(Feature::Vector(context)) = evidence.feature("context") else {
            return;
        };
        if context.len() != DIM || evidence.version != VERSION {
            return;
        }
        let context: Vec<f64> = context.iter().map(|v| f64::from(*v)).collect();
        let cost = outcome.cost.map_or(0.0, fingerpost_core::Usd::get);
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut arms = FxHashMap::clone(&self.arms.load());
        let arm = arms
            .entry(decision.first().name.clone())
            .or_insert_with(|| Arc::new(Arm::new()));
        Arc::make_mut(arm).learn(&context, quality - self.config.per_dollar * cost);
        self.arms.store(Arc::new(arms));
    }

    fn save(&self) -> Option<Vec<u8>> {
        let arms = self.arms.load();
        serde_json::to_vec(&Saved {
            version: VERSION,
            encoder: self.featurizer.model().to_string(),
            arms: arms
                .iter()
                .map(|(name, arm)| (name.clone(), Arm::clone(arm)))
                .collect(),
        })
        .ok()
    }

    fn restore(&self, state: &[u8]) -> bool {
        let fits = |arm: &Arm| arm.inverse.len() == DIM * DIM && arm.b.len() == DIM && arm.theta.len() == DIM;
        match serde_json::from_slice::<Saved>(state) {
            Ok(saved)
                if saved.version == VERSION
                    && saved.encoder == self.featurizer.model().to_string()
                    && saved.arms.values().all(fits) =>
            {
                let arms = saved.arms.into_iter().map(|(name, arm)| (name, Arc::new(arm)));
                self.arms.store(Arc::new(arms.collect()));
                true
            }
            _ => false,
        }
    }
}

impl Router<Query<'_>> for LinUcb {
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let context = self.context(&query.user_text());
        let arms = self.arms.load();
        let length = dot(&context, &context).sqrt();
        let belief = |c: &Candidate| match arms.get(&c.profile.name) {
            Some(arm) => arm.at(&context),
            // Nothing seen: A is the identity, and the declared quality is the best guess.
            None => (c.profile.quality.map_or(0.0, Quality::get), length),
        };
        let beliefs: Vec<(&Candidate, (f64, f64))> = cx.admitted(among).map(|c| (c, belief(c))).collect();
        let score = |(estimate, width): (f64, f64), rng: &mut SmallRng| {
            let spread = match self.config.explore {
                Explore::Ucb => 1.0,
                Explore::Thompson => rng.sample::<f64, _>(StandardNormal),
            };
            estimate + self.config.alpha * spread * width
        };
        let mut best = Ranked::default();
        for (candidate, belief) in &beliefs {
            best.offer(candidate, score(*belief, cx.rng));
        }
        let mut evidence = Evidence::of(self.name.clone());
        evidence.version = VERSION;
        let values = context.iter().map(|v| *v as f32).collect();
        evidence = evidence.with("context", Feature::Vector(values));
        let reason = Reason::new("highest bound of what it may be worth here");
        let mut decision = best.decide(reason, evidence).ok_or_else(|| cx.no_route(among))?;
        let pick = decision.first().id;
        if self.config.explore == Explore::Thompson {
            let won = |rng: &mut SmallRng| {
                let mut winner = (CandidateId::default(), f64::NEG_INFINITY);
                for (candidate, belief) in &beliefs {
                    let draw = score(*belief, rng);
                    if draw > winner.1 {
                        winner = (candidate.id, draw);
                    }
                }
                winner.0 == pick
            };
            let wins = 1 + (1..DRAWS).filter(|_| won(cx.rng)).count();
            decision.evidence.propensity = wins as f64 / DRAWS as f64;
        }
        if let Some((_, (estimate, width))) = beliefs.iter().find(|(c, _)| c.id == pick) {
            decision.reason = decision.reason.with("estimate", *estimate).with("width", *width);
        }
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use fingerpost_encode::StaticEncoder;

    use super::*;

    fn bandit(explore: Explore) -> LinUcb {
        let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
        let config = LinUcbConfig {
            explore,
            ..LinUcbConfig::default()
        };
        LinUcb::new(&config, "l".into(), featurizer).unwrap()
    }

    #[test]
    fn the_inverse_is_kept_up_to_date() {
        let mut arm = Arm::new();
        let mut x = vec![0.0; DIM];
        x[0] = 2.0;
        arm.learn(&x, 1.0);
        // A = I + 4 at the first place: its inverse is 1/5, b is 2.
        assert!((arm.inverse[0] - 0.2).abs() < 1e-12 && (arm.theta[0] - 0.4).abs() < 1e-12);
        let (estimate, width) = arm.at(&x);
        assert!((estimate - 0.8).abs() < 1e-12 && (width - 0.8_f64.sqrt()).abs() < 1e-12);
        assert_eq!(arm.inverse[DIM + 1], 1.0);
    }

    /// Regret of a run in which one model is good at sums and the other at poems.
    fn regret(explore: Explore, rounds: usize, seed: u64) -> Vec<f64> {
        let bandit = bandit(explore);
        let catalogue = Catalogue::new(["sums", "poems"].map(Profile::named)).unwrap();
        let texts = [
            "What is 12 plus 30?",
            "Write a poem about the sea in spring.",
            "Add 7 and 15 and divide by 2.",
            "Compose a short verse about autumn leaves.",
        ];
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(seed));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let mut lost = 0.0;
        let mut curve = Vec::new();
        for round in 0..rounds {
            let text = texts[round % 4];
            let decision = bandit
                .route(&Query::text(text), &catalogue.ids(), &mut cx)
                .unwrap();
            let fits = (decision.first().name == "sums") == (round % 2 == 0);
            let quality = Quality::new(if fits { 0.9 } else { 0.3 }).ok();
            lost += if fits { 0.0 } else { 0.6 };
            bandit.learn(
                &decision.evidence,
                &decision,
                &Outcome {
                    quality,
                    ..Outcome::default()
                },
            );
            curve.push(lost);
        }
        curve
    }

    #[test]
    fn regret_flattens_once_contexts_are_told_apart() {
        for explore in [Explore::Ucb, Explore::Thompson] {
            for seed in 1..=5 {
                let curve = regret(explore, 400, seed);
                let (early, late) = (curve[99], curve[399] - curve[299]);
                assert!(
                    late <= early / 2.0 + 1.2,
                    "{explore:?} {seed}: {early} then {late}"
                );
                assert!(
                    curve[399] < 0.3 * 400.0 * 0.5,
                    "better than by chance: {}",
                    curve[399]
                );
            }
        }
    }

    #[test]
    fn what_was_learned_survives_a_restart() {
        let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(1));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let taught = bandit(Explore::Ucb);
        let query = Query::text("What is 12 plus 30?");
        let decision = taught.route(&query, &catalogue.ids(), &mut cx).unwrap();
        let stored: Decision = serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        let poor = Outcome {
            quality: Quality::new(0.0).ok(),
            ..Outcome::default()
        };
        (0..20).for_each(|_| taught.learn(&stored.evidence, &stored, &poor));
        assert_eq!(
            taught
                .route(&query, &catalogue.ids(), &mut cx)
                .unwrap()
                .first()
                .name,
            "b"
        );
        let again = bandit(Explore::Ucb);
        assert!(again.restore(&taught.save().unwrap()) && !again.restore(b"{}"));
        assert_eq!(
            again
                .route(&query, &catalogue.ids(), &mut cx)
                .unwrap()
                .first()
                .name,
            "b"
        );
    }
}
