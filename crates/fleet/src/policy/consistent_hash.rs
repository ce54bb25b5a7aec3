//! Consistent hashing: the instance that the prompt's beginning belongs to.
//!
//! Keeps prompts of one beginning together whatever the loads are, which is the most that caches can give and the least that balance can: a
//! popular beginning is one instance's burden.

use std::{num::NonZeroU16, sync::Arc};

use fingerpost_core::{
    CandidateId, Catalogue, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceQuery, Loads, PowerOfTwo};
use crate::{
    Ring, StateConfig,
    prefix::adaptive::{KeyConfig, LazyExpansionController},
};

/// Points of an instance on a ring: shares then differ by 8 % (one standard deviation).
pub(super) const VIRTUAL_NODES: NonZeroU16 = NonZeroU16::MIN.saturating_add(159);

/// Options of `consistent_hash`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistentHashConfig {
    /// Points of an instance on the ring. Default 160.
    pub virtual_nodes: NonZeroU16,
    /// How much of a prompt makes its key.
    pub key: KeyConfig,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// The instance that the prompt's beginning belongs to. Score: its load in calls.
#[derive(Debug)]
pub struct ConsistentHash {
    name: Name,
    ring: Ring,
    keys: Arc<LazyExpansionController>,
    loads: Loads,
    without_prefix: PowerOfTwo,
}

// === impl ConsistentHashConfig ===

impl Default for ConsistentHashConfig {
    fn default() -> Self {
        Self {
            virtual_nodes: VIRTUAL_NODES,
            key: KeyConfig::default(),
            state: StateConfig::default(),
        }
    }
}

// === impl ConsistentHash ===

impl ConsistentHash {
    /// A router over `catalogue` whose evidence carries `name`.
    pub fn new(
        name: Name,
        config: &ConsistentHashConfig,
        catalogue: &Catalogue,
        keys: Arc<LazyExpansionController>,
        loads: Loads,
    ) -> Self {
        Self {
            ring: Ring::new(catalogue, config.virtual_nodes, 1),
            keys,
            without_prefix: PowerOfTwo::new(name.clone(), loads.clone()),
            loads,
            name,
        }
    }
}

impl Learn for ConsistentHash {}

impl Router<InstanceQuery> for ConsistentHash {
    fn route(
        &self,
        query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let Some((key, blocks)) = query.prefix.as_ref().and_then(|p| self.keys.key(p)) else {
            return self.without_prefix.route(query, among, cx);
        };
        let pick = self
            .ring
            .find(key, among, cx, |_| true)
            .ok_or_else(|| cx.no_route(among))?;
        #[allow(clippy::cast_precision_loss, reason = "loads and blocks far below 2^52")]
        let (load, blocks) = (self.loads.of(pick, cx.now) as f64, blocks as f64);
        let reason = Reason::new("its prefix belongs there").with("key_blocks", blocks);
        Ok(Decision::single(
            Pick::of(pick, load),
            reason,
            Evidence::of(self.name.clone()),
        ))
    }
}
