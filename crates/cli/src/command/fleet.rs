//! `fingerpost fleet`: plans for many devices.

mod matrix;
mod plan_pools;
mod plan_sequences;

use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use clap::Subcommand;

use crate::{failure::Failure, output::Output};

/// What can be planned.
#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    PlanSequences(plan_sequences::PlanSequences),
    PlanPools(plan_pools::PlanPools),
    Matrix(matrix::Matrix),
}

// === impl Fleet ===

impl Fleet {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::PlanSequences(plan) => plan.run(output),
            Self::PlanPools(plan) => plan.run(output),
            Self::Matrix(matrix) => matrix.run(output),
        }
    }
}

/// Reads a text; `-` is standard input.
fn read(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|e| {
        Failure::from(format!("cannot read {}: {e}", path.display()))
            .with_way_out("a file of text that is there, or - for standard input")
    })
}

/// Writes a file of results.
fn write(path: &Path, content: &str) -> Result<(), Failure> {
    fs::write(path, content).map_err(|e| {
        Failure::from(format!("cannot write {}: {e}", path.display()))
            .with_way_out("a folder that is there and yours")
    })
}
