//! Reports for people: a table, a picture of cost and quality, a page with both.

mod learning;

use svg::{
    Document,
    node::element::{Circle, Line, Polyline, Text},
};

pub use self::learning::learning_svg;
use crate::routers::{Report, Row};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 60.0;
/// Room for names on the right.
const NAMES: f64 = 150.0;

/// One line a router, best first within learned routers and baselines alike.
pub fn text(report: &Report) -> String {
    let mut lines = vec![format!(
        "{}: trained on {}, judged on {} ({} queries), encoder {}\n{:<14} {:>8} {:>15} {:>11} {:>8} {:>7} {:>11} {:>7}",
        report.dataset,
        report.train,
        report.test,
        report.queries,
        report.encoder,
        "",
        "quality",
        "95 %",
        "USD/query",
        "gap",
        "regret",
        "equal at",
        "AIQ"
    )];
    for row in ordered(report) {
        let cost = row.cost_usd.map_or("-".to_owned(), |c| format!("{c:.6}"));
        let gap = row.gap_closed.map_or("-".to_owned(), |g| format!("{g:.3}"));
        let aiq = row.aiq.map_or("-".to_owned(), |a| format!("{a:.2}"));
        let equal = row
            .cost_at_equal_quality
            .map_or("-".to_owned(), |c| format!("{c:.6}"));
        let interval = format!("{:.1} to {:.1}", row.ci95.low, row.ci95.high);
        lines.push(format!(
            "{:<14} {:>8.2} {interval:>15} {cost:>11} {gap:>8} {:>7.2} {equal:>11} {aiq:>7}",
            row.algorithm, row.quality, row.regret
        ));
        for (task, gap) in &row.recovered {
            lines.push(format!(
                "  {task:<12} APGR {:.3}  CPT(50 %) {:.3}  CPT(80 %) {:.3}",
                gap.apgr, gap.cpt50, gap.cpt80
            ));
        }
        for learnt in &row.learning {
            let aiq = learnt.aiq.map_or("-".to_owned(), |a| format!("{a:.2}"));
            let tasks = learnt.recovered.iter();
            let gaps: String = tasks
                .map(|(task, gap)| format!("  {task} APGR {:.3}", gap.apgr))
                .collect();
            lines.push(format!(
                "  of {:<9} {:>8.2} {:>56} {aiq:>7}{gaps}",
                learnt.rows, learnt.quality, ""
            ));
        }
    }
    lines.join("\n")
}

fn ordered(report: &Report) -> Vec<&Row> {
    let mut rows: Vec<&Row> = report.rows.iter().collect();
    rows.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    rows
}

/// Cost across, quality upwards: a dot a router, and its curve where it has one. Without costs the dots stand above each other.
pub fn svg(report: &Report) -> String {
    let cost = |row: &Row| row.cost_usd.unwrap_or(0.0);
    let points = report.rows.iter().flat_map(|row| {
        let own = (cost(row), row.quality);
        row.curve.iter().copied().chain([own])
    });
    let (mut right, mut low, mut high) = (0.0_f64, f64::INFINITY, f64::NEG_INFINITY);
    for (cost, quality) in points {
        right = right.max(cost);
        low = low.min(quality);
        high = high.max(quality);
    }
    let (right, span) = (right.max(f64::MIN_POSITIVE), (high - low).max(1e-9));
    let x = |cost: f64| MARGIN + cost / right * (WIDTH - 2.0 * MARGIN - NAMES);
    let y = |quality: f64| HEIGHT - MARGIN - (quality - low) / span * (HEIGHT - 2.0 * MARGIN);
    let title = format!("{}: quality in percent over US dollars a query", report.dataset);
    let mut picture = frame(title)
        .add(label(format!("{low:.1}"), 8.0, y(low)))
        .add(label(format!("{high:.1}"), 8.0, y(high)))
        .add(label(
            format!("{right:.6}"),
            x(right) - 40.0,
            HEIGHT - MARGIN / 2.0,
        ));
    for (i, row) in ordered(report).iter().enumerate() {
        let colour = colour(i, report.rows.len());
        if !row.curve.is_empty() {
            let corners: Vec<String> = row
                .curve
                .iter()
                .map(|(c, q)| format!("{:.1},{:.1}", x(*c), y(*q)))
                .collect();
            let line = Polyline::new()
                .set("points", corners.join(" "))
                .set("fill", "none");
            picture = picture.add(line.set("stroke", colour.clone()).set("stroke-width", 1));
        }
        let dot = Circle::new()
            .set("cx", x(cost(row)))
            .set("cy", y(row.quality))
            .set("r", 4);
        picture = picture.add(dot.set("fill", colour.clone()));
        let name = format!("{} {:.1}", row.algorithm, row.quality);
        picture = picture
            .add(label(name, WIDTH - MARGIN - NAMES + 12.0, MARGIN + 18.0 * i as f64).set("fill", colour));
    }
    picture.to_string()
}

