//! How good routers are.
//!
//! - [`twin`]: routers that choose a tier at every step of an agent's run: bank, prices, scorer, a trained router, how labels are
//!   found, the bill of live runs.
//! - [`counterfactual`]: what a policy would have earned, from the log of another.
//! - [`strategies`]: the registry of all strategies of routing and cascading that the surveys name, and what this product offers.

pub mod counterfactual;
pub mod strategies;
pub mod twin;
