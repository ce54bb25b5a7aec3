//! `fingerpost models distill`: makes a static encoder out of MiniLM, such as the one that is compiled in.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use fingerpost_encode::{
    MiniLm,
    distill::{DistillOptions, Progress, Recipe, bundled_recipe, distill},
};
use fingerpost_packages::{ModelFolder, Status, find};
use serde_json::json;

use crate::{failure::Failure, output::Output, progress::Bar};

/// Makes a static encoder (a table of int8 rows) out of MiniLM. Needs `fingerpost models pull minilm` first.
///
/// The plain recipe takes about half a minute and no texts; the learned one reads better and needs a corpus.
#[derive(Debug, Args)]
pub(crate) struct Distill {
    /// How the table is made.
    #[arg(long, value_enum, default_value_t = Way::Learned)]
    recipe: Way,
    /// Folder of texts to learn on (.jsonl, .jsonl.gz, .txt); needed by the learned recipe.
    #[arg(long, value_name = "DIR", required_if_eq("recipe", "learned"))]
    corpus: Option<PathBuf>,
    /// Where the table goes.
    #[arg(long, value_name = "FILE", default_value = "static.fpt")]
    out: PathBuf,
    /// Numbers in a row.
    #[arg(long, value_name = "N", default_value = "256")]
    dims: NonZeroUsize,
    /// Threads that encode the corpus; one a core where absent.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Folder in which work that was done is found again after an interruption.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

/// How the table is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Principal components of the vocabulary's own vectors.
    Plain,
    /// Rows learned so that whole texts come out as MiniLM reads them.
    Learned,
}

// === impl Distill ===

impl Distill {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let folder = ModelFolder::locate(None)?;
        let Status::Ready { path } = folder.status_of(find("minilm")?) else {
            let failure = Failure::from("the teacher, minilm, is not in the model folder");
            return Err(failure.with_way_out("fingerpost models pull minilm"));
        };
        let teacher = MiniLm::open(&path)?;
        let options = self.options();
        let bar = Bar::of_items();
        let table = distill(&teacher, &options, &mut |progress| show(&bar, &progress))?;
        drop(bar);
        table.save(&self.out)?;
        let bytes = std::fs::metadata(&self.out)?.len();
        let text = format!(
            "{}: {} rows of {} numbers, {bytes} bytes",
            self.out.display(),
            table.vocabulary().len(),
            table.dims()
        );
        let object =
            json!({"file": self.out, "rows": table.vocabulary().len(), "dims": table.dims(), "bytes": bytes});
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> DistillOptions {
        let recipe = match (self.recipe, &self.corpus) {
            (Way::Learned, Some(corpus)) => {
                let threads = self.threads.or_else(|| std::thread::available_parallelism().ok());
                let work = self
                    .work
                    .clone()
                    .unwrap_or_else(|| self.out.with_extension("work"));
                bundled_recipe(corpus, &work, threads.map_or(1, NonZeroUsize::get)).recipe
            }
            _ => Recipe::Plain,
        };
        DistillOptions {
            dims: self.dims.get(),
            recipe,
        }
    }
}

fn show(bar: &Bar, progress: &Progress) {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    match progress {
        Progress::Gathered { found, total } => bar.say(&format!("{found} texts found, {total} taken")),
        Progress::Teaching { done, total } => bar.set("encoding the texts", count(*done), count(*total)),
        Progress::Ids { done, total } => bar.set("encoding the vocabulary", count(*done), count(*total)),
        Progress::Learning { epoch, epochs, loss } => {
            bar.set(format!("learning, loss {loss:.4}"), count(*epoch), count(*epochs));
        }
        _ => {}
    }
}
