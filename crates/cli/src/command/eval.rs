//! `fingerpost eval`: how good routers are.

mod routers;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be judged.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    Routers(routers::Routers),
}

// === impl Eval ===

impl Eval {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Routers(routers) => routers.run(output),
        }
    }
}
