//! From a configuration to a snapshot.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::AtomicBool},
};

use fingerpost_core::{Candidate, Catalogue, Learn, Learners, Live, Name, Profile, TokenCount};
use fingerpost_encode::Encoder;
use fingerpost_fleet::{Backoff, Breaker, Fleet, FleetPolicy, Gate, HedgeBudget, RetryBudget, Service};
use fingerpost_models::{Algorithm, Featurizer, ModelRouter, Sessions, Stay, Trained};
use fingerpost_signals::{DecisionRule, Policy, PolicyConfig, Problem};
use http::HeaderValue;

use super::{DecisionSlot, EndpointSlot, ModelSlot, Names, ProviderSlot, Snapshot};
use crate::{
    adapters::Adapters,
    agents::Agents,
    cache::AnswerCache,
    config::{self, Config},
    dispatch::Dispatch,
    engine::Engines,
    exchange::headers,
    kv_events::Source,
    worker::now,
};

/// What is carried over from the snapshot before.
struct Before<'s>(Option<&'s Snapshot>);

/// What conversations are kept under in the store.
const SESSIONS: &str = "sessions";
/// Longest name that a header carries.
const LONGEST_NAME: usize = 200;

// === impl Snapshot ===

impl Snapshot {
    /// Builds everything that `config` stands for. Learned state, load and breakers of `before` are carried over by name.
    ///
    /// # Errors
    /// Every problem found, with the path of its key.
    pub(crate) fn build(
        config: Config,
        engines: &Engines,
        encoder: &Arc<dyn Encoder>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        let before = Before(before);
        let mut problems = Vec::new();
        let providers = providers(&config, &mut problems);
        let models = models(&config, &providers, engines, &before, &mut problems);
        let catalogue = match catalogue(&config) {
            Ok(catalogue) => catalogue,
            Err(error) => {
                problems.push(Problem::error("models", error));
                Catalogue::default()
            }
        };
        let policy = policy(&config, encoder)
            .map_err(|found| problems.extend(found))
            .ok();
        let models_shared = fingerpost_models::Shared {
            featurizer: Some(Featurizer::new(Arc::clone(encoder))),
            trained: trained(&config, &mut problems),
            ..before.0.map(|b| b.models_shared.clone()).unwrap_or_default()
        };
        let mut learners = Learners::default();
        let decisions = decisions(
            &config,
            &catalogue,
            &models_shared,
            encoder,
            &before,
            &mut learners,
            &mut problems,
        );
        let fallback = fallback(&config, &catalogue, &models_shared, &mut problems);
        let (Some(policy), true) = (policy, problems.is_empty()) else {
            return Err(problems);
        };
        for model in &models {
            model.dispatch().installed(model.slots());
        }
        let sessions = before.sessions(&config);
        if config.decisions.iter().any(|d| d.stay.is_some()) {
            learners.register(SESSIONS, Arc::clone(&sessions) as Arc<dyn Learn>);
        }
        let decisions: Vec<_> = decisions.into_iter().map(Arc::new).collect();
        let decision_by_name = decisions
            .iter()
            .enumerate()
            .map(|(i, d)| (d.name.clone(), i))
            .collect();
        let retry = &config.resilience.retry;
        let shed = &config.resilience.shed;
        let gate = before.0.map_or_else(
            || Gate::new(shed.max_in_flight, shed.queue),
            |b| b.gate.with_bounds(shed.max_in_flight, shed.queue),
        );
        Ok(Self {
            version: before.0.map_or(1, |b| b.version + 1),
            learning: learning(&config),
            aliases: config.aliases.0.iter().map(|a| a.as_str().into()).collect(),
            retries: Arc::new(RetryBudget::new(retry.budget_ratio, retry.min_per_second)),
            backoff: Backoff::new(retry.base_delay, retry.max_delay),
            hedges: HedgeBudget::new(config.resilience.hedge.as_ref()),
            gate,
            names: Names {
                nameless: "".into(),
                named_router: "named".into(),
            },
            models_shared,
            sessions,
            catalogue,
            models,
            policy,
            decisions,
            decision_by_name,
            fallback,
            learners,
            config,
        })
    }
}

