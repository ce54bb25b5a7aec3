//! A tree of a library as a picture: a column a level, a box a group, as high as the entries below it.

use svg::{
    Document,
    node::element::{Rectangle, Text, Title},
};

use super::{Child, SkillTree};

const COLUMN: f64 = 240.0;
const TOP: f64 = 40.0;
/// Height of an entry, as long as the page stays below [`HIGHEST`].
const ROW: f64 = 14.0;
const HIGHEST: f64 = 4_000.0;

/// The tree as SVG. Names are left out where they have no room; a box shows its own when pointed at.
pub fn tree_svg(tree: &SkillTree) -> String {
    let row = (HIGHEST / tree.len().max(1) as f64).min(ROW);
    let (width, height) = (
        COLUMN * tree.depth() as f64 + 40.0,
        TOP + row * tree.len() as f64 + 20.0,
    );
    let white = Rectangle::new()
        .set("width", width)
        .set("height", height)
        .set("fill", "white");
    let title = format!("{} entries in {} groups", tree.len(), tree.groups().len());
    let mut page = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("font-family", "sans-serif")
        .set("font-size", 11)
        .add(white)
        .add(Text::new(title).set("x", 20).set("y", 24).set("font-size", 15));
    let mut y = TOP;
    for &child in tree.top() {
        page = draw(tree, child, 0, &mut y, row, page);
    }
    page.to_string()
}

fn draw(tree: &SkillTree, child: Child, depth: usize, y: &mut f64, row: f64, mut page: Document) -> Document {
    let from = *y;
    let (name, fill) = match child {
        Child::Entry(entry) => {
            *y += row;
            (
                tree.id(entry).map_or_else(String::new, ToString::to_string),
                "#f2f2f2",
            )
        }
        Child::Group(group) => {
            let Some(group) = tree.groups().get(group as usize) else {
                return page;
            };
            for &below in &group.children {
                page = draw(tree, below, depth + 1, y, row, page);
            }
            let colours = ["#cfe3f3", "#d9efd5", "#fbe5c8", "#e6dcf1"];
            (
                format!("{} ({})", group.title, group.entries.len()),
                colours[depth % colours.len()],
            )
        }
    };
    let x = 20.0 + COLUMN * depth as f64;
    let frame = Rectangle::new()
        .set("x", x)
        .set("y", from)
        .set("width", COLUMN - 4.0)
        .set("height", (*y - from - 1.0).max(0.5))
        .set("fill", fill)
        .add(Title::new(name.as_str()));
    page = page.add(frame);
    if *y - from >= 10.0 {
        let shown: String = name.chars().take(38).collect();
        page = page.add(Text::new(shown).set("x", x + 4.0).set("y", from + 10.0));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Kind, TreeOptions};

    #[test]
    fn every_entry_and_group_has_a_box() {
        let entries = ["a", "b <&>", "c", "d"].map(|id| Entry::named(id, Kind::Tool));
        let vectors = [1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.9];
        let options = TreeOptions {
            group_size: 2,
            ..TreeOptions::default()
        };
        let tree = SkillTree::build(&entries, &vectors, &options).unwrap();
        let drawn = tree_svg(&tree);
        assert_eq!(drawn.matches("<rect").count(), 1 + 4 + 2);
        assert!(drawn.contains("b &lt;&amp;&gt;"), "{drawn}");
        assert!(tree_svg(&SkillTree::flat(&[], &[]).unwrap()).contains("0 entries"));
    }
}
