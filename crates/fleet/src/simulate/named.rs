//! Policies under the names by which runs are asked for.

use super::SimulateError;
use crate::{
    DualMapConfig, FleetPolicy, LoadBy, LoadConfig, PairChoice, QueueConfig, QueueOrder,
    prefix::adaptive::KeyConfig,
};

/// A policy under the name that rows carry.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The policy.
    pub policy: FleetPolicy,
}

// === impl Named ===

impl Named {
    /// Every policy with its defaults, and those that look at calls looking at tokens too.
    pub fn all() -> Vec<Self> {
        let by_tokens = || LoadConfig {
            by: LoadBy::Tokens,
            ..LoadConfig::default()
        };
        let mut all: Vec<Self> = FleetPolicy::all().into_iter().map(Self::plain).collect();
        all.extend([
            Self::of("least_load/tokens", FleetPolicy::LeastLoad(by_tokens())),
            Self::of("power_of_two/tokens", FleetPolicy::PowerOfTwo(by_tokens())),
        ]);
        all
    }

    /// DualMap, and DualMap with one part different.
    pub fn ablations() -> Vec<Self> {
        let with = |name: &str, change: &dyn Fn(&mut DualMapConfig)| {
            let mut config = DualMapConfig::default();
            change(&mut config);
            Self::of(&format!("dualmap{name}"), FleetPolicy::DualMap(Box::new(config)))
        };
        let queue = |change: fn(&mut QueueConfig)| {
            move |config: &mut DualMapConfig| {
                if let Some(queue) = &mut config.queue {
                    change(queue);
                }
            }
        };
        vec![
            with("", &|_| {}),
            with("/affinity", &|c| c.choose = PairChoice::Affinity),
            with("/least_loaded", &|c| c.choose = PairChoice::LeastLoaded),
            with("/switch_at_0.25", &|c| c.switch_at = 0.25),
            with("/switch_at_1", &|c| c.switch_at = 1.0),
            with("/no_queue", &|c| c.queue = None),
            with("/no_queue+affinity", &|c| {
                (c.queue, c.choose) = (None, PairChoice::Affinity);
            }),
            with("/no_queue+least_loaded", &|c| {
                (c.queue, c.choose) = (None, PairChoice::LeastLoaded);
            }),
            with(
                "/order_cached_first",
                &queue(|q| q.order = QueueOrder::CachedFirst),
            ),
            with("/order_arrival", &queue(|q| q.order = QueueOrder::Arrival)),
            with("/no_rebalance", &queue(|q| q.rebalance = false)),
            with("/neighbours", &queue(|q| q.neighbours = true)),
            with("/pending_2", &queue(|q| q.pending = 2)),
            with("/fixed_key", &|c| c.key.adaptive = false),
            with("/key_of_1_block", &|c| {
                c.key = KeyConfig {
                    first_tokens: 512,
                    ..KeyConfig::default()
                };
            }),
            with("/key_of_1_block+fixed", &|c| {
                c.key = KeyConfig {
                    first_tokens: 512,
                    adaptive: false,
                    ..KeyConfig::default()
                };
            }),
        ]
    }

    /// Those of these names; `all` and `ablations` stand for all of theirs.
    ///
    /// # Errors
    /// [`SimulateError::UnknownPolicy`] with those that there are.
    pub fn find(names: &[String]) -> Result<Vec<Self>, SimulateError> {
        let known = || {
            Self::all()
                .into_iter()
                .chain(Self::ablations().into_iter().skip(1))
        };
        let mut found: Vec<Self> = Vec::new();
        for name in names {
            let named = match name.as_str() {
                "all" => Self::all(),
                "ablations" => Self::ablations(),
                name => known().filter(|n| n.name == name).collect(),
            };
            if named.is_empty() {
                let allowed: Vec<String> = known().map(|n| n.name).collect();
                return Err(SimulateError::UnknownPolicy {
                    name: name.clone(),
                    allowed: allowed.join(", "),
                });
            }
            found.extend(
                named
                    .into_iter()
                    .filter(|n| !found.contains(n))
                    .collect::<Vec<_>>(),
            );
        }
        Ok(found)
    }

    fn plain(policy: FleetPolicy) -> Self {
        Self::of(policy.name(), policy)
    }

    fn of(name: &str, policy: FleetPolicy) -> Self {
        Self {
            name: name.to_owned(),
            policy,
        }
    }
}
