//! Monitors: cheap looks at a walk before each of its steps. The signal of the highest priority says what happens next.
//!
//! | source | what it looks at | priority | what follows where it wins |
//! | --- | --- | --- | --- |
//! | tool health | tools that are next, and spared or barred | 0.99 where one is | their weight becomes infinite, the path is sought anew |
//! | output | the last answers, against what their tools are to give | 0.98 where one does not count | the same |
//! | progress | calls and failures so far | 0.96 where there are too many, else 0.50 | it is handed over; else the next tools run |
//! | risk | the amount and the flags of the task | 0.95 above the amount, 0.85 with flags, else 0.20 | the model is asked, once |
//! | memory | the answers kept for later tools | 0.93 where they are too long, else 0.10 | the oldest are let go |
//! | intent | what the task is about | 0.90 known, 0.30 unknown | the next tools run |

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};

use super::{file::Expects, graph::ToolGraph, task::Task};

/// Who gives a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Whether it is known what the task is about.
    Intent,
    /// Whether much is at stake.
    Risk,
    /// Whether the next tools are up.
    ToolHealth,
    /// Whether the answers of tools count.
    Output,
    /// How much is kept.
    Memory,
    /// Whether the walk comes forward.
    Progress,
}

/// What a monitor says.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Who says it.
    pub source: Source,
    /// How much it matters, 0 to 1.
    pub priority: f64,
    /// The tool that it is about, where it is about one.
    pub about: Option<Name>,
}

/// What the monitors look at.
pub(crate) struct View<'a> {
    pub(crate) graph: &'a ToolGraph,
    pub(crate) task: &'a Task,
    /// A tool that is next and cannot be called.
    pub(crate) down: Option<&'a Name>,
    /// A tool whose answer does not count.
    pub(crate) rejected: Option<&'a Name>,
    pub(crate) calls: u32,
    pub(crate) failures: u32,
    pub(crate) kept_bytes: usize,
    pub(crate) intent_known: bool,
    pub(crate) risk_taken: bool,
}

// === impl View ===

impl View<'_> {
    /// The signal of the highest priority; among equal ones that which stands first in the table above.
    pub(crate) fn strongest(&self) -> Signal {
        let settings = self.graph.settings();
        let signal = |source, priority, about: Option<&Name>| Signal {
            source,
            priority,
            about: about.cloned(),
        };
        let too_many = self.calls >= settings.max_calls
            || settings.max_failures.is_some_and(|most| self.failures > most);
        let risk = if self.risk_taken {
            0.20
        } else {
            self.task.risk(settings.risk_amount)
        };
        let signals = [
            signal(
                Source::ToolHealth,
                if self.down.is_some() { 0.99 } else { 0.0 },
                self.down,
            ),
            signal(
                Source::Output,
                if self.rejected.is_some() { 0.98 } else { 0.0 },
                self.rejected,
            ),
            signal(Source::Progress, if too_many { 0.96 } else { 0.50 }, None),
            signal(Source::Risk, risk, None),
            signal(
                Source::Memory,
                if self.kept_bytes > settings.max_kept_bytes {
                    0.93
                } else {
                    0.10
                },
                None,
            ),
            signal(Source::Intent, if self.intent_known { 0.90 } else { 0.30 }, None),
        ];
        let [first, rest @ ..] = signals;
        rest.into_iter().fold(
            first,
            |best, next| if next.priority > best.priority { next } else { best },
        )
    }
}

// === impl Expects ===

impl Expects {
    /// Whether an answer counts; else what is wrong with it. The text is looked at, never followed.
    pub(crate) fn accepts(&self, text: &str, most_bytes: usize) -> Result<(), String> {
        if text.len() > most_bytes {
            return Err(format!(
                "its answer has {} bytes, at most {most_bytes} are taken",
                text.len()
            ));
        }
        if !self.empty && text.trim().is_empty() {
            return Err("its answer is empty".to_owned());
        }
        if !self.json && self.fields.is_empty() {
            return Ok(());
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|_| "its answer is no JSON".to_owned())?;
        let missing = self
            .fields
            .iter()
            .find(|f| value.get(f.as_str()).is_none_or(serde_json::Value::is_null));
        missing.map_or(Ok(()), |field| Err(format!("its answer has no `{field}`")))
    }
}
