//! How far a taxonomy contradicts itself.
//!
//! A document of a sub-category belongs to every category above it too. Language models often cite a claim below without
//! citing it above, which is a sign of wrong assignment that needs no truth to be seen (card 54, test b).

use serde::Serialize;

use super::{Category, Taxonomy};

/// Counts over a taxonomy, or over several ([`Audit::add`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Audit {
    /// Taxonomies counted.
    pub taxonomies: usize,
    /// Top categories.
    pub roots: usize,
    /// All categories.
    pub categories: usize,
    /// Categories that have children.
    pub inner: usize,
    /// Categories that have a parent.
    pub children: usize,
    /// Children with an item that their parent does not hold.
    pub overflowing: usize,
    /// Those of them whose parent holds no item at all: a heading, that is, rather than an error of assignment.
    pub under_headings: usize,
    /// Pairs of category and item.
    pub links: usize,
    /// Links of children that their parent does not hold.
    pub overflowing_links: usize,
    /// Categories by level, the top ones first; trailing levels are without categories.
    pub levels: [usize; 8],
}

// === impl Audit ===

impl Audit {
    /// Counts one taxonomy in.
    pub fn add(&mut self, taxonomy: &Taxonomy) {
        self.taxonomies += 1;
        let visits = taxonomy.walk();
        for visit in &visits {
            let category = visit.category;
            self.categories += 1;
            self.links += category.items.len();
            self.inner += usize::from(!category.children.is_empty());
            self.levels[visit.depth.min(self.levels.len() - 1)] += 1;
            match visit.parent {
                None => self.roots += 1,
                Some(parent) => self.add_child(visits[parent].category, category),
            }
        }
    }

    fn add_child(&mut self, parent: &Category, child: &Category) {
        self.children += 1;
        let outside = child.items.iter().filter(|&&item| !parent.holds(item)).count();
        self.overflowing_links += outside;
        self.overflowing += usize::from(outside > 0);
        self.under_headings += usize::from(outside > 0 && parent.items.is_empty());
    }

    /// Share of the children with an item that their parent does not hold, 0 to 1; 0 where there are no children.
    #[must_use]
    pub fn overflow(&self) -> f64 {
        share(self.overflowing, self.children)
    }

    /// Mean number of children of categories that have any; 0 where none has.
    #[must_use]
    pub fn branching(&self) -> f64 {
        share(self.children, self.inner)
    }

    /// Levels in use; the last counted level stands for all below it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.iter().take_while(|&&count| count > 0).count()
    }
}

impl From<&Taxonomy> for Audit {
    fn from(taxonomy: &Taxonomy) -> Self {
        let mut audit = Self::default();
        audit.add(taxonomy);
        audit
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_by_hand() {
        let mut heading = Category::new("heading", []);
        heading.children = vec![Category::new("a", [0]), Category::new("empty", [])];
        let mut money = Category::new("money", [0, 1]);
        money.children = vec![Category::new("within", [1]), Category::new("beyond", [1, 2, 3])];
        let taxonomy = Taxonomy {
            title: "t".into(),
            items: 4,
            categories: vec![heading, money],
        };
        let audit = Audit::from(&taxonomy);
        assert_eq!(
            (audit.roots, audit.categories, audit.inner, audit.children),
            (2, 6, 2, 4)
        );
        assert_eq!(
            (audit.overflowing, audit.under_headings, audit.overflowing_links),
            (2, 1, 3)
        );
        assert_eq!(
            (audit.overflow(), audit.branching(), audit.depth()),
            (0.5, 2.0, 2)
        );
        assert_eq!(audit.links, 7);
        assert_eq!(Audit::default().overflow(), 0.0);
    }
}
