//! Taxonomies: documents ordered under named, nested categories.
//!
//! A [`Taxonomy`] holds categories with names, items (numbers of documents), sub-categories and a confidence. An item may
//! stand under many categories. [`build`] makes one from vectors and texts without a language model, a [`Dialogue`] asks one,
//! [`parse`] reads what models have written. [`Taxonomy::tidy`] makes one consistent, a [`Corrector`] mends its links; both
//! tell every [`Edit`]. [`Audit`], [`assignments`] and [`labelled`] measure.
//!
//! Hsu et al., arXiv 2407.16148 (CHIME); card 54.

mod audit;
mod build;
mod correct;
mod damage;
mod dialogue;
mod documents;
mod features;
mod logistic;
mod measures;
mod naming;
mod parse;
mod picture;
mod tidy;

pub use audit::Audit;
pub use build::{BuildError, Built, Options, build, flat_k_means};
pub use correct::{CorrectError, Corrector, Evidence, Lesson};
pub use damage::damage;
pub use dialogue::{Dialogue, DialogueError, MAX_TEXTS, Placed, Prompt, UNCATEGORISED};
pub use documents::{DocumentError, DocumentFault, Documents};
pub use logistic::{FitError, Logistic};
pub use measures::{Counts, Labelled, Mismatch, Relation, assignments, coherent, labelled, relation};
pub use naming::names as group_names;
pub use parse::{ParseError, ParseFault, Parsed, parse};
pub use picture::taxonomy_svg;
pub use tidy::{Edit, TidyOptions};

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Deepest nesting that is read or made; deeper input is refused so that recursion stays shallow.
pub const MAX_DEPTH: usize = 32;

/// Documents under named, nested categories.
///
/// ```
/// use fingerpost_hierarchy::taxonomy::{Category, Taxonomy};
/// let loans = Category::new("loans", [0, 2]);
/// let mut money = Category::new("money", [0, 1, 2]);
/// money.children.push(loans);
/// let taxonomy = Taxonomy { title: "bank".into(), items: 4, categories: vec![money] };
/// let back = Taxonomy::from_json(&taxonomy.to_json()?)?;
/// assert_eq!(back, taxonomy);
/// assert_eq!(back.coverage(), 0.75);
/// # Ok::<(), fingerpost_hierarchy::taxonomy::TaxonomyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Taxonomy {
    /// What it is about.
    pub title: String,
    /// How many documents there are; items are numbered from 0 to one less.
    pub items: u32,
    /// The top categories ("aspects" on the card).
    pub categories: Vec<Category>,
}

/// A named category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Category {
    /// Its name, never blank in a valid taxonomy.
    pub name: String,
    /// Its documents, ascending, each once.
    #[serde(default)]
    pub items: Vec<u32>,
    /// Its sub-categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Category>,
    /// How sure its maker is of it, 0 to 1; 1 where the maker does not say.
    #[serde(default = "certain")]
    pub confidence: f32,
}

/// A taxonomy that is none.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaxonomyError {
    /// No JSON, or JSON of another shape.
    #[error("not a taxonomy in JSON (expected title, items, categories): {0}")]
    Json(#[from] serde_json::Error),
    /// A category without a name.
    #[error("a category under {parent:?} has a blank name; give every category a name")]
    BlankName {
        /// The category above, or the title.
        parent: String,
    },
    /// An item that does not exist.
    #[error(
        "category {category:?} holds item {item}, but there are only {items} items (0 to {items} less one)"
    )]
    UnknownItem {
        /// Where.
        category: String,
        /// Which.
        item: u32,
        /// How many there are.
        items: u32,
    },
    /// Items twice or out of order.
    #[error("the items of category {category:?} are not ascending, each once, at item {item}")]
    Disorder {
        /// Where.
        category: String,
        /// The first item that is not greater than the one before.
        item: u32,
    },
    /// A confidence out of range.
    #[error("category {category:?} has confidence {found}; allowed is 0 to 1")]
    Confidence {
        /// Where.
        category: String,
        /// What was found.
        found: f32,
    },
    /// Nested too deeply.
    #[error("category {category:?} lies deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// Where.
        category: String,
    },
}

/// A category with its place in the tree, as [`Taxonomy::walk`] gives them.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The category.
    pub category: &'a Category,
    /// Its level: 0 for a top category.
    pub depth: usize,
    /// Where its parent stands in the walk; none for a top category.
    pub parent: Option<usize>,
}

fn certain() -> f32 {
    1.0
}

// === impl Taxonomy ===

