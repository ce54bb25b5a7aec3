//! The least loaded instance.

use fingerpost_core::{CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router};

use super::{InstanceQuery, Loads};

/// The least loaded instance; ties go to the one that stands first. Score: its load.
#[derive(Debug)]
pub struct LeastLoad {
    name: Name,
    loads: Loads,
}

// === impl LeastLoad ===

impl LeastLoad {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name, loads: Loads) -> Self {
        Self { name, loads }
    }
}

impl Learn for LeastLoad {}

impl Router<InstanceQuery> for LeastLoad {
    fn route(
        &self,
        _query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        // `min_by_key` keeps the first of equals.
        let pick = cx
            .admitted(among)
            .min_by_key(|c| self.loads.order(c, cx.now))
            .ok_or_else(|| cx.no_route(among))?;
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let load = self.loads.of(pick, cx.now) as f64;
        let reason = Reason::new("least loaded").with("load", load);
        Ok(Decision::single(
            Pick::of(pick, load),
            reason,
            Evidence::of(self.name.clone()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;
    use crate::{Instances, LoadBy, StateConfig};

    #[test]
    fn ties_of_tokens_are_broken_by_calls_and_the_rest_go_to_the_first() {
        let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
        catalogue.get(CandidateId(0)).unwrap().live.begin();
        let instances = Arc::new(Instances::new(&catalogue, StateConfig::default()));
        instances.get(CandidateId(1)).unwrap().sent(9, 9);
        let (limits, mut rng) = (Limits::default(), SmallRng::seed_from_u64(0));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        for (by, expected) in [(LoadBy::Calls, "b"), (LoadBy::Tokens, "c")] {
            let router = LeastLoad::new("ll".into(), Loads::new(by, Arc::clone(&instances)));
            let decision = router.route(&InstanceQuery::default(), &catalogue.ids(), &mut cx);
            assert_eq!(decision.unwrap().first().name, expected);
        }
    }
}
