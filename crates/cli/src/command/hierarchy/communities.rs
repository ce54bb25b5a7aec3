//! `fingerpost hierarchy communities`: the nested communities of a graph.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use cpu_time::ProcessTime;
use fingerpost_hierarchy::{
    Graph,
    communities::{CommunityOptions, communities, dendrogram_svg, modularity},
};
use serde_json::json;

use super::write;
use crate::{failure::Failure, output::Output, progress::Bar};

/// Finds the nested communities of a graph, bottom-up.
#[derive(Debug, Args)]
pub(crate) struct Communities {
    /// The graph: METIS if it ends in .graph, else two node numbers a line
    graph: PathBuf,
    /// Communities at the bottom [default: as many as can be told apart]
    #[arg(long)]
    communities: Option<usize>,
    /// Where a picture of the tree goes
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Seed of all random choices
    #[arg(long, default_value_t = CommunityOptions::default().seed)]
    seed: u64,
}

// === impl Communities ===

impl Communities {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let graph = Graph::read(&self.graph)?;
        let options = CommunityOptions {
            communities: self.communities,
            seed: self.seed,
            ..CommunityOptions::default()
        };
        let bar = Bar::of_items();
        let start = ProcessTime::now();
        let found = communities(&graph, &options, &mut |done, total| {
            bar.set("looking", done as u64, total as u64);
            true
        })?;
        let seconds = start.elapsed().as_secs_f64();
        drop(bar);
        let tree = &found.dendrogram;
        if let Some(path) = &self.svg {
            write(
                path,
                &dendrogram_svg(tree, &self.graph.display().to_string(), None),
            )?;
        }
        let (part, labels) = found.inside(&graph);
        let quality = modularity(&part, &labels);
        let gap = tree.widest_gap();
        let text = format!(
            "{} communities among {} of {} nodes, modularity {quality:.3}; the tree falls most into {gap} groups; \
             {seconds:.2} s of CPU",
            tree.leaves,
            part.nodes(),
            graph.nodes(),
        );
        let dropped = graph.dropped();
        if dropped.loops + dropped.duplicates > 0 {
            output.note(&format!(
                "left out: {} loops and {} edges that were there already",
                dropped.loops, dropped.duplicates
            ));
        }
        if !found.settled {
            output.note("not all eigenvectors settled: there may be more communities than these");
        }
        let object = json!({
            "communities": tree.leaves,
            "settled": found.settled,
            "labels": found.labels,
            "dendrogram": tree,
            "modularity": quality,
            "dasgupta_cost": tree.dasgupta_cost(&part, &labels),
            "inversions": tree.inversions(),
            "widest_gap": gap,
            "seconds": seconds,
            "dropped": graph.dropped(),
        });
        output.result(&text, &object);
        Ok(ExitCode::SUCCESS)
    }
}