impl Taxonomy {
    /// Reads and validates JSON.
    ///
    /// # Errors
    /// [`TaxonomyError`] naming the first category at fault.
    pub fn from_json(json: &str) -> Result<Self, TaxonomyError> {
        let taxonomy: Self = serde_json::from_str(json)?;
        taxonomy.validate()?;
        Ok(taxonomy)
    }

    /// Writes JSON that [`from_json`](Self::from_json) reads back equal.
    ///
    /// # Errors
    /// [`TaxonomyError`] as [`validate`](Self::validate): what could not be read back is not written.
    pub fn to_json(&self) -> Result<String, TaxonomyError> {
        self.validate()?;
        Ok(serde_json::to_string(self)?)
    }

    /// Checks names, items, confidences and depth.
    ///
    /// That items of a category are among its parent's is not asked here: models often fail it.
    ///
    /// # Errors
    /// [`TaxonomyError`] naming the first category at fault.
    pub fn validate(&self) -> Result<(), TaxonomyError> {
        self.categories
            .iter()
            .try_for_each(|category| category.validate(&self.title, self.items, 0))
    }

    /// All categories, parents before children, in order.
    #[must_use]
    pub fn walk(&self) -> Vec<Visit<'_>> {
        let mut visits = Vec::new();
        for category in &self.categories {
            visit(category, 0, None, &mut visits);
        }
        visits
    }

    /// All categories in the order of [`walk`](Self::walk), to be changed one by one: `change` sees the category's place.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(usize, &mut Category)) {
        fn down(category: &mut Category, place: &mut usize, change: &mut impl FnMut(usize, &mut Category)) {
            change(*place, category);
            *place += 1;
            for child in &mut category.children {
                down(child, place, change);
            }
        }
        let mut place = 0;
        for category in &mut self.categories {
            down(category, &mut place, &mut change);
        }
    }

    /// Items under any category.
    #[must_use]
    pub fn covered(&self) -> FxHashSet<u32> {
        self.walk()
            .iter()
            .flat_map(|v| v.category.items.iter().copied())
            .collect()
    }

    /// Share of the items that stand under some category, 0 to 1; 1 where there are no items.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        if self.items == 0 {
            return 1.0;
        }
        self.covered().len() as f64 / f64::from(self.items)
    }

    /// Levels of categories: 0 without any, 1 for a flat list.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.walk().iter().map(|visit| visit.depth + 1).max().unwrap_or(0)
    }

    /// Mean number of children of the categories that have any; 0 where none has.
    #[must_use]
    pub fn branching(&self) -> f64 {
        let widths: Vec<usize> = self
            .walk()
            .iter()
            .map(|v| v.category.children.len())
            .filter(|&w| w > 0)
            .collect();
        if widths.is_empty() {
            return 0.0;
        }
        widths.iter().sum::<usize>() as f64 / widths.len() as f64
    }
}

fn visit<'a>(category: &'a Category, depth: usize, parent: Option<usize>, visits: &mut Vec<Visit<'a>>) {
    let place = visits.len();
    visits.push(Visit {
        category,
        depth,
        parent,
    });
    for child in &category.children {
        visit(child, depth + 1, Some(place), visits);
    }
}

// === impl Category ===

impl Category {
    /// A category without children, with its items in order, and confidence 1.
    #[must_use]
    pub fn new(name: impl Into<String>, items: impl IntoIterator<Item = u32>) -> Self {
        let mut items: Vec<u32> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Self {
            name: name.into(),
            items,
            children: Vec::new(),
            confidence: 1.0,
        }
    }

    /// Levels from here down: 1 without children.
    #[must_use]
    pub fn height(&self) -> usize {
        1 + self.children.iter().map(Self::height).max().unwrap_or(0)
    }

    /// Whether `item` stands here itself.
    #[must_use]
    pub fn holds(&self, item: u32) -> bool {
        self.items.binary_search(&item).is_ok()
    }

    fn validate(&self, parent: &str, items: u32, depth: usize) -> Result<(), TaxonomyError> {
        let category = || self.name.clone();
        if depth >= MAX_DEPTH {
            return Err(TaxonomyError::TooDeep { category: category() });
        }
        if self.name.trim().is_empty() {
            return Err(TaxonomyError::BlankName {
                parent: parent.to_owned(),
            });
        }
        if let Some(pair) = self.items.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(TaxonomyError::Disorder {
                category: category(),
                item: pair[1],
            });
        }
        if let Some(&item) = self.items.last().filter(|&&item| item >= items) {
            return Err(TaxonomyError::UnknownItem {
                category: category(),
                item,
                items,
            });
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(TaxonomyError::Confidence {
                category: category(),
                found: self.confidence,
            });
        }
        self.children
            .iter()
            .try_for_each(|child| child.validate(&self.name, items, depth + 1))
    }
}
