//! Which model answers: the selectors and cascades of the model level.
//!
//! Each algorithm has its own file, named after it, with its configuration, its rule and its tests. [`Algorithm`] names
//! them all in one tagged enum (`algorithm: multi_factor`); [`build`] turns a configuration into a [`ModelRouter`]. To add an
//! algorithm: one file, one variant of [`Algorithm`], one line in [`build`].
//!
//! A selector decides at once; a cascade asks first ([`Step::Ask`](fingerpost_core::Step)). The candidates come in the order in
//! which the decision of the level above lists its models; ties go to the first. A decision names the model to run and up to
//! three more to fall back on, best first. Whether a conversation stays with its model whatever a selector says is [`Stay`]'s
//! to decide.
//!
//! ```
//! use fingerpost_core::*;
//! use fingerpost_models::{Algorithm, ModelRouter, Shared, build};
//! use rand::SeedableRng;
//!
//! let config: Algorithm = serde_json::from_str(r#"{"algorithm": "static"}"#).unwrap();
//! let ModelRouter::Router(router) = build(&config, "math/static", &Shared::default()).unwrap() else {
//!     unreachable!("a static choice asks nobody");
//! };
//!
//! let catalogue = Catalogue::new([Profile::named("small"), Profile::named("large")]).unwrap();
//! let (limits, mut rng) = (Limits::default(), rand::rngs::SmallRng::seed_from_u64(7));
//! let mut cx = Context::new(&catalogue, &limits, Timestamp::from_millis(0), &mut rng);
//! let decision = router.route(&Query::text("2 + 2?"), &catalogue.ids(), &mut cx).unwrap();
//! assert_eq!(decision.first().name.as_str(), "small");
//! ```

pub mod adaptive_probe;
mod answers;
mod automix;
pub mod budget_aware;
mod calls;
mod cascade;
mod choice;
mod config;
mod costs;
mod elo;
mod features;
mod fusion;
mod gain;
mod history;
mod hybrid;
mod inputs;
mod jisi;
mod kmeans;
mod knn;
mod latencies;
mod latency_aware;
mod learned;
mod linear;
mod linucb;
mod low_rank;
mod mlp;
mod moma;
mod multi_factor;
mod net;
mod outcomes;
mod panel;
mod predictor;
mod profile;
mod prompt;
mod prompts;
mod ranked;
mod ratings;
mod regression;
mod remom;
mod reward;
mod router_dc;
pub mod router_r1;
mod routing_sampling;
mod space;
mod stack;
mod r#static;
mod stay;
mod svm;
mod task_linear;
mod task_mix;
mod thompson;
mod trained;
mod training;
mod weighted;

use std::{collections::HashMap, fmt, sync::Arc};

use fingerpost_core::{Deliberate, Learn, Name, Query, Router};

