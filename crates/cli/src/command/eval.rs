//! `fingerpost eval`: how good routers are.

mod replay;
mod routers;
mod twin;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be judged.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    Routers(routers::Routers),
    Twin(twin::Twin),
    Replay(replay::Replay),
}

// === impl Eval ===

impl Eval {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Routers(routers) => routers.run(output),
            Self::Twin(twin) => twin.run(output),
            Self::Replay(replay) => replay.run(output),
        }
    }
}
