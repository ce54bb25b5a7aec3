//! `fingerpost eval`: how good routers are.

mod replay;
mod twin;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    Twin(twin::Twin),
    Replay(replay::Replay),
}

// === impl Eval ===

impl Eval {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Twin(twin) => twin.run(output),
            Self::Replay(replay) => replay.run(output),
        }
    }
}
