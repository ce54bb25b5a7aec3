//! DualMap (arXiv 2602.06502; card 53): two independent hashes of a prompt's beginning name two instances, live state chooses between them.
//!
//! Same beginning, same two instances: their caches stay warm. Different beginnings, different pairs: loads spread as with power of two
//! choices. A decision looks at two instances whatever the size of the fleet, and a load view that is old costs little, since nobody but the
//! requests of a pair can herd there.
//!
//! 1. The key is the first blocks of the prefix, more of them where a key is hot ([`adaptive`](crate::prefix::adaptive)).
//! 2. Two rings of different hashes name the candidates; where both name one instance, the second is the next other one clockwise.
//! 3. Predicted time to first token: seconds per token × (tokens yet to be computed there + tokens of this prompt not cached there).
//! 4. The candidate with more of the prefix (then: with fewer tokens of running requests; then: any) while it promises a first token within
//!    `switch_at` of the objective; else the one that promises it earlier. Loads that were told some time ago are doubted: the
//!    warmer one has computed something since, and what the two differ by fades (`fade`), so that old loads turn nobody away from
//!    a warm cache unless they differ by much.
//! 5. to 7. Order of the queue, dispatch and rebalancing: [`Queues`](crate::Queues).
//! 8. An instance that comes or goes moves the keys next to its own points and no others; the other candidate stays what it was.
//!
//! Different from the paper: thresholds of key expansion and the number of points are ours, as neither was published; the neighbour hop of
//! its aggressive mode is off by default, as it breaks the property that a prefix has two homes.

use std::{cmp::Ordering, num::NonZeroU16, sync::Arc, time::Duration};

use fingerpost_core::{
    Candidate, CandidateId, Catalogue, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Picks,
    Reason, Router,
};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Holding, InstanceQuery, LoadBy, Loads, PowerOfTwo, TokenTime, consistent_hash::VIRTUAL_NODES};
use crate::{
    Instances, Prefix, QueueConfig, Ring, StateConfig,
    prefix::adaptive::{KeyConfig, LazyExpansionController},
};

/// How one of the two candidates is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairChoice {
    /// More of the prefix while that keeps the objective, else the earlier first token.
    #[default]
    SloAware,
    /// More of the prefix, always.
    Affinity,
    /// Fewer tokens yet to be computed, always.
    LeastLoaded,
}

/// Options of `dualmap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DualMapConfig {
    /// The longest time to first token that is wanted. Default `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub slo: Duration,
    /// Seconds that a prompt token takes to compute. Default 0.00016.
    pub seconds_per_token: TokenTime,
    /// How one of the two is chosen: `slo_aware`, `affinity` or `least_loaded`. Default `slo_aware`.
    pub choose: PairChoice,
    /// Share of `slo` from which on the warmer candidate is left for the earlier one. Default 0.5.
    pub switch_at: f64,
    /// How fast loads that were told fade: by so much later, 37 % of what two instances differ by still counts. Default `1s`; longer
    /// trusts old loads more, and the router's own counts are never old.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub fade: Duration,
    /// Points of an instance on each ring. Default 160.
    pub virtual_nodes: NonZeroU16,
    /// How much of a prompt makes its key.
    pub key: KeyConfig,
    /// How requests wait for their instance; absent: they do not, they are sent at once.
    pub queue: Option<QueueConfig>,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// The better of two instances by two hashes. Picks: the chosen one, then the other. Score: predicted time to first token, in seconds.
#[derive(Debug)]
pub struct DualMap {
    name: Name,
    choose: PairChoice,
    /// Seconds up to which the warmer one is good enough.
    switch_s: f64,
    fade_s: f64,
    token_time: TokenTime,
    rings: [Ring; 2],
    keys: Arc<LazyExpansionController>,
    instances: Arc<Instances>,
    without_prefix: PowerOfTwo,
}

