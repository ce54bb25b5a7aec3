//! Pictures: a dendrogram, and curves over a parameter.

use svg::node::element::{Line, Polyline};

use super::Dendrogram;
use crate::drawing::{page, text};

const COLOURS: [&str; 8] = [
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf",
];
/// Leaves that get a name; more could not be read.
const NAMED: usize = 120;

fn line(from: (f64, f64), to: (f64, f64), colour: &str) -> Line {
    Line::new()
        .set("x1", from.0)
        .set("y1", from.1)
        .set("x2", to.0)
        .set("y2", to.1)
        .set("stroke", colour)
}

/// The tree with its root on the left: each merge stands at its similarity (the scale is logarithmic where densities span more
/// than tenfold), groups of the widest gap in colours, leaves with their names and sizes.
pub fn dendrogram_svg(tree: &Dendrogram, title: &str, names: Option<&[String]>) -> String {
    let leaves = tree.leaves;
    let step = if leaves <= NAMED {
        16.0
    } else {
        16.0 * NAMED as f64 / leaves as f64
    };
    let (width, height) = (900.0, 80.0 + step * leaves.max(1) as f64);
    let mut page = page(width, height, title);
    let positive = || tree.merges.iter().map(|m| m.similarity).filter(|s| *s > 0.0);
    let (low, high) = (
        positive().fold(f64::INFINITY, f64::min),
        positive().fold(0.0, f64::max),
    );
    let wide = high > 10.0 * low;
    let scale = |s: f64| if wide { s.max(low / 2.0).ln() } else { s };
    let least = tree
        .merges
        .iter()
        .map(|m| scale(m.similarity))
        .fold(f64::INFINITY, f64::min);
    let most = tree
        .merges
        .iter()
        .map(|m| scale(m.similarity))
        .fold(f64::NEG_INFINITY, f64::max);
    let x = |s: f64| 30.0 + 600.0 * (scale(s) - least) / (most - least).max(1e-12);
    let groups = tree.cut(tree.widest_gap());
    // Leaves in the order of the tree, from the root down.
    let mut order = Vec::with_capacity(leaves);
    let mut open: Vec<usize> = (leaves + tree.merges.len()).checked_sub(1).into_iter().collect();
    while let Some(node) = open.pop() {
        match node.checked_sub(leaves) {
            Some(i) => open.extend([tree.merges[i].children.1, tree.merges[i].children.0]),
            None => order.push(node),
        }
    }
    let mut place = vec![(660.0, 0.0, ""); leaves + tree.merges.len()];
    for (row, &leaf) in order.iter().enumerate() {
        let y = 50.0 + step * (row as f64 + 0.5);
        place[leaf] = (660.0, y, COLOURS[groups[leaf] % COLOURS.len()]);
        if leaves <= NAMED {
            let name = names
                .and_then(|n| n.get(leaf))
                .cloned()
                .unwrap_or_else(|| format!("community {leaf}"));
            page = page.add(text(&name, 668.0, y + 4.0));
        }
    }
    for (i, merge) in tree.merges.iter().enumerate() {
        let (a, b) = (place[merge.children.0], place[merge.children.1]);
        let (at, colour) = (x(merge.similarity), if a.2 == b.2 { a.2 } else { "#444" });
        page = page
            .add(line((a.0, a.1), (at, a.1), colour))
            .add(line((b.0, b.1), (at, b.1), colour))
            .add(line((at, a.1), (at, b.1), colour));
        place[leaves + i] = (at, (a.1 + b.1) / 2.0, colour);
    }
    if !tree.merges.is_empty() {
        let unit = if wide {
            "similarity at the merge, logarithmic"
        } else {
            "similarity at the merge"
        };
        let (low, high) = (
            format!("{:.3e}", if wide { least.exp() } else { least }),
            format!("{high:.3e}"),
        );
        page = page
            .add(text(&low, 30.0, height - 10.0))
            .add(text(&high, 610.0, height - 10.0))
            .add(text(unit, 230.0, height - 10.0));
    }
    page.to_string()
}

/// Named curves of points (x, y) with y from 0 to 1, and a dashed line at `mark`.
pub fn curve_svg(title: &str, axis: &str, curves: &[(String, Vec<(f64, f64)>)], mark: Option<f64>) -> String {
    let (width, height) = (760.0, 420.0);
    let xs = || {
        curves
            .iter()
            .flat_map(|(_, points)| points.iter().map(|p| p.0))
            .chain(mark)
    };
    let (low, high) = (
        xs().fold(f64::INFINITY, f64::min),
        xs().fold(f64::NEG_INFINITY, f64::max),
    );
    let place = |x: f64, y: f64| {
        (
            60.0 + 520.0 * (x - low) / (high - low).max(1e-12),
            370.0 - 310.0 * y,
        )
    };
    let mut page = page(width, height, title).add(text(axis, 250.0, 410.0));
    for tick in 0..=5 {
        let y = f64::from(tick) / 5.0;
        let ((x0, y0), (x1, y1)) = (place(low, y), place(high, y));
        page = page
            .add(line((x0, y0), (x1, y1), "#ddd"))
            .add(text(&format!("{y:.1}"), 30.0, y0 + 4.0));
        let at = low + (high - low) * y;
        page = page.add(text(&format!("{at:.2}"), place(at, 0.0).0 - 12.0, 388.0));
    }
    if let Some(mark) = mark {
        page = page.add(line(place(mark, 0.0), place(mark, 1.0), "#888").set("stroke-dasharray", "4 4"));
    }
    for (i, (name, points)) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let line: Vec<String> = points
            .iter()
            .map(|p| place(p.0, p.1))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        page = page
            .add(
                Polyline::new()
                    .set("points", line.join(" "))
                    .set("fill", "none")
                    .set("stroke", colour)
                    .set("stroke-width", 2),
            )
            .add(text(name, 592.0, 60.0 + 18.0 * i as f64).set("fill", colour));
    }
    page.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Merge;

    #[test]
    fn names_are_escaped_and_nothing_is_needed() {
        let merge = Merge {
            children: (0, 1),
            similarity: 0.5,
            size: 2,
        };
        let tree = Dendrogram {
            leaves: 2,
            merges: vec![merge],
        };
        let drawn = dendrogram_svg(&tree, "a < b", Some(&["x & y".to_owned(), "z".to_owned()]));
        assert!(
            drawn.contains("a &lt; b") && drawn.contains("x &amp; y"),
            "{drawn}"
        );
        assert!(dendrogram_svg(&Dendrogram::default(), "none", None).starts_with("<svg"));
        assert!(
            curve_svg(
                "c",
                "x",
                &[("a".to_owned(), vec![(0.0, 0.5), (1.0, 1.0)])],
                Some(0.3)
            )
            .contains("60.0,215.0")
        );
    }
}