pub use adaptive_probe::{AdaptiveProbe, AdaptiveProbeConfig};
pub use answers::{exact_match, normalise, token_f1};
pub use automix::{Automix, AutomixConfig};
pub use budget_aware::{BudgetAware, BudgetAwareConfig};
pub use cascade::{
    Agree, Cascade, CascadeConfig, CascadeOrder, ConfidenceMeasure, OnError, TokenFilter, WithoutLogprobs,
};
pub use choice::Choice;
pub use config::{Algorithm, ConfigError};
pub use costs::Costs;
pub use elo::{Elo, EloConfig};
pub use features::{BUCKETS, FACT_NAMES, FACTS, Features, Featurizer};
pub use fusion::{Fusion, FusionConfig, Grounding};
pub use hybrid::{Hybrid, HybridConfig, HybridWeights};
pub use jisi::{Bank, Jisi, JisiConfig, JisiSettings, Merge, Searched};
pub use kmeans::{Kmeans, KmeansSettings};
pub use knn::{Knn, KnnSettings};
pub use latencies::{Latencies, Metric};
pub use latency_aware::{LatencyAware, LatencyAwareConfig};
pub use learned::{Learned, LearnedConfig};
pub use linear::{Linear, LinearSettings};
pub use linucb::{Explore, LinUcb, LinUcbConfig};
pub use low_rank::{LowRank, LowRankSettings, Traits};
pub use mlp::{Mlp, MlpSettings};
pub use moma::{Classes, Moma, MomaSettings};
pub use multi_factor::{MultiFactor, MultiFactorConfig, OnNoCandidates, Weights};
pub use outcomes::{Logged, OutcomeError, OutcomeTable};
pub use predictor::{Columns, Estimate, Predictor};
pub use prompt::{Prompt, PromptConfig};
pub use ratings::{Ratings, RatingsConfig};
pub use remom::{Compaction, Distribution, Remom, RemomConfig};
pub use router_r1::{RoundsBy, RouterR1, RouterR1Config, RouterR1Settings};
pub use routing_sampling::{CandidateSet, Posteriors, RoutingSampling, RoutingSamplingConfig};
pub use stack::StackSettings;
pub use r#static::{Static, StaticConfig};
pub use stay::{Session, SessionKey, Sessions, Stay, StayConfig, StayMode, StayRule, SwitchCosts};
pub use svm::{Svm, SvmKernel, SvmSettings};
pub use task_linear::{TaskLinear, TaskLinearSettings};
pub use task_mix::{TaskMix, TaskMixSettings};
pub use thompson::{Thompson, ThompsonConfig};
pub use trained::{About, Settings, Trained, TrainedError};
pub use training::{Progress, TrainError, Training, features};
pub use weighted::{Weighted, WeightedConfig};

pub use profile::{
    Cards, Learning, ModelCard, Organisation, ProfileSettings, Reader, Representation, RouteProfile,
};
pub use router_dc::{RouterDc, RouterDcConfig};

/// A router of the model level, whatever its algorithm.
#[derive(Clone)]
pub enum ModelRouter {
    /// Decides at once.
    Router(Arc<dyn for<'a> Router<Query<'a>>>),
    /// Asks models before it decides.
    Deliberate(Arc<dyn for<'a> Deliberate<Query<'a>>>),
}

/// What the routers of one process share.
#[derive(Clone, Default)]
pub struct Shared {
    /// How fast each model has been lately. Shared, because a model is as fast in one decision as in another.
    pub latencies: Arc<Latencies>,
    /// What was said of each model. Shared, because a decision that has heard nothing of a model asks the others.
    pub posteriors: Arc<Posteriors>,
    /// What learned selectors see queries through; without it none can be built.
    pub featurizer: Option<Featurizer>,
    /// The trained routers, by the name of their file in the configuration.
    pub trained: HashMap<String, Arc<Trained>>,
}

