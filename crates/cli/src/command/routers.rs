//! `fingerpost routers`: what routers there are.

mod list;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be asked of routers.
#[derive(Debug, Subcommand)]
pub(crate) enum Routers {
    List(list::List),
}

// === impl Routers ===

impl Routers {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => Ok(list.run(output)),
        }
    }
}