/// What is expected of one candidate.
struct Estimate<'a> {
    candidate: &'a Candidate,
    cached: u32,
    running: u64,
    backlog: u64,
    /// Seconds since its load was told.
    age_s: f64,
    ttft_s: f64,
}

// === impl DualMapConfig ===

impl Default for DualMapConfig {
    fn default() -> Self {
        Self {
            slo: Duration::from_secs(5),
            seconds_per_token: TokenTime::default(),
            choose: PairChoice::SloAware,
            switch_at: 0.5,
            fade: Duration::from_secs(1),
            virtual_nodes: VIRTUAL_NODES,
            key: KeyConfig::default(),
            queue: Some(QueueConfig::default()),
            state: StateConfig::default(),
        }
    }
}

impl DualMapConfig {
    /// Seconds from which on the warmer candidate is left.
    fn switch_s(&self) -> f64 {
        self.switch_at.max(0.0) * self.slo.as_secs_f64()
    }

    pub(super) fn holding(&self) -> Option<Holding> {
        self.queue.clone().map(|queue| Holding {
            queue,
            slo_s: self.slo.as_secs_f64(),
            urgent_s: self.switch_s(),
            token_time: self.seconds_per_token,
        })
    }
}

// === impl DualMap ===

impl DualMap {
    /// A router over `catalogue` whose evidence carries `name`.
    pub fn new(
        name: Name,
        config: &DualMapConfig,
        catalogue: &Catalogue,
        keys: Arc<LazyExpansionController>,
        instances: Arc<Instances>,
    ) -> Self {
        let loads = Loads::new(LoadBy::Calls, Arc::clone(&instances));
        Self {
            choose: config.choose,
            switch_s: config.switch_s(),
            fade_s: config.fade.as_secs_f64(),
            token_time: config.seconds_per_token,
            rings: [1, 2].map(|seed| Ring::new(catalogue, config.virtual_nodes, seed)),
            keys,
            instances,
            without_prefix: PowerOfTwo::new(name.clone(), loads),
            name,
        }
    }

    fn estimate<'a>(
        &self,
        candidate: &'a Candidate,
        prefix: &Prefix,
        tokens: u32,
        cx: &Context<'_>,
    ) -> Estimate<'a> {
        let Some(instance) = self.instances.get(candidate.id) else {
            return Estimate {
                candidate,
                cached: 0,
                running: 0,
                backlog: 0,
                age_s: 0.0,
                ttft_s: self.token_time.of(u64::from(tokens.max(1))),
            };
        };
        let cached = instance.cache.matched_tokens(prefix, tokens);
        let backlog = self.instances.backlog(instance, cx.now);
        Estimate {
            candidate,
            cached,
            running: instance.running(),
            backlog,
            age_s: self.instances.load_age(instance, cx.now).as_secs_f64(),
            ttft_s: self.token_time.of(backlog + u64::from((tokens - cached).max(1))),
        }
    }

    /// Whether the second of two is to be taken, and why that one.
    fn prefers_second(
        &self,
        first: &Estimate<'_>,
        second: &Estimate<'_>,
        cx: &mut Context<'_>,
    ) -> (bool, &'static str) {
        if self.choose == PairChoice::LeastLoaded {
            return (second.backlog < first.backlog, "less loaded of its prefix's two");
        }
        let warmth = (first.cached.cmp(&second.cached)).then(second.running.cmp(&first.running));
        let is_second = match warmth {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => cx.rng.random(),
        };
        let (warmer, other) = if is_second {
            (second, first)
        } else {
            (first, second)
        };
        let [at_warmer, at_other] = self.doubted(warmer, other);
        if self.choose == PairChoice::Affinity || at_warmer <= self.switch_s || at_warmer <= at_other {
            return (is_second, "warmer of its prefix's two");
        }
        (!is_second, "earlier of its prefix's two")
    }

    /// Seconds to a first token at the warmer one, at least, and at the other, as far as their loads can be known.
    fn doubted(&self, warmer: &Estimate<'_>, other: &Estimate<'_>) -> [f64; 2] {
        let age_s = warmer.age_s.max(other.age_s);
        if age_s <= 0.0 {
            return [warmer.ttft_s, other.ttft_s];
        }
        let [load, other_load] = [warmer, other].map(|e| self.token_time.of(e.backlog));
        let trust = (-age_s / self.fade_s.max(f64::MIN_POSITIVE)).exp();
        let faded_s = (1.0 - trust) * (load - other_load) / 2.0;
        // An instance computes a second's worth a second, whatever else has come.
        [warmer.ttft_s - faded_s - age_s.min(load), other.ttft_s + faded_s]
    }
}

