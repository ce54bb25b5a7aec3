//! Routers that choose a tier at every step of an agent's run (TwinRouterBench, arXiv 2605.18859).
//!
//! A [`Bank`] holds what a router would have seen just before each call of saved runs, and the cheapest [`Tier`] that was proven
//! sufficient there. [`Scorer`] prices three paths beside each other (always the highest tier, the proven tiers, the predicted
//! ones), each with a cache of its own, and gives four figures and their mean. A [`TierRouter`] is asked step by step and sees
//! [`Step`] alone: never the workload's name, the instance, the number of steps to come or the proven tier.
//! [`Trained`] is such a router, learned from a bank, and [`PolicyRouter`] another. [`find_tiers`] is how labels are made; [`Bill`] scores live runs.
//!
//! ```
//! use fingerpost_eval::twin::*;
//! let line = r#"{"id":"a1","benchmark":"b","instance_id":"a","step_index":1,"total_steps":1,
//!     "messages":[{"role":"user","content":"list files"}],"target_tier":"low","target_tier_id":0}"#;
//! let bank = Bank::new(vec![Row::parse(line).unwrap()]).unwrap();
//! let scorer = Scorer::new(&bank, &Prices::PUBLISHED, &BytesOverFour);
//! let report = scorer.report(&predict(&Constant(Tier::High), &bank));
//! assert_eq!(report.scores.trajectory_pass, 100.0);
//! assert_eq!(report.scores.cost_savings, 0.0);
//! ```

mod bank;
mod bill;
mod cues;
mod decide;
mod error;
mod features;
mod fixed;
mod label;
mod message;
mod named;
mod paths;
mod policy;
mod prices;
mod read;
mod report;
mod router;
mod row;
mod scorer;
mod softmax;
mod split;
mod stakes;
mod tier;
mod tokens;
mod trained;
mod tuning;

pub use bank::{Bank, BankError};
pub use bill::{Bill, LiveRun, UNRESOLVED_USD};
pub use error::TwinError;
pub use fixed::{Alternate, Constant, Reference};
pub use label::{Labelled, Simulator, find_tiers};
pub use message::{Message, ToolCall};
pub use named::{Named, UnknownRouter};
pub use policy::{PolicyOptions, PolicyRouter, train_policy};
pub use prices::{Buckets, ModelPrices, Prices, TierPrices};
pub use report::{Accounting, Report, Scores, Workload};
pub use router::{RouteError, Step, TierRouter, predict};
pub use row::{Row, RowError};
pub use scorer::{Prediction, Scorer};
pub use split::{Split, folds};
pub use tier::{Tier, UnknownTier};
pub use tokens::{BytesOverFour, TokenCounter};
pub use trained::{TrainError, Trained, TrainedOptions};
pub use tuning::{cross_fitted, cross_fitted_by};
