//! What a training leaves behind: a predictor's state, with what it was trained on, in a form that is kept in a file.
//!
//! ```text
//! magic "FPROUTER" | version u32 | state (postcard) | crc32 of all that, u32      (little endian)
//! ```

use std::sync::Arc;

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Shared,
    budget_aware::Policy,
    config::ConfigError,
    costs::Costs,
    features::Featurizer,
    jisi::{Bank, JisiSettings, Searched},
    kmeans::{Kmeans, KmeansSettings},
    knn::{self, Knn, KnnSettings},
    linear::{Linear, LinearSettings},
    low_rank::{LowRank, LowRankSettings, Traits},
    mlp::{Mlp, MlpSettings},
    moma::{Moma, MomaSettings},
    outcomes::OutcomeTable,
    predictor::Predictor,
    profile::{Cards, ProfileSettings, Profiles, RouteProfile},
    router_r1::{Rounds, RouterR1Settings},
    stack::{Members, StackSettings},
    svm::{Svm, SvmSettings},
    task_linear::{TaskLinear, TaskLinearSettings},
    task_mix::{TaskMix, TaskMixSettings},
    training::{self, Progress, TrainError, Training},
};

const MAGIC: &[u8; 8] = b"FPROUTER";
/// Version of the format. A reader refuses any other.
const VERSION: u32 = 3;

/// How a predictor is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "snake_case")]
pub enum Settings {
    /// Several of the others together, weighed by what they prove worth.
    Auto(StackSettings),
    /// The outcomes of the nearest logged queries.
    Knn(KnnSettings),
    /// The means of the query's cluster.
    Kmeans(KmeansSettings),
    /// A linear function of the query's features.
    Linear(LinearSettings),
    /// The means of the tasks that the query may be of.
    TaskMix(TaskMixSettings),
    /// A linear function for each task that the query may be of.
    TaskLinear(TaskLinearSettings),
    /// Profiles of the models, and who reads them.
    RouteProfile(ProfileSettings),
    /// Support vector machines, one a model.
    Svm(SvmSettings),
    /// A small neural net.
    Mlp(MlpSettings),
    /// Traits of the query times abilities of the model.
    LowRank(LowRankSettings),
    /// A mixture of experts over pairs of models.
    Moma(MomaSettings),
    /// Logged queries with the answers to them.
    Jisi(JisiSettings),
    /// A policy that asks one model after the other.
    #[serde(rename = "router_r1")]
    RouterR1(RouterR1Settings),
}

/// A trained predictor with what it was trained on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trained {
    /// What it is and where it comes from.
    pub about: About,
    /// What answers cost.
    pub costs: Costs,
    state: State,
}

/// What a trained predictor is and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Its algorithm, as the configuration names it.
    pub algorithm: String,
    /// The weights behind the vectors, as `name@fingerprint`: under others it is of no use.
    pub encoder: String,
    /// The models that it knows.
    pub models: Vec<Name>,
    /// Logged queries that it was trained on.
    pub rows: usize,
    /// The seed of everything left to chance.
    pub seed: u64,
    /// Of several predictors together: who has a say, and how much.
    pub members: Vec<(String, f64)>,
}

/// The state of each kind of predictor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum State {
    Auto(Members),
    Knn(knn::Bank),
    Kmeans(Kmeans),
    Linear(Linear),
    TaskMix(TaskMix),
    TaskLinear(TaskLinear),
    RouteProfile(RouteProfile),
    BudgetAware(Policy),
    Svm(Svm),
    Mlp(Mlp),
    LowRank(Traits),
    Moma(Moma),
    Jisi(Bank),
    RouterR1(Rounds),
}

/// Why bytes are no trained predictor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// Something else altogether.
    #[error("it is no trained router; make one with `fingerpost train model-router`")]
    Foreign,
    /// Of another version of the format.
    #[error("it is of version {found}, this program reads version {VERSION}; train it again")]
    Version {
        /// Version found.
        found: u32,
    },
    /// Cut short or changed.
    #[error("it is damaged ({0}); train it again or bring it back from a copy")]
    Damaged(&'static str),
}

/// A predictor that has seen nothing yet, for vectors of so many values; `None` for algorithms that cannot begin so.
pub(crate) fn untrained(algorithm: &str, dims: usize) -> Option<Arc<dyn Predictor>> {
    match algorithm {
        "knn" => Some(Arc::new(Knn::new(knn::Bank::empty(dims)).ok()?)),
        _ => None,
    }
}

