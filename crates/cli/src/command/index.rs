//! `fingerpost index`: vectors to their neighbours.

mod build;
mod search;
mod stats;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be done with indexes.
#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    Build(build::Build),
    Search(search::Search),
    Stats(stats::Stats),
}

// === impl Index ===

impl Index {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Build(build) => build.run(output),
            Self::Search(search) => search.run(output),
            Self::Stats(stats) => stats.run(output),
        }
    }
}