fn providers(config: &Config, problems: &mut Vec<Problem>) -> BTreeMap<String, Arc<ProviderSlot>> {
    let mut built = BTreeMap::new();
    for (name, provider) in &config.providers {
        match ProviderSlot::build(provider, &|variable| std::env::var(variable).ok()) {
            Ok(slot) => drop(built.insert(name.clone(), Arc::new(slot))),
            Err((key, message)) => problems.push(Problem::error(format!("providers.{name}.{key}"), message)),
        }
    }
    built
}

fn models(
    config: &Config,
    providers: &BTreeMap<String, Arc<ProviderSlot>>,
    engines: &Engines,
    before: &Before<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<ModelSlot> {
    let mut built = Vec::with_capacity(config.models.len());
    for (id, (name, model)) in config.models.iter().enumerate() {
        if model.endpoints.is_empty() && model.pods.is_none() {
            problems.push(Problem::error(
                format!("models.{name}.endpoints"),
                "a model has at least one endpoint",
            ));
        }
        let mut slots: Vec<Arc<EndpointSlot>> = Vec::with_capacity(model.endpoints.len());
        for (i, endpoint) in model.endpoints.iter().enumerate() {
            let path = format!("models.{name}.endpoints[{i}]");
            let Some(provider) = providers.get(&endpoint.provider) else {
                if !config.providers.contains_key(&endpoint.provider) {
                    let message = format!("the provider `{}` is not configured", endpoint.provider);
                    problems.push(Problem::error(format!("{path}.provider"), message));
                }
                continue;
            };
            let upstream_model = endpoint.model.as_deref().unwrap_or(name);
            if provider.is_engine() && engines.get(upstream_model).is_none() {
                let there: Vec<&str> = engines.names().collect();
                let message = format!(
                    "no model `{upstream_model}` inside this process; there are: {}",
                    there.join(", ")
                );
                problems.push(Problem::error(format!("{path}.model"), message));
            }
            let mut endpoint_name = format!("{name}@{}", endpoint.provider);
            if slots.iter().any(|s| *s.name == *endpoint_name) {
                endpoint_name = format!("{endpoint_name}#{i}");
            }
            let (live, breaker, service) = before.endpoint(&endpoint_name, config);
            let kv_events = endpoint.kv_events.as_ref().and_then(|events| {
                let host = provider.address.as_ref().map(|address| address.host.as_str());
                let unread =
                    |(key, why)| problems.push(Problem::error(format!("{path}.kv_events.{key}"), why));
                Source::read(events, host).map_err(unread).ok()
            });
            slots.push(Arc::new(EndpointSlot {
                header: headers::text(&endpoint_name, LONGEST_NAME),
                name: endpoint_name.into(),
                upstream_model: upstream_model.into(),
                provider: Arc::clone(provider),
                breaker,
                service,
                was_out: AtomicBool::new(false),
                slow_start: model.slow_start.unwrap_or_default(),
                drain: endpoint.drain,
                live,
                max_in_flight: endpoint.max_in_flight,
                kv_events,
                engine: engines
                    .get(upstream_model)
                    .filter(|_| provider.is_engine())
                    .cloned(),
            }));
        }
        let profiles = slots
            .iter()
            .map(|s| (Profile::named(s.name.clone()), Arc::clone(&s.live)));
        let endpoints = Catalogue::with_live(profiles).unwrap_or_default();
        built.push(ModelSlot {
            id: fingerpost_core::CandidateId(u32::try_from(id).unwrap_or(u32::MAX)),
            name: name.as_str().into(),
            header: headers::text(name, LONGEST_NAME),
            ids: endpoints.ids(),
            dispatch: before.dispatch(name, &model.fleet, &endpoints),
            queue: Gate::new(0, config.resilience.shed.queue),
            endpoints,
            slots,
        });
    }
    built
}

/// The models as candidates, in the order of [`Config::models`], which is that of the slots.
fn catalogue(config: &Config) -> Result<Catalogue, String> {
    let profiles = config.models.iter().map(|(name, model)| Profile {
        name: name.as_str().into(),
        description: model.description.clone(),
        capabilities: model.capabilities,
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the range of u32"
        )]
        context_window: model
            .context_window
            .map(|w| TokenCount(w.get().clamp(0.0, f64::from(u32::MAX)) as u32)),
        price: model.price,
        quality: model.quality,
        tags: model.tags.clone(),
    });
    Catalogue::new(profiles).map_err(|e| e.to_string())
}

