//! `fingerpost skills eval`: how well skills, tools and agents are found.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use fingerpost_eval::skills::{Cut, Encoding, Folder, Plan, VectorFile, judge};

use crate::{encoder::EncoderName, failure::Failure, output::Output, progress::Bar};

/// Scores ways to find skills, tools and agents on a folder of labelled requests
///
/// A folder has catalogue.jsonl, skills.jsonl or tools.jsonl beside queries.jsonl, queries_single.jsonl or tasks.jsonl; or train.jsonl,
/// val.jsonl and test.jsonl of intents. Requests that are scored are never trained on: those of --queries or of test.jsonl; else each
/// by what was trained on the other four fifths, a fold by the SHA-256 of the text (beyond 5,000 requests one fifth is scored).
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The requests of this file are scored; all of the folder's are trained on
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// The best encoder that is tried; with minilm the static one is tried too
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// The entries of this folder or file are added as distractors
    #[arg(long, value_name = "DIR")]
    distractors: Option<PathBuf>,
    /// Descriptions are cut to so many words
    #[arg(long, value_name = "WORDS")]
    cut_descriptions: Option<usize>,
    /// Names are left out
    #[arg(long)]
    without_names: bool,
    /// Bodies are left out
    #[arg(long)]
    without_bodies: bool,
    /// Degraded copies of the right entries are added, worth grade 1 of 3
    #[arg(long)]
    hard: bool,
    /// The head's other losses, the training without the filter of false negatives and the search without bodies are scored too
    #[arg(long)]
    relations: bool,
    /// Vectors of texts are kept in this file between runs, for encoders slower than the static one
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Seed of everything left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

// === impl Eval ===

impl Eval {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let mut folder = Folder::read(&self.data)?;
        if let Some(more) = &self.distractors {
            let more = if more.is_dir() {
                Folder::read(more)?.entries
            } else {
                Folder::entries_of(more)?
            };
            let known: std::collections::HashSet<_> = folder.entries.iter().map(|e| e.id.clone()).collect();
            folder
                .entries
                .extend(more.into_iter().filter(|e| !known.contains(&e.id)));
        }
        let queries = self.queries.as_deref().map(Folder::requests_of).transpose()?;
        let encodings = encodings(self.encoder, self.vectors.as_deref())?;
        let plan = Plan {
            cut: Cut {
                description: self.cut_descriptions,
                name: self.without_names,
                body: self.without_bodies,
            },
            hard: self.hard,
            relations: self.relations,
            seed: self.seed,
        };
        let bar = Bar::of_items();
        let progress = |what: &str, done: usize, of: usize| bar.set(what.to_owned(), done as u64, of as u64);
        let report = judge(folder, queries, &encodings, &plan, &progress)?;
        drop(bar);
        output.result(&report.to_string(), &report);
        Ok(ExitCode::SUCCESS)
    }
}

/// The encoders up to the one that is named, quickest first. Only slow ones keep their vectors in the file.
pub(crate) fn encodings(named: EncoderName, vectors: Option<&Path>) -> Result<Vec<Encoding>, Failure> {
    let remembered = |encoder: EncoderName, file| -> Result<Arc<VectorFile>, Failure> {
        let file = VectorFile::new(encoder.open()?, file).map_err(|e| {
            Failure::from(format!("--vectors: {e}")).with_way_out("a file that can be written")
        })?;
        Ok(Arc::new(file))
    };
    let mut encodings = vec![("static".to_owned(), remembered(EncoderName::Static, None)?)];
    if named == EncoderName::Minilm {
        encodings.push(("minilm".to_owned(), remembered(named, vectors)?));
    }
    Ok(encodings)
}
