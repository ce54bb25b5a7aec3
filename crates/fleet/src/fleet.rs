//! The instances of one model as whoever sends requests sees them: a policy, and what happens to requests, told as it happens.
//!
//! The gateway and the simulator drive the same object:
//!
//! 1. [`Fleet::router`] decides.
//! 2. Where the policy holds requests back ([`Fleet::holds`]) the request is given to [`Fleet::hold`], and [`Fleet::next`] is asked
//!    who is due now, until it says nobody; elsewhere it is [`Fleet::sent`] at once.
//! 3. [`Fleet::first_token`] when an answer begins ([`Fleet::expected`] when it should have, where nobody sees that), [`Fleet::ended`] when
//!    it is over, however that came; then `next` again.
//! 4. [`Fleet::rebalance`] every [`Fleet::scan_every`].
//! 5. [`Fleet::report`] with what an instance or a fellow router tells; [`Fleet::close`], [`Fleet::lost`] and [`Fleet::back`] as instances go
//!    and come.
//!
//! Decisions take no lock. What happens to requests takes short ones: of the queue, of one cache, of the counts of keys.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fingerpost_core::{CandidateId, Catalogue, Decision, Name, Router, Timestamp};

use crate::{
    FleetPolicy, Instance, InstanceQuery, Instances, Prefix, Queues, Report, StateConfig,
    prefix::adaptive::LazyExpansionController,
};

/// Share of a new value in the mean of missing tokens: it follows some 64 requests.
const MEAN_OF: u64 = 64;

/// A policy over the instances of one model, with its state.
pub struct Fleet {
    name: Name,
    policy: FleetPolicy,
    router: Arc<dyn Router<InstanceQuery>>,
    instances: Arc<Instances>,
    keys: Option<Arc<LazyExpansionController>>,
    queues: Option<Mutex<Queues>>,
    /// Tokens missing of a prompt, on average.
    mean_missing: AtomicU64,
}

/// A request that was sent. Dropping it ends it.
#[derive(Debug)]
pub struct Call {
    prefill: Arc<Prefill>,
    prefix: Option<Prefix>,
    tokens: u32,
    since: Timestamp,
    has_begun: bool,
}

/// The part of a call in which its prompt is computed.
#[derive(Debug)]
pub struct Prefill {
    to: CandidateId,
    instance: Arc<Instance>,
    missing: u32,
    is_over: AtomicBool,
}

/// A request that was held back and is sent now.
#[derive(Debug)]
pub struct Due {
    /// What it was held under.
    pub ticket: u64,
    /// The request, sent.
    pub call: Call,
    /// Whether it goes to another instance than it was routed to.
    pub moved: bool,
}

// === impl Fleet ===

impl Fleet {
    /// `policy` over the instances of `catalogue`, of which nothing is known yet. `name` is what the evidence of its decisions carries.
    pub fn new(policy: &FleetPolicy, name: impl Into<Name>, catalogue: &Catalogue) -> Self {
        let state = policy.state().cloned().unwrap_or(StateConfig {
            cached_tokens: 0,
            ..StateConfig::default()
        });
        Self::over(
            policy,
            name.into(),
            catalogue,
            Instances::new(catalogue, state),
            None,
        )
    }

    /// The same policy over another catalogue, after the fleet has grown or shrunk: instances keep by name what is known of them, keys their
    /// lengths, and no
    /// key moves but those next to the points of who came or went. What waits stays with the fleet that holds it.
    #[must_use]
    pub fn resized(&self, catalogue: &Catalogue) -> Self {
        let state = self.instances.config().clone();
        let instances = Instances::carried_over(catalogue, state, Some(&self.instances));
        let keys = self.keys.as_ref();
        Self::over(&self.policy, self.name.clone(), catalogue, instances, keys)
    }

    fn over(
        policy: &FleetPolicy,
        name: Name,
        catalogue: &Catalogue,
        instances: Instances,
        keys: Option<&Arc<LazyExpansionController>>,
    ) -> Self {
        let instances = Arc::new(instances);
        let built = policy.build(name.clone(), catalogue, &instances, keys);
        let queues = |holding| Mutex::new(Queues::new(holding, Arc::clone(&instances)));
        Self {
            name,
            policy: policy.clone(),
            router: built.router,
            keys: built.keys,
            queues: built.queue.map(queues),
            instances,
            mean_missing: AtomicU64::new(0),
        }
    }

