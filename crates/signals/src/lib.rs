//! Request → decision: what can be read off a request, and the policy over it.
//!
//! Three layers (`systems/43-vllm-semantic-router.md`). **Signals** are named facts about a request, in eleven families:
//! eight are read directly (keyword, context, language, authz, structure, conversation, event, metadata), three compare the
//! text's vector with examples (embedding, domain, complexity). **Projections** make one of several: exclusive groups,
//! weighted scores, named ranges. **Decisions** are Boolean trees over both, ranked by tier, priority and confidence.
//!
//! A [`Policy`] is compiled once from a [`PolicyConfig`] and then decides for each request, lazily: decisions are taken in
//! the order in which they would win, of each the cheapest signal that still matters is computed, and nothing is computed
//! that cannot change the winner or its confidence. What is computed is kept for the request, families at a time.
//!
//! ```
//! use std::sync::Arc;
//! use fingerpost_core::Query;
//! use fingerpost_signals::{Extra, Policy, PolicyConfig};
//!
//! let config: PolicyConfig = serde_json::from_str(r#"{
//!     "signals": {
//!         "keyword": { "urgent": { "any": ["asap", "right now"] } },
//!         "domain": { "math": {} }
//!     },
//!     "decisions": [
//!         { "name": "hurry", "priority": 10, "when": "keyword:urgent or context > 32K" },
//!         { "name": "other" }
//!     ]
//! }"#)?;
//! let encoder = Arc::new(fingerpost_encode::StaticEncoder::bundled());
//! let policy = Policy::compile(&config, encoder).expect("no problems");
//! let verdict = policy.decide(&Query::text("Please answer ASAP"), &Extra::default());
//! assert_eq!(verdict.name(), Some("hurry"));
//! assert_eq!(policy.reason(&verdict), "keyword:urgent");
//! assert!(!verdict.families().contains(fingerpost_signals::Family::Domain));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod bank;
mod check;
mod condition;
mod config;
mod facts;
pub mod family;
mod nearest;
mod phrases;
mod policy;
mod problem;
mod projection;
mod signal;
mod size;
#[cfg(test)]
mod testing;
mod text;

pub use bank::{MAX_EXAMPLES, PrototypeOptions};
pub use check::check;
pub use condition::{Comparison, Condition, ConditionError, Kind, Leaf, MAX_DEPTH, OnError, Test};
pub use config::{
    Band, Calibration, CalibrationMethod, DecisionRule, FamilyOptions, MappingMethod, MappingRule,
    PartitionRule, PartitionSemantics, PolicyConfig, ProjectionsConfig, ScoreInput, ScoreMethod, ScoreRule,
    SignalsConfig, Strategy, ValueSource,
};
pub use facts::ENCODED_BYTES;
pub use family::{Family, FamilySet};
pub use policy::{Extra, Policy, SignalReport, Verdict};
pub use problem::{Problem, Severity};
pub use signal::{Signal, State};
pub use size::{Number, NumberError};
