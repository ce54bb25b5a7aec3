//! A picture of a taxonomy: one row a category, indented by level, with a bar as long as its share of the documents.

use svg::node::element::Rectangle;

use super::Taxonomy;
use crate::drawing::{page, text};

/// Rows that are drawn at most; more could not be read.
const MOST_ROWS: usize = 500;
/// Longest name that is written out, in characters.
const MOST_CHARACTERS: usize = 70;
const COLOURS: [&str; 5] = ["#1f77b4", "#6baed6", "#9ecae1", "#c6dbef", "#deebf7"];

/// Draws the taxonomy as SVG. Names are cut to 70 characters, rows to 500; the last line tells what is not shown.
#[must_use]
pub fn taxonomy_svg(taxonomy: &Taxonomy) -> String {
    let visits = taxonomy.walk();
    let rows = visits.len().min(MOST_ROWS);
    let height = 70.0 + 18.0 * (rows + 1) as f64;
    let mut page = page(900.0, height, &taxonomy.title);
    for (row, visit) in visits.iter().take(rows).enumerate() {
        let (x, y) = (20.0 + 22.0 * visit.depth as f64, 46.0 + 18.0 * row as f64);
        let share = visit.category.items.len() as f64 / f64::from(taxonomy.items.max(1));
        let name: String = visit.category.name.chars().take(MOST_CHARACTERS).collect();
        let bar = Rectangle::new()
            .set("x", 720)
            .set("y", y)
            .set("width", 150.0 * share)
            .set("height", 12)
            .set("fill", COLOURS[visit.depth.min(COLOURS.len() - 1)]);
        page = page
            .add(text(&name, x, y + 11.0))
            .add(text(&visit.category.items.len().to_string(), 680.0, y + 11.0))
            .add(bar);
    }
    let foot = format!(
        "{} categories on {} levels over {} documents{}",
        visits.len(),
        taxonomy.depth(),
        taxonomy.items,
        if visits.len() > rows {
            format!("; the first {rows} are shown")
        } else {
            String::new()
        }
    );
    page.add(text(&foot, 20.0, height - 12.0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taxonomy::Category;

    #[test]
    fn names_are_escaped_and_counted() {
        let mut top = Category::new("a < b & c", [0, 1]);
        top.children = vec![Category::new("below", [1])];
        let taxonomy = Taxonomy {
            title: "t".into(),
            items: 2,
            categories: vec![top],
        };
        let picture = taxonomy_svg(&taxonomy);
        assert!(
            picture.contains("a &lt; b &amp; c") && picture.contains("below"),
            "{picture}"
        );
        assert!(picture.contains("2 categories on 2 levels over 2 documents"));
        let many = Taxonomy {
            categories: vec![Category::new("same", [0]); 700],
            ..taxonomy
        };
        assert!(taxonomy_svg(&many).contains("the first 500 are shown"));
    }
}
