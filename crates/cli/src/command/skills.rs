//! `fingerpost skills`: libraries of skills.

mod compile;
mod eval;
mod tree;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use eval::encodings;

use crate::{failure::Failure, output::Output};

/// What can be done with skills.
#[derive(Debug, Subcommand)]
pub(crate) enum Skills {
    Tree(tree::Tree),
    Compile(compile::Compile),
    Eval(eval::Eval),
}

// === impl Skills ===

impl Skills {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Tree(tree) => tree.run(output),
            Self::Compile(compile) => compile.run(output),
            Self::Eval(eval) => eval.run(output),
        }
    }
}
