//! The fast scale, and the state that both scales share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Exclusion, Feature, Learn, Limit, Name, NoRoute,
    Outcome, Pick, Quality, Reason, Router, Timestamp, Verdict,
};
use nalgebra::DVector;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    arm::{Arm, SavedArm},
    config::{Epochs, PolarConfig, PolarError},
    control::{Worth, keep},
    residency::{CacheAction, Residency},
};

/// Version of the evidence and of the saved state.
const VERSION: u32 = 1;
/// Score of an adapter that cannot be loaded now, when sets are judged: below anything that can.
const BARRED: f64 = -1e3;
/// Of an epoch so large a part at most goes to trials.
const TRIALS_AT_MOST: f64 = 0.5;

/// What the router sees of a request: its features.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterQuery {
    features: Vec<f32>,
}

/// Routes requests to adapters and decides which of them are loaded.
#[derive(Debug)]
pub struct Polar {
    name: Name,
    config: PolarConfig,
    /// Features of a query, and a constant.
    dims: usize,
    served: AtomicU64,
    view: ArcSwap<View>,
    writing: Mutex<VecDeque<DVector<f64>>>,
}

/// What a decision reads.
#[derive(Debug, Clone, Default)]
struct View {
    arms: FxHashMap<Name, Arc<Arm>>,
    residency: Residency,
    /// Number of the epoch and how many requests were served before it; `None` before the first.
    epoch: Option<(u32, u64)>,
    /// Trials of the epoch: an adapter, and the first request of the epoch that is no longer its.
    trials: Vec<(Name, u64)>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    dims: usize,
    served: u64,
    epoch: Option<(u32, u64)>,
    kept: Vec<Name>,
    arms: FxHashMap<Name, SavedArm>,
}

/// What is believed of an adapter for a request.
#[derive(Debug, Clone, Copy)]
struct Belief {
    estimate: f64,
    width: f64,
    page_in: f64,
}

// === impl AdapterQuery ===

impl AdapterQuery {
    /// A query with these features, of length at most 1 or brought to it. What is not finite counts as 0.
    pub fn new(features: &[f32]) -> Self {
        let mut features: Vec<f32> = features
            .iter()
            .map(|v| if v.is_finite() { *v } else { 0.0 })
            .collect();
        let length = features.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if length > 1.0 {
            features
                .iter_mut()
                .for_each(|v| *v = (f64::from(*v) / length) as f32);
        }
        Self { features }
    }
}

// === impl Polar ===

impl Polar {
    /// A router of this name, for queries of `features` values, that has seen nothing and loaded nothing.
    ///
    /// # Errors
    /// [`PolarError`] for a setting out of range.
    pub fn new(config: PolarConfig, name: impl Into<Name>, features: usize) -> Result<Self, PolarError> {
        config.check()?;
        Ok(Self {
            name: name.into(),
            config,
            dims: features + 1,
            served: AtomicU64::new(0),
            view: ArcSwap::default(),
            writing: Mutex::default(),
        })
    }

    /// What must be done before a decision of this router can run: nothing where its pick is resident. Counts as done; say
    /// [`Polar::load_failed`] where it was not.
    pub fn page_in(&self, decision: &Decision) -> Vec<CacheAction> {
        let pick = &decision.first().name;
        let is_base = self.config.base.as_deref() == Some(pick.as_str());
        if is_base || self.view.load().residency.is_resident(pick) {
            return Vec::new();
        }
        self.change(|view| view.residency.page_in(pick, &self.config))
    }

    /// Ends the epoch if it is over, and loads what is kept but not there. `adapters` are all there are now; what is not among them is
    /// dropped. To be called off the hot path, every now and then, after each outcome say; cheap while there is nothing to do.
    pub fn rebalance(&self, adapters: &[Name], now: Timestamp) -> Vec<CacheAction> {
        let served = self.served.load(Ordering::Relaxed);
        let view = self.view.load();
        let over =
            |(number, began): (u32, u64)| served >= began.saturating_add(self.config.epochs.length(number));
        match view.epoch {
            Some(epoch) if !over(epoch) && !view.residency.lacks_some(now) => Vec::new(),
            Some(epoch) if !over(epoch) => self.change(|view| view.residency.load_missing(now)),
            Some((number, _)) => self.begin(number.saturating_add(1), adapters, served, now),
            None => self.begin(0, adapters, served, now),
        }
    }

    /// A load that was asked for has ended well after so long.
    pub fn loaded(&self, adapter: &Name, took: Duration) {
        self.change(|view| view.residency.loaded(adapter, took, &self.config));
    }

    /// A load that was asked for has failed: the adapter is evicted and barred until its back-off ends.
    pub fn load_failed(&self, adapter: &Name, now: Timestamp) {
        self.change(|view| view.residency.load_failed(adapter, now, &self.config));
    }

