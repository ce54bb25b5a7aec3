//! `fingerpost eval twin`: routers that choose a tier at every step of an agent's run.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use fingerpost_eval::twin::{
    Bank, BytesOverFour, Named, Prices, Reference, Report, Scorer, Scores, Split, Tier,
};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Scores a router of tiers on a bank of saved agent steps, beside what it must beat
///
/// A trained router learns from --train FILE; where that is absent and --test FILE is given, from the bank of --data; with
/// --split dev, from the runs of the bank that are not in the dev part; else each run is judged by a router that was trained on
/// the other folds.
#[derive(Debug, Args)]
pub(crate) struct Twin {
    /// The bank: a folder with one *.jsonl or *.jsonl.gz (and pricing.json), or the file
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The router, by name; an unknown name lists them
    #[arg(long, value_name = "NAME", default_value = "trained")]
    router: String,
    /// Which runs are scored
    #[arg(long, value_enum, default_value_t = Part::All, conflicts_with_all = ["train", "test"])]
    split: Part,
    /// A trained router learns from this file
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// The rows of this file are scored instead of those of --data
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// How many times runs are sorted into folds anew, where a trained router is judged by folds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
}

/// Parts of a bank, by run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All runs
    All,
    /// Those kept apart: SHA-256 of the instance id, first 4 bytes big-endian, modulo 10 below 3
    Dev,
    /// The others
    Train,
}

// === impl Twin ===

impl Twin {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let router = Named::find(&self.router)?;
        let bank = Bank::read(&self.data)?;
        let prices = Prices::beside(&self.data)?;
        let train = match (&self.train, &self.test, self.split) {
            (Some(file), _, _) => Some(Bank::read(file)?),
            (None, Some(_), _) => Some(bank.clone()),
            (None, None, Part::Dev) => Some(Split::Train.of(&bank)),
            (None, None, Part::All | Part::Train) => None,
        };
        let scored = match (&self.test, self.split) {
            (Some(file), _) => Bank::read(file)?,
            (None, Part::All) => bank,
            (None, Part::Dev) => Split::Dev.of(&bank),
            (None, Part::Train) => Split::Train.of(&bank),
        };
        let scorer = Scorer::new(&scored, &prices, &BytesOverFour);
        let report = |router: Named, seed| -> Result<Report, Failure> {
            let said = router.predict(&scored, train.as_ref(), &prices, &BytesOverFour, seed)?;
            Ok(scorer.report(&said))
        };
        let is_folded = router.is_trained() && train.is_none();
        let seeds = if is_folded { self.seeds } else { 1 };
        let reports = (0..seeds)
            .map(|seed| report(router, seed))
            .collect::<Result<Vec<_>, _>>()?;
        let mean = Scores::mean(reports.iter().map(|r| &r.scores));
        let Some(first) = reports.first() else {
            return Ok(ExitCode::FAILURE);
        };
        let mut beside = Vec::new();
        for (name, what) in [
            ("always_high", Named::Always(Tier::High)),
            (
                "swebench_high_else_low",
                Named::Reference(Reference::SwebenchHighElseLow),
            ),
            ("gold", Named::Reference(Reference::Gold)),
        ] {
            beside.push((name, report(what, 0)?.scores));
        }
        let mut text = format!(
            "{} rows in {} runs\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}\n{:<24} {mean}",
            scored.rows().len(),
            scored.runs().len(),
            "percent",
            "row pass",
            "row exact",
            "run pass",
            "savings",
            "combined",
            self.router,
        );
        for (name, scores) in &beside {
            text.push_str(&format!("\n{name:<24} {scores}"));
        }
        text.push_str("\n(the last two read fields that no router sees)");
        if is_folded {
            text.push_str(&format!(
                "\n(each run by a router trained on the other folds; mean of {seeds})"
            ));
        }
        for workload in &first.by_benchmark {
            text.push_str(&format!(
                "\n{:<24} {:>5} rows, savings {:>8.2}, {} runs failed",
                workload.name, workload.rows, workload.cost_savings, workload.failed_runs
            ));
        }
        let object = json!({
            "router": self.router,
            "rows": scored.rows().len(),
            "runs": scored.runs().len(),
            "cross_fitted": is_folded,
            "scores_v2": mean,
            "by_benchmark": serde_json::to_value(first)?["by_benchmark"],
            "router_accounting": first.accounting,
            "combined_by_seed": reports.iter().map(|r| r.scores.combined).collect::<Vec<_>>(),
            "beside": beside.iter().map(|(name, scores)| ((*name).to_owned(), json!(scores))).collect::<serde_json::Map<_, _>>(),
        });
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }
}
