//! Power of two choices: of two admitted instances chosen at random, the less loaded.
//!
//! Mitzenmacher (2001): the longest queue falls from order log n / log log n (one random choice) to order log log n, at the cost
//! of looking at two loads. Looking at all of them would be a little more even here, but sends everybody to one instance where
//! loads are stale.

use fingerpost_core::{
    Candidate, CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router,
};
use rand::Rng;

use super::{InstanceQuery, Loads};

/// The less loaded of two random instances. Score: its load.
#[derive(Debug)]
pub struct PowerOfTwo {
    name: Name,
    loads: Loads,
}

// === impl PowerOfTwo ===

impl PowerOfTwo {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name, loads: Loads) -> Self {
        Self { name, loads }
    }
}

impl Learn for PowerOfTwo {}

impl Router<InstanceQuery> for PowerOfTwo {
    fn route(
        &self,
        _query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let count = cx.admitted(among).count();
        let (now, loads) = (cx.now, &self.loads);
        let load = |c: &Candidate| loads.order(c, now);
        let (pick, reason) = match count {
            0 => return Err(cx.no_route(among)),
            1 => (cx.admitted(among).next(), Reason::new("the only one in service")),
            _ => {
                // Two different places: the second is drawn from the others.
                let a = cx.rng.random_range(0..count);
                let b = (a + cx.rng.random_range(1..count)) % count;
                let (first, second) = (a.min(b), a.max(b));
                let mut admitted = cx.admitted(among);
                let one = admitted.nth(first);
                let other = admitted.nth(second - first - 1);
                let pick = match (one, other) {
                    (Some(one), Some(other)) if load(other) < load(one) => Some(other),
                    (one, other) => one.or(other),
                };
                (pick, Reason::new("less loaded of two"))
            }
        };
        let pick = pick.ok_or_else(|| cx.no_route(among))?;
        #[allow(clippy::cast_precision_loss, reason = "loads far below 2^52")]
        let load = loads.of(pick, now) as f64;
        let evidence = Evidence::of(self.name.clone());
        Ok(Decision::single(
            Pick::of(pick, load),
            reason.with("load", load),
            evidence,
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

    fn router(catalogue: &Catalogue) -> PowerOfTwo {
        let instances = Instances::new(catalogue, StateConfig::default());
        PowerOfTwo::new("p2c".into(), Loads::new(LoadBy::Calls, Arc::new(instances)))
    }

    #[test]
    fn the_most_loaded_of_three_is_never_picked_and_the_idle_one_most_often() {
        let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
        let ids = catalogue.ids();
        (0..9).for_each(|_| catalogue.get(ids[0]).unwrap().live.begin());
        (0..3).for_each(|_| catalogue.get(ids[1]).unwrap().live.begin());
        let router = router(&catalogue);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut picked = [0u32; 3];
        let limits = Limits::default();
        for _ in 0..3000 {
            let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
            let decision = router.route(&InstanceQuery::default(), &ids, &mut cx).unwrap();
            picked[decision.first().id.0 as usize] += 1;
        }
        // Pairs {a,b}, {a,c}, {b,c} are equally likely: b wins one of three, c two, a none.
        assert_eq!(picked[0], 0);
        assert!((900..1100).contains(&picked[1]), "{picked:?}");
    }

    #[test]
    fn one_seed_one_sequence() {
        let catalogue = Catalogue::new(["a", "b", "c", "d"].map(Profile::named)).unwrap();
        let run = || {
            let mut rng = SmallRng::seed_from_u64(7);
            let (router, limits) = (router(&catalogue), Limits::default());
            let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
            let mut next = || {
                router
                    .route(&InstanceQuery::default(), &catalogue.ids(), &mut cx)
                    .unwrap()
                    .first()
                    .id
            };
            (0..50).map(|_| next()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
