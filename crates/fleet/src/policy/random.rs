//! Any instance.

use fingerpost_core::{CandidateId, Context, Decision, Evidence, Learn, Name, NoRoute, Pick, Reason, Router};
use rand::Rng;

use super::InstanceQuery;

/// Any admitted instance, all equally likely. Score: calls under way there.
#[derive(Debug)]
pub struct RandomPick {
    name: Name,
}

// === impl RandomPick ===

impl RandomPick {
    /// A router whose evidence carries `name`.
    pub fn new(name: Name) -> Self {
        Self { name }
    }
}

impl Learn for RandomPick {}

impl Router<InstanceQuery> for RandomPick {
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
        let at = cx.rng.random_range(0..count);
        let pick = cx.admitted(among).nth(at).ok_or_else(|| cx.no_route(among))?;
        let load = f64::from(pick.live.in_flight());
        #[allow(
            clippy::cast_precision_loss,
            reason = "a fleet has far fewer than 2^52 instances"
        )]
        let evidence = Evidence::of(self.name.clone()).with_propensity(1.0 / count as f64);
        Ok(Decision::single(
            Pick::of(pick, load),
            Reason::new("drawn at random"),
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
    fn the_propensity_is_that_of_an_even_draw() {
        let catalogue = Catalogue::new(["a", "b", "c", "d"].map(Profile::named)).unwrap();
        let (limits, mut rng) = (Limits::default(), SmallRng::seed_from_u64(0));
        let mut cx = Context::new(&catalogue, &limits, Timestamp::default(), &mut rng);
        let decision =
            RandomPick::new("r".into()).route(&InstanceQuery::default(), &catalogue.ids(), &mut cx);
        assert!((decision.unwrap().evidence.propensity - 0.25).abs() < 1e-12);
    }
}
