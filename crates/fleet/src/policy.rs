//! Routers over the instances of one model, one file each. Scores are loads or predicted times: lower is better.
//!
//! | policy | looks at | keeps prefixes together |
//! | --- | --- | --- |
//! | [`RoundRobin`], [`RandomPick`] | nothing | no |
//! | [`PowerOfTwo`], [`LeastLoad`] | two loads, all loads | no |
//! | [`ConsistentHash`], [`BoundedHash`] | nothing, all loads | yes |
//! | [`CacheAware`], [`MinTtft`] | all loads and caches | yes |
//! | [`DualMap`] | two loads and caches | yes |
//!
//! Those that keep prefixes together need [`InstanceQuery::prefix`]; a request without one goes to the less loaded of two.

mod bounded_hash;
mod cache_aware;
mod consistent_hash;
mod dualmap;
mod least_load;
mod load;
mod min_ttft;
mod power_of_two;
mod random;
mod round_robin;

use std::sync::Arc;

use fingerpost_core::{Catalogue, Name, Router, TokenCount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bounded_hash::{BoundedHash, BoundedHashConfig};
pub use cache_aware::{CacheAware, CacheAwareConfig};
pub use consistent_hash::{ConsistentHash, ConsistentHashConfig};
pub use dualmap::{DualMap, DualMapConfig, PairChoice};
pub use least_load::LeastLoad;
pub use load::{LoadBy, LoadConfig, Loads, TokenTime, TokenTimeError};
pub use min_ttft::{MinTtft, MinTtftConfig};
pub use power_of_two::PowerOfTwo;
pub use random::RandomPick;
pub use round_robin::RoundRobin;

use crate::{
    Instances, Prefix, QueueConfig, StateConfig,
    prefix::adaptive::{KeyConfig, LazyExpansionController},
};

/// What an instance router sees of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceQuery {
    /// Input tokens, estimated; 0 where unknown.
    pub tokens: TokenCount,
    /// The prompt's beginning, for policies that look for warm caches.
    pub prefix: Option<Prefix>,
}

/// How an instance is picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum FleetPolicy {
    /// The less loaded of two chosen at random: nearly as even as looking at all, without the herd that stale loads cause.
    PowerOfTwo(LoadConfig),
    /// The least loaded of all.
    LeastLoad(LoadConfig),
    /// Each in turn.
    RoundRobin(NoOptions),
    /// Any.
    Random(NoOptions),
    /// The instance that the prompt's beginning belongs to.
    ConsistentHash(ConsistentHashConfig),
    /// The same, but the next one where that has more than its share of the load.
    BoundedHash(BoundedHashConfig),
    /// The one that holds most of the prompt's beginning, while loads are even enough.
    CacheAware(CacheAwareConfig),
    /// The one that promises the earliest first token, of all.
    MinTtft(MinTtftConfig),
    /// The better of two that the prompt's beginning belongs to, with a queue in front of each that can still be evened out.
    #[serde(rename = "dualmap")]
    DualMap(Box<DualMapConfig>),
}

/// Nothing can be set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// A policy, built: its router, and what whoever drives it must keep up.
pub(crate) struct Built {
    pub(crate) router: Arc<dyn Router<InstanceQuery>>,
    pub(crate) keys: Option<Arc<LazyExpansionController>>,
    pub(crate) queue: Option<Holding>,
}

/// How requests are held back for the instance that they were routed to.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) queue: QueueConfig,
    pub(crate) slo_s: f64,
    pub(crate) urgent_s: f64,
    pub(crate) token_time: TokenTime,
}

// === impl FleetPolicy ===

impl Default for FleetPolicy {
    fn default() -> Self {
        Self::PowerOfTwo(LoadConfig::default())
    }
}

impl FleetPolicy {
    /// Every policy with its defaults.
    pub fn all() -> Vec<Self> {
        vec![
            Self::RoundRobin(NoOptions {}),
            Self::Random(NoOptions {}),
            Self::LeastLoad(LoadConfig::default()),
            Self::PowerOfTwo(LoadConfig::default()),
            Self::ConsistentHash(ConsistentHashConfig::default()),
            Self::BoundedHash(BoundedHashConfig::default()),
            Self::CacheAware(CacheAwareConfig::default()),
            Self::MinTtft(MinTtftConfig::default()),
            Self::DualMap(Box::default()),
        ]
    }

