//! One agent with skills in the place of several agents, and how it finds the right skill among many.
//!
//! A model that chooses among skills by reading their descriptors has a capacity: up to it the choice is nearly always right,
//! beyond it accuracy falls, and look-alikes bring the fall forward. What is here for it:
//! - [`SkillSelector`] asks a model page by page down a [`SkillTree`](crate::SkillTree), groups first and members after, so that it
//!   never reads more than a page or two; over [`SkillTree::flat`](crate::SkillTree::flat) it is the ordinary, flat choice.
//! - [`Shape::fitting`] says which of the two a library wants.
//! - [`BoundedSelector`] is a scripted model with such a capacity, for simulation; [`Capacity`] and [`Decay`] are the two
//!   laws by which accuracy falls with the library's size, fitted to what was measured.
//! - [`Audit`] finds the pairs that are easily confused.
//! - [`Team`] describes several agents; [`Team::compile`] makes one agent with skills of those that can share a history, and tells
//!   what that saves.
//!
//! Source: "When Single-Agent with Skills Replace Multi-Agent Systems and When They Fail" (2026). Confirmed there: cost model,
//! capacity, the gain of a hierarchy. The law's form is as its reviews report it; grouping, thresholds and beam are ours.

mod audit;
mod bounded;
mod compile;
mod law;
mod picture;
mod selector;
mod team;

pub use self::{
    audit::{Audit, LookAlike},
    bounded::{BoundedConfig, BoundedSelector},
    compile::{Compiled, CompiledSkill, Kept, KeptReason, Savings, Spend},
    law::{Capacity, Decay, Laws, Measured, Shape},
    picture::{Curve, accuracy_svg},
    selector::{SelectorConfig, SelectorConfigError, SkillSelector},
    team::{Protocol, Team, TeamAgent, TeamEdge, TeamError},
};
