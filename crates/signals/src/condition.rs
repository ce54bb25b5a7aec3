//! When a decision holds: a tree of all / any / not over leaves that name signals.
//!
//! Two spellings, one tree. As one line: `domain:math and not keyword:urgent and (context > 32K or
//! complexity:reasoning:hard)`. As nested keys: `{ all: [ domain:math, { not: keyword:urgent }, ... ] }`, whose leaves are
//! lines themselves or `{ type, name, label, gt, gte, lt, lte, on_error }`. Printing a tree gives the line, and reading
//! that line gives the same tree: nesting is kept, because the confidence of `a and (b and c)` (a mean of means) is not
//! that of `a and b and c`.

mod parse;
mod print;
mod tree;

use std::str::FromStr;

pub use parse::ConditionError;
pub(crate) use print::write_name;

use crate::{Family, Number};

/// Deepest nesting of a condition. Keeps recursion over trees from user data within any stack.
pub const MAX_DEPTH: usize = 64;

/// A Boolean tree over signals.
///
/// In normal form, which all constructors and readers give: [`Condition::All`] and [`Condition::Any`] have no or at least
/// two children.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Holds when every child does; its confidence is their mean. Without children: holds always, with confidence 0.
    All(Vec<Condition>),
    /// Holds when some child does; its confidence is the largest among those that hold. Without children: never holds.
    Any(Vec<Condition>),
    /// Holds, with confidence 1, when the child does not.
    Not(Box<Condition>),
    /// Looks at a signal.
    Leaf(Leaf),
}

/// A look at one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Whose name it is.
    pub kind: Kind,
    /// The rule's name. Absent only for `context`, where it means the request's token estimate itself.
    pub name: Option<String>,
    /// One of several outputs of the rule: `hard`, `medium`, `easy` of a complexity rule.
    pub label: Option<String>,
    /// Compares the signal's raw number; a leaf with a test holds with confidence 1. Without: the leaf holds when the
    /// signal matched, with its confidence.
    pub test: Option<Test>,
    /// What the leaf says when the signal could not be computed.
    pub on_error: OnError,
}

/// What a leaf names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A signal of this family.
    Signal(Family),
    /// An output of a projection's mapping.
    Projection,
}

/// A comparison with a number. NaN passes none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// How to compare.
    pub comparison: Comparison,
    /// With what.
    pub bound: Number,
}

/// How to compare a number with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `>`
    Gt,
    /// `>=`
    Gte,
    /// `<`
    Lt,
    /// `<=`
    Lte,
}

/// What a leaf says when its signal could not be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// It does not hold.
    #[default]
    NoMatch,
    /// It holds, with confidence 1.
    Match,
}

// === impl Condition ===

impl Condition {
    /// Holds always, with confidence 0: the fallback.
    pub const ALWAYS: Self = Self::All(Vec::new());
    /// Never holds.
    pub const NEVER: Self = Self::Any(Vec::new());

    /// All of these; a single one stands for itself.
    #[must_use]
    pub fn all(children: Vec<Self>) -> Self {
        Self::single(children).unwrap_or_else(Self::All)
    }

    /// Any of these; a single one stands for itself.
    #[must_use]
    pub fn any(children: Vec<Self>) -> Self {
        Self::single(children).unwrap_or_else(Self::Any)
    }

    /// Not this.
    #[must_use]
    pub fn negate(child: Self) -> Self {
        Self::Not(Box::new(child))
    }

    /// All leaves, left to right.
    pub fn leaves(&self) -> Vec<&Leaf> {
        fn walk<'a>(node: &'a Condition, into: &mut Vec<&'a Leaf>) {
            match node {
                Condition::All(children) | Condition::Any(children) => {
                    for child in children {
                        walk(child, into);
                    }
                }
                Condition::Not(child) => walk(child, into),
                Condition::Leaf(leaf) => into.push(leaf),
            }
        }
        let mut leaves = Vec::new();
        walk(self, &mut leaves);
        leaves
    }

    /// Levels of nesting: 1 for a leaf.
    pub fn depth(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Not(child) => 1 + child.depth(),
            Self::All(children) | Self::Any(children) => {
                1 + children.iter().map(Self::depth).max().unwrap_or(0)
            }
        }
    }

    /// The only child, or the children back.
    fn single(mut children: Vec<Self>) -> Result<Self, Vec<Self>> {
        match (children.len(), children.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => {
                children.extend(last);
                Err(children)
            }
        }
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::ALWAYS
    }
}

impl FromStr for Condition {
    type Err = ConditionError;
    fn from_str(text: &str) -> Result<Self, ConditionError> {
        parse::parse(text)
    }
}

// === impl Leaf ===

impl Leaf {
    /// A leaf that holds when the signal matched.
    pub fn signal(family: Family, name: impl Into<String>) -> Self {
        Self {
            kind: Kind::Signal(family),
            name: Some(name.into()),
            label: None,
            test: None,
            on_error: OnError::NoMatch,
        }
    }

    /// A leaf that holds when the projection's mapping emitted this output.
    pub fn projection(output: impl Into<String>) -> Self {
        Self {
            kind: Kind::Projection,
            ..Self::signal(Family::Keyword, output)
        }
    }
}

// === impl Kind ===

impl Kind {
    /// As written before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal(family) => family.as_str(),
            Self::Projection => "projection",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "projection" {
            Some(Self::Projection)
        } else {
            Family::from_name(name).map(Self::Signal)
        }
    }

    /// All names, families first.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        Family::ALL
            .into_iter()
            .map(Family::as_str)
            .chain(std::iter::once("projection"))
    }
}

// === impl Test ===

impl Test {
    /// Whether `value` passes. NaN never does.
    pub fn passes(self, value: f64) -> bool {
        let bound = self.bound.get();
        match self.comparison {
            Comparison::Gt => value > bound,
            Comparison::Gte => value >= bound,
            Comparison::Lt => value < bound,
            Comparison::Lte => value <= bound,
        }
    }
}

// === impl Comparison ===

impl Comparison {
    /// As written in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
        }
    }
}
