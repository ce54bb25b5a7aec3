//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): nobody takes more than a fixed multiple of the mean.
//!
//! A key whose instance is at its bound goes on to the next one clockwise, which is the same one for every request of that key, so what is
//! passed on stays together too.

use std::{num::NonZeroU16, sync::Arc};

use fingerpost_core::{
    Candidate, CandidateId, Catalogue, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason,
    Router,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceQuery, LoadBy, Loads, PowerOfTwo, consistent_hash::VIRTUAL_NODES};
use crate::{
    Ring, StateConfig,
    prefix::adaptive::{KeyConfig, LazyExpansionController},
};

/// Options of `bounded_hash`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BoundedHashConfig {
    /// Most load of an instance, as a multiple of the mean; at least 1. Default 1.25.
    pub factor: f64,
    /// What loads are counted in: `calls` or `tokens`. Default `tokens`.
    pub by: LoadBy,
    /// Points of an instance on the ring. Default 160.
    pub virtual_nodes: NonZeroU16,
    /// How much of a prompt makes its key.
    pub key: KeyConfig,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// The first instance clockwise that is below its bound; the least loaded where a limit bars all those. Score: its load.
#[derive(Debug)]
pub struct BoundedHash {
    name: Name,
    factor: f64,
    by: LoadBy,
    ring: Ring,
    keys: Arc<LazyExpansionController>,
    loads: Loads,
    without_prefix: PowerOfTwo,
}

// === impl BoundedHashConfig ===

impl Default for BoundedHashConfig {
    fn default() -> Self {
        Self {
            factor: 1.25,
            by: LoadBy::Tokens,
            virtual_nodes: VIRTUAL_NODES,
            key: KeyConfig::default(),
            state: StateConfig::default(),
        }
    }
}

// === impl BoundedHash ===

impl BoundedHash {
    /// A router over `catalogue` whose evidence carries `name`.
    pub fn new(
        name: Name,
        config: &BoundedHashConfig,
        catalogue: &Catalogue,
        keys: Arc<LazyExpansionController>,
        loads: Loads,
    ) -> Self {
        Self {
            factor: config.factor.max(1.0),
            by: config.by,
            ring: Ring::new(catalogue, config.virtual_nodes, 1),
            keys,
            without_prefix: PowerOfTwo::new(name.clone(), loads.clone()),
            loads,
            name,
        }
    }
}

impl Learn for BoundedHash {}

impl Router<InstanceQuery> for BoundedHash {
    fn route(
        &self,
        query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let Some((key, _)) = query.prefix.as_ref().and_then(|p| self.keys.key(p)) else {
            return self.without_prefix.route(query, among, cx);
        };
        let load = |c: &Candidate| self.loads.of(c, cx.now);
        let mine = match self.by {
            LoadBy::Calls => 1,
            LoadBy::Tokens => u64::from(query.tokens.0.max(1)),
        };
        let (total, count) = cx
            .admitted(among)
            .fold((mine, 0u64), |(total, count), c| (total + load(c), count + 1));
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let bound = self.factor * total as f64 / count.max(1) as f64;
        // The bound is above the mean of what is there, so somebody is below it.
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let pick = self
            .ring
            .find(key, among, cx, |c| (load(c) as f64) < bound)
            .or_else(|| cx.admitted(among).min_by_key(|c| load(c)))
            .ok_or_else(|| cx.no_route(among))?;
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let found = load(pick) as f64;
        let reason = Reason::new("the first below its bound")
            .with("load", found)
            .with("bound", bound);
        Ok(Decision::single(
            Pick::of(pick, found),
            reason,
            Evidence::of(self.name.clone()),
        ))
    }
}
