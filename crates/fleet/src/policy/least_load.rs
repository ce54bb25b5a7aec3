//! The instance with the fewest calls under way.

use fingerpost_core::{CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router};

use super::InstanceQuery;

/// The least loaded instance; ties go to the one that stands first. Score: calls under way there.
#[derive(Debug)]
pub struct LeastLoad {
    name: Name,
}

// === impl LeastLoad ===

impl LeastLoad {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name) -> Self {
        Self { name }
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
            .min_by_key(|c| c.live.in_flight())
            .ok_or_else(|| cx.no_route(among))?;
        let load = f64::from(pick.live.in_flight());
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
    use fingerpost_core::{Catalogue, Limits, Profile, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn ties_go_to_the_first() {
        let catalogue = Catalogue::new(["a", "b", "c"].map(Profile::named)).unwrap();
        catalogue.get(CandidateId(0)).unwrap().live.begin();
        let (limits, mut rng) = (Limits::default(), SmallRng::seed_from_u64(0));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let decision =
            LeastLoad::new("ll".into()).route(&InstanceQuery::default(), &catalogue.ids(), &mut cx);
        assert_eq!(decision.unwrap().first().name, "b");
    }
}