impl Learn for DualMap {}

impl Router<InstanceQuery> for DualMap {
    fn route(
        &self,
        query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let keyed = query.prefix.as_ref().and_then(|p| Some((p, self.keys.key(p)?)));
        let Some((prefix, (key, blocks))) = keyed else {
            return self.without_prefix.route(query, among, cx);
        };
        let first = self.rings[0]
            .find(key, among, cx, |_| true)
            .ok_or_else(|| cx.no_route(among))?;
        let second = self.rings[1].find(key, among, cx, |c| c.id != first.id);
        let mut best = self.estimate(first, prefix, query.tokens.0, cx);
        let (mut other, mut text) = (None, "the only one in service");
        if let Some(second) = second {
            let mut second = self.estimate(second, prefix, query.tokens.0, cx);
            let (is_second, why) = self.prefers_second(&best, &second, cx);
            if is_second {
                std::mem::swap(&mut best, &mut second);
            }
            (other, text) = (Some(second), why);
        }
        #[allow(clippy::cast_precision_loss, reason = "blocks far below 2^52")]
        let reason = Reason::new(text)
            .with("cached_tokens", f64::from(best.cached))
            .with("key_blocks", blocks as f64)
            .with("ttft_s", best.ttft_s);
        let mut decision = Decision::single(
            Pick::of(best.candidate, best.ttft_s),
            reason,
            Evidence::of(self.name.clone()),
        );
        let other = other.map(|other| Pick::of(other.candidate, other.ttft_s).weighing(0.0));
        decision.picks.extend::<Picks>(other.into_iter().collect());
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use fingerpost_core::{Limits, Profile, Timestamp, TokenCount};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::{Instance, LoadSource, PrefixHasher};

    struct Pair {
        catalogue: Catalogue,
        instances: Arc<Instances>,
        router: DualMap,
        query: InstanceQuery,
    }

    /// Two instances: whatever the rings say, they are the pair. Blocks of 1000 tokens, a millisecond a token.
    fn pair(choose: PairChoice) -> Pair {
        pair_by(choose, LoadSource::Own)
    }

    fn pair_by(choose: PairChoice, load: LoadSource) -> Pair {
        let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
        let block_tokens = NonZeroU32::new(1000).unwrap();
        let config = DualMapConfig {
            slo: Duration::from_secs(10),
            seconds_per_token: TokenTime::new(0.001).unwrap(),
            choose,
            state: StateConfig {
                block_tokens,
                load,
                ..StateConfig::default()
            },
            ..DualMapConfig::default()
        };
        let instances = Arc::new(Instances::new(&catalogue, config.state.clone()));
        let keys = Arc::new(LazyExpansionController::new(config.key.clone(), 2));
        let router = DualMap::new("dm".into(), &config, &catalogue, keys, Arc::clone(&instances));
        let query = InstanceQuery {
            tokens: TokenCount(4000),
            prefix: Some(PrefixHasher::new(block_tokens, None).named(&[1, 2, 3, 4])),
        };
        Pair {
            catalogue,
            instances,
            router,
            query,
        }
    }

    impl Pair {
        fn route(&self, seed: u64) -> Decision {
            let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(seed));
            let mut cx = Context::new(&self.catalogue, &limits, Timestamp::default(), &mut rng);
            self.router
                .route(&self.query, &self.catalogue.ids(), &mut cx)
                .unwrap()
        }

        /// The chosen one's name and both predicted times.
        fn chosen(&self) -> (String, f64, f64) {
            let decision = self.route(0);
            let score = |at: usize| (decision.picks[at].score * 1000.0).round() / 1000.0;
            (decision.first().name.to_string(), score(0), score(1))
        }

        fn warm(&self, id: u32) -> &Instance {
            let instance = self.instances.get(CandidateId(id)).unwrap();
            instance.cache.completed(self.query.prefix.as_ref().unwrap());
            instance
        }
    }

