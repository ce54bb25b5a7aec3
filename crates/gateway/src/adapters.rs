//! The adapters of a decision (POLAR): which of them the servers hold, and what is done so that they do.
//!
//! The models of the decision are adapters of one base model, each a name that the servers know it by. The router of the fleet picks among
//! them and says what to load and unload; here that is done, over the API of vLLM (`/v1/load_lora_adapter`, `/v1/unload_lora_adapter`), on
//! every server of the adapter that is in service. A request whose adapter is on its way waits for it; one whose adapter could not be
//! loaded goes to the base model, where the configuration names one. An adapter that the client named itself is loaded for it as well.
//! One that some servers loaded and another could not is unloaded there again: what the fleet's router takes for not loaded is
//! nowhere.
//!
//! What a request is like is its vector, brought to few numbers by a fixed random projection: the bandit's cost grows with their square.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Outcome, Pick, Query, Role,
    Router, Timestamp,
};
use fingerpost_fleet::polar::{AdapterQuery, CacheAction, Polar};
use fingerpost_models::Featurizer;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustc_hash::FxHashMap;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    client,
    config::AdaptersConfig,
    snapshot::{EndpointSlot, Snapshot},
    worker::now,
};

/// Numbers that stand for a request.
const FEATURES: usize = 16;
/// Seed of the projection: learned state is of use only under the same one.
const SEED: u64 = 19;

/// The adapters of a decision.
pub(crate) struct Adapters {
    polar: Polar,
    config: AdaptersConfig,
    featurizer: Featurizer,
    /// A row a feature.
    projection: Vec<f32>,
    names: Vec<Name>,
    /// What is to be done, in this order.
    plan: Mutex<Plan>,
    /// Held by whoever does it.
    doing: tokio::sync::Mutex<()>,
}

/// What is to be done on the servers.
#[derive(Default)]
struct Plan {
    queue: VecDeque<(CacheAction, Option<Ended>)>,
    /// Loads that have not ended.
    loading: FxHashMap<Name, watch::Receiver<Option<bool>>>,
}

/// Says whether a load went well, when it has ended.
type Ended = watch::Sender<Option<bool>>;

// === impl Plan ===

impl Plan {
    /// Takes up what is to be done. A load is known to be under way before anybody can take it for done.
    fn add(&mut self, actions: Vec<CacheAction>) -> bool {
        let any = !actions.is_empty();
        for action in actions {
            let ended = match &action {
                CacheAction::Load(name) => {
                    let (ended, waits) = watch::channel(None);
                    self.loading.insert(name.clone(), waits);
                    Some(ended)
                }
                CacheAction::Unload(_) => None,
            };
            self.queue.push_back((action, ended));
        }
        any
    }
}

// === impl Adapters ===

impl Adapters {
    /// The adapters of a decision, of which nothing is loaded yet; `name` is what the evidence carries.
    ///
    /// # Errors
    /// A setting out of range, by its key.
    pub(crate) fn new(
        config: &AdaptersConfig,
        name: Name,
        models: &[String],
        featurizer: Featurizer,
    ) -> Result<Self, String> {
        let polar = Polar::new(config.polar.clone(), name, FEATURES);
        let mut rng = SmallRng::seed_from_u64(SEED);
        let count = FEATURES * featurizer.dims();
        let base = config.polar.base.as_deref();
        Ok(Self {
            polar: polar.map_err(|error| error.to_string())?,
            projection: (0..count)
                .map(|_| if rng.random() { 1.0 } else { -1.0 })
                .collect(),
            names: models
                .iter()
                .filter(|m| base != Some(m.as_str()))
                .map(|m| m.as_str().into())
                .collect(),
            config: config.clone(),
            featurizer,
            plan: Mutex::default(),
            doing: tokio::sync::Mutex::default(),
        })
    }

    /// Whether these serve that decision as well.
    pub(crate) fn serves(&self, config: &AdaptersConfig, models: &[String], featurizer: &Featurizer) -> bool {
        let base = config.polar.base.as_deref();
        let names = models.iter().filter(|m| base != Some(m.as_str()));
        self.config == *config
            && self.featurizer.model() == featurizer.model()
            && names.map(String::as_str).eq(self.names.iter().map(Name::as_str))
    }

    /// Whether a model can be asked without loading anything.
    pub(crate) fn is_there(&self, model: &str) -> bool {
        self.config.polar.base.as_deref() == Some(model)
            || self.polar.resident().iter().any(|name| **name == *model)
                && !self.lock().loading.contains_key(model)
    }

    /// Whether an adapter that a client has named is loaded for it.
    pub(crate) fn loads_named(&self, model: &str) -> bool {
        self.config.load_named && self.names.iter().any(|name| **name == *model)
    }

