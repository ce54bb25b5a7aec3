//! Large graphs, generated or made of a real one.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    time::Instant,
};

use fingerpost_hierarchy::{
    Graph,
    communities::BlockModel,
    summary::{SummaryOptions, growth_svg},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::{is_lossless, real, timed};

/// Of each copy's edges, one in so many leads to another copy.
const ACROSS: u32 = 50;

/// Time by edges, and its picture.
pub(super) fn growth(svg: Option<&str>) -> Value {
    let blocks = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000].map(|edges| block_model(edges, 1));
    let mut series = vec![measured("communities", blocks.into_iter())];
    if let Some((graph, _)) = real::read("astro-ph.graph") {
        let samples = [0.125, 0.25, 0.5].map(|share| (1, share));
        let copies = [1, 3, 10, 30, 83].map(|copies| (copies, 1.0));
        let graphs = samples.into_iter().chain(copies);
        series.push(measured(
            "astro-ph, in part and copied",
            graphs.map(|(copies, share)| copied(&graph, copies, share)),
        ));
    }
    if let Some(svg) = svg {
        let series: Vec<_> = series
            .iter()
            .map(|(name, rows)| (name.clone(), rows.iter().map(|r| (r.0, r.1)).collect()))
            .collect();
        fs::write(
            svg,
            growth_svg("Seconds of CPU for a summary, 20 rounds", &series),
        )
        .unwrap();
    }
    let series = series.into_iter().map(|(name, rows)| {
        // The least squares' line through the logarithms: 1 is time in proportion to edges.
        let logs: Vec<(f64, f64)> = rows.iter().map(|r| (r.0.ln(), r.1.ln())).collect();
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
        let (x, y) = (mean(&|l| l.0), mean(&|l| l.1));
        let exponent = mean(&|l| (l.0 - x) * (l.1 - y)) / mean(&|l| (l.0 - x).powi(2));
        eprintln!("{name}: time grows as edges to the power of {exponent:.3}");
        let rows: Vec<Value> = rows.into_iter().map(|r| r.2).collect();
        json!({"graphs": name, "exponent": exponent, "rows": rows})
    });
    json!({"series": series.collect::<Vec<_>>()})
}

/// Edges, seconds and a row for each graph.
type Rows = Vec<(f64, f64, Value)>;

fn measured(name: &str, graphs: impl Iterator<Item = Graph>) -> (String, Rows) {
    let rows = graphs.map(|graph| {
        let (summary, seconds) = timed(&graph, &SummaryOptions::default());
        let edges = graph.edge_count() as f64;
        let row = json!({
            "edges": graph.edge_count(), "nodes": graph.nodes(), "cpu_seconds": seconds,
            "microseconds_an_edge": seconds * 1e6 / edges,
            "relative_size": summary.stats().relative_size, "lossless": is_lossless(&summary, &graph),
        });
        eprintln!("{name}: {row}");
        (edges, seconds, row)
    });
    (name.to_owned(), rows.collect())
}

/// Communities of 32 with every second pair linked, in a tree, and a few links across.
fn block_model(edges: usize, seed: u64) -> Graph {
    let branching = ((edges as f64 / 318.0).sqrt().round() as usize).max(2);
    let nodes = (branching * branching * 32) as f64;
    let model = BlockModel {
        branching,
        leaf_size: 32,
        chances: vec![4.0 / nodes, 120.0 / nodes, 0.5],
    };
    model.draw(seed)
}

/// Copies of a graph's edges, or of a share of them, with a few turned to other copies.
fn copied(graph: &Graph, copies: u32, share: f64) -> Graph {
    let mut random = SmallRng::seed_from_u64(1);
    let nodes = graph.nodes() as u32;
    let mut edges = Vec::new();
    for copy in 0..copies {
        for (a, b) in graph.edges() {
            if random.random_bool(share) {
                let other = if random.random_ratio(1, ACROSS) {
                    random.random_range(0..copies)
                } else {
                    copy
                };
                edges.push((copy * nodes + a, other * nodes + b));
            }
        }
    }
    Graph::new((copies * nodes) as usize, &edges, None)
}

/// An edge list of 10 million lines, written and read.
pub(super) fn reading() -> Value {
    let graph = block_model(10_000_000, 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.txt");
    let mut out = BufWriter::new(File::create(&path).unwrap());
    for (a, b) in graph.edges() {
        writeln!(out, "{a}\t{b}").unwrap();
    }
    out.flush().unwrap();
    drop(out);
    let start = Instant::now();
    let read = Graph::read(&path).unwrap();
    let as_they_are = start.elapsed().as_secs_f64();
    assert_eq!(read, graph);
    drop(read);
    let start = Instant::now();
    let (read, _) = Graph::read_with_ids(&path).unwrap();
    let gaps_closed = start.elapsed().as_secs_f64();
    assert_eq!(read.edge_count(), graph.edge_count());
    let row = json!({
        "lines": graph.edge_count(), "bytes": fs::metadata(&path).unwrap().len(),
        "seconds": as_they_are, "seconds_with_gaps_closed": gaps_closed,
    });
    eprintln!("{row}");
    row
}
