//! Skills, tools and agents: finding the right one among thousands, and routing around the broken one.
//!
//! [`Entry`] is what can be called, whatever it is called by: a skill (instructions in a folder), a tool (of an MCP server or
//! in an OpenAI request) or an agent (an A2A card or an endpoint). Routers at this level pick entries for a task.
//!
//! The text of entries is untrusted: it is compared, never followed.

mod asking;
pub mod catalogue;
mod entry;
pub mod mcp;
pub mod moma;
pub mod self_healing;
pub mod single_agent_skills;
pub mod skill_router;
pub mod skill_tree;
pub mod tcar;

pub use entry::{Entry, Kind};
pub use self_healing::SelfHealing;
pub use skill_tree::{Beam, Child, SkillTree, SkillTreeRouter, TreeError, TreeOptions};
