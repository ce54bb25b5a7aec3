//! Real graphs.

use std::{env, fs, io::Write, path::PathBuf};

use fingerpost_hierarchy::{
    Graph, Ids,
    summary::{Summary, SummaryOptions, flattened, sweg},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{is_lossless, timed};

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

/// Rounds that the card has sizes for.
const ROUNDS: [usize; 5] = [1, 5, 10, 20, 40];

/// A graph of the shared data; says so if it is not there.
pub(super) fn read(file: &str) -> Option<(Graph, Ids)> {
    let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("data/graphs").join(file);
    if !path.exists() {
        eprintln!("skipped: {file} (no shared data)");
        return None;
    }
    Some(Graph::read_with_ids(&path).unwrap())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn options(seed: u64, iterations: usize) -> SummaryOptions {
    SummaryOptions {
        seed,
        iterations,
        ..SummaryOptions::default()
    }
}

/// Sizes beside the authors' and beside flat summaries.
pub(super) fn sizes(seeds: u64) -> Value {
    let rows = GRAPHS.iter().filter_map(|&(file, reference)| {
        let (graph, ids) = read(file)?;
        let runs: Vec<(Summary, f64)> = (0..seeds)
            .map(|seed| timed(&graph, &options(seed, 20)))
            .collect();
        let lossless = runs.iter().all(|(summary, _)| is_lossless(summary, &graph));
        let size = mean(runs.iter().map(|r| r.0.stats().relative_size));
        let seconds = mean(runs.iter().map(|r| r.1));
        let same_merges = mean(runs.iter().map(|r| flattened(&graph, &r.0).relative_size));
        let flat = mean((0..seeds).map(|seed| sweg(&graph, &options(seed, 20)).unwrap().relative_size));
        let bits = bits_an_edge(&graph, &ids, &runs[0].0);
        eprintln!(
            "{file:26} {size:.4} ratio {:.4}; flat {flat:.4}, of the same merges {same_merges:.4}; {:.2} us an edge; \
             links {:.0}, positive {:.0}, negative {:.0}; lossless {lossless}; bits an edge: {bits}",
            reference.map_or(f64::NAN, |r| size / r),
            seconds * 1e6 / graph.edge_count() as f64,
            mean(runs.iter().map(|r| r.0.stats().h_edges as f64)),
            mean(runs.iter().map(|r| r.0.stats().p_edges as f64)),
            mean(runs.iter().map(|r| r.0.stats().n_edges as f64)),
        );
        Some(json!({
            "graph": file, "edges": graph.edge_count(), "relative_size": size, "reference": reference,
            "ratio": reference.map(|r| size / r), "flat": flat, "flat_of_the_same_merges": same_merges,
            "lossless": lossless, "cpu_seconds": seconds, "bits_an_edge": bits, "first_seed": runs[0].0.stats(),
        }))
    });
    json!({"rows": rows.collect::<Vec<_>>()})
}

/// Bits an edge of the saved summary, of each node's higher neighbours as steps in base 128, and of the list under gzip.
fn bits_an_edge(graph: &Graph, ids: &Ids, summary: &Summary) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary");
    summary.save(ids, &path).unwrap();
    let saved = fs::metadata(&path).unwrap().len() as usize;
    let mut steps = 0;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for node in 0..graph.nodes() as u32 {
        let mut last = node;
        steps += 1;
        for &to in graph.neighbours(node).iter().filter(|&&to| to > node) {
            steps += ((u32::BITS - (to - last).leading_zeros()).div_ceil(7)) as usize;
            last = to;
            writeln!(gzip, "{}\t{}", ids.of(node), ids.of(to)).unwrap();
        }
    }
    let gzip = gzip.finish().unwrap().len();
    let bits = |bytes: usize| (bytes * 80 / graph.edge_count()) as f64 / 10.0;
    json!({"saved": bits(saved), "steps": bits(steps), "gzip": bits(gzip)})
}

/// Sizes by rounds of merges.
pub(super) fn rounds(seeds: u64) -> Value {
    let rows = GRAPHS.iter().filter_map(|&(file, _)| {
        let (graph, _) = read(file)?;
        let sizes = ROUNDS.map(|rounds| {
            mean((0..seeds).map(|seed| timed(&graph, &options(seed, rounds)).0.stats().relative_size))
        });
        // More rounds may cost one part in a hundred, says the card.
        let rises = sizes.windows(2).map(|w| w[1] / w[0] - 1.0);
        let largest_rise = rises.fold(f64::NEG_INFINITY, f64::max);
        eprintln!("{file:26} {sizes:.4?} for {ROUNDS:?} rounds, largest rise {largest_rise:.4}");
        Some(json!({"graph": file, "rounds": ROUNDS, "relative_sizes": sizes, "largest_rise": largest_rise}))
    });
    json!({"rows": rows.collect::<Vec<_>>()})
}
