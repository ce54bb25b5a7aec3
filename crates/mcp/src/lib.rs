//! Many MCP servers behind one.
//!
//! A [`Hub`] keeps the downstream servers connected, whatever becomes of each. Clients speak to it over standard input and output
//! ([`over_stdio`]) or streamable HTTP ([`Http`]), with a session or without one: `search_tools` finds among the tools of all
//! servers, `call_tool` calls one, `tool_stats` tells how they fare. A call either brings its server's answer, or that of a tool
//! that may do its work, or an error that says who was asked and what came of it. Resources and prompts of all servers are listed
//! as one server's would be.
//!
//! | file | what it is |
//! | --- | --- |
//! | `connect` | starts a program, or finds an address; opens the conversation |
//! | `listener`, `changes` | what a downstream server says unasked: progress, changes |
//! | `server`, `lists` | one downstream server: connected again and again, its breaker, what it lists |
//! | `listing` | what a server lists, read with suspicion |
//! | `tool`, `resource`, `template`, `prompt` | one of it |
//! | `name`, `uri` | one name, one URI among those of all servers |
//! | `catalogue`, `search` | all tools; the right one among them |
//! | `shelf` | all resources and prompts |
//! | `exchange`, `call`, `failure` | one request; why it brought no result, and whether it may have run |
//! | `reroute` | who is asked instead |
//! | `ask` | how a read, a prompt or a completion finds its server |
//! | `hub` | all of it together |
//! | `own`, `front`, `tell`, `listen` | what clients see and are told, and where they come in |

mod ask;
mod call;
mod catalogue;
mod changes;
mod connect;
mod exchange;
mod failure;
mod front;
mod hub;
mod listen;
mod listener;
mod listing;
mod lists;
pub mod name;
mod own;
mod prompt;
mod reroute;
mod resource;
mod search;
mod secrets;
mod server;
mod shelf;
mod stats;
mod tell;
mod template;
mod text;
mod tool;
mod uri;

pub use hub::Hub;
pub use listen::{Http, ListenError, Metrics, PATH, over_stdio, over_streams};
