//! Each instance in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use fingerpost_core::{CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router};

use super::InstanceQuery;

/// Each admitted instance in turn. Score: calls under way there.
#[derive(Debug)]
pub struct RoundRobin {
    name: Name,
    next: AtomicUsize,
}

// === impl RoundRobin ===

impl RoundRobin {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            next: AtomicUsize::new(0),
        }
    }
}

impl Learn for RoundRobin {}

impl Router<InstanceQuery> for RoundRobin {
    fn route(
        &self,
        _query: &InstanceQuery,
        among: &[CandidateId],
        cx: &mut Context<'_>,
    ) -> Result<Decision, NoRoute> {
        let count = cx.admitted(among).count();
        if count == 0 {
            return Err(cx.no_route(among));
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let pick = cx.admitted(among).nth(turn).ok_or_else(|| cx.no_route(among))?;
        let load = f64::from(pick.live.in_flight());
        let evidence = Evidence::of(self.name.clone());
        Ok(Decision::single(
            Pick::of(pick, load),
            Reason::new("its turn"),
            evidence,
        ))
    }
}

#[cfg(test)]
mod tests {
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn everyone_gets_a_turn() {
        let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
        let (limits, mut rng) = (Limits::default(), SmallRng::seed_from_u64(0));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let router = RoundRobin::new("rr".into());
        let mut next = || {
            router
                .route(&InstanceQuery::default(), &catalogue.ids(), &mut cx)
                .unwrap()
                .first()
                .id
                .0
        };
        assert_eq!([next(), next(), next(), next()], [0, 1, 2, 0]);
    }
}
