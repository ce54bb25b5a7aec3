//! Lossless summaries, measured: relative sizes beside the authors' program on real graphs, and the time on generated ones.
//!
//! `cargo run --release -p fingerpost-hierarchy --example summary -- [--seeds N] [--scale]` prints one JSON object. The real
//! graphs are read from the shared data (`FINGERPOST_SHARED`), with a visible line where it is missing; `--scale` times block
//! models of 100,000 to 10 million edges instead.
#![allow(clippy::unwrap_used, reason = "an example that fails panics")]

use std::{env, path::PathBuf, time::Instant};

use fingerpost_hierarchy::{
    Graph,
    communities::BlockModel,
    summary::{Summary, SummaryOptions, summarize},
};
use serde_json::{Value, json};

/// Graph, and the relative size of the authors' program (card 30); none for graphs that the card does not name.
const GRAPHS: [(&str, Option<f64>); 12] = [
    ("protein.txt", Some(0.0959)),
    ("astro-ph.graph", Some(0.4198)),
    ("wiki-Vote.txt", Some(0.7638)),
    ("PGPgiantcompo.graph", Some(0.7180)),
    ("polblogs.graph", Some(0.6801)),
    ("hep-th.graph", Some(0.8338)),
    ("power.graph", Some(0.9857)),
    ("jazz.graph", Some(0.3618)),
    ("karate.graph", Some(0.7949)),
    ("MIT8.edgelist", None),
    ("celegans_metabolic.graph", None),
    ("lesmis.graph", None),
];

fn main() {
    let words: Vec<String> = env::args().collect();
    let seeds = words
        .iter()
        .position(|w| w == "--seeds")
        .and_then(|i| words.get(i + 1));
    let seeds: u64 = seeds.map_or(5, |s| s.parse().unwrap());
    let rows: Vec<Value> = if words.iter().any(|w| w == "--scale") {
        [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
            .into_iter()
            .map(scale)
            .collect()
    } else {
        GRAPHS
            .iter()
            .filter_map(|(file, reference)| real(file, *reference, seeds))
            .collect()
    };
    println!("{}", json!({"rows": rows}));
}

fn timed(graph: &Graph, seed: u64) -> (Summary, f64) {
    let options = SummaryOptions {
        seed,
        ..SummaryOptions::default()
    };
    let start = Instant::now();
    let summary = summarize(graph, &options, &mut |_, _| true).unwrap();
    (summary, start.elapsed().as_secs_f64())
}

fn real(file: &str, reference: Option<f64>, seeds: u64) -> Option<Value> {
    let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("data/graphs").join(file);
    if !path.exists() {
        eprintln!("skipped: {file} (no shared data)");
        return None;
    }
    let graph = Graph::read(&path).unwrap();
    let runs: Vec<(Summary, f64)> = (0..seeds).map(|seed| timed(&graph, seed)).collect();
    let lossless = runs
        .iter()
        .all(|(summary, _)| summary.decode().edges().eq(graph.edges()));
    let mean = |of: &dyn Fn(&(Summary, f64)) -> f64| runs.iter().map(of).sum::<f64>() / seeds as f64;
    let size = mean(&|r| r.0.stats().relative_size);
    let row = json!({
        "graph": file, "edges": graph.edge_count(), "relative_size": size, "reference": reference,
        "ratio": reference.map(|r| size / r), "lossless": lossless, "seconds": mean(&|r| r.1), "first_seed": runs[0].0.stats(),
    });
    eprintln!(
        "{file:26} {size:.4} ratio {:.4} {:.2} s lossless {lossless}; links {:.0}, positive {:.0}, negative {:.0}",
        reference.map_or(f64::NAN, |r| size / r),
        mean(&|r| r.1),
        mean(&|r| r.0.stats().h_edges as f64),
        mean(&|r| r.0.stats().p_edges as f64),
        mean(&|r| r.0.stats().n_edges as f64),
    );
    Some(row)
}

/// Communities of 32 with every second pair linked, in a tree, and a few links across.
fn scale(edges: usize) -> Value {
    let depth = 2;
    let branching = ((edges as f64 / 318.0).sqrt().round() as usize).max(2);
    let nodes = (branching * branching * 32) as f64;
    let model = BlockModel {
        branching,
        leaf_size: 32,
        chances: vec![4.0 / nodes, 120.0 / nodes, 0.5],
    };
    assert_eq!(model.depth(), depth);
    let graph = model.draw(1);
    let (summary, seconds) = timed(&graph, 0);
    let lossless = summary.decode().edges().eq(graph.edges());
    let row = json!({
        "edges": graph.edge_count(), "nodes": graph.nodes(), "seconds": seconds,
        "microseconds_an_edge": seconds * 1e6 / graph.edge_count() as f64,
        "relative_size": summary.stats().relative_size, "lossless": lossless,
    });
    eprintln!("{row}");
    row
}