    /// The policy.
    pub fn policy(&self) -> &FleetPolicy {
        &self.policy
    }

    /// What decides.
    pub fn router(&self) -> &Arc<dyn Router<InstanceQuery>> {
        &self.router
    }

    /// What is known of the instances.
    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Whether requests are held back until their instance has room.
    pub fn holds(&self) -> bool {
        self.queues.is_some()
    }

    /// How often [`Fleet::rebalance`] is to be called; `None`: never.
    pub fn scan_every(&self) -> Option<Duration> {
        self.queues().map(|queues| queues.config().scan_every)
    }

    /// Longest that a request is held back; `None`: as long as whoever sent it waits.
    pub fn max_wait(&self) -> Option<Duration> {
        self.queues()?.config().max_wait
    }

    /// How many requests are held back, and how many have moved since the start.
    pub fn held_and_moved(&self) -> (usize, u64) {
        self.queues()
            .map_or((0, 0), |queues| (queues.len(), queues.moved()))
    }

    /// Holds a request back under `ticket`, the caller's own name for it. Returns whether it is held; if not, it is to be sent at once.
    pub fn hold(&self, ticket: u64, query: &InstanceQuery, decision: &Decision, now: Timestamp) -> bool {
        self.hold_since(ticket, query, decision, now, now)
    }

    /// Like [`Fleet::hold`], of a request that came at `since`: it has waited elsewhere, and keeps its age.
    pub fn hold_since(
        &self,
        ticket: u64,
        query: &InstanceQuery,
        decision: &Decision,
        since: Timestamp,
        now: Timestamp,
    ) -> bool {
        self.queues()
            .is_some_and(|mut queues| queues.hold(ticket, query.clone(), decision, since, now))
    }

    /// The next request that is due, already counted as sent; it keeps the time at which it was held as that at which it came.
    pub fn next(&self, now: Timestamp) -> Option<Due> {
        let mut queues = self.queues()?;
        loop {
            let next = queues.next(now)?;
            if let Some(call) = self.sent(next.to, &next.query, next.since, now) {
                return Some(Due {
                    ticket: next.ticket,
                    call,
                    moved: next.moved,
                });
            }
        }
    }

    /// A request that came at `since` is sent to `to` now. `None` where there is no such instance.
    pub fn sent(
        &self,
        to: CandidateId,
        query: &InstanceQuery,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<Call> {
        let instance = Arc::clone(self.instances.get(to)?);
        let tokens = query.tokens.0;
        let missing = instance.missing(query.prefix.as_ref(), tokens);
        instance.sent(missing, tokens);
        if let (Some(keys), Some(prefix)) = (&self.keys, &query.prefix) {
            keys.seen(prefix, now);
        }
        let towards = |mean: u64| match mean {
            0 => u64::from(missing),
            mean => (mean * (MEAN_OF - 1) + u64::from(missing)) / MEAN_OF,
        };
        let _ = self
            .mean_missing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |mean| Some(towards(mean)));
        let prefill = Prefill {
            to,
            instance,
            missing,
            is_over: AtomicBool::new(false),
        };
        Some(Call {
            prefill: Arc::new(prefill),
            prefix: query.prefix.clone(),
            tokens,
            since,
            has_begun: false,
        })
    }

