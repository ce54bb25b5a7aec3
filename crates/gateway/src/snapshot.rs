//! Everything that a configuration stands for, built and ready: models, endpoints, the policy, the routers.
//!
//! Immutable and swapped whole. What must outlive a reload (load, breakers, what routers have learned) is carried over by name.

mod build;
mod endpoint;
mod model;
mod provider;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use fingerpost_core::{CandidateId, Catalogue, Learners, Name, Trace};
use fingerpost_fleet::{Backoff, Gate, HedgeBudget, RetryBudget};
use fingerpost_models::{ModelRouter, Sessions, Stay};
use fingerpost_signals::{Policy, Problem};
use http::HeaderValue;

pub(crate) use endpoint::EndpointSlot;
pub(crate) use model::ModelSlot;
pub(crate) use provider::ProviderSlot;

use crate::{
    adapters::Adapters,
    agents::Agents,
    cache::AnswerCache,
    config::{Config, Decision, KeepTraces},
};

/// Everything that a configuration stands for.
pub struct Snapshot {
    version: u64,
    config: Config,
    catalogue: Catalogue,
    models: Vec<ModelSlot>,
    policy: Policy,
    decisions: Vec<Arc<DecisionSlot>>,
    decision_by_name: HashMap<Name, usize>,
    fallback: Option<Arc<DecisionSlot>>,
    aliases: HashSet<Name>,
    learners: Learners,
    /// Names of the routers that learn.
    learning: HashSet<Name>,
    pub(crate) retries: Arc<RetryBudget>,
    pub(crate) backoff: Backoff,
    pub(crate) hedges: HedgeBudget,
    /// Bounds chat requests under way in the whole process.
    pub(crate) gate: Gate,
    models_shared: fingerpost_models::Shared,
    /// The conversations of decisions with `stay`.
    sessions: Arc<Sessions>,
    names: Names,
}

/// Names that stand on many traces, made once.
struct Names {
    nameless: Name,
    named_router: Name,
}

/// What a decision does: which models, chosen how.
pub(crate) struct DecisionSlot {
    pub(crate) name: Name,
    pub(crate) header: HeaderValue,
    pub(crate) among: Vec<CandidateId>,
    /// Chooses at once, or asks first.
    pub(crate) router: ModelRouter,
    /// The router, where the models are adapters.
    pub(crate) adapters: Option<Arc<Adapters>>,
    /// Where the models are agents: they, with their router.
    pub(crate) agents: Option<Arc<Agents>>,
    /// Answers that are given again, where that is configured.
    pub(crate) cache: Option<Arc<AnswerCache>>,
    /// Whether a conversation stays with its model, where that is configured.
    pub(crate) stay: Option<Stay>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Counts up with every configuration put in place.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Calls to endpoints that are under way.
    pub fn calls_under_way(&self) -> u64 {
        let slots = self.models.iter().flat_map(ModelSlot::slots);
        slots.map(|slot| u64::from(slot.live.in_flight())).sum()
    }

    /// What does no harm and is hardly meant: models of a decision that its trained router has never seen, and agents that cannot
    /// be told apart.
    pub fn warnings(&self) -> Vec<Problem> {
        let strangers = |(i, decision): (usize, &Decision)| {
            let file = decision.select.0.trained()?;
            let trained = self.models_shared.trained.get(file)?;
            let seen = |model: &str| trained.about.models.iter().any(|name| **name == *model);
            let models = decision.models.iter().map(String::as_str);
            let unseen: Vec<&str> = models.filter(|model| !seen(model)).collect();
            let message = "nothing was logged of it where the decision's router was trained, so it counts with the quality of its \
                           profile until outcomes teach more:";
            let path = format!("decisions[{i}].models");
            (!unseen.is_empty()).then(|| Problem::warning(path, message).found(unseen.join(", ")))
        };
        let alike = |(i, decision): (usize, &Decision)| {
            let agents = self.decision_named(&decision.name)?.agents.as_ref()?;
            let message = "agents that cannot be told apart; merge them, or say in their descriptions and examples what each is not for:";
            let path = format!("decisions[{i}].agents");
            (!agents.alike.is_empty()).then(|| Problem::warning(path, message).found(agents.alike.join(", ")))
        };
        let decisions = || self.config.decisions.iter().enumerate();
        let strangers = decisions().filter_map(strangers);
        strangers.chain(decisions().filter_map(alike)).collect()
    }

    /// The models.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Signals, projections and decisions.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The routers that can learn.
    pub fn learners(&self) -> &Learners {
        &self.learners
    }

    pub(crate) fn models(&self) -> &[ModelSlot] {
        &self.models
    }

    pub(crate) fn model(&self, id: CandidateId) -> Option<&ModelSlot> {
        self.models.get(id.0 as usize)
    }

    pub(crate) fn model_of(&self, name: &str) -> Option<&ModelSlot> {
        self.model(self.catalogue.id(name)?)
    }

    pub(crate) fn decision(&self, index: usize) -> &Arc<DecisionSlot> {
        &self.decisions[index]
    }

    pub(crate) fn decision_named(&self, name: &str) -> Option<&Arc<DecisionSlot>> {
        self.decision_by_name.get(name).map(|i| &self.decisions[*i])
    }

    pub(crate) fn decision_names(&self) -> impl Iterator<Item = &Name> {
        self.decisions.iter().map(|d| &d.name)
    }

    /// The decisions.
    pub(crate) fn decisions(&self) -> &[Arc<DecisionSlot>] {
        &self.decisions
    }

    /// Who loads this adapter for a client that has named it, if it is one.
    pub(crate) fn adapters_of(&self, model: &str) -> Option<&Arc<Adapters>> {
        let all = self
            .decisions
            .iter()
            .filter_map(|decision| decision.adapters.as_ref());
        all.into_iter().find(|adapters| adapters.loads_named(model))
    }

    /// The conversations of decisions with `stay`.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Whether conversations are remembered.
    pub(crate) fn remembers(&self) -> bool {
        self.decisions.iter().any(|d| d.stay.is_some())
    }

    /// Requests that wait for a place at some model.
    pub(crate) fn waiting(&self) -> u32 {
        self.models.iter().map(|m| m.queue.waiting()).sum()
    }

    /// What answers where no decision holds.
    pub(crate) fn fallback(&self) -> Option<&Arc<DecisionSlot>> {
        self.fallback.as_ref()
    }

    /// The alias of this name, if it is one.
    pub(crate) fn alias(&self, name: &str) -> Option<&Name> {
        self.aliases.get(name)
    }

    /// Whether some router on the trace learns.
    pub(crate) fn learns(&self, trace: &Trace) -> bool {
        !self.learning.is_empty()
            && trace
                .hops
                .iter()
                .any(|hop| self.learning.contains(&hop.decision.evidence.router))
    }

    /// Whether the trace is to be kept for feedback.
    pub(crate) fn keeps(&self, trace: &Trace) -> bool {
        match self.config.learning.keep_traces {
            KeepTraces::Learnable => self.learns(trace),
            KeepTraces::All => true,
            KeepTraces::None => false,
        }
    }

    /// Stands for "the client named no model".
    pub(crate) fn nameless(&self) -> Name {
        self.names.nameless.clone()
    }

    /// The router named on a trace where the client chose the model itself.
    pub(crate) fn named_router(&self) -> Name {
        self.names.named_router.clone()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("models", &self.models.len())
            .finish()
    }
}
