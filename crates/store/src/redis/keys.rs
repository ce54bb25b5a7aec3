//! What stands where on the server.
//!
//! | key, after the prefix | type | what |
//! | --- | --- | --- |
//! | `:trace:ID`, `:traces` | string, sorted set | a trace as JSON; the ids by age |
//! | `:response:ID`, `:responses` | string, sorted set | a line of JSON about a response, then its body; the ids by age |
//! | `:claim:run:ID`, `:claim:feedback:ID` | string | who has claimed this delivery |
//! | `:log` | stream | outcomes: `d`, and for those of a run `o` (origin) and `n` (number there) |
//! | `:learned:GROUP`, `:learned` | hash, string | what a set of routers has learned, and up to where; the newest group |
//! | `:state:NAME` | string | what was kept under a name |

use fingerpost_core::{Stage, TraceId};

/// The keys under one prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    pub(super) log: String,
    pub(super) learned: String,
    pub(super) traces: String,
    pub(super) responses: String,
}

// === impl Keys ===

impl Keys {
    pub(super) fn under(prefix: &str) -> Self {
        Self {
            log: format!("{prefix}:log"),
            learned: format!("{prefix}:learned"),
            traces: format!("{prefix}:traces"),
            responses: format!("{prefix}:responses"),
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn any_trace(&self) -> String {
        format!("{}:trace:", self.prefix)
    }

    pub(super) fn trace(&self, id: TraceId) -> String {
        format!("{}:trace:{id}", self.prefix)
    }

    pub(super) fn any_response(&self) -> String {
        format!("{}:response:", self.prefix)
    }

    pub(super) fn response(&self, id: &str) -> String {
        format!("{}:response:{id}", self.prefix)
    }

    pub(super) fn claim(&self, id: TraceId, stage: Stage) -> String {
        let stage = match stage {
            Stage::Run => "run",
            Stage::Feedback => "feedback",
        };
        format!("{}:claim:{stage}:{id}", self.prefix)
    }

    pub(super) fn learned_by(&self, group: &str) -> String {
        format!("{}:{group}", self.learned)
    }

    pub(super) fn state(&self, name: &str) -> String {
        format!("{}:state:{name}", self.prefix)
    }
}
