//! A picture of the forest: the largest trees as nested bars, and the edges between what is drawn.

use rustc_hash::FxHashMap;
use svg::{
    Document,
    node::element::{Path, Rectangle},
};

use super::Summary;
use crate::drawing::{page, text};

/// Trees that are drawn; more could not be told apart.
const TREES: usize = 40;
/// Edges that are drawn.
const EDGES: usize = 400;
const WIDTH: f64 = 1100.0;
const LAYER: f64 = 22.0;

/// The trees with the most leaves, side by side, each supernode as wide as its leaves and above its children; positive edges
/// between drawn supernodes in green, negative ones in red. A caption says how much is left out.
pub fn svg(summary: &Summary) -> String {
    let mut roots: Vec<u32> = summary.roots().filter(|&r| summary.leaves(r).len() > 1).collect();
    roots.sort_by_key(|&r| (std::cmp::Reverse(summary.leaves(r).len()), r));
    let trees = roots.len();
    roots.truncate(TREES);
    let leaves: usize = roots.iter().map(|&r| summary.leaves(r).len()).sum();
    let unit = (WIDTH - 40.0 - 4.0 * roots.len() as f64) / leaves.max(1) as f64;
    let mut bars = Vec::new();
    let mut places: FxHashMap<u32, (f64, f64)> = FxHashMap::default();
    let (mut left, mut deepest) = (20.0, 0);
    for &root in &roots {
        let mut open = vec![(root, left, 0)];
        while let Some((id, x, depth)) = open.pop() {
            let width = unit * summary.leaves(id).len().max(1) as f64;
            let y = 330.0 + LAYER * f64::from(depth);
            deepest = deepest.max(depth);
            places.insert(id, (x + width / 2.0, y));
            bars.push(
                Rectangle::new()
                    .set("x", format!("{x:.2}"))
                    .set("y", y)
                    .set("width", format!("{:.2}", (width - 0.3).max(0.2)))
                    .set("height", LAYER - 3.0)
                    .set(
                        "fill",
                        if summary.children(id).is_empty() {
                            "#c6dbef"
                        } else {
                            "#6baed6"
                        },
                    ),
            );
            let mut at = x;
            for &child in summary.children(id) {
                open.push((child, at, depth + 1));
                at += unit * summary.leaves(child).len().max(1) as f64;
            }
        }
        left += unit * summary.leaves(root).len() as f64 + 4.0;
    }
    let height = 380.0 + LAYER * f64::from(deepest);
    let stats = summary.stats();
    let title = format!(
        "{} nodes, {} edges: {} positive and {} negative edges over {} links, relative size {:.3}",
        stats.nodes, stats.edges, stats.p_edges, stats.n_edges, stats.h_edges, stats.relative_size,
    );
    let among: Vec<_> = summary
        .edges()
        .filter(|(a, b, _)| places.contains_key(a) && places.contains_key(b))
        .collect();
    let caption = format!(
        "the {} largest of {trees} trees; {} of {} edges between them; positive green, negative red",
        roots.len(),
        among.len().min(EDGES),
        among.len(),
    );
    let mut page = page(WIDTH, height, &title).add(text(&caption, 20.0, 46.0));
    for &(a, b, sign) in among.iter().take(EDGES) {
        let ((ax, ay), (bx, by)) = (places[&a], places[&b]);
        let top = (ay.min(by) - 30.0 - (ax - bx).abs() / 4.0).max(60.0);
        let arc = format!("M{ax:.1},{ay:.1} C{ax:.1},{top:.1} {bx:.1},{top:.1} {bx:.1},{by:.1}");
        let colour = if sign > 0 { "#2ca02c" } else { "#d62728" };
        page = page.add(
            Path::new()
                .set("d", arc)
                .set("fill", "none")
                .set("stroke", colour)
                .set("stroke-opacity", 0.35),
        );
    }
    bars.into_iter().fold(page, Document::add).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Graph,
        summary::{SummaryOptions, summarize},
    };

    #[test]
    fn a_clique_is_one_tree_and_nothing_is_a_page() {
        let edges: Vec<(u32, u32)> = (0..8).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let draw =
            |graph: &Graph| svg(&summarize(graph, &SummaryOptions::default(), &mut |_, _| true).unwrap());
        let drawn = draw(&Graph::new(8, &edges, None));
        assert!(
            drawn.starts_with("<svg") && drawn.contains("8 nodes, 28 edges"),
            "{drawn}"
        );
        assert!(draw(&Graph::new(0, &[], None)).contains("the 0 largest of 0 trees"));
    }
}
