//! `fingerpost skills`: libraries of skills, tools and agents.

mod compile;
mod duplicates;
mod eval;
mod index;
mod reranked;
mod search;
mod tree;

use std::{path::Path, process::ExitCode, sync::Arc};

use clap::{Subcommand, ValueEnum};
use fingerpost_agents::{
    Kind,
    catalogue::{Index, Problem},
};
use fingerpost_encode::{Encoder, StaticEncoder};

pub(crate) use eval::encodings;
pub(crate) use reranked::trained;

use crate::{encoder::EncoderName, failure::Failure, output::Output, progress::Bar};

/// What can be done with libraries.
#[derive(Debug, Subcommand)]
pub(crate) enum Skills {
    Index(index::Index),
    Search(search::Search),
    Duplicates(duplicates::Duplicates),
    Tree(tree::Tree),
    Compile(compile::Compile),
    Eval(eval::Eval),
}

/// A kind of entries by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    Skill,
    Tool,
    Agent,
}

/// Problems that are said one by one; the others are counted.
const SAID: usize = 20;

// === impl Skills ===

impl Skills {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Index(index) => index.run(output),
            Self::Search(search) => search.run(output),
            Self::Duplicates(duplicates) => duplicates.run(output),
            Self::Tree(tree) => tree.run(output),
            Self::Compile(compile) => compile.run(output),
            Self::Eval(eval) => eval.run(output),
        }
    }
}

// === impl KindName ===

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Skill => Self::Skill,
            KindName::Tool => Self::Tool,
            KindName::Agent => Self::Agent,
        }
    }
}

/// Opens the index in a folder with the encoder that it was made with; damage is told.
fn open(folder: &Path, output: Output) -> Result<(Index, Vec<Problem>), Failure> {
    let bundled = StaticEncoder::bundled();
    let is_bundled = Index::model_in(folder).is_none_or(|model| !model.starts_with("minilm@"));
    let encoder: Arc<dyn Encoder> = if is_bundled {
        Arc::new(bundled)
    } else {
        EncoderName::Minilm.open()?
    };
    let opened = Index::open(folder, &encoder)?;
    say(&opened.problems, None, output);
    Ok((opened.index, opened.problems))
}

/// Says what is wrong, to people; machines find it in the result.
fn say(problems: &[Problem], bar: Option<&Bar>, output: Output) {
    let line = |text: &str| match bar {
        Some(bar) => bar.say(text),
        None => output.note(text),
    };
    for problem in problems.iter().take(SAID) {
        line(&format!("warning: {problem}"));
    }
    if problems.len() > SAID {
        line(&format!(
            "warning: and {} more (all of them with --json)",
            problems.len() - SAID
        ));
    }
}
