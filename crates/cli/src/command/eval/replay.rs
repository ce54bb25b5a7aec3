//! `fingerpost eval replay`: what other policies would have earned, from a log of decisions.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use fingerpost_core::Level;
use fingerpost_eval::counterfactual::{self, Estimate, Reward};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Estimates from a log of decisions what choosing evenly, or always the same, would have earned
///
/// The log has a stored trace (as GET /v1/traces/ID answers) or {"decision": ..., "outcome": ...} a line. It needs propensities
/// over 0 for what was taken; what a router never takes cannot be judged by its log.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The log, JSON lines
    log: PathBuf,
    /// Of stored traces, whose decisions count
    #[arg(long, value_enum, default_value_t = At::Model)]
    level: At,
    /// What counts as earned
    #[arg(long, value_enum, default_value_t = Earned::Quality)]
    reward: Earned,
}

/// Levels of decisions.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum At {
    Decision,
    Model,
    Fleet,
}

/// What counts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Earned {
    /// The quality of the answer, 0 to 1
    Quality,
    /// Its cost in US dollars
    Cost,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let level = match self.level {
            At::Decision => Level::Decision,
            At::Model => Level::Model,
            At::Fleet => Level::Fleet,
        };
        let reward = match self.reward {
            Earned::Quality => Reward::Quality,
            Earned::Cost => Reward::Cost,
        };
        let replay = counterfactual::Replay::read(&self.log, level, reward)?;
        let rows = replay.log.rows();
        let logged = rows.iter().map(|row| row.reward).sum::<f64>() / rows.len() as f64;
        let mut text = format!(
            "{} decisions between {} ({} lines left out); mean {} as logged {logged:.4}",
            rows.len(),
            replay.actions.len(),
            replay.left_out,
            reward.name(),
        );
        let mut policies = Vec::new();
        let constants =
            (0..replay.actions.len()).map(|a| (format!("always {}", replay.actions[a]), replay.constant(a)));
        for (name, target) in std::iter::once(("uniform".to_owned(), replay.uniform())).chain(constants) {
            let ips = replay.log.ips(&target)?;
            // A constant policy that the log never took has no self-normalised value.
            let snips = replay.log.snips(&target).ok();
            let robust = replay.doubly_robust(&target)?;
            text.push_str(&format!(
                "\n{name}: ips {}, snips {}, doubly robust {} (effective rows {:.0})",
                shown(&ips),
                snips.as_ref().map_or_else(|| "none".to_owned(), shown),
                shown(&robust),
                ips.effective_rows
            ));
            policies.push(json!({"policy": name, "ips": ips, "snips": snips, "doubly_robust": robust}));
        }
        let object = json!({
            "decisions": rows.len(),
            "left_out": replay.left_out,
            "actions": replay.actions,
            "reward": reward,
            "logged_mean": logged,
            "policies": policies,
        });
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(estimate: &Estimate) -> String {
    format!(
        "{:.4} [{:.4}, {:.4}]",
        estimate.value, estimate.low, estimate.high
    )
}
