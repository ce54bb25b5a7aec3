//! Summaries of random and of real graphs: nothing is lost, and queries agree with the graph.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use std::{env, path::PathBuf};

use fingerpost_hierarchy::{
    Graph,
    summary::{Summary, SummaryError, SummaryOptions, summarize},
};
use proptest::prelude::*;

fn summary(graph: &Graph, seed: u64) -> Summary {
    summarize(
        graph,
        &SummaryOptions {
            seed,
            ..SummaryOptions::default()
        },
        &mut |_, _| true,
    )
    .unwrap()
}

fn assert_exact(graph: &Graph, summary: &Summary) {
    let decoded = summary.decode();
    assert_eq!(decoded.nodes(), graph.nodes());
    assert!(decoded.edges().eq(graph.edges()), "the decoded edges differ");
    for node in 0..graph.nodes() as u32 {
        assert_eq!(
            summary.neighbours(node),
            graph.neighbours(node),
            "neighbours of {node}"
        );
    }
    assert!(
        summary.stats().cost <= graph.edge_count(),
        "larger than the graph"
    );
}

fn all_pairs(nodes: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..nodes).flat_map(move |a| (a + 1..nodes).map(move |b| (a, b)))
}

proptest! {
    #[test]
    fn random_graphs_come_back(
        nodes in 1_u32..40,
        blocks in 1_u32..6,
        keep in proptest::collection::vec(0_u8..100, 780),
        (within, between) in (0_u8..=100, 0_u8..=100),
        seed in 0_u64..1000,
    ) {
        let edges: Vec<_> = all_pairs(nodes)
            .zip(keep)
            .filter(|&((a, b), keep)| keep < if a % blocks == b % blocks { within } else { between })
            .map(|(pair, _)| pair)
            .collect();
        let graph = Graph::new(nodes as usize, &edges, None);
        let summary = summary(&graph, seed);
        assert_exact(&graph, &summary);
        for (a, b) in all_pairs(nodes) {
            prop_assert_eq!(summary.has_edge(a, b), graph.has_edge(a, b));
            prop_assert_eq!(summary.has_edge(b, a), graph.has_edge(a, b));
        }
    }
}

#[test]
fn shapes() {
    let empty = Graph::new(0, &[], None);
    assert_eq!(summary(&empty, 0).stats().cost, 0);
    let isolated = Graph::new(5, &[], None);
    assert_exact(&isolated, &summary(&isolated, 0));
    let star: Vec<_> = (1..30).map(|leaf| (0, leaf)).collect();
    let clique: Vec<_> = all_pairs(30).collect();
    let bipartite: Vec<_> = all_pairs(30).filter(|&(a, b)| a < 15 && b >= 15).collect();
    for edges in [&star, &clique, &bipartite] {
        let graph = Graph::new(30, edges, None);
        assert_exact(&graph, &summary(&graph, 1));
    }
    // 30 links and a loop; of eight nodes, 8 and a loop.
    let eight = Graph::new(8, &all_pairs(8).collect::<Vec<_>>(), None);
    assert!((0..5).all(|seed| summary(&eight, seed).stats().cost == 9));
    let graph = Graph::new(30, &clique, None);
    assert!(summary(&graph, 1).stats().cost <= 31);
}

#[test]
fn the_same_seed_gives_the_same_summary_and_progress_can_stop() {
    let edges: Vec<_> = all_pairs(40).filter(|&(a, b)| (a * b) % 7 < 3).collect();
    let graph = Graph::new(40, &edges, None);
    assert_eq!(summary(&graph, 3), summary(&graph, 3));
    let stopped = summarize(&graph, &SummaryOptions::default(), &mut |done, _| done < 4);
    assert!(matches!(stopped, Err(SummaryError::Stopped)));
    let options = SummaryOptions {
        iterations: 0,
        ..SummaryOptions::default()
    };
    let error = summarize(&graph, &options, &mut |_, _| true).unwrap_err();
    assert!(error.to_string().contains("iterations is 0"));
}

#[test]
fn real_graphs() {
    let shared = env::var_os("FINGERPOST_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    for (file, most) in [
        ("karate.graph", 0.83),
        ("jazz.graph", 0.37),
        ("polblogs.graph", 0.694),
    ] {
        let path = shared.join("data/graphs").join(file);
        if !path.exists() {
            eprintln!("skipped: {file} of the shared data is not here");
            continue;
        }
        let graph = Graph::read(&path).unwrap();
        let summary = summary(&graph, 0);
        assert_exact(&graph, &summary);
        assert!(
            summary.stats().relative_size < most,
            "{file}: {:?}",
            summary.stats()
        );
    }
}
