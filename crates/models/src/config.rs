//! The `model` section of a decision: one algorithm and its settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AdaptiveProbeConfig, AutomixConfig, BudgetAwareConfig, CascadeConfig, EloConfig, FusionConfig,
    HybridConfig, JisiConfig, LatencyAwareConfig, LearnedConfig, LinUcbConfig, MultiFactorConfig,
    PromptConfig, RatingsConfig, RemomConfig, RouterDcConfig, RouterR1Config, RoutingSamplingConfig,
    StaticConfig, ThompsonConfig, WeightedConfig,
};

/// How a model is chosen among those of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Algorithm {
    /// The first that is in service and within the limits.
    Static(StaticConfig),
    /// At random, by weight.
    Weighted(WeightedConfig),
    /// The fastest, by what was measured lately.
    LatencyAware(LatencyAwareConfig),
    /// The best mix of quality, latency, cost and load.
    MultiFactor(MultiFactorConfig),
    /// One after the other until an answer is sure enough.
    Cascade(CascadeConfig),
    /// The one of highest rating.
    Elo(EloConfig),
    /// The highest draw of what is believed of each.
    Thompson(ThompsonConfig),
    /// A linear bandit with the query as its context.
    #[serde(rename = "linucb")]
    LinUcb(LinUcbConfig),
    /// The best by several trained predictors together.
    Auto(LearnedConfig),
    /// The one that answered the nearest logged queries best.
    Knn(LearnedConfig),
    /// The best of the query's cluster.
    Kmeans(LearnedConfig),
    /// The best by a linear function of the query's features.
    Linear(LearnedConfig),
    /// The best on the tasks that the query may be of.
    TaskMix(LearnedConfig),
    /// The best by a linear function for each task that the query may be of.
    TaskLinear(LearnedConfig),
    /// The one that a small chat model chooses.
    Prompt(PromptConfig),
    /// All of them, a choice each.
    Ratings(RatingsConfig),
    /// All of them, fused into one answer.
    Fusion(FusionConfig),
    /// Rounds of answers that narrow to one.
    Remom(RemomConfig),
    /// The one of highest value, by the quality and reliability shown.
    Automix(AutomixConfig),
    /// Ratings, descriptions and shown quality together.
    Hybrid(HybridConfig),
    /// A draw from what verdicts say, less what speaks against it.
    RoutingSampling(RoutingSamplingConfig),
    /// The one whose profile fits the query best.
    RouteProfile(LearnedConfig),
    /// The one whose description is most like the query.
    RouterDc(RouterDcConfig),
    /// A probe of the smallest where it pays, a larger one where that was not sure.
    AdaptiveProbe(AdaptiveProbeConfig),
    /// The small or the large one for each step of an agent, within a budget a conversation.
    BudgetAware(BudgetAwareConfig),
    /// The one most likely to be among the best, by support vector machines.
    Svm(LearnedConfig),
    /// The best by a small neural net.
    Mlp(LearnedConfig),
    /// The one whose abilities fit the query's traits best.
    LowRank(LearnedConfig),
    /// The one that should beat the others, by a mixture of experts.
    Moma(LearnedConfig),
    /// One or several answers, by remembered queries and what a few models say.
    Jisi(JisiConfig),
    /// A model, or a policy, that asks the others in rounds.
    #[serde(rename = "router_r1")]
    RouterR1(RouterR1Config),
}

/// A setting out of its range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{algorithm}.{key} must be {allowed}, found {found}")]
pub struct ConfigError {
    /// The algorithm.
    pub algorithm: &'static str,
    /// The setting within it.
    pub key: String,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// What was found.
    pub found: String,
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::Static(StaticConfig {})
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// The names that `algorithm` may have.
    pub const ALGORITHMS: [&'static str; 31] = [
        "static",
        "weighted",
        "latency_aware",
        "multi_factor",
        "cascade",
        "elo",
        "thompson",
        "linucb",
        "auto",
        "knn",
        "kmeans",
        "linear",
        "task_mix",
        "task_linear",
        "prompt",
        "ratings",
        "fusion",
        "remom",
        "automix",
        "hybrid",
        "routing_sampling",
        "route_profile",
        "router_dc",
        "adaptive_probe",
        "budget_aware",
        "svm",
        "mlp",
        "low_rank",
        "moma",
        "jisi",
        "router_r1",
    ];

    /// Its name, and its settings in service, where it is a trained predictor.
    pub fn learned(&self) -> Option<(&'static str, &LearnedConfig)> {
        Some(match self {
            Self::Auto(config) => ("auto", config),
            Self::Knn(config) => ("knn", config),
            Self::Kmeans(config) => ("kmeans", config),
            Self::Linear(config) => ("linear", config),
            Self::TaskMix(config) => ("task_mix", config),
            Self::TaskLinear(config) => ("task_linear", config),
            Self::RouteProfile(config) => ("route_profile", config),
            Self::Svm(config) => ("svm", config),
            Self::Mlp(config) => ("mlp", config),
            Self::LowRank(config) => ("low_rank", config),
            Self::Moma(config) => ("moma", config),
            _ => return None,
        })
    }

    /// The file that it was trained into, where it names one.
    pub fn trained(&self) -> Option<&String> {
        match self {
            Self::BudgetAware(config) => config.trained.as_ref(),
            Self::Jisi(config) => config.trained.as_ref(),
            Self::RouterR1(config) => config.trained.as_ref(),
            _ => self.learned()?.1.trained.as_ref(),
        }
    }

