//! `fingerpost models`: what there is, fetching it, making the bundled encoder anew.

mod distill;
mod list;
pub(crate) mod pull;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    List(list::List),
    Pull(pull::Pull),
    Distill(distill::Distill),
}

// === impl Models ===

impl Models {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run(output),
            Self::Pull(pull) => pull.run(output),
            Self::Distill(distill) => distill.run(output),
        }
    }
}
