//! `fingerpost train`: logged outcomes become a trained router.

mod skill_reranker;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Instant};

use clap::{Args, Subcommand};
use fingerpost_eval::{
    DataSet,
    twin::{Bank, BytesOverFour, PolicyOptions, Prices, Split, train_policy},
};
use fingerpost_models::{Featurizer, Progress, Settings, Trained};
use serde_json::{Value, json};

use crate::{encoder::EncoderName, failure::Failure, output::Output, progress::Bar};

/// What is trained on steps of agents.
const STEPS: &str = "budget_aware";

/// What can be trained.
#[derive(Debug, Subcommand)]
pub(crate) enum Train {
    ModelRouter(ModelRouter),
    SkillReranker(skill_reranker::SkillReranker),
}

/// Trains a router among models on logged outcomes; name the file as `trained` in a decision's `select`.
#[derive(Debug, Args)]
pub(crate) struct ModelRouter {
    /// What to train: auto, knn, kmeans, linear, task_mix, task_linear, route_profile, svm, mlp, low_rank, moma, jisi, router_r1, budget_aware
    #[arg(long, value_name = "NAME")]
    algorithm: String,
    /// The folder with the outcomes: models.json, and outcomes.jsonl or outcomes.jsonl.gz; for budget_aware the folder or file of a
    /// bank of agent steps, as `fingerpost eval twin` reads it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the trained router goes; an old one there is replaced at the end, whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The part of the data to train on: SPLIT, SPLIT:ORIGINAL or SPLIT:!ORIGINAL; of a bank `train`, `dev` or `all`
    #[arg(long, value_name = "SPLIT", default_value = "train")]
    split: String,
    /// What texts are read with; the gateway must use the same
    #[arg(long, value_enum, default_value = "static")]
    encoder: EncoderName,
    /// A setting of the algorithm, as `k=40`; may stand several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Seed of everything left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

// === impl Train ===

impl Train {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::ModelRouter(router) => router.run(output),
            Self::SkillReranker(reranker) => reranker.run(output),
        }
    }
}

// === impl ModelRouter ===

impl ModelRouter {
    fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let featurizer = Featurizer::new(self.encoder.open()?);
        let bar = Bar::of_items();
        let begun = Instant::now();
        let progress = |what, done: usize, of: usize| {
            bar.set(what, done as u64, of as u64);
            true
        };
        let trained = if self.algorithm == STEPS {
            self.policy(&featurizer, &progress)?
        } else {
            let settings = settings(&self.algorithm, &self.settings)?;
            let data = DataSet::open(&self.data)?;
            let table = data.part(&self.split)?;
            let settings = settings.with_cards(&data.cards);
            Trained::train(&settings, &table, &featurizer, self.seed, &progress)?
        };
        let seconds = begun.elapsed().as_secs_f64();
        drop(bar);
        let bytes = trained.to_bytes();
        write_whole(&self.out, &bytes)?;
        let about = &trained.about;
        let (models, of) = match about.models.len() {
            0 => ("any two models".to_owned(), "runs"),
            _ if self.algorithm == STEPS => ("two models".to_owned(), "runs"),
            models => (format!("{models} models"), "queries"),
        };
        let mut text = format!(
            "{}: {} over {models}, trained on {} {of} in {seconds:.1} s, {} kB",
            self.out.display(),
            about.algorithm,
            about.rows,
            bytes.len().div_ceil(1_000),
        );
        for (member, weight) in &about.members {
            text.push_str(&format!("\n  {member} {weight:.2}"));
        }
        output.result(
            &text,
            &json!({"trained": self.out, "seconds": seconds, "bytes": bytes.len(), "about": about}),
        );
        Ok(ExitCode::SUCCESS)
    }

    /// What learns from runs of steps instead of outcomes of queries.
    fn policy(&self, featurizer: &Featurizer, progress: Progress<'_>) -> Result<Trained, Failure> {
        let options = serde_json::from_value::<PolicyOptions>(Value::Object(object(&self.settings)?))
            .map_err(|e| format!("--set: {e}"))?;
        let split = match self.split.as_str() {
            "train" => Split::Train,
            "dev" => Split::Dev,
            "all" => Split::All,
            other => {
                let problem = format!("--split {other}: a bank has no such part");
                return Err(Failure::from(problem).with_way_out("--split train, --split dev or --split all"));
            }
        };
        let bank = split.of(&Bank::read(&self.data)?);
        let prices = Prices::beside(&self.data)?;
        let seed = self.seed;
        Ok(train_policy(
            &bank,
            &options,
            featurizer,
            &prices,
            &BytesOverFour,
            seed,
            progress,
        )?)
    }
}

/// The settings of an algorithm, the defaults with those that are given as `key=value`.
pub(crate) fn settings(algorithm: &str, given: &[String]) -> Result<Settings, Failure> {
    if algorithm == STEPS {
        let problem =
            format!("--algorithm: `{STEPS}` is trained on runs of steps and not on outcomes of queries");
        return Err(
            Failure::from(problem).with_way_out("fingerpost train model-router, fingerpost eval twin")
        );
    }
    if !Settings::ALGORITHMS.contains(&algorithm) {
        let problem = fingerpost_signals::Problem::error("--algorithm", "no such algorithm can be trained:");
        let names = Settings::ALGORITHMS.into_iter().chain([STEPS]);
        let problem = problem.one_of(algorithm, names).to_string();
        return Err(problem.trim_start_matches("error: ").to_owned().into());
    }
    let mut object = object(given)?;
    object.insert("algorithm".to_owned(), json!(algorithm));
    serde_json::from_value(Value::Object(object)).map_err(|e| format!("--set: {e}").into())
}

/// Settings that are given as `key=value`.
fn object(given: &[String]) -> Result<serde_json::Map<String, Value>, Failure> {
    let mut object = serde_json::Map::new();
    for setting in given {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(
                Failure::from(format!("--set {setting}: there is no `=` in it")).with_way_out("--set k=40")
            );
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        object.insert(key.to_owned(), value);
    }
    Ok(object)
}

/// Writes a file whole or not at all.
fn write_whole(path: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".router-");
        // For whom other new files are, as the process's mask says.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder.unwrap_or(std::path::Path::new(".")))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|e| {
        Failure::from(format!("cannot write {}: {e}", path.display()))
            .with_way_out("a folder that is there and yours")
    })
}
