//! Routers over the instances of one model. Scores are loads (calls under way): lower is better.

mod least_load;
mod power_of_two;
mod random;
mod round_robin;

use std::sync::Arc;

use fingerpost_core::{Name, Router, TokenCount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use least_load::LeastLoad;
pub use power_of_two::PowerOfTwo;
pub use random::RandomPick;
pub use round_robin::RoundRobin;

/// What an instance router sees of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceQuery {
    /// Input tokens, estimated; 0 where unknown.
    pub tokens: TokenCount,
    /// Hash of the prompt's beginning, for policies that look for warm caches.
    pub prefix: Option<u64>,
}

/// How an instance is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum FleetPolicy {
    /// The less loaded of two chosen at random: nearly as even as looking at all, without the herd that stale loads cause.
    #[default]
    PowerOfTwo,
    /// The least loaded of all.
    LeastLoad,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

// === impl FleetPolicy ===

impl FleetPolicy {
    /// Builds the router; `name` is what its evidence carries.
    pub fn build(self, name: impl Into<Name>) -> Arc<dyn Router<InstanceQuery>> {
        let name = name.into();
        match self {
            Self::PowerOfTwo => Arc::new(PowerOfTwo::new(name)),
            Self::LeastLoad => Arc::new(LeastLoad::new(name)),
            Self::RoundRobin => Arc::new(RoundRobin::new(name)),
            Self::Random => Arc::new(RandomPick::new(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{CandidateId, Catalogue, Context, Limits, Profile, Timestamp};
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const ALL: [FleetPolicy; 4] = [
        FleetPolicy::PowerOfTwo,
        FleetPolicy::LeastLoad,
        FleetPolicy::RoundRobin,
        FleetPolicy::Random,
    ];

    #[test]
    fn policies_are_named_in_the_configuration() {
        let policy: FleetPolicy = serde_json::from_str(r#"{"policy":"least_load"}"#).unwrap();
        assert_eq!(policy, FleetPolicy::LeastLoad);
        assert!(serde_json::from_str::<FleetPolicy>(r#"{"policy":"most_load"}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_policy_picks_what_the_limits_exclude(
            loads in prop::collection::vec(0u32..5, 1..12),
            down in prop::collection::vec(any::<bool>(), 12),
            seed: u64,
        ) {
            let catalogue = Catalogue::new((0..loads.len()).map(|i| Profile::named(format!("i{i}")))).unwrap();
            for (candidate, load) in catalogue.iter().zip(&loads) {
                (0..*load).for_each(|_| candidate.live.begin());
                candidate.live.set_available(!down[candidate.id.0 as usize]);
            }
            let limits = Limits { max_in_flight: Some(4), ..Limits::NONE };
            for policy in ALL {
                let router = policy.build("p");
                let mut rng = SmallRng::seed_from_u64(seed);
                let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
                match router.route(&InstanceQuery::default(), &catalogue.ids(), &mut cx) {
                    Ok(decision) => {
                        let picked = catalogue.get(decision.first().id).unwrap();
                        prop_assert_eq!(limits.admit(picked), Ok(()));
                        prop_assert_eq!(&picked.profile.name, &decision.first().name);
                    }
                    Err(none) => prop_assert_eq!(none.excluded.len(), loads.len()),
                }
            }
            prop_assert!(CandidateId(0) < CandidateId(1));
        }
    }
}
