//! `fingerpost skills compile`: several agents become one agent with skills.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use fingerpost_agents::single_agent_skills::{Compiled, Team};
use fingerpost_encode::TokenCounter;
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Makes one agent with skills of several agents described in YAML, and tells what that saves.
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// The agents, their edges and their protocol
    team: PathBuf,
    /// A folder for the skills, one folder with a SKILL.md each; existing files of these names are replaced
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The model whose tokens are counted; an estimate where it is not known
    #[arg(long, default_value = "")]
    model: String,
}

// === impl Compile ===

impl Compile {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let yaml = fs::read_to_string(&self.team).map_err(|e| {
            Failure::from(format!("cannot read {}: {e}", self.team.display()))
                .with_way_out("a YAML file with `name`, `agents` and, if any, `edges` and `protocol`")
        })?;
        let team = Team::read(&yaml).map_err(|e| format!("{}: {e}", self.team.display()))?;
        let compiled = team.compile(&TokenCounter::for_model(&self.model));
        if let Some(folder) = &self.to {
            for skill in &compiled.skills {
                let own = folder.join(&skill.folder);
                fs::create_dir_all(&own).map_err(|e| refused(&own, &e))?;
                let file = own.join("SKILL.md");
                fs::write(&file, skill.markdown()).map_err(|e| refused(&file, &e))?;
            }
        }
        output.result(&text(&compiled), &json!(compiled));
        Ok(ExitCode::SUCCESS)
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::from(format!("cannot write {}: {error}", path.display()))
        .with_way_out("a folder that is there and yours")
}

fn text(compiled: &Compiled) -> String {
    let mut text = format!(
        "{}: {} skills, {} agents stay",
        compiled.name,
        compiled.skills.len(),
        compiled.kept.len()
    );
    for skill in &compiled.skills {
        text.push_str(&format!("\n  {}", skill.folder));
        if !skill.requires.is_empty() {
            text.push_str(&format!("  after {}", skill.requires.join(", ")));
        }
        if !skill.tools.is_empty() {
            let tools: Vec<&str> = skill.tools.iter().map(|t| t.as_str()).collect();
            text.push_str(&format!("  with {}", tools.join(", ")));
        }
    }
    for kept in &compiled.kept {
        let reasons: Vec<String> = kept
            .reasons
            .iter()
            .map(|why| json!(why).as_str().unwrap_or_default().replace('_', " "))
            .collect();
        text.push_str(&format!(
            "\n  {} stays an agent: {}",
            kept.name,
            reasons.join(", ")
        ));
    }
    for (from, to) in &compiled.loops {
        text.push_str(&format!(
            "\n  {from} to {to} closes a loop and is no precondition"
        ));
    }
    let savings = compiled.savings;
    for (name, spend) in [("as agents", savings.agents), ("with skills", savings.skills)] {
        text.push_str(&format!(
            "\n{name:12} {:>4} calls {:>8} tokens ({} without a prompt cache)",
            spend.calls, spend.fresh, spend.read
        ));
    }
    text.push_str(&format!(
        "\nsaved: {:.0} % of the tokens, {:.0} % of the calls",
        100.0 * savings.tokens_saved,
        100.0 * savings.calls_saved
    ));
    text
}
