//! `fingerpost hierarchy`: graphs and texts to trees.

mod communities;
mod neighbours;
mod summarize;
mod taxonomy;

use std::{fs, path::Path, process::ExitCode};

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be made into a tree.
#[derive(Debug, Subcommand)]
pub(crate) enum Hierarchy {
    Communities(communities::Communities),
    Summarize(summarize::Summarize),
    Neighbours(neighbours::Neighbours),
    Taxonomy(taxonomy::MakeTaxonomy),
}

// === impl Hierarchy ===

impl Hierarchy {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Communities(communities) => communities.run(output),
            Self::Summarize(summarize) => summarize.run(output),
            Self::Neighbours(neighbours) => neighbours.run(output),
            Self::Taxonomy(taxonomy) => taxonomy.run(output),
        }
    }
}

/// Writes a file of results.
fn write(path: &Path, content: &str) -> Result<(), Failure> {
    fs::write(path, content).map_err(|e| {
        Failure::from(format!("cannot write {}: {e}", path.display()))
            .with_way_out("a folder that is there and yours")
    })
}
