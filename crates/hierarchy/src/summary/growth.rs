//! A picture of how time grows with graphs.

use svg::node::element::{Circle, Line, Polyline};

use crate::drawing::{page, text};

const COLOURS: [&str; 4] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;

/// Named series of (edges, seconds), all above 0, on logarithmic axes. A dashed line through the first point of each is what
/// time in proportion to edges would be.
pub fn growth_svg(title: &str, series: &[(String, Vec<(f64, f64)>)]) -> String {
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let decades = |values: &mut dyn Iterator<Item = f64>| {
        let logs: Vec<f64> = values.map(f64::log10).filter(|l| l.is_finite()).collect();
        let low = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        if low < high { (low, high) } else { (0.0, 1.0) }
    };
    let across = decades(&mut all().map(|p| p.0));
    let up = decades(&mut all().map(|p| p.1));
    let place = |(edges, seconds): (f64, f64)| {
        let share = |value: f64, (low, high): (f64, f64)| (value.log10() - low) / (high - low);
        (
            70.0 + 480.0 * share(edges, across),
            400.0 - 340.0 * share(seconds, up),
        )
    };
    let line = |from: (f64, f64), to: (f64, f64), colour: &str| {
        Line::new()
            .set("x1", from.0)
            .set("y1", from.1)
            .set("x2", to.0)
            .set("y2", to.1)
            .set("stroke", colour)
    };
    let decade = |log: i32| 10_f64.powi(log);
    let (left, right) = (decade(across.0 as i32), decade(across.1 as i32));
    let (bottom, top) = (decade(up.0 as i32), decade(up.1 as i32));
    let mut page = page(WIDTH, HEIGHT, title)
        .add(text("edges", 290.0, 440.0))
        .add(text("seconds", 8.0, 46.0));
    for log in across.0 as i32..=across.1 as i32 {
        let (x, y) = place((decade(log), bottom));
        page = page
            .add(line((x, y), place((decade(log), top)), "#ddd"))
            .add(text(&format!("1e{log}"), x - 10.0, y + 18.0));
    }
    for log in up.0 as i32..=up.1 as i32 {
        let (x, y) = place((left, decade(log)));
        page = page
            .add(line((x, y), place((right, decade(log))), "#ddd"))
            .add(text(&format!("1e{log}"), x - 36.0, y + 4.0));
    }
    for (at, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        if let (Some(&first), Some(&last)) = (points.first(), points.last()) {
            let proportional = (last.0, first.1 * last.0 / first.0);
            page = page.add(line(place(first), place(proportional), colour).set("stroke-dasharray", "4 4"));
        }
        let corners: Vec<String> = points
            .iter()
            .map(|&p| place(p))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        page = page.add(
            Polyline::new()
                .set("points", corners.join(" "))
                .set("fill", "none")
                .set("stroke", colour)
                .set("stroke-width", 2),
        );
        for &point in points {
            let (x, y) = place(point);
            page = page.add(
                Circle::new()
                    .set("cx", x)
                    .set("cy", y)
                    .set("r", 3)
                    .set("fill", colour),
            );
        }
        page = page.add(text(name, 566.0, 80.0 + 18.0 * at as f64).set("fill", colour));
    }
    page.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_on_logarithmic_axes() {
        let series = [("a < b".to_owned(), vec![(1e3, 0.1), (1e4, 1.0), (1e5, 10.0)])];
        let drawn = growth_svg("growth", &series);
        assert!(drawn.contains("70.0,400.0 310.0,230.0 550.0,60.0"), "{drawn}");
        assert!(drawn.contains("a &lt; b"), "{drawn}");
        assert!(growth_svg("none", &[]).starts_with("<svg"));
    }
}
