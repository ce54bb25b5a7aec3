//! A picture of a sweep: share of requests within the objective over the rate, a panel for each staleness.

use svg::{
    Document,
    node::element::{Circle, Line, Polyline, Rectangle, Text},
};

use super::Report;

const COLOURS: [&str; 10] = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
    "#17becf",
];
const PANEL: f64 = 300.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 60.0;
const STEP: f64 = 370.0;

/// Draws `report`; means over seeds.
pub fn svg(report: &Report) -> String {
    let values = |of: fn(&super::Row) -> f64| {
        let mut values: Vec<f64> = report.rows.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    };
    let (stale, qps) = (values(|r| r.stale_s), values(|r| r.qps));
    let names = report.policies();
    #[allow(clippy::cast_precision_loss, reason = "few panels and names")]
    let (panels, listed) = (stale.len() as f64, names.len() as f64);
    let (width, height) = (
        LEFT + STEP * panels + 200.0,
        (TOP + HEIGHT + 60.0).max(TOP + 18.0 * listed + 20.0),
    );
    let mut page = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(
            Rectangle::new()
                .set("width", width)
                .set("height", height)
                .set("fill", "white"),
        )
        .add(text("Share of first tokens within the objective", 20.0, 24.0).set("font-size", 15));
    let (low, high) = (
        qps.first().copied().unwrap_or(0.0),
        qps.last().copied().unwrap_or(1.0),
    );
    for (panel, stale_s) in (0u16..).zip(&stale) {
        let left = LEFT + STEP * f64::from(panel);
        let x = |qps: f64| {
            left + if high > low {
                PANEL * (qps - low) / (high - low)
            } else {
                PANEL / 2.0
            }
        };
        let y = |share: f64| TOP + HEIGHT * (1.0 - share);
        page = page.add(text(&format!("loads {stale_s} s old at most"), left, TOP - 10.0));
        for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let line = Line::new()
                .set("x1", left)
                .set("x2", left + PANEL)
                .set("y1", y(tenth))
                .set("y2", y(tenth))
                .set("stroke", "#ddd");
            page = page
                .add(line)
                .add(text(&format!("{tenth}"), left - 32.0, y(tenth) + 4.0));
        }
        for rate in &qps {
            page = page.add(text(&format!("{rate}/s"), x(*rate) - 8.0, TOP + HEIGHT + 18.0));
        }
        for (at, name) in names.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let shares = qps
                .iter()
                .filter_map(|q| Some((x(*q), y(report.mean(name, *q, *stale_s, |s| s.within_slo)?))));
            // One rate makes no line.
            for (x, y) in shares.clone() {
                let dot = Circle::new().set("cx", x).set("cy", y).set("r", 2.5);
                page = page.add(dot.set("fill", colour));
            }
            let corners: Vec<String> = shares.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let curve = Polyline::new()
                .set("points", corners.join(" "))
                .set("fill", "none")
                .set("stroke", colour)
                .set("stroke-width", if *name == "dualmap" { 3 } else { 1 })
                .set(
                    "stroke-dasharray",
                    if at < COLOURS.len() { "none" } else { "4 3" },
                );
            page = page.add(curve);
        }
    }
    for (at, (line, name)) in (0u16..).zip(&names).enumerate() {
        let y = TOP + 18.0 * f64::from(line);
        let label = text(name, LEFT + STEP * panels, y).set("fill", COLOURS[at % COLOURS.len()]);
        page = page.add(label);
    }
    page.to_string()
}

fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(content).set("x", x).set("y", y)
}