    #[test]
    fn the_warmer_one_until_the_objective_is_in_danger() {
        let pair = pair(PairChoice::SloAware);
        let warm = pair.warm(1);
        assert_eq!(pair.chosen(), ("b".into(), 0.001, 4.0));
        warm.sent(4999, 4999);
        assert_eq!(pair.chosen(), ("b".into(), 5.0, 4.0));
        // One token more, and half of ten seconds is passed.
        warm.sent(1, 1);
        assert_eq!(pair.chosen(), ("a".into(), 4.0, 5.001));
        // Both past it: still the earlier.
        pair.instances.get(CandidateId(0)).unwrap().sent(1002, 1002);
        assert_eq!(pair.chosen(), ("b".into(), 5.001, 5.002));
    }

    #[test]
    fn affinity_stays_and_least_loaded_leaves() {
        let stays = pair(PairChoice::Affinity);
        stays.warm(1).sent(1_000_000, 0);
        assert_eq!(stays.chosen().0, "b");
        let leaves = pair(PairChoice::LeastLoaded);
        leaves.warm(1).sent(1, 0);
        assert_eq!(leaves.chosen().0, "a");
    }

    #[test]
    fn old_loads_turn_away_from_a_warm_cache_only_where_they_differ_by_much() {
        let pair = pair_by(PairChoice::SloAware, LoadSource::Reported);
        let warm = pair.warm(1);
        let told = |id, backlog| {
            let report = crate::Report {
                backlog_tokens: Some(crate::Aged {
                    value: backlog,
                    at: Timestamp::from_millis(1000),
                }),
                ..crate::Report::default()
            };
            pair.instances.report(CandidateId(id), &report, 0);
        };
        assert_eq!(warm.missing(pair.query.prefix.as_ref(), 4000), 1);
        let at = |millis| {
            let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(0));
            let mut cx = Context::new(&pair.catalogue, &limits, Timestamp::from_millis(millis), &mut rng);
            let decision = pair.router.route(&pair.query, &pair.catalogue.ids(), &mut cx);
            decision.unwrap().first().name.to_string()
        };
        // 7.001 s against 4 s: plain while it is fresh. A second later the warmer one has 6 s left, of the 7 s between them 2.58 s
        // count, so 3.8 s against 6.2 s.
        told(0, 0);
        told(1, 7_000);
        assert_eq!((at(1000), at(2000)), ("a".into(), "b".into()));
        // 30 s of load: 18.5 s against 13.5 s.
        told(1, 30_000);
        assert_eq!((at(1000), at(2000)), ("a".into(), "a".into()));
    }

    #[test]
    fn equally_warm_means_fewer_running_tokens_and_then_any() {
        let pair = pair(PairChoice::SloAware);
        let names = |pair: &Pair| -> std::collections::BTreeSet<String> {
            (0..40)
                .map(|seed| pair.route(seed).first().name.to_string())
                .collect()
        };
        assert_eq!(names(&pair).len(), 2);
        pair.instances.get(CandidateId(0)).unwrap().sent(0, 1);
        assert_eq!(names(&pair).into_iter().collect::<Vec<_>>(), ["b"]);
    }
}
