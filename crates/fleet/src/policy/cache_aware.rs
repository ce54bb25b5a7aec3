//! Cache-aware routing with a way out: to the longest cached prefix while loads are even, to the least loaded once they are not.
//!
//! The rule is that of SGLang's router: loads are uneven when the highest is more than `imbalance` calls above the lowest and more than
//! `imbalance_ratio` times it. It keeps a tree of prompts an instance; here the chain of block hashes that an instance is believed to hold is
//! that tree, written when a prompt has been computed and not when it is sent.

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router,
    Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceQuery, LoadBy, Loads, PowerOfTwo};
use crate::StateConfig;

/// Options of `cache_aware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheAwareConfig {
    /// Share of a prompt that must be cached somewhere for the request to go there; else it goes to the emptiest cache. Default 0.5.
    pub cache_threshold: f64,
    /// Loads are even while they differ by no more than this. Default 32.
    pub imbalance: u64,
    /// … or while the highest is no more than this multiple of the lowest. Default 1.1.
    pub imbalance_ratio: f64,
    /// What loads are counted in: `calls` or `tokens`. Default `calls`.
    pub by: LoadBy,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// The longest cached prefix, the emptiest cache, or the least load. Score: the picked instance's load.
#[derive(Debug)]
pub struct CacheAware {
    name: Name,
    config: CacheAwareConfig,
    loads: Loads,
    without_prefix: PowerOfTwo,
}

// === impl CacheAwareConfig ===

impl Default for CacheAwareConfig {
    fn default() -> Self {
        Self {
            cache_threshold: 0.5,
            imbalance: 32,
            imbalance_ratio: 1.1,
            by: LoadBy::Calls,
            state: StateConfig::default(),
        }
    }
}

// === impl CacheAware ===

impl CacheAware {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name, config: CacheAwareConfig, loads: Loads) -> Self {
        Self {
            without_prefix: PowerOfTwo::new(name.clone(), loads.clone()),
            config,
            loads,
            name,
        }
    }

    /// Tokens that an instance holds or will hold when all that is on its way there has been computed. Caches that are full differ by the
    /// latter.
    fn filled(&self, id: CandidateId, now: Timestamp) -> u64 {
        let instances = self.loads.instances();
        let block_tokens = u64::from(instances.config().block_tokens.get());
        instances.get(id).map_or(0, |instance| {
            instance.cache.len() as u64 * block_tokens + instances.backlog(instance, now)
        })
    }
}

impl Learn for CacheAware {}

impl Router<InstanceQuery> for CacheAware {
    fn route(
        &self,
        query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let Some(prefix) = &query.prefix else {
            return self.without_prefix.route(query, among, cx);
        };
        let instances = self.loads.instances();
        let with_load = || cx.admitted(among).map(|c| (c, self.loads.of(c, cx.now)));
        let least = with_load().min_by_key(|(_, load)| *load);
        let (idlest, low) = least.ok_or_else(|| cx.no_route(among))?;
        let high = with_load().map(|(_, load)| load).max().unwrap_or(low);
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let is_uneven =
            high - low > self.config.imbalance && high as f64 > self.config.imbalance_ratio * low as f64;
        let (pick, text) = if is_uneven {
            (idlest, "least loaded, as loads are uneven")
        } else {
            let cached = |c: &Candidate| {
                let instance = instances.get(c.id);
                instance.map_or(0, |i| i.cache.matched_tokens(prefix, query.tokens.0))
            };
            // `max_by_key` keeps the last of equals; the order of the trait is the first.
            let best = cx
                .admitted(among)
                .map(|c| (c, cached(c)))
                .reduce(|best, next| if next.1 > best.1 { next } else { best });
            match best {
                Some((warm, tokens))
                    if f64::from(tokens) > self.config.cache_threshold * f64::from(query.tokens.0) =>
                {
                    (warm, "holds most of its prefix")
                }
                _ => {
                    let emptiest = cx.admitted(among).min_by_key(|c| self.filled(c.id, cx.now));
                    (emptiest.unwrap_or(idlest), "emptiest cache")
                }
            }
        };
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let load = self.loads.of(pick, cx.now) as f64;
        let reason = Reason::new(text).with("load", load);
        Ok(Decision::single(
            Pick::of(pick, load),
            reason,
            Evidence::of(self.name.clone()),
        ))
    }
}
