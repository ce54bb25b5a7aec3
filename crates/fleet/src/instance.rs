//! What a router knows of the instances it chooses among: what it has sent them itself, what they or fellow routers report, and what
//! their prefix caches are believed to hold.
//!
//! Everything here is read by decisions and written by what happens to requests ([`Fleet`](crate::Fleet) does both), without locks but
//! for the writers of a cache. Numbers are kept in tokens of prompt that are yet to be computed, the one thing that the wait for a first token
//! depends on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use fingerpost_core::{CandidateId, Catalogue, Name, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aged, CacheModel, Prefix, Report, kv_events::Change};

/// Of what a load is made up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadSource {
    /// What this router has sent and has not seen computed. Exact where it is the only one.
    #[default]
    Own,
    /// What was reported last, however much was sent since.
    Reported,
    /// What was reported last, and what this router has sent since.
    Both,
}

/// What is kept of instances, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Tokens in a block of a prefix cache. Default 128.
    pub block_tokens: std::num::NonZeroU32,
    /// Tokens that an instance's prefix cache holds; 0: it has none. Default 1,198,080 (64 GiB of a model of 7 billion parameters).
    pub cached_tokens: u64,
    /// Of what loads are made up: `own`, `reported` or `both`. Default `own`.
    pub load: LoadSource,
    /// Older reports do not count; the router's own count does in their place. Default `10s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_report_age: Duration,
}

/// What is known of one instance.
#[derive(Debug)]
pub struct Instance {
    /// What its prefix cache is believed to hold.
    pub cache: CacheModel,
    /// Tokens held back for it in this router's queue.
    waiting: AtomicU64,
    /// Tokens sent there by this router whose first answer token has not come.
    pending: AtomicU64,
    /// Requests of these.
    pending_calls: AtomicU32,
    /// Tokens of prompts and answers that this router's requests hold in its cache of keys and values.
    running: AtomicU64,
    /// When a first token last came from there, in microseconds; 0 for never.
    last_prefill: AtomicU64,
    reported: Reported,
    /// Everything that was told last, for whoever wants to know.
    told: Mutex<Report>,
}

#[derive(Debug, Default)]
struct Reported {
    is_known: AtomicBool,
    at: AtomicU64,
    backlog: AtomicU64,
    sent_since: AtomicU64,
}

/// What is known of all of a catalogue's instances, by their ids.
#[derive(Debug)]
pub struct Instances {
    config: StateConfig,
    all: Vec<(Name, Arc<Instance>)>,
}

// === impl StateConfig ===

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            block_tokens: std::num::NonZeroU32::new(128).unwrap_or(std::num::NonZeroU32::MIN),
            cached_tokens: 1_198_080,
            load: LoadSource::Own,
            max_report_age: Duration::from_secs(10),
        }
    }
}

impl StateConfig {
    /// Blocks that an instance's cache holds.
    pub fn cached_blocks(&self) -> usize {
        usize::try_from(self.cached_tokens / u64::from(self.block_tokens.get())).unwrap_or(usize::MAX)
    }
}

// === impl Instance ===

impl Instance {
    /// An instance of which nothing is known yet, with a cache of `blocks` blocks.
    pub fn new(blocks: usize) -> Self {
        Self {
            cache: CacheModel::new(blocks),
            waiting: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            pending_calls: AtomicU32::new(0),
            running: AtomicU64::new(0),
            last_prefill: AtomicU64::new(0),
            reported: Reported::default(),
            told: Mutex::default(),
        }
    }

    /// Tokens of a prompt of `tokens` tokens that would have to be computed here. At least 1: an answer starts from the last one.
    pub fn missing(&self, prefix: Option<&Prefix>, tokens: u32) -> u32 {
        let held = prefix.map_or(0, |p| self.cache.matched_tokens(p, tokens));
        (tokens - held).max(1)
    }

