//! `fingerpost hierarchy summarize`: a graph in fewer edges, without loss.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use cpu_time::ProcessTime;
use fingerpost_hierarchy::{
    Dropped, Graph, Ids,
    summary::{Summary, SummaryOptions, summarize, svg},
};
use serde_json::json;

use super::write;
use crate::{failure::Failure, output::Output, progress::Bar};

/// Summarises a graph without loss in nested supernodes (SLUGGER).
#[derive(Debug, Args)]
pub(crate) struct Summarize {
    /// The graph: METIS if it ends in .graph, else two node numbers a line; loops and doubles are left out and counted
    graph: PathBuf,
    /// Where the summary goes, to be asked by `neighbours`; an old one there is replaced at the end, whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where its forest and its edges go, as JSON for other programs
    #[arg(long, value_name = "FILE")]
    lists: Option<PathBuf>,
    /// Where a picture of its largest trees goes
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Rounds of merges
    #[arg(long, default_value_t = SummaryOptions::default().iterations)]
    iterations: usize,
    /// Seed of all random choices
    #[arg(long, default_value_t = SummaryOptions::default().seed)]
    seed: u64,
    /// Decodes the summary and compares it with the graph
    #[arg(long)]
    verify: bool,
}

// === impl Summarize ===

impl Summarize {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let (graph, ids) = Graph::read_with_ids(&self.graph)?;
        let options = SummaryOptions {
            iterations: self.iterations,
            seed: self.seed,
            ..SummaryOptions::default()
        };
        let bar = Bar::of_items();
        let start = ProcessTime::now();
        let summary = summarize(&graph, &options, &mut |done, total| {
            bar.set("merging", done as u64, total as u64);
            true
        })?;
        let seconds = start.elapsed().as_secs_f64();
        drop(bar);
        let lossless = self.verify.then(|| summary.decode().edges().eq(graph.edges()));
        if let Some(path) = &self.out {
            summary.save(&ids, path)?;
        }
        if let Some(path) = &self.lists {
            write(path, &as_json(&summary, &ids).to_string())?;
        }
        if let Some(path) = &self.svg {
            write(path, &svg(&summary))?;
        }
        let (stats, dropped) = (summary.stats(), graph.dropped());
        let checked = match lossless {
            Some(true) => "; decoded, it is the graph again",
            Some(false) => "; decoded, it is NOT the graph",
            None => "",
        };
        let left_out = if dropped == Dropped::default() {
            String::new()
        } else {
            format!(
                "; left out: {} loops, {} doubles",
                dropped.loops, dropped.duplicates
            )
        };
        let text = format!(
            "{} edges in {} ({} of the forest, {} positive, {} negative): relative size {:.4}, {seconds:.2} s of CPU\
             {checked}{left_out}",
            stats.edges, stats.cost, stats.h_edges, stats.p_edges, stats.n_edges, stats.relative_size,
        );
        let object = json!({"stats": stats, "seconds": seconds, "lossless": lossless, "dropped": dropped});
        output.result(&text, &object);
        Ok(if lossless == Some(false) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// The forest and its edges: `ids` of the graph's nodes; `parents` by supernode (the nodes first; null for roots); `edges` as
/// [a, b, sign] between supernodes.
fn as_json(summary: &Summary, ids: &Ids) -> serde_json::Value {
    let parents: Vec<Option<u32>> = (0..summary.supernodes() as u32)
        .map(|id| summary.parent(id))
        .collect();
    let edges: Vec<(u32, u32, i8)> = summary.edges().collect();
    json!({"ids": ids.all(), "parents": parents, "edges": edges})
}
