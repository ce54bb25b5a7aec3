//! What a judgement says.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::Scores;

/// All methods on one folder.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Entries of the catalogue.
    pub entries: usize,
    /// Requests that were scored in the rows, those that nothing fits left out.
    pub requests: usize,
    /// How requests were kept apart: `file`, `part`, `folds` or `held_out`.
    pub split: &'static str,
    /// Seconds that the largest index took to build. Vectors that were remembered from an earlier run cost nothing here.
    pub index_seconds: f64,
    /// Seconds that all trainings took.
    pub train_seconds: f64,
    /// Bytes that the largest index holds, roughly.
    pub index_bytes: usize,
    /// Families of near copies with more than one member.
    pub families: usize,
    /// One method each.
    pub rows: Vec<Row>,
}

/// One method.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub method: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
    /// Area under the curve of what it says of nothing fitting, where it says so and there are such requests.
    pub abstention_auroc: Option<f64>,
    /// Mean square error of its probability that something fits.
    pub abstention_brier: Option<f64>,
    /// Share of all requests, those that nothing fits among them, that it answers rightly or leaves rightly at a probability of one
    /// half.
    pub right_or_abstained: Option<f64>,
    /// Milliseconds of one core for a request, encoding included: median, 95th and 99th of a hundred.
    pub p50_ms: f64,
    /// The 95th of a hundred.
    pub p95_ms: f64,
    /// The 99th of a hundred.
    pub p99_ms: f64,
    /// How often each field decided about the first place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decided: BTreeMap<String, f64>,
    /// Scores of other sets of requests than those of the row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_sets: BTreeMap<String, Scores>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries, {} requests ({}), index {:.1} s and {:.1} MB, training {:.1} s\n{:<28} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8}",
            self.entries,
            self.requests,
            self.split,
            self.index_seconds,
            self.index_bytes as f64 / 1e6,
            self.train_seconds,
            "method",
            "hit@1",
            "hit@5",
            "rec@20",
            "mrr",
            "ndcg",
            "auroc",
            "p50 ms",
            "p99 ms",
        )?;
        for row in &self.rows {
            let s = &row.scores;
            let auroc = row.abstention_auroc.map_or("-".to_owned(), |a| format!("{a:.3}"));
            write!(
                f,
                "\n{:<28} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {auroc:>6} {:>8.2} {:>8.2}",
                row.method, s.hit_at_1, s.hit_at_5, s.recall_at_20, s.mrr, s.ndcg, row.p50_ms, row.p99_ms,
            )?;
            for (set, s) in &row.other_sets {
                write!(
                    f,
                    "\n  {set:<26} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3}   (n = {})",
                    s.hit_at_1, s.hit_at_5, s.recall_at_20, s.mrr, s.ndcg, s.n
                )?;
            }
        }
        Ok(())
    }
}