    /// What is loaded or on its way: the kept ones, then the guest of a request.
    pub fn resident(&self) -> Vec<Name> {
        self.view.load().residency.resident().cloned().collect()
    }

    /// Changes the view aside and swaps it in.
    fn change<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&self.view.load());
        let result = change(&mut view);
        self.view.store(Arc::new(view));
        result
    }

    /// Begins an epoch: chooses what is kept in it, and what is tried.
    fn begin(&self, number: u32, adapters: &[Name], served: u64, now: Timestamp) -> Vec<CacheAction> {
        let worth = self.worth(number, adapters, now);
        self.change(|view| {
            view.epoch = Some((number, served));
            view.trials = self.trials(view, number, adapters, served);
            let set = match worth {
                Some(worth) => {
                    let set = keep(&worth, self.config.slots);
                    set.into_iter().map(|a| adapters[a].clone()).collect()
                }
                None => view
                    .residency
                    .kept()
                    .iter()
                    .filter(|k| adapters.contains(k))
                    .cloned()
                    .collect(),
            };
            view.residency.keep(set, now)
        })
    }

    /// What keeping each adapter would have been worth on recent contexts; `None` while there are none. Fixed epochs judge by the upper
    /// bounds, doubling ones by the estimates, since their trials have made sure of them.
    fn worth(&self, number: u32, adapters: &[Name], now: Timestamp) -> Option<Worth> {
        let contexts = self
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if contexts.is_empty() {
            return None;
        }
        let view = self.view.load();
        let optimism = match self.config.epochs {
            Epochs::Fixed { .. } => self.config.alpha,
            Epochs::Doubling { .. } => 0.0,
        };
        let score = |name: &Name, x: &DVector<f64>| {
            if view.residency.is_barred(name, now) {
                return BARRED;
            }
            let belief = self.belief(&view, name, x);
            belief.estimate + optimism * belief.width
        };
        let page_in = |name: &Name| self.page_in_cost(&view, name);
        let load = |name: &Name| {
            if view.residency.is_resident(name) {
                0.0
            } else {
                page_in(name)
            }
        };
        let of_context = |x: &DVector<f64>| adapters.iter().map(|name| score(name, x)).collect();
        Some(Worth {
            scores: contexts.iter().map(of_context).collect(),
            page_in: adapters.iter().map(page_in).collect(),
            load: adapters.iter().map(load).collect(),
            weight: self.config.epochs.length(number) as f64 / contexts.len() as f64,
        })
    }

    /// Runs of trials, one an adapter that was tried too little so far.
    fn trials(&self, view: &View, number: u32, adapters: &[Name], served: u64) -> Vec<(Name, u64)> {
        if number > 0 && matches!(self.config.epochs, Epochs::Fixed { .. }) {
            return Vec::new();
        }
        let length = self.config.epochs.length(number);
        let horizon = served.saturating_add(length).max(2) as f64;
        let wanted = (self.config.trials * self.dims as f64 * horizon.ln()).ceil();
        let short =
            |name: &Name| (wanted - view.arms.get(name).map_or(0.0, |arm| arm.seen() as f64)).max(0.0);
        let all: f64 = adapters.iter().map(short).sum();
        let scale = (TRIALS_AT_MOST * length as f64 / all.max(1.0)).min(1.0);
        let mut end = 0;
        let mut runs = Vec::new();
        for name in adapters {
            let run = (short(name) * scale) as u64;
            if run > 0 {
                end += run;
                runs.push((name.clone(), end));
            }
        }
        runs
    }

    /// The adapter that this request of the epoch is a trial of.
    fn trial(view: &View, served: u64) -> Option<&Name> {
        let (_, began) = view.epoch?;
        let place = served.saturating_sub(began);
        view.trials
            .iter()
            .find(|(_, end)| place < *end)
            .map(|(name, _)| name)
    }

    fn page_in_cost(&self, view: &View, name: &str) -> f64 {
        self.config.page_in.per_second * view.residency.load_time(name, &self.config).as_secs_f64()
    }

    fn belief(&self, view: &View, name: &str, x: &DVector<f64>) -> Belief {
        let (above, width) = match view.arms.get(name) {
            Some(arm) => arm.at(x),
            None => (0.0, x.norm() / self.config.lambda.sqrt()),
        };
        let resident = view.residency.is_resident(name);
        let page_in = if resident {
            0.0
        } else {
            self.page_in_cost(view, name)
        };
        Belief {
            estimate: self.config.prior + above,
            width,
            page_in,
        }
    }

    /// Features and the constant, together of length at most 1; of a query with another number of features the constant alone.
    fn context(&self, features: &[f32]) -> DVector<f64> {
        let fits = features.len() + 1 == self.dims;
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let value = |i: usize| match features.get(i) {
            Some(v) if fits => f64::from(*v) * half,
            _ if i + 1 == self.dims => half,
            _ => 0.0,
        };
        DVector::from_fn(self.dims, |i, _| value(i))
    }

    fn is_base(&self, candidate: &Candidate) -> bool {
        self.config.base.as_deref() == Some(candidate.profile.name.as_str())
    }

    /// Who is excluded by limits, and who because it does not load.
    fn no_route(view: &View, among: &[CandidateId], cx: &Context<'_>) -> NoRoute {
        let mut none = cx.no_route(among);
        let barred = cx
            .admitted(among)
            .filter(|c| view.residency.is_barred(&c.profile.name, cx.now));
        none.excluded.extend(barred.map(|c| Exclusion {
            candidate: c.profile.name.clone(),
            limit: Limit::Unavailable,
        }));
        none
    }
}

