//! Which model answers: the selectors and cascades of the model level.
//!
//! Each algorithm has its own file, named after it, with its configuration, its rule and its tests. [`Algorithm`] names
//! them all in one tagged enum (`algorithm: multi_factor`); [`build`] turns a configuration into a [`ModelRouter`]. To add an
//! algorithm: one file, one variant of [`Algorithm`], one line in [`build`].
//!
//! A selector decides at once; a cascade asks first ([`Step::Ask`](fingerpost_core::Step)). The candidates come in the order in
//! which the decision of the level above lists its models; ties go to the first. A decision names the model to run and up to
//! three more to fall back on, best first.
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

mod answers;
mod calls;
mod cascade;
mod choice;
mod config;
mod costs;
mod elo;
mod features;
mod jisi;
mod kmeans;
mod knn;
mod latencies;
mod latency_aware;
mod learned;
mod linear;
mod linucb;
mod multi_factor;
mod outcomes;
mod predictor;
mod ranked;
mod regression;
mod reward;
mod router_r1;
mod space;
mod stack;
mod r#static;
mod task_mix;
mod thompson;
mod trained;
mod training;
mod weighted;

use std::{collections::HashMap, fmt, sync::Arc};

use fingerpost_core::{Deliberate, Learn, Name, Query, Router};

pub use answers::{exact_match, normalise, token_f1};
pub use cascade::{Cascade, CascadeConfig, CascadeOrder, OnError, WithoutLogprobs};
pub use choice::Choice;
pub use config::{Algorithm, ConfigError};
pub use costs::Costs;
pub use elo::{Elo, EloConfig};
pub use features::{BUCKETS, FACT_NAMES, FACTS, Features, Featurizer};
pub use jisi::{Bank, Jisi, JisiConfig, JisiSettings, Merge, Searched};
pub use kmeans::{Kmeans, KmeansSettings};
pub use knn::{Knn, KnnSettings};
pub use latencies::{Latencies, Metric};
pub use latency_aware::{LatencyAware, LatencyAwareConfig};
pub use learned::{Learned, LearnedConfig};
pub use linear::{Linear, LinearSettings};
pub use linucb::{Explore, LinUcb, LinUcbConfig};
pub use multi_factor::{MultiFactor, MultiFactorConfig, OnNoCandidates, Weights};
pub use outcomes::{Logged, OutcomeError, OutcomeTable};
pub use predictor::{Columns, Estimate, Predictor};
pub use router_r1::{
    Action, CostWindow, FormatGrades, Invalid, Policy, Rounds, RoundsBy, RouterR1, RouterR1Config,
    RouterR1Settings, Taken, Teacher, Violation, named, raw_cost, reward,
};
pub use stack::StackSettings;
pub use r#static::{Static, StaticConfig};
pub use task_mix::{TaskMix, TaskMixSettings};
pub use thompson::{Thompson, ThompsonConfig};
pub use trained::{About, Settings, Trained, TrainedError};
pub use training::{Progress, TrainError, Training, features};
pub use weighted::{Weighted, WeightedConfig};

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
    let learned = |algorithm, config, name| {
        let router = Learned::build(algorithm, config, name, shared)?;
        Ok(ModelRouter::Router(Arc::new(router)))
    };
    Ok(match config {
        Algorithm::Static(config) => ModelRouter::Router(Arc::new(Static::new(config, name))),
        Algorithm::Weighted(config) => ModelRouter::Router(Arc::new(Weighted::new(config, name)?)),
        Algorithm::LatencyAware(config) => {
            ModelRouter::Router(Arc::new(LatencyAware::new(config, name, latencies)?))
        }
        Algorithm::MultiFactor(config) => {
            ModelRouter::Router(Arc::new(MultiFactor::new(config, name, latencies)?))
        }
        Algorithm::Cascade(config) => ModelRouter::Deliberate(Arc::new(Cascade::new(config, name)?)),
        Algorithm::Elo(config) => ModelRouter::Router(Arc::new(Elo::new(config, name)?)),
        Algorithm::Thompson(config) => ModelRouter::Router(Arc::new(Thompson::new(config, name)?)),
        Algorithm::LinUcb(config) => {
            let featurizer = shared.featurizer.clone().ok_or_else(|| ConfigError {
                algorithm: "linucb",
                key: "algorithm".to_owned(),
                allowed: "used where there is an encoder",
                found: "none".to_owned(),
            })?;
            ModelRouter::Router(Arc::new(LinUcb::new(config, name, featurizer)?))
        }
        Algorithm::Auto(config) => return learned("auto", config, name),
        Algorithm::Knn(config) => return learned("knn", config, name),
        Algorithm::Kmeans(config) => return learned("kmeans", config, name),
        Algorithm::Linear(config) => return learned("linear", config, name),
        Algorithm::TaskMix(config) => return learned("task_mix", config, name),
        Algorithm::Jisi(config) => ModelRouter::Deliberate(Arc::new(Jisi::build(config, name, shared)?)),
        Algorithm::RouterR1(config) => {
            ModelRouter::Deliberate(Arc::new(RouterR1::new(config, name, shared)?))
        }
    })
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
