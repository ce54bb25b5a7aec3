//! Several agents, as they are described in YAML.
//!
//! ```yaml
//! name: report-writers
//! agents:
//!   - name: researcher
//!     role: Finds sources for a question and returns them with quotes.
//!     prompt: |
//!       Search first, then read ...
//!     tools: [web_search]
//!   - name: writer
//!     role: Writes the report from sources.
//!     prompt: Write for a reader in a hurry.
//! edges:
//!   - {from: researcher, to: writer}
//! protocol: {start: researcher, end: [writer], rounds: 1, supervised: false}
//! ```

use std::collections::BTreeSet;

use fingerpost_core::Name;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most agents of a team; a description is untrusted, and what is done with it grows with their square.
const MOST_AGENTS: usize = 1_000;
/// Longest description, in bytes.
const LONGEST: usize = 4 << 20;

/// Several agents, who talks to whom, and how a round goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name.
    pub name: Name,
    /// The agents; names differ.
    pub agents: Vec<TeamAgent>,
    /// Who is given whose output.
    #[serde(default)]
    pub edges: Vec<TeamEdge>,
    /// How a task goes through them.
    #[serde(default)]
    pub protocol: Protocol,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamAgent {
    /// Its name.
    pub name: Name,
    /// When it is used, what it takes, what it returns.
    pub role: String,
    /// Its instructions.
    #[serde(default)]
    pub prompt: String,
    /// Tools that it calls.
    #[serde(default)]
    pub tools: Vec<Name>,
    /// Tokens that it writes for a task, about. Default 200.
    #[serde(default = "written")]
    pub writes_tokens: u32,
    /// Whether it knows what the others must not. Default false.
    #[serde(default)]
    pub private_state: bool,
    /// Whether it works against another's answer: a critic, a debater, a red team. Default false.
    #[serde(default)]
    pub adversarial: bool,
    /// Whether its worth is that it answers independently of others, such as one of several samples. Default false.
    #[serde(default)]
    pub sampling_diverse: bool,
}

/// One agent's output goes to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamEdge {
    /// Whose.
    pub from: Name,
    /// To whom.
    pub to: Name,
}

/// How a task goes through a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// Who is given the task first; all that nobody gives anything to where absent.
    pub start: Option<Name>,
    /// Who gives the answer; all that give nobody anything where empty.
    pub end: Vec<Name>,
    /// How often each agent speaks. Default 1.
    pub rounds: u32,
    /// Whether a model decides before each turn who is next. Default false.
    pub supervised: bool,
}

/// What is wrong with a description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TeamError {
    /// No YAML, or keys that are not known.
    #[error("the team cannot be read: {0}")]
    Syntax(String),
    /// Too long, or too many agents.
    #[error("{what}: {found}, at most {most}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        most: usize,
    },
    /// Nobody in it.
    #[error("the team `{0}` has no agents; name at least one under `agents`")]
    Empty(Name),
    /// Two of one name.
    #[error("the agent `{0}` stands twice; names must differ")]
    Duplicate(Name),
    /// A name without letters or digits, or two names that would become one folder.
    #[error("`{0}` makes no folder's name of its own; use letters and digits that tell it from the others")]
    NoFolder(Name),
    /// Somebody who is no agent of the team.
    #[error("`{place}` names `{name}`, who is no agent of the team; there are: {known}")]
    Unknown {
        /// Where.
        place: &'static str,
        /// Who.
        name: Name,
        /// Who there is.
        known: String,
    },
    /// No rounds.
    #[error("`protocol.rounds` must be at least 1, found 0")]
    NoRounds,
}

fn written() -> u32 {
    200
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            start: None,
            end: Vec::new(),
            rounds: 1,
            supervised: false,
        }
    }
}

// === impl Team ===

impl Team {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// [`TeamError`].
    pub fn read(yaml: &str) -> Result<Self, TeamError> {
        if yaml.len() > LONGEST {
            return Err(TeamError::TooMuch {
                what: "bytes of the description",
                found: yaml.len(),
                most: LONGEST,
            });
        }
        let mut options = serde_saphyr::Options::default();
        options.with_snippet = false;
        let team: Self = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| TeamError::Syntax(error.to_string()))?;
        team.check()?;
        Ok(team)
    }

    /// The name of an agent's folder: lower-case letters, digits and hyphens, so that no name leads out of a folder.
    pub(super) fn folder(name: &str) -> String {
        let lower = name.to_lowercase();
        let words = lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }

    /// The place of an agent.
    pub(super) fn place(&self, name: &Name) -> Option<usize> {
        self.agents.iter().position(|agent| agent.name == *name)
    }

    fn check(&self) -> Result<(), TeamError> {
        if self.agents.is_empty() {
            return Err(TeamError::Empty(self.name.clone()));
        }
        if self.agents.len() > MOST_AGENTS {
            return Err(TeamError::TooMuch {
                what: "agents",
                found: self.agents.len(),
                most: MOST_AGENTS,
            });
        }
        if self.protocol.rounds == 0 {
            return Err(TeamError::NoRounds);
        }
        let (mut names, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for agent in &self.agents {
            if !names.insert(&agent.name) {
                return Err(TeamError::Duplicate(agent.name.clone()));
            }
            let folder = Self::folder(&agent.name);
            if folder.is_empty() || !folders.insert(folder) {
                return Err(TeamError::NoFolder(agent.name.clone()));
            }
        }
        let edges = self
            .edges
            .iter()
            .flat_map(|e| [("edges", &e.from), ("edges", &e.to)]);
        let protocol = &self.protocol;
        let start = protocol.start.iter().map(|name| ("protocol.start", name));
        let end = protocol.end.iter().map(|name| ("protocol.end", name));
        for (place, name) in edges.chain(start).chain(end) {
            if !names.contains(name) {
                let known: Vec<&str> = self.agents.iter().map(|a| a.name.as_str()).collect();
                return Err(TeamError::Unknown {
                    place,
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = "name: t\nagents:\n- {name: a, role: reads}\n- {name: b, role: writes, tools: [x]}\n";

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Team::read(TWO).unwrap().agents[1].writes_tokens, 200);
        let error = |yaml: &str| Team::read(yaml).unwrap_err().to_string();
        assert!(error("name: t\nagents: []\n").contains("`t` has no agents"));
        assert!(error(&TWO.replace("name: b", "name: a")).contains("`a` stands twice"));
        assert!(error(&TWO.replace("name: b", "name: '../A'")).contains("no folder's name of its own"));
        let unknown = error(&format!("{TWO}edges: [{{from: a, to: c}}]\n"));
        assert_eq!(
            unknown,
            "`edges` names `c`, who is no agent of the team; there are: a, b"
        );
        assert!(error(&format!("{TWO}protocol: {{rounds: 0}}\n")).contains("at least 1"));
        assert!(error(&format!("{TWO}protocol: {{round: 1}}\n")).contains("round"));
        assert!(error("[").starts_with("the team cannot be read: "));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).{0,200}", at in 0_usize..60) {
            let _ = Team::read(&text);
            let mut spoilt = TWO.to_owned();
            spoilt.insert_str(at, &text);
            if let Ok(team) = Team::read(&spoilt) {
                let _ = team.compile(&fingerpost_encode::TokenCounter::estimating());
            }
        }
    }
}
