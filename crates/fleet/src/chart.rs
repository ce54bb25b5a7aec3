//! What all pictures of the fleet are made of: a white page, and curves over a quantity.

use svg::{
    Document,
    node::element::{Line, Polyline, Rectangle, Text},
};

const COLOURS: [&str; 8] = [
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf",
];
const LEFT: f64 = 80.0;
const TOP: f64 = 50.0;
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;

/// A named curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Points; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A white page with a title.
pub(crate) fn page(width: f64, height: f64, title: &str) -> Document {
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
pub(crate) fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(content).set("x", x).set("y", y)
}

/// Curves over one quantity, from 0 up, as SVG.
pub fn curves_svg(title: &str, across: &str, up: &str, series: &[Series]) -> String {
    let points = || {
        series
            .iter()
            .flat_map(|s| s.points.iter())
            .filter(|p| p.0.is_finite() && p.1.is_finite())
    };
    let (left, right) = ends(points().map(|p| p.0));
    let (low, high) = ends(points().map(|p| p.1).chain([0.0]));
    let place = |x: f64, y: f64| {
        (
            LEFT + WIDTH * (x - left) / (right - left),
            TOP + HEIGHT * (high - y) / (high - low),
        )
    };
    let mut page = page(LEFT + WIDTH + 220.0, TOP + HEIGHT + 60.0, title)
        .add(text(across, LEFT + WIDTH / 2.0, TOP + HEIGHT + 42.0))
        .add(text(up, 8.0, TOP - 8.0));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (x, y) = (left + share * (right - left), low + share * (high - low));
        let (from, to) = (place(left, y), place(right, y));
        let grid = Line::new()
            .set("x1", from.0)
            .set("y1", from.1)
            .set("x2", to.0)
            .set("y2", to.1);
        page = page
            .add(grid.set("stroke", "#ddd"))
            .add(text(&number(y), 8.0, from.1 + 4.0))
            .add(text(&number(x), place(x, low).0 - 12.0, TOP + HEIGHT + 20.0));
    }
    for (i, one) in series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let seen = one.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
        let path: Vec<String> = seen
            .map(|p| {
                let (x, y) = place(p.0, p.1);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let line = Polyline::new().set("points", path.join(" ")).set("fill", "none");
        let name = text(&one.name, LEFT + WIDTH + 14.0, TOP + 10.0 + 18.0 * i as f64);
        page = page
            .add(line.set("stroke", colour).set("stroke-width", 2))
            .add(name.set("fill", colour));
    }
    page.to_string()
}

/// Smallest and largest, never the same.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if low < high {
        (low, high)
    } else if low.is_finite() {
        (low, low + 1.0)
    } else {
        (0.0, 1.0)
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_whatever_their_points_are() {
        let series = |points: &[(f64, f64)]| Series {
            name: "a < b".to_owned(),
            points: points.to_vec(),
        };
        let drawn = curves_svg(
            "t",
            "x",
            "y",
            &[series(&[(0.0, 0.0), (1.0, 2.0), (f64::NAN, 1.0)]), series(&[])],
        );
        assert!(
            drawn.contains("a &lt; b") && drawn.contains("80.0,370.0 600.0,50.0"),
            "{drawn}"
        );
        assert!(curves_svg("t", "x", "y", &[]).contains("</svg>"));
    }
}
