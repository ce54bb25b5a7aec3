//! `fingerpost eval routers`: routers scored on logged outcomes.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_eval::{DataSet, Plan, Report, report};
use fingerpost_models::{Featurizer, LearnedConfig, Settings};

use crate::{
    command::train::settings, encoder::EncoderName, failure::Failure, output::Output, progress::Bar,
};

/// Trains routers on one part of a data set of outcomes and judges them on another, beside the baselines.
#[derive(Debug, Args)]
pub(crate) struct Routers {
    /// The folder with the outcomes: models.json, and outcomes.jsonl or outcomes.jsonl.gz
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// What to compare, by name, or all of them
    #[arg(long, value_name = "A,B|all", value_delimiter = ',', default_value = "all")]
    algorithm: Vec<String>,
    /// The part to train on: SPLIT, SPLIT:ORIGINAL or SPLIT:!ORIGINAL
    #[arg(long, value_name = "SPLIT", default_value = "train")]
    train: String,
    /// The part to judge on
    #[arg(long, value_name = "SPLIT", default_value = "val")]
    test: String,
    /// What texts are read with
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// Seeds to train with; figures are means over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Draw cost and quality into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Train on a sixteenth, an eighth, a quarter and a half of the rows too, and draw what more of them gain into this file
    #[arg(long, value_name = "FILE")]
    learning_curve: Option<PathBuf>,
    /// Write a report to be looked at into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

// === impl Routers ===

impl Routers {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let plan = Plan {
            train: self.train,
            test: self.test,
            algorithms: compared(&self.algorithm)?,
            serve: LearnedConfig::default(),
            seeds: self.seeds,
            shares: match self.learning_curve {
                Some(_) => vec![0.0625, 0.125, 0.25, 0.5],
                None => Vec::new(),
            },
        };
        let data = DataSet::open(&self.data)?;
        let featurizer = Featurizer::new(self.encoder.open()?);
        let bar = Bar::of_items();
        let found = plan.run(&data, &featurizer, &|what, done, of| {
            bar.set(what.to_owned(), done as u64, of as u64);
            true
        })?;
        drop(bar);
        for (path, content) in [
            (self.svg, report::svg as fn(&Report) -> String),
            (self.learning_curve, report::learning_svg),
            (self.html, report::html),
        ] {
            if let Some(path) = path {
                fs::write(&path, content(&found))
                    .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            }
        }
        output.result(&report::text(&found), &found);
        Ok(ExitCode::SUCCESS)
    }
}

/// What is compared: those named, with `knn_40` and `clusters_64` as the baselines that want training.
fn compared(names: &[String]) -> Result<Vec<(String, Settings)>, Failure> {
    let mut compared = vec![
        (
            "knn_40".to_owned(),
            settings("knn", &["k=40".to_owned(), "prior=0".to_owned()])?,
        ),
        (
            "clusters_64".to_owned(),
            settings("kmeans", &["clusters=64".to_owned(), "prior=0".to_owned()])?,
        ),
    ];
    let all = names.iter().any(|n| n == "all");
    let named: Vec<&str> = if all {
        Settings::SELECTORS.to_vec()
    } else {
        names.iter().map(String::as_str).collect()
    };
    for name in named {
        compared.push((name.to_owned(), settings(name, &[])?));
    }
    Ok(compared)
}
