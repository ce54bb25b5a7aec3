//! Which adapters stay resident, and which one serves a request, when neither their quality for a request nor the traffic is known
//! (POLAR; card: `systems/19`).
//!
//! Two time scales. For every request, a linear bandit that knows what is resident: each adapter `a` has a ridge regression of its
//! answers' quality on the request's context `x`, and the pick has the highest `θ_a·x + alpha √(xᵀ A_a⁻¹ x) − c_a`, where the page-in
//! `c_a` falls due only for what is not resident. For every epoch, a controller that keeps the set of adapters that
//! would have been worth most on recent contexts ([`control`](self::keep)), less what loading them costs. Epochs are of fixed length, or
//! double: then each begins with every adapter being tried often enough, and the set changes O(log T) times ([`Epochs`]).
//!
//! The card confirms the two scales, the two kinds of epochs and the bandit; the score, the set's value and all constants are
//! inferred from its formulas. Other than there: a request that needs what is not kept takes the place of the kept adapter that is worth
//! least, and stays there until another needs it or the epoch ends, because engines serve nothing that is not loaded; forced trials come in
//! one run an adapter, so that each pays for one load; trials that a request already made count; and fixed epochs begin with some, too,
//! because a bandit that pays for loads else never meets what happens not to be loaded.
//!
//! A router does no I/O: [`Polar::page_in`] and [`Polar::rebalance`] say what to load and unload ([`CacheAction`]), and whoever does it
//! says how it went ([`Polar::loaded`], [`Polar::load_failed`]). An adapter that fails to load is out until its back-off ends; a base
//! model takes over only where the configuration names one.
//!
//! Cost: a decision takes `N d²` products, learning `d²`, an epoch's end `N d²` a context and then `N K` a context.
//! Scores are in quality, net of page-in.

mod arm;
mod config;
mod control;
mod residency;
mod router;
mod trial;

pub use config::{Epochs, PageInConfig, PolarConfig, PolarError};
pub use control::{Worth, keep};
pub use residency::CacheAction;
pub use router::{AdapterQuery, Polar};
pub use trial::{Play, Policy, Rows, RowsError, play};
