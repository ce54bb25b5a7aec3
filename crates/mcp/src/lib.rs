//! Many MCP servers behind one.
//!
//! A [`Hub`] keeps the downstream servers connected, whatever becomes of each. Clients speak to it over standard input and output
//! ([`over_stdio`]) or streamable HTTP ([`Http`]), with a session or without one: `search_tools` finds among the tools of all
//! servers, `call_tool` calls one, `tool_stats` tells how they fare. A call either brings its server's answer, or that of a tool
//! that may do its work, or an error that says who was asked and what came of it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `connect` | starts a program, or finds an address; opens the conversation |
//! | `listener` | what a downstream server says unasked: progress, changes |
//! | `server` | one downstream server: connected again and again, its breaker |
//! | `tool` | a tool as its server describes it, read with suspicion |
//! | `name` | one name among those of all servers |
//! | `catalogue`, `search` | all tools; the right one among them |
//! | `call`, `failure` | one call; why it brought no result, and whether it may have run |
//! | `reroute` | who is asked instead |
//! | `hub` | all of it together |
//! | `own`, `front`, `listen` | what clients see, and where they come in |

mod call;
mod catalogue;
mod connect;
mod failure;
mod front;
mod hub;
mod listen;
mod listener;
pub mod name;
mod own;
mod reroute;
mod search;
mod secrets;
mod server;
mod stats;
mod text;
mod tool;

pub use hub::Hub;
pub use listen::{Http, ListenError, Metrics, PATH, over_stdio, over_streams};