    /// What it is called in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerOfTwo(_) => "power_of_two",
            Self::LeastLoad(_) => "least_load",
            Self::RoundRobin(_) => "round_robin",
            Self::Random(_) => "random",
            Self::ConsistentHash(_) => "consistent_hash",
            Self::BoundedHash(_) => "bounded_hash",
            Self::CacheAware(_) => "cache_aware",
            Self::MinTtft(_) => "min_ttft",
            Self::DualMap(_) => "dualmap",
        }
    }

    /// Whether it looks at [`InstanceQuery::prefix`].
    pub fn keeps_prefixes(&self) -> bool {
        match self {
            Self::PowerOfTwo(_) | Self::LeastLoad(_) | Self::RoundRobin(_) | Self::Random(_) => false,
            Self::ConsistentHash(_)
            | Self::BoundedHash(_)
            | Self::CacheAware(_)
            | Self::MinTtft(_)
            | Self::DualMap(_) => true,
        }
    }

    /// Whether its decisions depend on what becomes of requests, beyond the calls that candidates have under way.
    pub fn follows_requests(&self) -> bool {
        match self {
            Self::PowerOfTwo(config) | Self::LeastLoad(config) => config.by != LoadBy::Calls,
            _ => self.keeps_prefixes(),
        }
    }

    /// What it wants kept of instances; `None` where it wants nothing.
    pub fn state(&self) -> Option<&StateConfig> {
        match self {
            Self::PowerOfTwo(config) | Self::LeastLoad(config) => Some(&config.state),
            Self::RoundRobin(_) | Self::Random(_) => None,
            Self::ConsistentHash(config) => Some(&config.state),
            Self::BoundedHash(config) => Some(&config.state),
            Self::CacheAware(config) => Some(&config.state),
            Self::MinTtft(config) => Some(&config.state),
            Self::DualMap(config) => Some(&config.state),
        }
    }

    /// The same, to be changed.
    pub fn state_mut(&mut self) -> Option<&mut StateConfig> {
        match self {
            Self::PowerOfTwo(config) | Self::LeastLoad(config) => Some(&mut config.state),
            Self::RoundRobin(_) | Self::Random(_) => None,
            Self::ConsistentHash(config) => Some(&mut config.state),
            Self::BoundedHash(config) => Some(&mut config.state),
            Self::CacheAware(config) => Some(&mut config.state),
            Self::MinTtft(config) => Some(&mut config.state),
            Self::DualMap(config) => Some(&mut config.state),
        }
    }

    /// Builds the router over `catalogue`, whose instances `instances` knows; `name` is what its evidence carries. `known` are the
    /// lengths of keys that the same policy has learned over another catalogue.
    pub(crate) fn build(
        &self,
        name: Name,
        catalogue: &Catalogue,
        instances: &Arc<Instances>,
        known: Option<&Arc<LazyExpansionController>>,
    ) -> Built {
        let keys = |config: &KeyConfig| match known {
            Some(keys) => {
                keys.resize(catalogue.len());
                Arc::clone(keys)
            }
            None => Arc::new(LazyExpansionController::new(config.clone(), catalogue.len())),
        };
        let loads = |by| Loads::new(by, Arc::clone(instances));
        let plain = |router| Built {
            router,
            keys: None,
            queue: None,
        };
        match self {
            Self::PowerOfTwo(config) => plain(Arc::new(PowerOfTwo::new(name, loads(config.by)))),
            Self::LeastLoad(config) => plain(Arc::new(LeastLoad::new(name, loads(config.by)))),
            Self::RoundRobin(_) => plain(Arc::new(RoundRobin::new(name))),
            Self::Random(_) => plain(Arc::new(RandomPick::new(name))),
            Self::ConsistentHash(config) => {
                let keys = keys(&config.key);
                let router =
                    ConsistentHash::new(name, config, catalogue, Arc::clone(&keys), loads(LoadBy::Calls));
                Built {
                    keys: Some(keys),
                    ..plain(Arc::new(router))
                }
            }
            Self::BoundedHash(config) => {
                let keys = keys(&config.key);
                let router = BoundedHash::new(name, config, catalogue, Arc::clone(&keys), loads(config.by));
                Built {
                    keys: Some(keys),
                    ..plain(Arc::new(router))
                }
            }
            Self::CacheAware(config) => {
                plain(Arc::new(CacheAware::new(name, config.clone(), loads(config.by))))
            }
            Self::MinTtft(config) => plain(Arc::new(MinTtft::new(name, config, Arc::clone(instances)))),
            Self::DualMap(config) => {
                let keys = keys(&config.key);
                let router = DualMap::new(name, config, catalogue, Arc::clone(&keys), Arc::clone(instances));
                Built {
                    router: Arc::new(router),
                    keys: Some(keys),
                    queue: config.holding(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CandidateId, Context, Limits, Profile, Timestamp};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::{Fleet, PrefixHasher};

    #[test]
    fn policies_are_named_in_the_configuration() {
        let policy: FleetPolicy = serde_json::from_str(r#"{"policy":"least_load"}"#).unwrap();
        assert_eq!(policy, FleetPolicy::LeastLoad(LoadConfig::default()));
        let policy: FleetPolicy = serde_json::from_str(
            r#"{"policy":"dualmap","slo":"2s","switch_at":0.7,"queue":{"order":"arrival"},"state":{"block_tokens":512}}"#,
        )
        .unwrap();
        assert_eq!(policy.name(), "dualmap");
        assert_eq!(policy.state().unwrap().block_tokens.get(), 512);
        for bad in [
            r#"{"policy":"most_load"}"#,
            r#"{"policy":"random","seed":1}"#,
            r#"{"policy":"least_load","by":"hope"}"#,
            r#"{"policy":"dualmap","slow":"2s"}"#,
            r#"{"policy":"min_ttft","seconds_per_token":0}"#,
        ] {
            assert!(serde_json::from_str::<FleetPolicy>(bad).is_err(), "{bad}");
        }
        for policy in FleetPolicy::all() {
            let text = serde_json::to_string(&policy).unwrap();
            assert!(text.contains(&format!(r#""policy":"{}""#, policy.name())));
            assert_eq!(serde_json::from_str::<FleetPolicy>(&text).unwrap(), policy);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_policy_picks_what_the_limits_exclude(
            loads in prop::collection::vec(0u32..5, 1..12),
            down in prop::collection::vec(any::<bool>(), 12),
            left_out in 0u32..13,
            blocks in prop::collection::vec(0u64..3, 0..6),
            seed: u64,
        ) {
            let catalogue = Catalogue::new((0..loads.len()).map(|i| Profile::named(format!("i{i}")))).unwrap();
            for (candidate, load) in catalogue.iter().zip(&loads) {
                (0..*load).for_each(|_| candidate.live.begin());
                candidate.live.set_available(!down[candidate.id.0 as usize]);
            }
            let among: Vec<CandidateId> = catalogue.ids().into_iter().filter(|id| id.0 != left_out).collect();
            let limits = Limits { max_in_flight: Some(4), ..Limits::NONE };
            let hasher = PrefixHasher::new(std::num::NonZeroU32::MIN, None);
            for prefix in [None, Some(hasher.named(&blocks))] {
                let query = InstanceQuery { tokens: TokenCount(5), prefix };
                for policy in FleetPolicy::all() {
                    let fleet = Fleet::new(&policy, "p", &catalogue);
                    let mut rng = SmallRng::seed_from_u64(seed);
                    let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
                    match fleet.router().route(&query, &among, &mut cx) {
                        Ok(decision) => for pick in &decision.picks {
                            let picked = catalogue.get(pick.id).unwrap();
                            prop_assert_eq!(limits.admit(picked), Ok(()));
                            prop_assert_eq!(&picked.profile.name, &pick.name);
                            prop_assert!(among.contains(&pick.id));
                        },
                        Err(none) => prop_assert_eq!(none.excluded.len(), among.len(), "{}", policy.name()),
                    }
                }
            }
        }
    }
}
