//! `fingerpost train skill-reranker`: labelled requests become a second stage for finding skills, tools and agents.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use clap::{Args, ValueEnum};
use fingerpost_agents::skill_router::{Objective, Options, SkillIndex, train};
use fingerpost_encode::Encoder;
use fingerpost_eval::skills::{Folder, Labelled};
use serde_json::json;

use super::write_whole;
use crate::{
    command::skills::encodings, encoder::EncoderName, failure::Failure, output::Output, progress::Bar,
};

/// Trains the second stage that reranks skills, tools and agents, on the labelled requests of a folder as `fingerpost skills eval` reads it
#[derive(Debug, Args)]
pub(crate) struct SkillReranker {
    /// The folder with catalogue and requests
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the trained stage goes; an old one there is replaced at the end, whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What texts are read with; the search must use the same
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// What it is taught by
    #[arg(long, value_enum, default_value = "lambda-rank")]
    head: HeadName,
    /// Vectors of texts are kept in this file between runs
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Seed of everything left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Losses by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadName {
    /// Each candidate on its own
    Pointwise,
    /// Each right candidate against each wrong one
    Pairwise,
    /// All candidates of a request together
    Listwise,
    /// Pairs, by what it would change to swap them
    LambdaRank,
}

// === impl SkillReranker ===

impl SkillReranker {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let folder = Folder::read(&self.data)?;
        let encodings = encodings(self.encoder, self.vectors.as_deref())?;
        let encoders: Vec<Arc<dyn Encoder>> = encodings
            .into_iter()
            .map(|(_, encoder)| encoder as Arc<dyn Encoder>)
            .collect();
        let requests = |labelled: &[Labelled]| labelled.iter().map(Labelled::request).collect::<Vec<_>>();
        let options = Options {
            objective: match self.head {
                HeadName::Pointwise => Objective::Pointwise,
                HeadName::Pairwise => Objective::Pairwise,
                HeadName::Listwise => Objective::Listwise,
                HeadName::LambdaRank => Objective::LambdaRank,
            },
            several: Labelled::need_several(&folder.requests),
            seed: self.seed,
            ..Options::default()
        };
        let bar = Bar::of_items();
        let begun = Instant::now();
        let index = SkillIndex::new(folder.entries, &encoders);
        let mut progress = |done: usize, of: usize| bar.set("requests", done as u64, of as u64);
        let calibration = requests(&folder.calibration);
        let trained = train(
            &index,
            &requests(&folder.requests),
            &calibration,
            options,
            &mut progress,
        );
        let seconds = begun.elapsed().as_secs_f64();
        drop(bar);
        let bytes = trained.to_bytes();
        write_whole(&self.out, &bytes)?;
        let about = &trained.about;
        let text = format!(
            "{}: {} head over {} features, trained on {} requests ({} that nothing fits) for {} entries in {seconds:.1} s, {} kB",
            self.out.display(),
            self.head
                .to_possible_value()
                .as_ref()
                .map_or("", |v| v.get_name()),
            about.features.len(),
            about.requests,
            about.without,
            index.entries().len(),
            bytes.len().div_ceil(1_000),
        );
        output.result(
            &text,
            &json!({"trained": self.out, "seconds": seconds, "bytes": bytes.len(), "about": about}),
        );
        Ok(ExitCode::SUCCESS)
    }
}
