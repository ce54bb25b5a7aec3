//! A picture of a graph of tools and of what became of a walk through it.

use fingerpost_core::Name;
use petgraph::{graph::NodeIndex, visit::EdgeRef};
use rustc_hash::FxHashSet;
use svg::{
    Document,
    node::element::{Line, Rectangle, Text, Title},
};

use super::{EventKind, Report, ToolGraph};

/// Nodes beyond which a picture could not be read.
const MAX_DRAWN: usize = 400;

const COLUMN: f64 = 180.0;
const ROW: f64 = 56.0;
const WIDTH: f64 = 130.0;
const HEIGHT: f64 = 30.0;
const TAKEN: &str = "#2ca02c";
const FAILED: &str = "#d62728";
const LEFT: &str = "#ff7f0e";
const OTHER: &str = "#bbbbbb";

/// The graph from left to right, in columns by the fewest edges from the start: green what was run and the way between, red what
/// failed, orange the paths that were left for another. Of a graph of more than 400 nodes, a page that says so.
pub fn svg(graph: &ToolGraph, report: &Report) -> String {
    let count = graph.node_count();
    if count > MAX_DRAWN {
        let text = format!(
            "{}: {count} nodes are too many to draw (at most {MAX_DRAWN})",
            graph.name()
        );
        return page(700.0, 60.0, &text).to_string();
    }
    let columns = columns(graph);
    let deepest = columns.iter().copied().max().unwrap_or(0);
    let mut rows = vec![0usize; deepest + 1];
    let places: Vec<(f64, f64)> = columns
        .iter()
        .map(|column| {
            let row = rows[*column];
            rows[*column] += 1;
            (30.0 + COLUMN * *column as f64, 60.0 + ROW * row as f64)
        })
        .collect();
    let tallest = rows.iter().copied().max().unwrap_or(1) as f64;
    let title = format!("{}: {} ({})", graph.name(), report.goal, report.ending);
    let mut page = page(
        60.0 + COLUMN * (deepest + 1) as f64,
        130.0 + ROW * tallest,
        &title,
    );

    let run: FxHashSet<&Name> = report.executed.iter().collect();
    let failed: FxHashSet<&Name> = report.log.iter().filter_map(|e| e.failed.as_ref()).collect();
    let left = left(report);
    let is_behind = |name: &Name, is_place: bool| is_place || run.contains(name);
    for edge in graph.graph.edge_references() {
        let (a, b) = (edge.source(), edge.target());
        let (from, to) = (&graph.graph[a], &graph.graph[b]);
        let taken = is_behind(&from.name, from.tool.is_none()) && is_behind(&to.name, to.tool.is_none());
        let colour = if taken {
            TAKEN
        } else if left.contains(&(&from.name, &to.name)) || failed.contains(&to.name) {
            LEFT
        } else {
            OTHER
        };
        let (from, to) = (places[a.index()], places[b.index()]);
        page = page.add(
            Line::new()
                .set("x1", from.0 + WIDTH)
                .set("y1", from.1 + HEIGHT / 2.0)
                .set("x2", to.0)
                .set("y2", to.1 + HEIGHT / 2.0)
                .set("stroke", colour)
                .set("stroke-width", if taken { 2.5 } else { 1.2 })
                .add(Title::new(format!("costs {}", edge.weight().cost))),
        );
    }
    for (node, (x, y)) in graph.nodes().zip(places) {
        let colour = if failed.contains(&node.name) {
            FAILED
        } else if run.contains(&node.name) {
            TAKEN
        } else if node.tool.is_none() {
            "#333333"
        } else {
            OTHER
        };
        let shape = Rectangle::new()
            .set("x", x)
            .set("y", y)
            .set("width", WIDTH)
            .set("height", HEIGHT)
            .set("rx", if node.tool.is_some() { 4 } else { 15 })
            .set("fill", "white")
            .set("stroke", colour)
            .set("stroke-width", 2);
        let shown: String = node.name.chars().take(18).collect();
        page = page.add(shape).add(text(&shown, x + 8.0, y + 19.0));
    }
    let legend = [
        ("run", TAKEN),
        ("failed", FAILED),
        ("left for another way", LEFT),
        ("not used", OTHER),
    ];
    for (i, (what, colour)) in legend.into_iter().enumerate() {
        let at = (30.0 + 170.0 * i as f64, 90.0 + ROW * tallest);
        page = page.add(text(what, at.0, at.1).set("fill", colour));
    }
    let counts = format!(
        "{} run, {} failures: {} reroutes, {} escalations; the model was asked {} times",
        report.executed.len(),
        report.failures,
        report.count(EventKind::Reroute),
        report.count(EventKind::Escalate),
        report.llm_calls
    );
    page.add(text(&counts, 30.0, 115.0 + ROW * tallest)).to_string()
}

/// The edges of the paths that were left.
fn left(report: &Report) -> FxHashSet<(&Name, &Name)> {
    let paths = report.log.iter().map(|e| &e.old_path);
    paths
        .flat_map(|path| path.windows(2).map(|pair| (&pair[0], &pair[1])))
        .collect()
}

/// By node, the fewest edges from the start; what cannot be reached stands with what begins anew.
fn columns(graph: &ToolGraph) -> Vec<usize> {
    let mut columns = vec![None; graph.node_count()];
    let begins = [Some(graph.start), graph.fan.as_ref().map(|f| f.join)];
    for (i, begin) in begins.into_iter().flatten().enumerate() {
        let column = if i == 0 {
            0
        } else {
            columns.iter().flatten().max().map_or(0, |c| c + 1)
        };
        if columns[begin as usize].is_some() {
            continue;
        }
        columns[begin as usize] = Some(column);
        let mut open = std::collections::VecDeque::from([begin]);
        while let Some(node) = open.pop_front() {
            let next = columns[node as usize].map_or(0, |c| c + 1);
            for to in graph.graph.neighbors(NodeIndex::from(node)) {
                let place = &mut columns[to.index()];
                if place.is_none() {
                    *place = Some(next);
                    open.push_back(to.index() as u32);
                }
            }
        }
    }
    columns.into_iter().map(Option::unwrap_or_default).collect()
}

fn page(width: f64, height: f64, title: &str) -> Document {
    let white = Rectangle::new()
        .set("width", width)
        .set("height", height)
        .set("fill", "white");
    Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(white)
        .add(text(title, 20.0, 24.0).set("font-size", 15))
}

/// Text from a point on; it is escaped.
fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(content).set("x", x).set("y", y)
}
