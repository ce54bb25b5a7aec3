//! Logs of decisions from files of stored traces.

use std::path::{Path, PathBuf};

use fingerpost_core::{Decision, Level, Name, Outcome};
use fingerpost_store::TraceRecord;
use serde::{Deserialize, Serialize};

use super::{Estimate, Log, LogError, Taken};
use crate::lines::{LinesError, each_line};

/// A log of decisions with what they were between.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The names of the actions, in alphabetical order: every name that a decision of the log picked.
    pub actions: Vec<Name>,
    /// The decisions.
    pub log: Log,
    /// Lines without a decision of the level or without a reward.
    pub left_out: usize,
}

/// What counts as earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reward {
    /// The quality of the answer, 0 to 1.
    Quality,
    /// What it cost, in US dollars: to be kept low.
    Cost,
}

/// Why a file is no log of decisions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// A line that is neither a stored trace nor a decision with its outcome.
    #[error(
        "{path}, line {line}: {why}; a line is a stored trace (GET /v1/traces/ID) or {{\"decision\": ..., \"outcome\": ...}}"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A decision that cannot be judged by.
    #[error("{path}, line {line}: {source}")]
    Decision {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: LogError,
    },
    /// No line with a decision and a reward.
    #[error("{path} has no decision of this level with its {reward}; {left_out} lines were left out")]
    Empty {
        /// The file.
        path: PathBuf,
        /// `quality` or `cost`.
        reward: &'static str,
        /// Lines left out.
        left_out: usize,
    },
}

/// A decision with what became of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    decision: Decision,
    #[serde(default)]
    outcome: Option<Outcome>,
}

/// The parts of a log between which the model of rewards is learned and used.
const PARTS: usize = 2;

// === impl Replay ===

impl Replay {
    /// Reads JSON lines, compressed where the name ends in `.gz`: stored traces, of which the decision of `level` counts, or decisions with their outcomes. Of a decision
    /// the first pick is what was taken.
    ///
    /// # Errors
    /// [`ReplayError`], naming file and line.
    pub fn read(path: &Path, level: Level, reward: Reward) -> Result<Self, ReplayError> {
        let (mut taken, mut names, mut lines, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), 0);
        each_line(path, |number, line| {
            let pair = pair(line, level).map_err(|why| ReplayError::Line {
                path: path.to_owned(),
                line: number,
                why,
            })?;
            let earned = pair.as_ref().and_then(|pair| reward.of(pair.outcome.as_ref()?));
            let (Some(pair), Some(earned)) = (pair, earned) else {
                left_out += 1;
                return Ok(());
            };
            names.extend(pair.decision.picks.iter().map(|pick| pick.name.clone()));
            taken.push((
                pair.decision.first().name.clone(),
                pair.decision.evidence.propensity,
                earned,
            ));
            lines.push(number);
            Ok::<_, ReplayError>(())
        })?;
        if taken.is_empty() {
            return Err(ReplayError::Empty {
                path: path.to_owned(),
                reward: reward.name(),
                left_out,
            });
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let rows = taken.into_iter().map(|(name, propensity, reward)| Taken {
            action: names
                .binary_search_by(|n| n.as_str().cmp(name.as_str()))
                .unwrap_or(0),
            propensity,
            reward,
        });
        let log = Log::new(names.len(), rows.collect()).map_err(|source| ReplayError::Decision {
            path: path.to_owned(),
            line: match source {
                LogError::Propensity { row, .. } | LogError::Reward { row, .. } => lines[row],
                _ => 0,
            },
            source,
        })?;
        Ok(Self {
            actions: names,
            log,
            left_out,
        })
    }

    /// The policy that takes each action equally often.
    pub fn uniform(&self) -> Vec<Vec<f64>> {
        let actions = self.actions.len();
        vec![vec![1.0 / actions as f64; actions]; self.log.rows().len()]
    }

    /// The policy that always takes one action.
    pub fn constant(&self, action: usize) -> Vec<Vec<f64>> {
        let one = (0..self.actions.len()).map(|a| if a == action { 1.0 } else { 0.0 });
        vec![one.collect(); self.log.rows().len()]
    }

