//! What a policy would have earned, estimated from the log of another.
//!
//! A log says for each decision which action was taken, with which probability (its propensity), and what it earned. From that
//! the value of a target policy (mean reward a decision) is estimated in three ways:
//!
//! - [`Log::ips`], inverse propensity: the mean of w·r with w = P(target takes the action) / propensity. Unbiased, wide.
//! - [`Log::snips`], self-normalised: Σ w·r / Σ w. A little biased, narrower, and never outside the rewards seen.
//! - [`Log::doubly_robust`]: what a model of rewards expects of the target, plus the mean of w·(r − what it expects of the action
//!   taken). Unbiased if either the propensities or the model are right (and the model was not learned from the same rows);
//!   the narrower the better the model is.
//!
//! All three need that the logging policy could take every action that the target takes; what it never takes cannot be judged.
//!
//! ```
//! use fingerpost_eval::counterfactual::{Log, Taken};
//! let taken = |action, reward| Taken { action, propensity: 0.5, reward };
//! let log = Log::new(2, vec![taken(0, 1.0), taken(1, 0.0), taken(0, 0.0), taken(1, 0.0)])?;
//! let always_first = vec![vec![1.0, 0.0]; 4];
//! assert_eq!(log.ips(&always_first)?.value, 0.5);
//! assert_eq!(log.snips(&always_first)?.value, 0.5);
//! # Ok::<(), fingerpost_eval::counterfactual::LogError>(())
//! ```

mod log;
mod replay;

pub use log::{Estimate, Log, LogError, Taken};
pub use replay::{Replay, ReplayError, Reward};
