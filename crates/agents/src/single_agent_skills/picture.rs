//! Accuracy over the size of a library, as a picture.

use svg::{
    Document,
    node::element::{Circle, Line, Polyline, Rectangle, Text},
};

const COLOURS: [&str; 7] = [
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf",
];
const LEFT: f64 = 60.0;
const TOP: f64 = 50.0;
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;

/// A named curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Size (above 0) and share (0 to 1); others are left out.
    pub points: Vec<(f64, f64)>,
}

/// Shares (0 to 1 upwards) over sizes on a logarithmic scale, as SVG.
pub fn accuracy_svg(title: &str, across: &str, curves: &[Curve]) -> String {
    let seen = |curve: &Curve| -> Vec<(f64, f64)> {
        let sound = |p: &&(f64, f64)| p.0 > 0.0 && p.0.is_finite() && p.1.is_finite();
        curve.points.iter().filter(sound).copied().collect()
    };
    let sizes: Vec<f64> = curves.iter().flat_map(seen).map(|p| p.0.ln()).collect();
    let low = sizes.iter().copied().fold(f64::INFINITY, f64::min);
    let high = sizes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let place = |size: f64, share: f64| {
        (
            LEFT + WIDTH * (size.ln() - low) / (high - low),
            TOP + HEIGHT * (1.0 - share.clamp(0.0, 1.0)),
        )
    };
    let white = Rectangle::new()
        .set("width", LEFT + WIDTH + 240.0)
        .set("height", TOP + HEIGHT + 60.0)
        .set("fill", "white");
    let mut page = Document::new()
        .set("viewBox", (0, 0, LEFT + WIDTH + 240.0, TOP + HEIGHT + 60.0))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(white)
        .add(text(title, 20.0, 24.0).set("font-size", 15))
        .add(text(across, LEFT + WIDTH / 2.0, TOP + HEIGHT + 42.0));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let size = (low + share * (high - low)).exp();
        let (x, y) = place(size, share);
        let grid = Line::new()
            .set("x1", LEFT)
            .set("y1", y)
            .set("x2", LEFT + WIDTH)
            .set("y2", y);
        page = page
            .add(grid.set("stroke", "#ddd"))
            .add(text(&format!("{share:.2}"), 20.0, y + 4.0))
            .add(text(&format!("{size:.0}"), x - 8.0, TOP + HEIGHT + 20.0));
    }
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: Vec<(f64, f64)> = seen(curve).into_iter().map(|p| place(p.0, p.1)).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = Polyline::new()
            .set("points", path.join(" "))
            .set("fill", "none")
            .set("stroke", colour)
            .set("stroke-width", 2);
        page = page.add(line);
        for (x, y) in points {
            page = page.add(
                Circle::new()
                    .set("cx", x)
                    .set("cy", y)
                    .set("r", 3)
                    .set("fill", colour),
            );
        }
        let name = text(&curve.name, LEFT + WIDTH + 14.0, TOP + 10.0 + 18.0 * i as f64);
        page = page.add(name.set("fill", colour));
    }
    page.to_string()
}

fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(content).set("x", x).set("y", y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_whatever_their_points_are() {
        let curve = |points: &[(f64, f64)]| Curve {
            name: "a < b".to_owned(),
            points: points.to_vec(),
        };
        let drawn = accuracy_svg(
            "t",
            "x",
            &[curve(&[(1.0, 1.0), (10.0, 0.0), (0.0, 0.5), (2.0, f64::NAN)])],
        );
        assert!(
            drawn.contains("a &lt; b") && drawn.contains("60.0,50.0 580.0,370.0"),
            "{drawn}"
        );
        assert!(accuracy_svg("t", "x", &[]).contains("</svg>"));
    }
}