/// Builds the router of a configuration. `name` is what its evidence carries and what it is registered under for learning
/// ([`fingerpost_core::Learners`]); it must differ from that of every other router.
///
/// # Errors
/// [`ConfigError`] where a value is out of its range.
pub fn build(config: &Algorithm, name: impl Into<Name>, shared: &Shared) -> Result<ModelRouter, ConfigError> {
    let (name, latencies) = (name.into(), shared.latencies.clone());
    let featurizer = |algorithm: &'static str| {
        shared.featurizer.clone().ok_or_else(|| ConfigError {
            algorithm,
            key: "algorithm".to_owned(),
            allowed: "used where there is an encoder",
            found: "none".to_owned(),
        })
    };
    let learned = |algorithm, config, name| Learned::build(algorithm, config, name, shared);
    Ok(match config {
        Algorithm::Static(config) => decides(Static::new(config, name)),
        Algorithm::Weighted(config) => decides(Weighted::new(config, name)?),
        Algorithm::LatencyAware(config) => decides(LatencyAware::new(config, name, latencies)?),
        Algorithm::MultiFactor(config) => decides(MultiFactor::new(config, name, latencies)?),
        Algorithm::Cascade(config) => asks(Cascade::new(config, name)?),
        Algorithm::Elo(config) => decides(Elo::new(config, name)?),
        Algorithm::Thompson(config) => decides(Thompson::new(config, name)?),
        Algorithm::LinUcb(config) => decides(LinUcb::new(config, name, featurizer("linucb")?)?),
        Algorithm::Auto(config) => decides(learned("auto", config, name)?),
        Algorithm::Knn(config) => decides(learned("knn", config, name)?),
        Algorithm::Kmeans(config) => decides(learned("kmeans", config, name)?),
        Algorithm::Linear(config) => decides(learned("linear", config, name)?),
        Algorithm::TaskMix(config) => decides(learned("task_mix", config, name)?),
        Algorithm::TaskLinear(config) => decides(learned("task_linear", config, name)?),
        Algorithm::Prompt(config) => asks(Prompt::new(config, name)?),
        Algorithm::Ratings(config) => asks(Ratings::new(config, name)?),
        Algorithm::Fusion(config) => asks(Fusion::new(config, name)?),
        Algorithm::Remom(config) => asks(Remom::new(config, name)?),
        Algorithm::Automix(config) => decides(Automix::new(config, name)?),
        Algorithm::Hybrid(config) => decides(Hybrid::new(config, name, featurizer("hybrid")?)?),
        Algorithm::RoutingSampling(config) => {
            let posteriors = shared.posteriors.clone();
            decides(RoutingSampling::new(config, name, posteriors, latencies)?)
        }
        Algorithm::RouteProfile(config) => decides(learned("route_profile", config, name)?),
        Algorithm::RouterDc(config) => decides(RouterDc::new(config, name, shared.featurizer.clone())?),
        Algorithm::AdaptiveProbe(config) => {
            asks(AdaptiveProbe::new(config, name, featurizer("adaptive_probe")?)?)
        }
        Algorithm::BudgetAware(config) => decides(BudgetAware::build(config, name, shared)?),
        Algorithm::Svm(config) => decides(learned("svm", config, name)?),
        Algorithm::Mlp(config) => decides(learned("mlp", config, name)?),
        Algorithm::LowRank(config) => decides(learned("low_rank", config, name)?),
        Algorithm::Moma(config) => decides(learned("moma", config, name)?),
        Algorithm::Jisi(config) => asks(Jisi::build(config, name, shared)?),
        Algorithm::RouterR1(config) => asks(RouterR1::new(config, name, shared)?),
    })
}

fn decides(router: impl for<'a> Router<Query<'a>> + 'static) -> ModelRouter {
    ModelRouter::Router(Arc::new(router))
}

fn asks(router: impl for<'a> Deliberate<Query<'a>> + 'static) -> ModelRouter {
    ModelRouter::Deliberate(Arc::new(router))
}

/// Looks whether every setting is in its range, without what a router needs beyond its configuration.
///
/// # Errors
/// [`ConfigError`] for the first that is not.
pub fn check(config: &Algorithm) -> Result<(), ConfigError> {
    if let Some((algorithm, config)) = config.learned() {
        return config.check(algorithm);
    }
    match config {
        Algorithm::Jisi(config) => return config.check(),
        Algorithm::RouterR1(config) => return config.check(),
        Algorithm::BudgetAware(config) => return config.check(),
        _ => {}
    }
    let encoder = fingerpost_encode::StaticEncoder::bundled();
    let shared = Shared {
        featurizer: Some(Featurizer::new(Arc::new(encoder))),
        ..Shared::default()
    };
    build(config, "check", &shared).map(drop)
}

// === impl ModelRouter ===

impl ModelRouter {
    /// What learns from the outcomes of its decisions, to be registered under its name.
    pub fn learner(&self) -> Arc<dyn Learn> {
        match self {
            Self::Router(router) => router.clone(),
            Self::Deliberate(router) => router.clone(),
        }
    }
}

impl fmt::Debug for ModelRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Router(_) => "ModelRouter::Router",
            Self::Deliberate(_) => "ModelRouter::Deliberate",
        })
    }
}
