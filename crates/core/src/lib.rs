//! The vocabulary of Fingerpost: what every router at every level speaks.
//!
//! A request goes down levels; at each level one [`Router`] picks among [`Candidate`]s, from a query, within [`Limits`],
//! and learns from the [`Outcome`] of its pick. A router that must ask before it can decide is a [`Deliberate`]. The
//! decisions of one request form its [`Trace`]; an outcome of that trace reaches every router on it, once ([`Learners`]).
//!
//! No I/O, no clock, no global randomness: all three come in through [`Context`], so that one router runs unchanged in
//! the gateway, in the simulator and in a test.
//!
//! ```
//! use fingerpost_core::*;
//! use rand::SeedableRng;
//!
//! /// Takes the first candidate that the limits admit.
//! struct First;
//! impl Learn for First {}
//! impl<Q: ?Sized> Router<Q> for First {
//!     fn route(&self, _query: &Q, among: &[CandidateId], cx: &mut Context) -> Result<Decision, NoRoute> {
//!         let pick = cx.admitted(among).next().map(|c| Pick::of(c, 1.0));
//!         let pick = pick.ok_or_else(|| cx.no_route(among))?;
//!         Ok(Decision::single(pick, Reason::new("first admitted"), Evidence::of("first")))
//!     }
//! }
//!
//! let catalogue = Catalogue::new([Profile::named("small"), Profile::named("large")]).unwrap();
//! let mut rng = rand::rngs::SmallRng::seed_from_u64(7);
//! let limits = Limits::default();
//! let mut cx = Context::new(&catalogue, &limits, Timestamp::from_millis(0), &mut rng);
//! let decision = First.route("hello", &catalogue.ids(), &mut cx).unwrap();
//! assert_eq!(decision.first().name.as_str(), "small");
//! ```

mod candidate;
mod decision;
mod deliberate;
mod learn;
mod limits;
mod name;
mod outcome;
mod query;
mod router;
mod trace;
mod unit;

pub use candidate::{Candidate, CandidateId, Capabilities, Catalogue, CatalogueError, Live, Price, Profile};
pub use decision::{Decision, Evidence, Feature, Pick, Picks, Reason};
pub use deliberate::{
    Answer, Ask, Call, CallId, Deliberate, DriveError, Immediate, MAX_ROUNDS, Manner, Reply, Step, Thread,
    ThreadError, drive, drive_served,
};
pub use learn::{Delivered, Learn, Learners, Ledger, MemoryLedger, Stage};
pub use limits::{Exclusion, Limit, Limits, NoRoute};
pub use name::Name;
pub use outcome::{Failure, Outcome, Verdict};
pub use query::{Identity, Query, Role, Turn};
pub use router::{Context, Router};
pub use trace::{Hop, HopId, Level, Trace, TraceId, TraceIdError};
pub use unit::{
    Confidence, Millis, OutOfRange, Quality, Similarity, Timestamp, TokenCount, Usd, UsdPerMillion,
};
