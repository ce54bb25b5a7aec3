//! Agents by category, and turn by turn: which category, which agent in it, who is allowed now, and who goes on with what was begun.
//!
//! [`Categories`] is a tree of two levels over agents: given domains (top-down), and clusters of the agents that have none
//! (bottom-up). A query is compared with the categories first and only with the agents of the nearest few.
//! [`State`] is where a conversation stands: its phase, category and agent, what is known, who failed. It is plain data.
//! [`Moma`] takes state and event and gives the next state and the choice: agents that are not allowed now are masked before the
//! softmax, `none` never is, a follow-up stays with its agent unless another is better by a margin, and an agent that failed is
//! masked for the rest of the task. Nothing here does I/O.
//!
//! Source: "Towards generalized routing: model and agent orchestration" (MoMA, 2025), its stage A. Confirmed there: categories
//! from both directions, cosine top-k, the context-aware state machine with masking. The phases, thresholds and margins are ours.

mod category;
mod machine;
mod state;

pub use self::{
    category::{Categories, CategoryError, CategoryOptions},
    machine::{Masked, Moma, MomaConfig, MomaConfigError, Move, Rules},
    state::{Event, Mask, Phase, State},
};