/// The trained router of a file that a configuration names, and the encoder that it was trained with.
///
/// # Errors
/// [`ConfigError`] where there is no encoder, or the file cannot be read or is of another algorithm or encoder.
pub(crate) fn of_algorithm<'a>(
    algorithm: &'static str,
    file: &str,
    shared: &'a Shared,
) -> Result<(&'a Trained, Featurizer), ConfigError> {
    let wrong = |allowed, found: String| ConfigError {
        algorithm,
        key: "trained".to_owned(),
        allowed,
        found,
    };
    let featurizer = shared
        .featurizer
        .clone()
        .ok_or_else(|| wrong("used where there is an encoder", "none".to_owned()))?;
    let trained = shared
        .trained
        .get(file)
        .ok_or_else(|| wrong("a file that can be read", file.to_owned()))?;
    if trained.about.algorithm != algorithm {
        let found = format!("one of `{}`", trained.about.algorithm);
        return Err(wrong("a file trained for this algorithm", found));
    }
    if trained.about.encoder != featurizer.model().to_string() {
        let found = format!(
            "one of `{}`, this process encodes with `{}`",
            trained.about.encoder,
            featurizer.model()
        );
        return Err(wrong("a file trained with the encoder in use", found));
    }
    Ok((trained, featurizer))
}

// === impl Settings ===

impl Settings {
    /// The algorithms that can be trained, by name.
    pub const ALGORITHMS: [&'static str; 13] = [
        "auto",
        "knn",
        "kmeans",
        "linear",
        "task_mix",
        "task_linear",
        "route_profile",
        "svm",
        "mlp",
        "low_rank",
        "moma",
        "jisi",
        "router_r1",
    ];
    /// Those of them that decide at once. Of the others a predictor is only what they expect before they ask.
    pub const SELECTORS: [&'static str; 11] = [
        "auto",
        "knn",
        "kmeans",
        "linear",
        "task_mix",
        "task_linear",
        "route_profile",
        "svm",
        "mlp",
        "low_rank",
        "moma",
    ];

    /// The default settings of the algorithm of this name.
    pub fn named(algorithm: &str) -> Option<Self> {
        serde_json::from_value(serde_json::json!({ "algorithm": algorithm })).ok()
    }

    /// The same with what is published of models and tasks, for the algorithm that reads it; cards that were set stay.
    #[must_use]
    pub fn with_cards(mut self, cards: &Cards) -> Self {
        if let Self::RouteProfile(profile) = &mut self
            && profile.cards == Cards::default()
        {
            profile.cards = cards.clone();
        }
        self
    }

    /// The algorithm's name.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Auto(_) => "auto",
            Self::Knn(_) => "knn",
            Self::Kmeans(_) => "kmeans",
            Self::Linear(_) => "linear",
            Self::TaskMix(_) => "task_mix",
            Self::TaskLinear(_) => "task_linear",
            Self::RouteProfile(_) => "route_profile",
            Self::Svm(_) => "svm",
            Self::Mlp(_) => "mlp",
            Self::LowRank(_) => "low_rank",
            Self::Moma(_) => "moma",
            Self::Jisi(_) => "jisi",
            Self::RouterR1(_) => "router_r1",
        }
    }
}

// === impl State ===

impl State {
    /// Trains what the settings are of.
    pub(crate) fn train(settings: &Settings, training: &Training<'_>) -> Result<Self, TrainError> {
        Ok(match settings {
            Settings::Auto(StackSettings {}) => Self::Auto(Members::train(training)?),
            Settings::Knn(settings) => Self::Knn(knn::Bank::train(settings, training)?),
            Settings::Kmeans(settings) => Self::Kmeans(Kmeans::train(settings, training)?),
            Settings::Linear(settings) => Self::Linear(Linear::train(settings, training)?),
            Settings::TaskMix(settings) => Self::TaskMix(TaskMix::train(settings, training)?),
            Settings::TaskLinear(settings) => Self::TaskLinear(TaskLinear::train(settings, training)?),
            Settings::RouteProfile(settings) => Self::RouteProfile(RouteProfile::train(settings, training)?),
            Settings::Svm(settings) => Self::Svm(Svm::train(settings, training)?),
            Settings::Mlp(settings) => Self::Mlp(Mlp::train(settings, training)?),
            Settings::LowRank(settings) => Self::LowRank(Traits::train(settings, training)?),
            Settings::Moma(settings) => Self::Moma(Moma::train(settings, training)?),
            Settings::Jisi(JisiSettings {}) => Self::Jisi(Bank::train(training)?),
            Settings::RouterR1(settings) => Self::RouterR1(Rounds::train(settings, training)?),
        })
    }

    /// A predictor in this state.
    pub(crate) fn predictor(&self) -> Result<Box<dyn Predictor>, TrainError> {
        Ok(match self {
            Self::Auto(members) => Box::new(members.predictor()?),
            Self::Knn(bank) => Box::new(Knn::new(bank.clone())?),
            Self::Kmeans(kmeans) => Box::new(kmeans.clone()),
            Self::Linear(linear) => Box::new(linear.clone()),
            Self::TaskMix(mix) => Box::new(mix.clone()),
            Self::TaskLinear(mix) => Box::new(mix.clone()),
            Self::RouteProfile(profile) => Box::new(Profiles::new(profile.clone())),
            Self::BudgetAware(_) => return Err(TrainError::NoPredictor("budget_aware")),
            Self::Svm(svm) => Box::new(svm.clone()),
            Self::Mlp(mlp) => Box::new(mlp.clone()),
            Self::LowRank(traits) => Box::new(LowRank::new(traits.clone())),
            Self::Moma(moma) => Box::new(moma.clone()),
            Self::Jisi(bank) => Box::new(Searched::new(bank.clone())?),
            Self::RouterR1(rounds) => Box::new(rounds.expects().clone()),
        })
    }

