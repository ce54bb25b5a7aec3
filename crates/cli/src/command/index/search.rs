//! `fingerpost index search`: the nearest vectors of an index.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use cpu_time::ProcessTime;
use fingerpost_index::{Error, Found, Hnsw, Vectors};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Finds the nearest vectors of an index for each query.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The index
    index: PathBuf,
    /// The queries: a file of vectors as `index build` reads them
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Neighbours a query
    #[arg(long, short, default_value_t = 10)]
    k: usize,
    /// Vectors looked at, at least k: more is slower and finds more
    #[arg(long, default_value_t = 64)]
    ef: usize,
    /// Threads; 0: one a core
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

// === impl Search ===

impl Search {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let index = Hnsw::open(&self.index)?;
        let queries = Vectors::read(&self.queries)?;
        if !queries.is_empty() && queries.dimension != index.dimension() {
            return Err(Error::Dimension {
                id: fingerpost_index::Item::Query,
                found: queries.dimension,
                expected: index.dimension(),
            }
            .into());
        }
        let start = ProcessTime::now();
        let found = index.search_batch(&queries.values, self.k, self.ef, self.threads)?;
        let seconds = start.elapsed().as_secs_f64();
        let list =
            |of: fn(&fingerpost_index::Neighbour) -> serde_json::Value| -> Vec<Vec<serde_json::Value>> {
                found
                    .iter()
                    .map(|f| f.neighbours.iter().map(of).collect())
                    .collect()
            };
        let object = json!({
            "neighbours": list(|n| json!(n.id)),
            "distances": list(|n| json!(n.distance)),
            "seconds": seconds,
            "evaluations": found.iter().map(|f| f.evaluations).sum::<u64>(),
            "hops": found.iter().map(|f| f.hops).sum::<u64>(),
        });
        output.result(&text(&found), &object);
        Ok(ExitCode::SUCCESS)
    }
}

/// A line a query: ids with their distances.
fn text(found: &[Found]) -> String {
    let mut text = String::new();
    for (number, found) in found.iter().enumerate() {
        let start = if number == 0 { "" } else { "\n" };
        text.push_str(&format!("{start}{number}:"));
        for neighbour in &found.neighbours {
            text.push_str(&format!(" {} ({:.4})", neighbour.id, neighbour.distance));
        }
    }
    text
}
