//! The earliest predicted first token, of all instances: what is yet to be computed there, and what of this prompt is not cached.
//!
//! With a fresh and complete view nothing simple beats it. With a stale one it sends everybody to the instance that looked best when the view
//! was taken, until the next view shows what that did.

use std::sync::Arc;

use fingerpost_core::{CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceQuery, LoadBy, Loads, PowerOfTwo, TokenTime};
use crate::{Instances, StateConfig};

/// Options of `min_ttft`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MinTtftConfig {
    /// Seconds that a prompt token takes to compute. Default 0.00016.
    pub seconds_per_token: TokenTime,
    /// What is kept of instances.
    pub state: StateConfig,
}

/// The earliest predicted first token; ties go to the one that stands first. Score: the predicted time to it, in seconds.
#[derive(Debug)]
pub struct MinTtft {
    name: Name,
    token_time: TokenTime,
    instances: Arc<Instances>,
    without_prefix: PowerOfTwo,
}

// === impl MinTtft ===

impl MinTtft {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name, config: &MinTtftConfig, instances: Arc<Instances>) -> Self {
        let loads = Loads::new(LoadBy::Calls, Arc::clone(&instances));
        Self {
            without_prefix: PowerOfTwo::new(name.clone(), loads),
            name,
            token_time: config.seconds_per_token,
            instances,
        }
    }
}

impl Learn for MinTtft {}

impl Router<InstanceQuery> for MinTtft {
    fn route(
        &self,
        query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let Some(prefix) = &query.prefix else {
            return self.without_prefix.route(query, among, cx);
        };
        let tokens = |id: CandidateId| {
            self.instances.get(id).map_or(0, |instance| {
                let missing = instance.missing(Some(prefix), query.tokens.0);
                self.instances.backlog(instance, cx.now) + u64::from(missing)
            })
        };
        let (pick, tokens) = cx
            .admitted(among)
            .map(|c| (c, tokens(c.id)))
            .min_by_key(|(_, tokens)| *tokens)
            .ok_or_else(|| cx.no_route(among))?;
        let ttft = self.token_time.of(tokens);
        let reason = Reason::new("earliest first token").with("ttft_s", ttft);
        Ok(Decision::single(
            Pick::of(pick, ttft),
            reason,
            Evidence::of(self.name.clone()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp, TokenCount};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::PrefixHasher;

    #[test]
    fn a_cached_prefix_is_worth_its_tokens_and_no_more() {
        let catalogue = Catalogue::new(["a", "b"].map(Profile::named)).unwrap();
        let config = MinTtftConfig::default();
        let instances = Arc::new(Instances::new(&catalogue, config.state.clone()));
        let prefix = PrefixHasher::new(config.state.block_tokens, None).named(&[1, 2, 3]);
        let warm = instances.get(CandidateId(1)).unwrap();
        warm.cache.completed(&prefix);
        let router = MinTtft::new("mt".into(), &config, Arc::clone(&instances));
        let query = InstanceQuery {
            tokens: TokenCount(1000),
            prefix: Some(prefix),
        };
        let (limits, mut rng) = (Limits::NONE, SmallRng::seed_from_u64(0));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        // 1000 - 3 x 128 tokens are missing at b, all of them at a.
        let decision = router.route(&query, &catalogue.ids(), &mut cx).unwrap();
        assert_eq!(decision.first().name, "b");
        assert!((decision.first().score - 616.0 * 0.00016).abs() < 1e-12);
        warm.sent(383, 383);
        let name = |cx: &mut Context| {
            let decision = router.route(&query, &catalogue.ids(), cx).unwrap();
            decision.first().name.to_string()
        };
        assert_eq!(name(&mut cx), "b");
        warm.sent(1, 1);
        assert_eq!(name(&mut cx), "a");
    }
}