/// An empty picture: its title, and an axis each way.
fn frame(title: String) -> Document {
    let (bottom, right) = (HEIGHT - MARGIN, WIDTH - MARGIN - NAMES);
    Document::new()
        .set("viewBox", (0, 0, WIDTH as u32, HEIGHT as u32))
        .add(axis(MARGIN, bottom, right, bottom))
        .add(axis(MARGIN, bottom, MARGIN, MARGIN))
        .add(label(title, MARGIN, MARGIN / 2.0))
}

fn label(text: String, x: f64, y: f64) -> Text {
    Text::new(text)
        .set("x", x)
        .set("y", y)
        .set("font-size", 11)
        .set("font-family", "sans-serif")
}

/// The colour of the `i`-th of so many.
fn colour(i: usize, of: usize) -> String {
    format!("hsl({}, 65%, 40%)", i * 360 / of.max(1))
}

fn axis(x1: f64, y1: f64, x2: f64, y2: f64) -> Line {
    Line::new()
        .set("x1", x1)
        .set("y1", y1)
        .set("x2", x2)
        .set("y2", y2)
        .set("stroke", "#888")
}

/// A page that needs nothing from elsewhere: the picture, and the table under it.
pub fn html(report: &Report) -> String {
    let number =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let row = |row: &Row| {
        format!(
            "<tr><td>{}</td><td>{:.2}</td><td>{:.1}–{:.1}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td><td>{}</td><td>{:.1}</td><td>{:.1}</td></tr>",
            escaped(&row.algorithm),
            row.quality,
            row.ci95.low,
            row.ci95.high,
            number(row.cost_usd, 6),
            number(row.gap_closed, 3),
            row.regret,
            number(row.cost_at_equal_quality, 6),
            row.aiq.map_or("–".to_owned(), |aiq| {
                let interval = row.aiq_ci95.map(|ci| format!(" ({:.1}–{:.1})", ci.low, ci.high));
                format!("{aiq:.2}{}", interval.unwrap_or_default())
            }),
            row.train_seconds,
            row.decide_us,
        )
    };
    let rows: Vec<String> = ordered(report).into_iter().map(row).collect();
    let title = escaped(&format!(
        "{}: {} against {}",
        report.dataset, report.train, report.test
    ));
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{title}</title><style>body{{font:14px sans-serif;max-width:900px;margin:2em auto}}\
         td,th{{padding:2px 10px;text-align:right}}td:first-child,th:first-child{{text-align:left}}</style><h1>{title}</h1>\
         <p>{} queries, encoder {}</p>{}<table><tr><th>router</th><th>quality, %</th><th>95 %</th><th>USD a query</th>\
         <th>gap closed</th><th>regret, %</th><th>USD at the best single's quality</th><th>AIQ, %</th><th>training, s</th><th>decision, µs</th></tr>{}</table>\n",
        report.queries,
        escaped(&report.encoder),
        svg(report),
        rows.join("\n"),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::Interval;

    pub(super) fn report() -> Report {
        let row = |algorithm: &str, quality, cost_usd| Row {
            algorithm: algorithm.to_owned(),
            quality,
            cost_usd,
            gap_closed: Some(0.5),
            ci95: Interval {
                low: quality - 1.0,
                high: quality + 1.0,
            },
            regret: 80.0 - quality,
            regret_ci95: Interval {
                low: 79.0 - quality,
                high: 81.0 - quality,
            },
            aiq: None,
            aiq_ci95: None,
            cost_at_equal_quality: None,
            recovered: BTreeMap::new(),
            curve: Vec::new(),
            learning: Vec::new(),
            train_seconds: 0.0,
            decide_us: 0.0,
        };
        Report {
            dataset: "<set>".to_owned(),
            train: "train".to_owned(),
            test: "val".to_owned(),
            encoder: "static".to_owned(),
            trained_on: 2,
            queries: 2,
            rows: vec![row("random", 40.0, Some(0.001)), row("auto", 70.0, None)],
        }
    }

    #[test]
    fn the_best_stands_first_and_names_are_escaped() {
        let text = text(&report());
        assert!(
            text.find("auto").unwrap() < text.find("random").unwrap(),
            "{text}"
        );
        let page = html(&report());
        assert!(
            page.contains("&lt;set&gt;: train against val") && !page.contains("<set>"),
            "{page}"
        );
        assert!(page.contains("<td>auto</td><td>70.00</td>"));
    }
}