/// The trained routers that decisions name, read from their files.
fn trained(config: &Config, problems: &mut Vec<Problem>) -> HashMap<String, Arc<Trained>> {
    let mut read = HashMap::new();
    for (i, decision) in config.decisions.iter().enumerate() {
        let Some(file) = decision.select.0.trained() else {
            continue;
        };
        let found = std::fs::read(file)
            .map_err(|e| e.to_string())
            .and_then(|bytes| Trained::from_bytes(&bytes).map_err(|e| e.to_string()));
        match found {
            Ok(trained) => drop(read.insert(file.clone(), Arc::new(trained))),
            Err(why) => {
                let message = format!("the trained router {file} cannot be used: {why}");
                problems.push(Problem::error(format!("decisions[{i}].select.trained"), message));
            }
        }
    }
    read
}

fn policy(config: &Config, encoder: &Arc<dyn Encoder>) -> Result<Policy, Vec<Problem>> {
    Policy::compile(&policy_config(config), Arc::clone(encoder))
}

/// The part of the configuration that `signals` compiles.
pub(crate) fn policy_config(config: &Config) -> PolicyConfig {
    let rule = |d: &config::Decision| DecisionRule {
        name: d.name.clone(),
        description: d.description.clone(),
        tier: d.tier,
        priority: d.priority,
        when: d.when.clone(),
    };
    PolicyConfig {
        signals: config.signals.clone(),
        projections: config.projections.clone(),
        decisions: config.decisions.iter().map(rule).collect(),
        strategy: config.strategy,
    }
}

fn decisions(
    config: &Config,
    catalogue: &Catalogue,
    shared: &fingerpost_models::Shared,
    encoder: &Arc<dyn Encoder>,
    before: &Before<'_>,
    learners: &mut Learners,
    problems: &mut Vec<Problem>,
) -> Vec<DecisionSlot> {
    let mut built = Vec::with_capacity(config.decisions.len());
    for (i, decision) in config.decisions.iter().enumerate() {
        let path = format!("decisions[{i}]");
        if decision.models.is_empty() {
            problems.push(Problem::error(
                format!("{path}.models"),
                "a decision has at least one model",
            ));
        }
        let mut among = Vec::with_capacity(decision.models.len());
        for (j, model) in decision.models.iter().enumerate() {
            match catalogue.id(model) {
                Some(id) => among.push(id),
                None => {
                    let known = config.models.keys().map(String::as_str);
                    let problem = Problem::error(format!("{path}.models[{j}]"), "no such model");
                    problems.push(problem.one_of(model.as_str(), known));
                }
            }
        }
        let router_name: Name = format!("models/{}", decision.name).into();
        let adapters = before.adapters(decision, &path, shared, problems);
        if let Some(adapters) = &adapters {
            learners.register(
                format!("polar/{}", decision.name),
                Arc::clone(adapters) as Arc<dyn Learn>,
            );
        }
        let agents = before.agents(config, decision, &path, encoder, problems);
        match fingerpost_models::build(&decision.select.0, router_name.clone(), shared) {
            Ok(router) => {
                let learner = router.learner();
                before.restore(&router_name, &*learner);
                learners.register(router_name, learner);
                built.push(DecisionSlot {
                    header: headers::text(&decision.name, LONGEST_NAME),
                    name: decision.name.as_str().into(),
                    among,
                    router: match (&adapters, &agents) {
                        (Some(adapters), _) => ModelRouter::Router(Arc::clone(adapters) as _),
                        (None, Some(agents)) => ModelRouter::Deliberate(Arc::clone(&agents.router) as _),
                        (None, None) => router,
                    },
                    adapters,
                    agents,
                    cache: before.cache(decision, encoder),
                    stay: stay(decision, &path, problems),
                });
            }
            // That its file cannot be read has been said.
            Err(error) if unread(problems, &format!("{path}.select.{}", error.key)) => {}
            Err(error) => problems.push(Problem::error(format!("{path}.select"), error.to_string())),
        }
    }
    built
}

