//! `fingerpost simulate`: what would happen, without a server.

mod fleet;
mod tools;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be simulated.
#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    Fleet(fleet::Fleet),
    Tools(tools::Tools),
}

// === impl Simulate ===

impl Simulate {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Fleet(fleet) => fleet.run(output),
            Self::Tools(tools) => tools.run(output),
        }
    }
}
