//! `fingerpost hierarchy neighbours`: asks a saved summary.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Args;
use fingerpost_hierarchy::summary::Summary;
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Lists the neighbours of nodes in a graph that was summarised; the graph is not decoded.
#[derive(Debug, Args)]
pub(crate) struct Neighbours {
    /// The summary, as `summarize --out` saved it
    summary: PathBuf,
    /// Nodes, by the numbers that the graph's file gave them
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<u64>,
}

// === impl Neighbours ===

impl Neighbours {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let (summary, ids) = Summary::open(&self.summary)?;
        let start = Instant::now();
        let mut found: Vec<(u64, Vec<u64>)> = Vec::with_capacity(self.nodes.len());
        for id in self.nodes {
            let node = ids.node(id).ok_or_else(|| unknown(id, ids.all()))?;
            let neighbours = summary.neighbours(node);
            found.push((id, neighbours.into_iter().map(|other| ids.of(other)).collect()));
        }
        let seconds = start.elapsed().as_secs_f64();
        let lines = found.iter().map(|(id, neighbours)| {
            let words = neighbours.iter().map(|other| format!(" {other}"));
            format!("{id}:{}", words.collect::<String>())
        });
        let objects = found
            .iter()
            .map(|(id, neighbours)| json!({"node": id, "neighbours": neighbours}));
        output.result(
            &lines.collect::<Vec<_>>().join("\n"),
            &json!({"nodes": objects.collect::<Vec<_>>(), "seconds": seconds}),
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(id: u64, ids: &[u64]) -> Failure {
    let failure = Failure::from(format!("the summary has no node {id}"));
    match (ids.first(), ids.last()) {
        (Some(first), Some(last)) => {
            failure.with_way_out(format!("a number of the graph's file, {first} to {last}"))
        }
        _ => failure.with_way_out("a summary of a graph with nodes: this one is empty"),
    }
}