    /// The same, to be changed: a path means what it means in the configuration's folder.
    pub fn trained_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::BudgetAware(config) => config.trained.as_mut(),
            Self::Jisi(config) => config.trained.as_mut(),
            Self::RouterR1(config) => config.trained.as_mut(),
            Self::Auto(config)
            | Self::Knn(config)
            | Self::Kmeans(config)
            | Self::Linear(config)
            | Self::TaskMix(config)
            | Self::TaskLinear(config)
            | Self::RouteProfile(config)
            | Self::Svm(config)
            | Self::Mlp(config)
            | Self::LowRank(config)
            | Self::Moma(config) => config.trained.as_mut(),
            _ => None,
        }
    }

    /// The models that its settings name to help it, with the keys that name them: any of the configured models.
    pub fn helpers(&self) -> Vec<(&'static str, &str)> {
        let named = match self {
            Self::Cascade(config) => vec![("verifier", &config.verifier)],
            Self::Prompt(config) => vec![("model", &config.model)],
            Self::Fusion(config) => vec![("judge", &config.judge), ("synthesizer", &config.synthesizer)],
            Self::Remom(config) => vec![("synthesizer", &config.synthesizer)],
            Self::RouterR1(config) => vec![("router", &config.router)],
            _ => Vec::new(),
        };
        let named = named.into_iter();
        named
            .filter_map(|(key, model)| Some((key, model.as_deref()?)))
            .collect()
    }

    /// Whether it learns from outcomes.
    pub fn learns(&self) -> bool {
        !matches!(
            self,
            Self::Static(_)
                | Self::Weighted(_)
                | Self::Cascade(_)
                | Self::Prompt(_)
                | Self::Ratings(_)
                | Self::Fusion(_)
                | Self::Remom(_)
                | Self::RouterDc(_)
                | Self::Jisi(_)
                | Self::RouterR1(_)
        )
    }
}

// === impl ConfigError ===

/// Passes `value` on if it is allowed.
pub(crate) fn check(
    algorithm: &'static str,
    key: impl Into<String>,
    value: f64,
    allowed: &'static str,
    is_allowed: impl Fn(f64) -> bool,
) -> Result<f64, ConfigError> {
    if is_allowed(value) {
        Ok(value)
    } else {
        Err(ConfigError {
            algorithm,
            key: key.into(),
            allowed,
            found: value.to_string(),
        })
    }
}

pub(crate) fn check_percentile(algorithm: &'static str, key: &str, value: f64) -> Result<f64, ConfigError> {
    check(algorithm, key, value, "a number over 0 and up to 100", |v| {
        v > 0.0 && v <= 100.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shared, build};

    fn parse(json: &str) -> Result<Algorithm, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn every_algorithm_is_built_from_its_name_alone() {
        let encoder = fingerpost_encode::StaticEncoder::bundled();
        let shared = Shared {
            featurizer: Some(crate::Featurizer::new(std::sync::Arc::new(encoder))),
            ..Shared::default()
        };
        for name in Algorithm::ALGORITHMS {
            let config = parse(&format!(r#"{{"algorithm":"{name}"}}"#)).unwrap();
            match build(&config, name, &shared) {
                Ok(_) => {}
                // Those that cannot begin with nothing ask for a file, or for the model that routes.
                Err(error) => assert!(
                    ["trained", "router"].contains(&error.key.as_str()),
                    "{name}: {error}"
                ),
            }
            let again = parse(&serde_json::to_string(&config).unwrap()).unwrap();
            assert_eq!(again, config);
        }
    }

    #[test]
    fn the_names_are_those_that_can_be_read() {
        let error = parse(r#"{"algorithm":"statik"}"#).unwrap_err();
        let listed: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(listed, Algorithm::ALGORITHMS);
    }

    #[test]
    fn unknown_names_and_keys_are_refused_with_what_is_allowed() {
        let error = parse(r#"{"algorithm":"statik"}"#).unwrap_err();
        assert!(
            error.contains("unknown variant `statik`, expected one of `static`"),
            "{error}"
        );
        let error = parse(r#"{"algorithm":"cascade","treshold":0.5}"#).unwrap_err();
        assert!(
            error.contains("unknown field `treshold`, expected one of `threshold`"),
            "{error}"
        );
        let error = parse(r#"{"algorithm":"static","weights":{}}"#).unwrap_err();
        assert!(error.contains("unknown field `weights`"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (json, expected) in [
            (
                r#"{"algorithm":"weighted","weights":{"a":-1.0}}"#,
                "weighted.weights.a must be a finite number of at least 0, found -1",
            ),
            (
                r#"{"algorithm":"latency_aware","ttft_percentile":0}"#,
                "latency_aware.ttft_percentile must be a number over 0 and up to 100, found 0",
            ),
            (
                r#"{"algorithm":"latency_aware","ttft_percentile":null,"tpot_percentile":null}"#,
                "latency_aware.ttft_percentile must be set where tpot_percentile is not, found null",
            ),
            (
                r#"{"algorithm":"multi_factor","percentile":101}"#,
                "multi_factor.percentile must be a number over 0 and up to 100, found 101",
            ),
            (
                r#"{"algorithm":"multi_factor","max_ttft_ms":-5}"#,
                "multi_factor.max_ttft_ms must be a number of at least 0, found -5",
            ),
            (
                r#"{"algorithm":"cascade","threshold":1.5}"#,
                "cascade.threshold must be a number from 0 to 1, found 1.5",
            ),
        ] {
            let error = build(&parse(json).unwrap(), "r", &Shared::default())
                .err()
                .map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(expected));
        }
    }
}