fn stay(decision: &config::Decision, path: &str, problems: &mut Vec<Problem>) -> Option<Stay> {
    let stay = Stay::new(decision.stay.as_ref()?);
    stay.map_err(|error| problems.push(Problem::error(format!("{path}.stay"), error.to_string())))
        .ok()
}

fn unread(problems: &[Problem], path: &str) -> bool {
    problems.iter().any(|problem| problem.path == path)
}

/// What answers where no decision holds: the default model, or the first.
fn fallback(
    config: &Config,
    catalogue: &Catalogue,
    shared: &fingerpost_models::Shared,
    problems: &mut Vec<Problem>,
) -> Option<Arc<DecisionSlot>> {
    let id = match &config.default_model {
        Some(name) => match catalogue.id(name) {
            Some(id) => id,
            None => {
                let known = config.models.keys().map(String::as_str);
                problems.push(Problem::error("default_model", "no such model").one_of(name.as_str(), known));
                return None;
            }
        },
        None => catalogue.iter().next().map(|c: &Candidate| c.id)?,
    };
    let router = fingerpost_models::build(&Algorithm::default(), "models/default", shared).ok()?;
    let name: Name = "default".into();
    Some(Arc::new(DecisionSlot {
        header: HeaderValue::from_static("default"),
        name,
        among: vec![id],
        router,
        adapters: None,
        agents: None,
        cache: None,
        stay: None,
    }))
}

/// The routers that learn, by name: those for whose traces feedback is worth keeping.
fn learning(config: &Config) -> HashSet<Name> {
    let name = |d: &config::Decision| match &d.adapters {
        Some(_) => Some(adapters_name(d)),
        None => d.select.0.learns().then(|| format!("models/{}", d.name).into()),
    };
    config.decisions.iter().filter_map(name).collect()
}

/// What the router of a decision's adapters is called.
fn adapters_name(decision: &config::Decision) -> Name {
    format!("polar/{}", decision.name).into()
}

// === impl Before ===