    /// The doubly robust estimate with the mean reward by action as the model: for each half of the log (every second row) the
    /// means of the other.
    ///
    /// # Errors
    /// [`LogError`] where `target` does not fit.
    pub fn doubly_robust(&self, target: &[Vec<f64>]) -> Result<Estimate, LogError> {
        let halves: Vec<Vec<f64>> = (0..PARTS)
            .map(|part| self.log.mean_rewards(|row| row % PARTS != part))
            .collect();
        let model: Vec<Vec<f64>> = (0..self.log.rows().len())
            .map(|row| halves[row % PARTS].clone())
            .collect();
        self.log.doubly_robust(target, &model)
    }
}

/// The decision of a line that counts, if it has one.
fn pair(line: &str, level: Level) -> Result<Option<Pair>, String> {
    let value: serde_json::Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
    if value.get("trace").is_none() {
        return serde_json::from_value(value).map(Some).map_err(|e| e.to_string());
    }
    let record: TraceRecord = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let run = record.outcome;
    let hop = record.trace.hops.into_iter().find(|hop| hop.level == level);
    Ok(hop.map(|hop| Pair {
        decision: hop.decision,
        outcome: hop.outcome.or(run),
    }))
}

// === impl Reward ===

impl Reward {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Cost => "cost",
        }
    }

    fn of(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Self::Quality => outcome.quality.map(fingerpost_core::Quality::get),
            Self::Cost => outcome.cost.map(fingerpost_core::Usd::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn decision(name: &str, propensity: &str) -> String {
        format!(
            r#"{{"picks":[{{"name":"{name}","score":1.0,"weight":1.0}}],"reason":{{"text":"why"}},"evidence":{{"router":"r","version":1,"propensity":{propensity}}}}}"#
        )
    }

    fn line(name: &str, propensity: &str, outcome: &str) -> String {
        format!(
            r#"{{"decision":{},"outcome":{outcome}}}"#,
            decision(name, propensity)
        )
    }

    fn read(text: &str) -> Result<Replay, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Replay::read(file.path(), Level::Model, Reward::Quality).map_err(|e| e.to_string())
    }

    #[test]
    fn traces_and_pairs_are_read_and_lines_without_reward_left_out() {
        let trace = format!(
            r#"{{"trace":{{"id":"{}","at":1,"hops":[{{"level":"decision","decision":{}}},{{"parent":0,"level":"model","decision":{}}}]}},"outcome":{{"quality":0.5}}}}"#,
            "1".repeat(32),
            decision("math", "1.0"),
            decision("small", "0.25")
        );
        let lines = [
            line("large", "0.5", r#"{"quality":1.0}"#),
            trace,
            String::new(),
            line("large", "0.5", r#"{"cost":1.0}"#),
        ];
        let replay = read(&lines.join("\n")).unwrap();
        assert_eq!(replay.actions, [Name::from("large"), Name::from("small")]);
        assert_eq!(replay.left_out, 1);
        assert_eq!(replay.log.rows()[1].propensity, 0.25);
        assert_eq!(replay.log.rows()[1].action, 1);
        assert_eq!(replay.log.ips(&replay.constant(1)).unwrap().value, 1.0);
        assert_eq!(replay.log.ips(&replay.uniform()).unwrap().value, 1.0);
        assert!(replay.doubly_robust(&replay.uniform()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = line("large", "0.5", r#"{"quality":1.0}"#);
        let refused = |bad: &str| read(&format!("{good}\n\n{bad}")).unwrap_err();
        let zero = refused(&line("large", "0.0", r#"{"quality":1.0}"#));
        assert!(zero.contains("line 3: row 1: the propensity is 0"), "{zero}");
        assert!(refused(&line("large", "null", r#"{"quality":1.0}"#)).contains("propensity is NaN"));
        assert!(refused("{").contains("line 3: "));
        assert!(refused(&line("large", "0.5", r#"{"quality":2.0}"#)).contains("line 3: "));
        assert!(refused(r#"{"decision":{"picks":[]}}"#).contains("at least one pick"));
        assert!(read("").unwrap_err().contains("no decision"));
    }
}