impl Router<AdapterQuery> for Polar {
    fn route(
        &self,
        query: &AdapterQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let view = self.view.load();
        let x = self.context(&query.features);
        let loadable =
            |c: &&Candidate| !self.is_base(c) && !view.residency.is_barred(&c.profile.name, cx.now);
        let score = |b: &Belief| b.estimate + self.config.alpha * b.width - b.page_in;
        let trial = Self::trial(&view, self.served.fetch_add(1, Ordering::Relaxed));
        let mut best: Option<(&Candidate, Belief)> = None;
        for candidate in cx.admitted(among).filter(loadable) {
            let belief = self.belief(&view, &candidate.profile.name, &x);
            if trial == Some(&candidate.profile.name) {
                best = Some((candidate, belief));
                break;
            }
            if best.is_none_or(|(_, most)| score(&belief) > score(&most)) {
                best = Some((candidate, belief));
            }
        }
        let mut evidence = Evidence::of(self.name.clone());
        evidence.version = VERSION;
        let Some((candidate, belief)) = best else {
            let base = cx.admitted(among).find(|c| self.is_base(c));
            let base = base.ok_or_else(|| Self::no_route(&view, among, cx))?;
            let reason = Reason::new("no adapter can be loaded: the base model");
            return Ok(Decision::single(Pick::of(base, 0.0), reason, evidence));
        };
        let tried = trial == Some(&candidate.profile.name);
        let reason = if tried {
            "a trial of what is little known"
        } else {
            "highest bound, less page-in"
        };
        let reason = Reason::new(reason)
            .with("estimate", belief.estimate)
            .with("width", belief.width)
            .with("page_in", belief.page_in);
        if query.features.len() + 1 == self.dims {
            evidence = evidence.with("features", Feature::Vector(query.features.clone()));
        }
        Ok(Decision::single(
            Pick::of(candidate, score(&belief)),
            reason,
            evidence,
        ))
    }
}

impl Learn for Polar {
    /// Teaches the adapter that served: its quality, or what was said of the choice. Failures of calls teach nothing of quality.
    fn learn(&self, evidence: &Evidence, decision: &Decision, outcome: &Outcome) {
        let Some(Feature::Vector(features)) = evidence.feature("features") else {
            return;
        };
        if features.len() + 1 != self.dims || evidence.version != VERSION {
            return;
        }
        let x = self.context(features);
        let said = outcome
            .quality
            .or_else(|| outcome.verdict.and_then(Verdict::quality));
        let mut contexts = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quality) = said.filter(|_| outcome.is_success()).map(Quality::get) {
            let mut view = View::clone(&self.view.load());
            let fresh = || Arc::new(Arm::new(self.dims, self.config.lambda));
            let arm = view
                .arms
                .entry(decision.first().name.clone())
                .or_insert_with(fresh);
            Arc::make_mut(arm).learn(&x, quality - self.config.prior);
            self.view.store(Arc::new(view));
        }
        contexts.push_back(x);
        while contexts.len() > self.config.window {
            contexts.pop_front();
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        let view = self.view.load();
        let arms = view.arms.iter().map(|(name, arm)| (name.clone(), arm.save()));
        serde_json::to_vec(&Saved {
            version: VERSION,
            dims: self.dims,
            served: self.served.load(Ordering::Relaxed),
            epoch: view.epoch,
            kept: view.residency.kept().to_vec(),
            arms: arms.collect(),
        })
        .ok()
    }

    /// What is kept is to be loaded again: the next [`Polar::rebalance`] asks for it.
    fn restore(&self, state: &[u8]) -> bool {
        let Ok(saved) = serde_json::from_slice::<Saved>(state) else {
            return false;
        };
        if saved.version != VERSION || saved.dims != self.dims {
            return false;
        }
        let arm =
            |(name, arm): (&Name, &SavedArm)| Some((name.clone(), Arc::new(Arm::restore(arm, self.dims)?)));
        let Some(arms) = saved.arms.iter().map(arm).collect() else {
            return false;
        };
        self.served.store(saved.served, Ordering::Relaxed);
        self.change(|view| {
            view.arms = arms;
            view.epoch = saved.epoch;
            view.trials = Vec::new();
            view.residency = Residency::wanting(saved.kept);
        });
        true
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