    /// Who has a say in it, by what weight; nobody where it is one predictor.
    fn members(&self) -> Vec<(String, f64)> {
        match self {
            Self::Auto(members) => members.weights().map(|(name, w)| (name.to_owned(), w)).collect(),
            _ => Vec::new(),
        }
    }

    /// The algorithm's name.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Auto(_) => "auto",
            Self::Knn(_) => "knn",
            Self::Kmeans(_) => "kmeans",
            Self::Linear(_) => "linear",
            Self::TaskMix(_) => "task_mix",
            Self::TaskLinear(_) => "task_linear",
            Self::RouteProfile(_) => "route_profile",
            Self::BudgetAware(_) => "budget_aware",
            Self::Svm(_) => "svm",
            Self::Mlp(_) => "mlp",
            Self::LowRank(_) => "low_rank",
            Self::Moma(_) => "moma",
            Self::Jisi(_) => "jisi",
            Self::RouterR1(_) => "router_r1",
        }
    }
}

// === impl Trained ===

impl Trained {
    /// Trains a predictor on logged outcomes.
    ///
    /// # Errors
    /// What the outcomes lack, a setting out of range, or that `progress` stopped it.
    pub fn train(
        settings: &Settings,
        table: &OutcomeTable,
        featurizer: &Featurizer,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Self, TrainError> {
        let features = training::features(table, featurizer, progress)?;
        Self::train_on(
            settings,
            &Training::new(table, &features, seed, progress)?,
            featurizer,
        )
    }

    /// The same where the features are at hand, say because several algorithms are trained on them.
    ///
    /// # Errors
    /// As [`Trained::train`].
    pub fn train_on(
        settings: &Settings,
        training: &Training<'_>,
        featurizer: &Featurizer,
    ) -> Result<Self, TrainError> {
        let state = State::train(settings, &training.reading(featurizer))?;
        Ok(Self {
            about: About {
                algorithm: settings.algorithm().to_owned(),
                encoder: featurizer.model().to_string(),
                models: training.table().models().to_vec(),
                rows: training.len(),
                seed: training.seed,
                members: state.members(),
            },
            costs: Costs::learn(training)?,
            state,
        })
    }

    /// A policy over steps, trained on so many tasks, for these two models (small and large; none where any two will do);
    /// `featurizer` where the policy reads.
    pub fn of_policy(
        policy: Policy,
        models: Option<[Name; 2]>,
        tasks: usize,
        seed: u64,
        featurizer: Option<&Featurizer>,
    ) -> Self {
        let state = State::BudgetAware(policy);
        Self {
            about: About {
                algorithm: state.algorithm().to_owned(),
                encoder: featurizer.map(|f| f.model().to_string()).unwrap_or_default(),
                models: models.map_or_else(Vec::new, Vec::from),
                rows: tasks,
                seed,
                members: Vec::new(),
            },
            costs: Costs::default(),
            state,
        }
    }

    /// The policy over steps, where it is one.
    pub fn policy(&self) -> Option<&Policy> {
        match &self.state {
            State::BudgetAware(policy) => Some(policy),
            _ => None,
        }
    }

    /// A predictor in this state, that learns on by itself where its kind does.
    ///
    /// # Errors
    /// [`TrainError::Index`] for vectors that cannot be searched, [`TrainError::NoPredictor`] for a policy.
    pub fn predictor(&self) -> Result<Arc<dyn Predictor>, TrainError> {
        Ok(self.state.predictor()?.into())
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// As bytes, to be kept in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        // Nothing in it that postcard cannot write: no maps without a length, no floats but plain ones.
        bytes.extend(postcard::to_allocvec(self).unwrap_or_default());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// From the bytes of [`Trained::to_bytes`].
    ///
    /// # Errors
    /// [`TrainedError`], which says what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainedError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(TrainedError::Foreign)?;
        let (version, _) = rest
            .split_first_chunk::<4>()
            .ok_or(TrainedError::Damaged("cut short"))?;
        let found = u32::from_le_bytes(*version);
        if found != VERSION {
            return Err(TrainedError::Version { found });
        }
        let (content, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or(TrainedError::Damaged("cut short"))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
            return Err(TrainedError::Damaged("its checksum does not fit"));
        }
        let state = content.get(MAGIC.len() + 4..).unwrap_or_default();
        postcard::from_bytes(state).map_err(|_| TrainedError::Damaged("its content is not understood"))
    }
}

#[cfg(test)]
mod tests;