impl Before<'_> {
    /// Load, breaker and service of the endpoint of this name; the breaker anew where its configuration changed. One that comes to a
    /// process that serves already begins slowly.
    fn endpoint(&self, name: &str, config: &Config) -> (Arc<Live>, Arc<Breaker>, Arc<Service>) {
        let slots = self.0.iter().flat_map(|s| s.models()).flat_map(|m| m.slots());
        let by_name: HashMap<&str, _> = slots.map(|s| (s.name.as_str(), s)).collect();
        let fresh = || Arc::new(Breaker::new(config.resilience.breaker.clone()));
        let Some(slot) = by_name.get(name) else {
            let service = Service::default();
            if self.0.is_some() {
                service.began(now());
            }
            return (Arc::default(), fresh(), Arc::new(service));
        };
        let breaker = if *slot.breaker.config() == config.resilience.breaker {
            Arc::clone(&slot.breaker)
        } else {
            fresh()
        };
        (Arc::clone(&slot.live), breaker, Arc::clone(&slot.service))
    }

    /// The policy of the model of this name over its endpoints. Under the same policy over the same endpoints it is the one so far, with all
    /// who wait; over others, what is known of endpoints stays.
    fn dispatch(&self, name: &str, policy: &FleetPolicy, endpoints: &Catalogue) -> Arc<Dispatch> {
        let model = self.0.and_then(|s| s.model_of(name));
        let fresh = || Fleet::new(policy, format!("fleet/{name}"), endpoints);
        let Some(model) = model else {
            return Arc::new(Dispatch::new(fresh(), None));
        };
        if model.fleet().policy() != policy {
            return Arc::new(Dispatch::new(fresh(), None));
        }
        let names = |catalogue: &Catalogue| -> Vec<Name> {
            catalogue.iter().map(|c| c.profile.name.clone()).collect()
        };
        if names(model.endpoints()) == names(endpoints) {
            return Arc::clone(model.dispatch());
        }
        let fleet = model.fleet().resized(endpoints);
        Arc::new(Dispatch::new(fleet, Some(model.dispatch())))
    }

    /// The cache that this decision's answers go on from, or a new one; `None` where it has none configured.
    fn cache(&self, decision: &config::Decision, encoder: &Arc<dyn Encoder>) -> Option<Arc<AnswerCache>> {
        let slot = self.0.and_then(|s| s.decision_named(&decision.name));
        let old = slot.and_then(|slot| slot.cache.as_ref());
        old.filter(|cache| cache.serves(decision, encoder))
            .map(Arc::clone)
            .or_else(|| AnswerCache::new(decision, encoder).map(Arc::new))
    }

    /// The adapters of a decision: the ones so far where nothing about them has changed, since the servers hold some of them.
    fn adapters(
        &self,
        decision: &config::Decision,
        path: &str,
        shared: &fingerpost_models::Shared,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Adapters>> {
        let (config, featurizer) = (decision.adapters.as_ref()?, shared.featurizer.clone()?);
        let slot = self.0.and_then(|s| s.decision_named(&decision.name));
        let old = slot.and_then(|slot| slot.adapters.as_ref());
        if let Some(old) = old.filter(|old| old.serves(config, &decision.models, &featurizer)) {
            return Some(Arc::clone(old));
        }
        let made = Adapters::new(config, adapters_name(decision), &decision.models, featurizer);
        let adapters = made.map_err(|why| problems.push(Problem::error(format!("{path}.adapters"), why)));
        let adapters = Arc::new(adapters.ok()?);
        self.restore(&adapters_name(decision), &*adapters);
        Some(adapters)
    }

    /// The agents of a decision: the ones so far where nothing about them has changed, since training them again takes time.
    fn agents(
        &self,
        config: &Config,
        decision: &config::Decision,
        path: &str,
        encoder: &Arc<dyn Encoder>,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Agents>> {
        let slot = self.0.and_then(|s| s.decision_named(&decision.name));
        let old = slot.and_then(|slot| slot.agents.as_ref());
        if let Some(old) = old.filter(|old| old.serves(config, decision, encoder)) {
            return Some(Arc::clone(old));
        }
        let name = format!("tcar/{}", decision.name).into();
        Agents::new(config, decision, name, encoder)?
            .map_err(|why| problems.push(Problem::error(format!("{path}.agents"), why)))
            .ok()
            .map(Arc::new)
    }

    /// The conversations remembered so far.
    fn sessions(&self, config: &Config) -> Arc<Sessions> {
        let most = config.server.session.most;
        match self.0 {
            Some(before) if before.config.server.session.most == most => Arc::clone(&before.sessions),
            Some(before) => {
                let sessions = Sessions::new(most);
                if let Some(state) = before.sessions.save() {
                    sessions.restore(&state);
                }
                Arc::new(sessions)
            }
            None => Arc::new(Sessions::new(most)),
        }
    }

    /// Hands what the router of this name had learned on to its successor.
    fn restore(&self, name: &Name, router: &dyn Learn) {
        let old = self.0.and_then(|s| s.learners().iter().find(|(n, _)| *n == name));
        if let Some(state) = old.and_then(|(_, learner)| learner.save()) {
            router.restore(&state);
        }
    }
}
