//! The picture of learning curves.

use svg::node::element::{Circle, Polyline};

use super::{HEIGHT, MARGIN, NAMES, WIDTH, colour, frame, label};
use crate::routers::{Report, Row};

/// Rows across, each doubling as far as the one before; quality upwards, and where costs are known AIQ as a broken line. Only
/// routers that have a learning curve are in it.
pub fn learning_svg(report: &Report) -> String {
    let rows: Vec<&Row> = report.rows.iter().filter(|r| !r.learning.is_empty()).collect();
    let lines: Vec<[Vec<(f64, f64)>; 2]> = rows.iter().map(|row| lines(row, report.trained_on)).collect();
    let points = || lines.iter().flatten().flatten();
    let range = |of: fn(&(f64, f64)) -> f64| {
        points()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            })
    };
    let ((left, right), (low, high)) = (range(|p| p.0), range(|p| p.1));
    let x = |log: f64| MARGIN + (log - left) / (right - left).max(1e-9) * (WIDTH - 2.0 * MARGIN - NAMES);
    let y =
        |percent: f64| HEIGHT - MARGIN - (percent - low) / (high - low).max(1e-9) * (HEIGHT - 2.0 * MARGIN);
    let title = format!(
        "{}: quality (broken line: AIQ) in percent over rows trained on",
        report.dataset
    );
    let mut picture = frame(title);
    if points().next().is_none() {
        return picture.to_string();
    }
    for percent in [low, high] {
        picture = picture.add(label(format!("{percent:.1}"), 8.0, y(percent)));
    }
    for (log, _) in lines.first().into_iter().flat_map(|l| &l[0]) {
        picture = picture.add(label(
            format!("{:.0}", log.exp2()),
            x(*log) - 10.0,
            HEIGHT - MARGIN / 2.0,
        ));
    }
    for (i, (row, lines)) in rows.iter().zip(&lines).enumerate() {
        let colour = colour(i, rows.len());
        for (line, dashes) in lines.iter().zip(["none", "4 3"]) {
            let corners: Vec<String> = line
                .iter()
                .map(|(log, percent)| format!("{:.1},{:.1}", x(*log), y(*percent)))
                .collect();
            let drawn = Polyline::new()
                .set("points", corners.join(" "))
                .set("fill", "none");
            let drawn = drawn
                .set("stroke", colour.clone())
                .set("stroke-dasharray", dashes);
            picture = picture.add(drawn);
            for (log, percent) in line {
                let dot = Circle::new()
                    .set("cx", x(*log))
                    .set("cy", y(*percent))
                    .set("r", 2.5);
                picture = picture.add(dot.set("fill", colour.clone()));
            }
        }
        let place = (WIDTH - MARGIN - NAMES + 12.0, MARGIN + 18.0 * i as f64);
        picture = picture.add(label(row.algorithm.clone(), place.0, place.1).set("fill", colour));
    }
    picture.to_string()
}

/// Quality and AIQ in percent over the logarithm (base 2) of the rows; the last point is what all `rows` gave.
fn lines(row: &Row, rows: usize) -> [Vec<(f64, f64)>; 2] {
    let log = |rows: usize| (rows.max(1) as f64).log2();
    let learnt = row.learning.iter();
    let quality = learnt.clone().map(|l| (log(l.rows), l.quality));
    let aiq = learnt.filter_map(|l| Some((log(l.rows), l.aiq?)));
    [
        quality.chain([(log(rows), row.quality)]).collect(),
        aiq.chain(row.aiq.map(|aiq| (log(rows), aiq))).collect(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::tests::report, routers::Learnt};

    #[test]
    fn a_line_a_router_that_has_a_curve() {
        let mut report = report();
        assert!(!learning_svg(&report).contains("polyline"));
        report.rows[1].learning = vec![Learnt {
            rows: 1,
            quality: 50.0,
            aiq: None,
            recovered: Default::default(),
        }];
        let picture = learning_svg(&report);
        // From one row at the bottom left to two at the top right.
        assert!(picture.contains("60.0,420.0 650.0,60.0"), "{picture}");
        assert!(picture.contains("auto") && !picture.contains("random"));
    }
}
