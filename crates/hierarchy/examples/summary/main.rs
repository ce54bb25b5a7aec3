//! Lossless summaries, measured on real graphs and on generated ones. Prints one JSON object, and a line a graph meanwhile.
//!
//! `cargo run --release -p fingerpost-hierarchy --example summary -- [--seeds N]` and one of
//! * nothing: relative sizes beside the authors' program and beside flat summaries, bits an edge of the saved file;
//! * `--rounds`: relative sizes by rounds of merges;
//! * `--growth [--svg FILE]`: CPU time on graphs of up to 10 million edges;
//! * `--reading`: time to read an edge list of 10 million lines.
//!
//! The real graphs are read from the shared data (`FINGERPOST_SHARED`), with a visible line where it is missing.
#![allow(clippy::unwrap_used, reason = "an example that fails panics")]

mod growth;
mod real;

use std::env;

use cpu_time::ProcessTime;
use fingerpost_hierarchy::{
    Graph,
    summary::{Summary, SummaryOptions, summarize},
};

fn main() {
    let words: Vec<String> = env::args().collect();
    let is = |name: &str| words.iter().any(|w| w == name);
    let value = |name: &str| {
        let at = words.iter().position(|w| w == name);
        at.and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let seeds: u64 = value("--seeds").map_or(5, |s| s.parse().unwrap());
    let found = if is("--growth") {
        growth::growth(value("--svg"))
    } else if is("--reading") {
        growth::reading()
    } else if is("--rounds") {
        real::rounds(seeds)
    } else {
        real::sizes(seeds)
    };
    println!("{found}");
}

/// A summary, and the seconds of CPU it took: one thread's.
fn timed(graph: &Graph, options: &SummaryOptions) -> (Summary, f64) {
    let start = ProcessTime::now();
    let summary = summarize(graph, options, &mut |_, _| true).unwrap();
    (summary, start.elapsed().as_secs_f64())
}

fn is_lossless(summary: &Summary, graph: &Graph) -> bool {
    summary.decode().edges().eq(graph.edges())
}