    /// Prompt tokens of this router's requests that are yet to be computed here, queued or sent.
    pub fn own_backlog(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed) + self.pending.load(Ordering::Relaxed)
    }

    /// Requests sent here whose first answer token has not come.
    pub fn pending_calls(&self) -> u32 {
        self.pending_calls.load(Ordering::Relaxed)
    }

    /// Prompt tokens sent here whose first answer token has not come.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Tokens that running requests of this router hold here.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// When a first answer token last came from here.
    pub fn last_prefill(&self) -> Option<Timestamp> {
        match self.last_prefill.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    /// How old its last report is; `None` where there was none.
    pub fn report_age(&self, now: Timestamp) -> Option<Duration> {
        let known = self.reported.is_known.load(Ordering::Acquire);
        known.then(|| now.since(Timestamp::from_micros(self.reported.at.load(Ordering::Relaxed))))
    }

    /// Everything that was told last, each value with when it was true.
    pub fn told(&self) -> Report {
        *self.lock_told()
    }

    /// The instance has told what happened to its cache; `tokens` is what it holds since, where that is known.
    pub fn cache_changed(&self, change: &Change, tokens: Option<u64>, now: Timestamp) {
        if change.cleared {
            self.cache.clear();
        }
        if change.kept < 1.0 {
            self.cache.keep_share(change.kept);
        }
        if let Some(value) = tokens {
            self.lock_told().cached_tokens = Some(Aged { value, at: now });
        }
    }

    fn lock_told(&self) -> MutexGuard<'_, Report> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queued(&self, tokens: u32) {
        self.waiting.fetch_add(u64::from(tokens), Ordering::Relaxed);
    }

    pub(crate) fn unqueued(&self, tokens: u32) {
        take(&self.waiting, u64::from(tokens));
    }

    pub(crate) fn sent(&self, missing: u32, tokens: u32) {
        self.pending.fetch_add(u64::from(missing), Ordering::Relaxed);
        self.pending_calls.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(u64::from(tokens), Ordering::Relaxed);
        self.reported
            .sent_since
            .fetch_add(u64::from(missing), Ordering::Relaxed);
    }

    pub(crate) fn computed(&self, missing: u32, at: Option<Timestamp>) {
        take(&self.pending, u64::from(missing));
        let one_less = |n: u32| n.checked_sub(1);
        let _ = self
            .pending_calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if let Some(at) = at {
            self.last_prefill.store(at.micros(), Ordering::Relaxed);
        }
    }

    pub(crate) fn ended(&self, tokens: u32) {
        take(&self.running, u64::from(tokens));
    }

    fn report(&self, report: &Report, mean_missing: u64) {
        self.lock_told().update(report);
        let waiting = || report.waiting.map(|w| (u64::from(w.value) * mean_missing, w.at));
        let told = report.backlog_tokens.map(|b| (b.value, b.at)).or_else(waiting);
        if let Some((backlog, at)) = told {
            self.reported.backlog.store(backlog, Ordering::Relaxed);
            self.reported.sent_since.store(0, Ordering::Relaxed);
            self.reported.at.store(at.micros(), Ordering::Relaxed);
            self.reported.is_known.store(true, Ordering::Release);
        }
    }
}

