//! What all pictures begin with.

use svg::{
    Document,
    node::element::{Rectangle, Text},
};

/// A white page with a title.
pub(crate) fn page(width: f64, height: f64, title: &str) -> Document {
    Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(
            Rectangle::new()
                .set("width", width)
                .set("height", height)
                .set("fill", "white"),
        )
        .add(text(title, 20.0, 24.0).set("font-size", 15))
}

/// Text from a point on; it is escaped.
pub(crate) fn text(content: &str, x: f64, y: f64) -> Text {
    Text::new(content).set("x", x).set("y", y)
}
