//! `fingerpost schema`: the JSON Schema of the configuration, and an example of it.

use std::process::ExitCode;

use clap::Args;
use fingerpost_gateway::config::{Config, EXAMPLE};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Prints the JSON Schema of the configuration file, for editors and other programs.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Print the built-in configuration instead: an example to begin with.
    #[arg(long)]
    example: bool,
}

// === impl Schema ===

impl Schema {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        if self.example {
            output.result(EXAMPLE.trim_end(), &json!({"example": EXAMPLE}));
        } else {
            let schema = Config::schema();
            output.result(&serde_json::to_string_pretty(&schema)?, &schema);
        }
        Ok(ExitCode::SUCCESS)
    }
}