    /// How long the prompt of a call that was just sent will take, with those before it there; `None` where requests are not held back.
    pub fn expected_in(&self, call: &Call) -> Option<Duration> {
        let pending = call.prefill.instance.pending();
        let seconds = self.queues()?.seconds(pending);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The prompt of a call should have been computed by now, of which nobody sees when it is: an answer that is no stream shows its first
    /// token with its last. What waits need not wait for it any longer.
    pub fn expected(&self, prefill: &Prefill, now: Timestamp) {
        if prefill.over(Some(now))
            && let Some(mut queues) = self.queues()
        {
            queues.freed(prefill.to);
        }
    }

    /// The first token of an answer came: the prompt has been computed and is in the cache.
    pub fn first_token(&self, call: &mut Call, now: Timestamp) {
        if std::mem::replace(&mut call.has_begun, true) {
            return;
        }
        let prefill = &call.prefill;
        prefill.over(Some(now));
        if let Some(prefix) = &call.prefix {
            prefill.instance.cache.completed(prefix);
        }
        if let Some(mut queues) = self.queues() {
            queues.computed(prefill.to, now.since(call.since));
        }
    }

    /// An answer is over, or its call failed or was given up.
    pub fn ended(&self, call: Call) {
        let to = call.to();
        drop(call);
        if let Some(mut queues) = self.queues() {
            queues.freed(to);
        }
    }

    /// The request held under `ticket` is no longer wanted. Returns whether it waited.
    pub fn cancel(&self, ticket: u64) -> bool {
        self.queues().is_some_and(|mut queues| queues.cancel(ticket))
    }

    /// Evens hot spots out. Returns how many requests moved; then [`Fleet::next`] is to be asked.
    pub fn rebalance(&self, now: Timestamp) -> usize {
        self.queues().map_or(0, |mut queues| queues.rebalance(now))
    }

    /// An instance, or a fellow router, told of `from`.
    pub fn report(&self, from: CandidateId, report: &Report) {
        let mean = self.mean_missing.load(Ordering::Relaxed);
        self.instances.report(from, report, mean);
    }

    /// Whatever waits may be due, for a reason that this object has not been told.
    pub fn look_again(&self) {
        if let Some(mut queues) = self.queues() {
            queues.touch_all();
        }
    }

    /// Nothing is sent to an instance any more, until it is [`Fleet::back`]. Returns the tickets that waited for it, to be routed anew.
    pub fn close(&self, id: CandidateId) -> Vec<u64> {
        self.queues().map_or_else(Vec::new, |mut queues| queues.close(id))
    }

    /// An instance is gone, and with it what it held. Returns the tickets that waited for it, to be routed anew.
    pub fn lost(&self, id: CandidateId) -> Vec<u64> {
        if let Some(instance) = self.instances.get(id) {
            instance.cache.clear();
        }
        self.close(id)
    }

    /// An instance is back.
    pub fn back(&self, id: CandidateId) {
        if let Some(mut queues) = self.queues() {
            queues.open(id);
        }
    }

    fn queues(&self) -> Option<MutexGuard<'_, Queues>> {
        let queues = self.queues.as_ref()?;
        Some(queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

// === impl Call ===

impl Call {
    /// Where it was sent.
    pub fn to(&self) -> CandidateId {
        self.prefill.to
    }

    /// Prompt tokens that were believed not to be cached there.
    pub fn missing(&self) -> u32 {
        self.prefill.missing
    }

    /// The part of it in which its prompt is computed, for whoever knows when that should be over.
    pub fn prefill(&self) -> &Arc<Prefill> {
        &self.prefill
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.prefill.over(None);
        self.prefill.instance.ended(self.tokens);
    }
}

// === impl Prefill ===

impl Prefill {
    /// It is over, if it was not before; `at` is when, where it came to its end. Returns whether that is news.
    fn over(&self, at: Option<Timestamp>) -> bool {
        let is_news = !self.is_over.swap(true, Ordering::Relaxed);
        if is_news {
            self.instance.computed(self.missing, at);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Context, Limits, Profile, TokenCount};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::{LoadConfig, PrefixHasher};

    fn catalogue(count: usize) -> Catalogue {
        Catalogue::new((0..count).map(|i| Profile::named(format!("gpu-{i}")))).unwrap()
    }

    fn query(blocks: &[u64]) -> InstanceQuery {
        let hasher = PrefixHasher::new(std::num::NonZeroU32::new(128).unwrap(), None);
        InstanceQuery {
            tokens: TokenCount(128 * u32::try_from(blocks.len()).unwrap()),
            prefix: Some(hasher.named(blocks)),
        }
    }

    fn pair(fleet: &Fleet, catalogue: &Catalogue, query: &InstanceQuery) -> Vec<Name> {
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(0));
        let mut cx = Context::new(catalogue, &limits, Timestamp::default(), &mut rng);
        let decision = fleet.router().route(query, &catalogue.ids(), &mut cx).unwrap();
        let mut names: Vec<Name> = decision.picks.iter().map(|p| p.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_request_from_beginning_to_end() {
        let (catalogue, at) = (catalogue(2), Timestamp::from_millis(7));
        let fleet = Fleet::new(&FleetPolicy::DualMap(Box::default()), "f", &catalogue);
        let (query, zero) = (query(&[1, 2, 3]), CandidateId(0));
        let instance = fleet.instances().get(zero).unwrap();
        let mut call = fleet.sent(zero, &query, at, at).unwrap();
        assert_eq!(
            (call.missing(), instance.own_backlog(), instance.running()),
            (384, 384, 384)
        );
        fleet.first_token(&mut call, at);
        assert_eq!(
            (
                instance.own_backlog(),
                instance.pending_calls(),
                instance.running()
            ),
            (0, 0, 384)
        );
        assert_eq!(instance.cache.len(), 3);
        fleet.ended(call);
        assert_eq!(instance.running(), 0);
        // One that fails leaves nothing behind, in the cache neither.
        drop(fleet.sent(CandidateId(1), &query, at, at).unwrap());
        let other = fleet.instances().get(CandidateId(1)).unwrap();
        assert_eq!(
            (other.own_backlog(), other.pending_calls(), other.cache.len()),
            (0, 0, 0)
        );
        assert!(fleet.sent(CandidateId(9), &query, at, at).is_none());
        assert!(fleet.lost(zero).is_empty() && instance.cache.is_empty());
    }

    #[test]
    fn what_is_held_is_sent_one_by_one() {
        let (catalogue, at) = (catalogue(1), Timestamp::from_millis(7));
        let mut config = crate::DualMapConfig::default();
        config.queue.as_mut().unwrap().batch_tokens = 200;
        let fleet = Fleet::new(&FleetPolicy::DualMap(Box::new(config)), "f", &catalogue);
        assert!(fleet.holds());
        for ticket in [1, 2] {
            let query = query(&[ticket]);
            let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(0));
            let mut cx = Context::new(&catalogue, &limits, at, &mut rng);
            let decision = fleet.router().route(&query, &catalogue.ids(), &mut cx).unwrap();
            assert!(fleet.hold(ticket, &query, &decision, at));
        }
        let mut due = fleet.next(at).unwrap();
        assert_eq!((due.ticket, due.moved), (1, false));
        assert!(fleet.next(at).is_none());
        fleet.first_token(&mut due.call, at);
        assert_eq!(fleet.next(at).unwrap().ticket, 2);
        let plain = Fleet::new(&FleetPolicy::LeastLoad(LoadConfig::default()), "f", &catalogue);
        assert!(!plain.holds() && plain.next(at).is_none() && plain.scan_every().is_none());
    }

    #[test]
    fn what_should_have_been_computed_holds_nobody_back() {
        let (catalogue, at) = (catalogue(1), Timestamp::from_millis(7));
        let fleet = Fleet::new(&FleetPolicy::DualMap(Box::default()), "f", &catalogue);
        let (query, zero) = (query(&[1, 2]), CandidateId(0));
        let mut call = fleet.sent(zero, &query, at, at).unwrap();
        // 256 tokens of 0.00016 seconds each.
        assert_eq!(fleet.expected_in(&call), Some(Duration::from_nanos(40_960_000)));
        let instance = fleet.instances().get(zero).unwrap();
        fleet.expected(call.prefill(), at);
        fleet.expected(call.prefill(), at);
        assert_eq!((instance.pending_calls(), instance.own_backlog()), (0, 0));
        assert!(
            instance.cache.is_empty(),
            "nobody has seen that it is in the cache"
        );
        fleet.first_token(&mut call, at);
        assert_eq!((instance.pending_calls(), instance.cache.len()), (0, 2));
        let plain = Fleet::new(&FleetPolicy::LeastLoad(LoadConfig::default()), "f", &catalogue);
        assert_eq!(
            plain.expected_in(&plain.sent(zero, &query, at, at).unwrap()),
            None
        );
    }

    #[test]
    fn a_ninth_instance_moves_no_more_than_its_share_of_the_pairs() {
        let (eight, nine) = (catalogue(8), catalogue(9));
        let fleet = Fleet::new(&FleetPolicy::DualMap(Box::default()), "f", &eight);
        let grown = fleet.resized(&nine);
        let (mut slots, mut moved) = (0usize, 0usize);
        for name in 0..4000 {
            let query = query(&[name, 1, 2, 3, 4, 5, 6, 7]);
            let before = pair(&fleet, &eight, &query);
            let after = pair(&grown, &nine, &query);
            slots += before.len();
            moved += before.iter().filter(|name| !after.contains(name)).count();
            // What moves, moves to who came; at least one of the two stays.
            assert!(
                after
                    .iter()
                    .filter(|n| !before.contains(n))
                    .all(|n| *n == "gpu-8")
            );
            assert!(before.iter().any(|n| after.contains(n)));
        }
        #[allow(clippy::cast_precision_loss)]
        let share = moved as f64 / slots as f64;
        assert!((0.05..=2.0 / 9.0 + 0.05).contains(&share), "{share}");
    }
}
