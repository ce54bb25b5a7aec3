//! The promise that every router makes.

use rand::rngs::SmallRng;

use crate::{
    Candidate, CandidateId, Catalogue, Decision, Exclusion, Learn, Limit, Limits, NoRoute, Timestamp,
};

/// Picks among candidates, from a query `Q`, within the limits of the context.
///
/// Callers may rely on this:
/// - **Pure**: no I/O, no clock, no global randomness; all that varies comes in through [`Context`]. Two runs with one seed
///   and one state decide the same.
/// - **Within limits**: a pick always satisfies `cx.limits`. Where nobody is left it is [`NoRoute`], which says who was
///   excluded by which limit; an empty `among` gives an empty [`NoRoute`].
/// - **Ties** go to the candidate that stands first in `among`.
/// - **Never panics** on user data. Cheap enough for every request: reads its state through a snapshot, takes no lock that
///   learning holds.
///
/// What it needs in order to learn is in the decision's [`crate::Evidence`] and nowhere else; see [`Learn`].
pub trait Router<Q: ?Sized>: Learn {
    /// Picks among `among`.
    ///
    /// # Errors
    /// [`NoRoute`] where no candidate satisfies the limits.
    fn route(&self, query: &Q, among: &[CandidateId], cx: &mut Context<'_>) -> Result<Decision, NoRoute>;
}

/// Everything from outside that a router may read while it decides.
pub struct Context<'a> {
    /// The candidates and what is known of them.
    pub catalogue: &'a Catalogue,
    /// What a pick may not break.
    pub limits: &'a Limits,
    /// The time of the request.
    pub now: Timestamp,
    /// The only source of chance.
    pub rng: &'a mut SmallRng,
}

// === impl Context ===

impl<'a> Context<'a> {
    /// All of it.
    pub fn new(catalogue: &'a Catalogue, limits: &'a Limits, now: Timestamp, rng: &'a mut SmallRng) -> Self {
        Self {
            catalogue,
            limits,
            now,
            rng,
        }
    }

    /// Those of `among` that the limits admit, in order. Allocates nothing. The candidates outlive the context, so that it
    /// can be used while they are held.
    pub fn admitted<'b>(
        &self,
        among: &'b [CandidateId],
    ) -> impl Iterator<Item = &'a Candidate> + use<'a, 'b> {
        let (catalogue, limits) = (self.catalogue, self.limits);
        among
            .iter()
            .filter_map(move |id| catalogue.get(*id))
            .filter(move |c| limits.admit(c).is_ok())
    }

    /// The report of why nobody among `among` is admitted. Candidates that are admitted are left out of it.
    pub fn no_route(&self, among: &[CandidateId]) -> NoRoute {
        let exclude = |id: &CandidateId| {
            let Some(candidate) = self.catalogue.get(*id) else {
                return Some(Exclusion {
                    candidate: format!("#{}", id.0).into(),
                    limit: Limit::Unknown,
                });
            };
            let limit = self.limits.admit(candidate).err()?;
            Some(Exclusion {
                candidate: candidate.profile.name.clone(),
                limit,
            })
        };
        NoRoute {
            excluded: among.iter().filter_map(exclude).collect(),
        }
    }
}