/// Never below zero, whatever was forgotten meanwhile.
fn take(from: &AtomicU64, tokens: u64) {
    let less = |n: u64| Some(n.saturating_sub(tokens));
    let _ = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

// === impl Instances ===

impl Instances {
    /// Nothing is known yet of any instance of `catalogue`.
    pub fn new(catalogue: &Catalogue, config: StateConfig) -> Self {
        Self::carried_over(catalogue, config, None)
    }

    /// Like [`Instances::new`], but instances that `before` knows by name keep what is known of them: after a reload, or when
    /// the fleet grows or shrinks.
    pub fn carried_over(catalogue: &Catalogue, config: StateConfig, before: Option<&Self>) -> Self {
        let blocks = config.cached_blocks();
        let known = |name: &Name| {
            let (_, instance) = before?.all.iter().find(|(n, _)| n == name)?;
            instance.cache.resize(blocks);
            Some(Arc::clone(instance))
        };
        let all = catalogue
            .iter()
            .map(|c| c.profile.name.clone())
            .map(|name| {
                let instance = known(&name).unwrap_or_else(|| Arc::new(Instance::new(blocks)));
                (name, instance)
            })
            .collect();
        Self { config, all }
    }

    /// How they are kept.
    pub fn config(&self) -> &StateConfig {
        &self.config
    }

    /// The instance of this id.
    pub fn get(&self, id: CandidateId) -> Option<&Arc<Instance>> {
        self.all.get(id.0 as usize).map(|(_, instance)| instance)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.all.iter().map(|(_, instance)| instance)
    }

    /// Prompt tokens yet to be computed at `instance`, as decisions see them: by [`LoadSource`], from the router's own count where the
    /// last report is too old.
    pub fn backlog(&self, instance: &Instance, now: Timestamp) -> u64 {
        let is_fresh = || {
            instance
                .report_age(now)
                .is_some_and(|age| age <= self.config.max_report_age)
        };
        let reported = &instance.reported;
        match self.config.load {
            LoadSource::Reported if is_fresh() => reported.backlog.load(Ordering::Relaxed),
            LoadSource::Both if is_fresh() => {
                reported.backlog.load(Ordering::Relaxed) + reported.sent_since.load(Ordering::Relaxed)
            }
            _ => instance.own_backlog(),
        }
    }

    /// How long ago the load that [`Instances::backlog`] says was told; zero for the router's own count.
    pub fn load_age(&self, instance: &Instance, now: Timestamp) -> Duration {
        match self.config.load {
            LoadSource::Own => Duration::ZERO,
            LoadSource::Reported | LoadSource::Both => instance
                .report_age(now)
                .filter(|age| *age <= self.config.max_report_age)
                .unwrap_or_default(),
        }
    }

    /// The instance of this id has told of itself. `mean_missing` is what a waiting request counts for where it told only their
    /// number, in tokens.
    pub fn report(&self, id: CandidateId, report: &Report, mean_missing: u64) {
        if let Some(instance) = self.get(id) {
            instance.report(report, mean_missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::Profile;

    use super::*;
    use crate::{Aged, PrefixHasher};

    fn one(load: LoadSource) -> Instances {
        let config = StateConfig {
            load,
            ..StateConfig::default()
        };
        Instances::new(&Catalogue::new([Profile::named("a")]).unwrap(), config)
    }

    fn told(backlog: u64, at: Timestamp) -> Report {
        Report {
            backlog_tokens: Some(Aged { value: backlog, at }),
            ..Report::default()
        }
    }

    #[test]
    fn a_load_is_what_its_source_says() {
        let (zero, at) = (CandidateId(0), Timestamp::from_millis);
        for (source, fresh, old) in [
            (LoadSource::Own, 30, 30),
            (LoadSource::Reported, 100, 30),
            (LoadSource::Both, 120, 30),
        ] {
            let instances = one(source);
            let instance = instances.get(zero).unwrap();
            instance.sent(10, 15);
            instances.report(zero, &told(100, at(1000)), 0);
            instance.sent(20, 25);
            assert_eq!(instances.backlog(instance, at(2000)), fresh, "{source:?}");
            assert_eq!(instances.backlog(instance, at(11_001)), old, "{source:?}");
            assert_eq!(instance.report_age(at(2000)), Some(Duration::from_secs(1)));
            let age = u64::from(source != LoadSource::Own);
            assert_eq!(instances.load_age(instance, at(2000)), Duration::from_secs(age));
            assert_eq!(instances.load_age(instance, at(11_001)), Duration::ZERO);
        }
    }

    #[test]
    fn waiting_requests_count_for_as_much_as_requests_do() {
        let (instances, at) = (one(LoadSource::Reported), Timestamp::from_millis(1));
        let report = Report {
            waiting: Some(Aged { value: 3, at }),
            ..Report::default()
        };
        instances.report(CandidateId(0), &report, 700);
        assert_eq!(
            instances.backlog(instances.get(CandidateId(0)).unwrap(), at),
            2100
        );
        instances.report(CandidateId(7), &report, 700);
    }

    #[test]
    fn what_is_missing_is_never_nothing() {
        let instances = one(LoadSource::Own);
        let instance = instances.get(CandidateId(0)).unwrap();
        let prefix = PrefixHasher::new(instances.config().block_tokens, None).named(&[1, 2]);
        assert_eq!(instance.missing(Some(&prefix), 200), 200);
        instance.cache.completed(&prefix);
        assert_eq!(instance.missing(Some(&prefix), 200), 1);
        assert_eq!(instance.missing(Some(&prefix), 300), 44);
        assert_eq!(instance.missing(None, 0), 1);
    }

    #[test]
    fn a_grown_fleet_keeps_what_it_knew() {
        let before = one(LoadSource::Own);
        before.get(CandidateId(0)).unwrap().sent(10, 10);
        let grown = Catalogue::new(["new", "a"].map(Profile::named)).unwrap();
        let after = Instances::carried_over(&grown, before.config().clone(), Some(&before));
        let backlogs: Vec<u64> = after.iter().map(|i| i.own_backlog()).collect();
        assert_eq!(backlogs, [0, 10]);
    }
}
