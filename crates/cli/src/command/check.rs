//! `fingerpost check`: everything that is wrong or doubtful in a configuration.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_gateway::config::{Problem, load_file};
use serde_json::json;

use crate::{
    configuration::{located, rehearse, tally},
    engines::Engines,
    failure::Failure,
    output::Output,
};

/// Checks a configuration: unknown names, values out of range, decisions that can never be taken, signals without use.
///
/// Exits with 0 where it can be used (warnings included) and with 1 where it cannot.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration file.
    #[arg(env = "FINGERPOST_CONFIG", default_value = "fingerpost.yaml")]
    file: PathBuf,
}

// === impl Check ===

impl Check {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let problems: Vec<Problem> = match load_file(&self.file) {
            Err(problems) => problems,
            // What only shows when the whole is put together, such as models that this process does not have.
            Ok(loaded) => match rehearse(&loaded, &Engines::new(), output) {
                Ok(shared) => {
                    let more = located(&loaded, shared.snapshot().warnings());
                    loaded.warnings.into_iter().chain(more).collect()
                }
                Err(more) => loaded.warnings.into_iter().chain(more).collect(),
            },
        };
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        let usable = errors == 0;
        let verdict = if usable { "can be used" } else { "cannot be used" };
        let mut text: String = problems.iter().map(|problem| format!("{problem}\n\n")).collect();
        text.push_str(&format!(
            "{} {verdict}: {}",
            self.file.display(),
            tally(&problems)
        ));
        let object = json!({
            "file": self.file,
            "usable": usable,
            "errors": errors,
            "warnings": problems.len() - errors,
            "problems": problems,
        });
        output.result(&text, &object);
        Ok(if usable {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