    /// Waits until the pick of a decision can be asked. Must run in a [`tokio::task::LocalSet`].
    ///
    /// # Errors
    /// It could not be loaded.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        decision: &Decision,
    ) -> Result<(), String> {
        let pick = &decision.first().name;
        let waits = {
            let mut plan = self.lock();
            if plan.add(self.polar.page_in(decision)) {
                self.begin(snapshot);
            }
            plan.loading.get(pick).cloned()
        };
        let Some(mut waits) = waits else { return Ok(()) };
        let ended = waits.wait_for(Option::is_some).await;
        if ended.is_ok_and(|ended| *ended == Some(true)) {
            Ok(())
        } else {
            Err(format!("the adapter `{pick}` could not be loaded"))
        }
    }

    /// Has done what the set that is kept needs. To be called every now and then, in a [`tokio::task::LocalSet`].
    pub(crate) fn rebalance(self: &Arc<Self>, snapshot: &Arc<Snapshot>, now: Timestamp) {
        let mut plan = self.lock();
        if plan.add(self.polar.rebalance(&self.names, now)) {
            self.begin(snapshot);
        }
    }

    /// Begins to do what is planned, in a task of its own: a client that leaves must not leave a load half done.
    fn begin(self: &Arc<Self>, snapshot: &Arc<Snapshot>) {
        let (adapters, snapshot) = (Arc::clone(self), Arc::clone(snapshot));
        tokio::task::spawn_local(async move { adapters.perform(&snapshot).await });
    }

    /// Does what is planned, one after the other: an unload makes the room that the load after it needs.
    async fn perform(&self, snapshot: &Snapshot) {
        let _one_at_a_time = self.doing.lock().await;
        loop {
            let Some((action, ended)) = self.lock().queue.pop_front() else {
                return;
            };
            match action {
                CacheAction::Unload(name) => self.unload(snapshot, &name).await,
                CacheAction::Load(name) => {
                    let loaded = self.load(snapshot, &name).await;
                    let Some(ended) = ended else { continue };
                    let mut plan = self.lock();
                    // It may be on its way once more already: then others wait for that.
                    if plan
                        .loading
                        .get(&name)
                        .is_some_and(|waits| waits.same_channel(&ended.subscribe()))
                    {
                        plan.loading.remove(&name);
                    }
                    ended.send_replace(Some(loaded));
                }
            }
        }
    }

    async fn unload(&self, snapshot: &Snapshot, name: &Name) {
        let servers = self.servers(snapshot, name);
        if servers.is_empty() {
            tracing::warn!(adapter = %name, "an adapter could not be unloaded: none of its servers is in service");
        }
        self.unload_at(&servers, name).await;
    }

    /// Every one of the servers is told, whatever the others say.
    async fn unload_at(&self, servers: &[Arc<EndpointSlot>], name: &Name) {
        for server in servers {
            let body = json!({"lora_name": server.upstream_model.as_str()});
            if let Err(why) = self.tell(server, &self.config.unload_path, &body).await {
                tracing::warn!(adapter = %name, server = %server.name, why, "an adapter could not be unloaded");
            }
        }
    }

    /// Loads an adapter on all of its servers, or on none. Returns whether it went well.
    async fn load(&self, snapshot: &Snapshot, name: &Name) -> bool {
        let began = Instant::now();
        let servers = self.servers(snapshot, name);
        let mut failure = servers
            .is_empty()
            .then(|| "none of its servers is in service".to_owned());
        let source = self.config.sources.get(name.as_str());
        let source = source.map_or(name.as_str(), String::as_str);
        for (at, server) in servers.iter().enumerate() {
            let body = json!({"lora_name": server.upstream_model.as_str(), "lora_path": source});
            if let Err(why) = self.tell(server, &self.config.load_path, &body).await {
                // The one that failed may have loaded it all the same, and only not said so in time.
                self.unload_at(&servers[..=at], name).await;
                failure = Some(format!("{}: {why}", server.name));
                break;
            }
        }
        match failure {
            None => {
                self.polar.loaded(name, began.elapsed());
                true
            }
            Some(why) => {
                tracing::warn!(adapter = %name, why, "an adapter could not be loaded");
                self.polar.load_failed(name, now());
                false
            }
        }
    }

    /// The servers of an adapter that are in service.
    fn servers(&self, snapshot: &Snapshot, adapter: &str) -> Vec<Arc<EndpointSlot>> {
        let at = now();
        let slots = snapshot
            .model_of(adapter)
            .into_iter()
            .flat_map(|model| model.slots());
        slots.filter(|slot| slot.could(at)).map(Arc::clone).collect()
    }

    async fn tell(&self, server: &EndpointSlot, path: &str, body: &serde_json::Value) -> Result<(), String> {
        let address = server.provider.address.as_ref().ok_or("it is no server's")?;
        let body = Bytes::from(body.to_string());
        let told = client::post(address, path, &server.provider.headers, body, self.config.timeout).await;
        told.map(drop).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn features(&self, query: &Query<'_>) -> AdapterQuery {
        let user = query.turns.iter().rev().find(|turn| turn.role == Role::User);
        let text: String = user.map(|turn| turn.texts.concat()).unwrap_or_default();
        let vector = self.featurizer.vector(&text);
        let rows = self.projection.chunks_exact(self.featurizer.dims().max(1));
        let share = 1.0 / (FEATURES as f32).sqrt();
        let features: Vec<f32> = rows
            .map(|row| row.iter().zip(vector.iter()).map(|(r, v)| r * v).sum::<f32>() * share)
            .collect();
        AdapterQuery::new(&features)
    }
}

impl Learn for Adapters {
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        self.polar.learn(evidence, decision, outcome);
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.polar.save()
    }

    fn restore(&self, state: &[u8]) -> bool {
        self.polar.restore(state)
    }
}

impl Router<Query<'_>> for Adapters {
    /// The pick, and the base model to fall back on: another adapter may not be there.
    fn route(
        &self,
        query: &Query<'_>,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let mut decision = self.polar.route(&self.features(query), among, cx)?;
        let is_base = |c: &&Candidate| self.config.polar.base.as_deref() == Some(c.profile.name.as_str());
        let base = cx.admitted(among).find(is_base);
        if let Some(base) = base.filter(|base| base.id != decision.first().id) {
            decision.picks.push(Pick::of(base, 0.0));
        }
        Ok(decision.only())
    }
}
