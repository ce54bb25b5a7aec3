//! `fingerpost completions`: what a shell needs in order to complete command lines.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::{Arguments, failure::Failure, output::Output};

/// Prints completions for a shell, such as `source <(fingerpost completions bash)`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

// === impl Completions ===

impl Completions {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "fingerpost", &mut script);
        let script = String::from_utf8_lossy(&script);
        output.result(
            script.trim_end(),
            &json!({"shell": self.shell.to_string(), "script": script}),
        );
        Ok(ExitCode::SUCCESS)
    }
}
