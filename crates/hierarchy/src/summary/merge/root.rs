//! Roots, and what lies between two of them.

use super::super::tables::{Adds, Shape};
use crate::Graph;

/// A root's side of a pair of adjacent roots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) slot: u32,
    /// Edges that are final.
    pub(super) deep: u32,
    pub(super) top: Top,
}

/// Signs of the edges between a root and its children, and another and its children; pattern and cost of these.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Top {
    /// Row: this root, its first child, its second; column: the other.
    pub(super) signs: [[i8; 3]; 3],
    /// Bit 2i + j: this root's child i to the other's child j.
    pub(super) pattern: u8,
    pub(super) cost: u8,
}

/// A root.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// Itself and its children; a leaf's are itself.
    pub(super) ids: [u32; 3],
    pub(super) shape: Shape,
    /// Signs within: with itself, itself and each child, first and first, first and second, second and second child.
    pub(super) within: [i8; 6],
    /// Which of the three blocks within these fill.
    pub(super) pattern: u8,
    pub(super) within_cost: u8,
    /// All edges at the tree's supernodes, and from parents to children.
    pub(super) cost: i64,
    pub(super) links: Vec<Link>,
}

/// No root: a place that was merged away.
const GONE: i64 = -1;

// === impl Top ===

impl Top {
    pub(super) fn turned(&self) -> Self {
        let p = self.pattern;
        Self {
            signs: std::array::from_fn(|row| std::array::from_fn(|column| self.signs[column][row])),
            pattern: p & 0b1001 | (p & 2) << 1 | (p & 4) >> 1,
            cost: self.cost,
        }
    }
}

// === impl Root ===

impl Root {
    /// A node, and its edges.
    pub(super) fn of_node(graph: &Graph, node: u32) -> Self {
        let link = |&slot: &u32| Link {
            slot,
            deep: 0,
            top: Top {
                signs: [[1, 0, 0], [0; 3], [0; 3]],
                pattern: 0b1111,
                cost: 1,
            },
        };
        Self {
            ids: [node; 3],
            cost: graph.degree(node) as i64,
            links: graph.neighbours(node).iter().map(link).collect(),
            ..Self::gone()
        }
    }

    pub(super) fn gone() -> Self {
        Self {
            ids: [0; 3],
            shape: Shape::LEAF,
            within: [0; 6],
            pattern: 0,
            within_cost: 0,
            cost: GONE,
            links: Vec::new(),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.cost == GONE
    }

    pub(super) fn link(&self, to: u32) -> Option<&Link> {
        let found = self.links.binary_search_by_key(&to, |l| l.slot);
        found.ok().map(|at| &self.links[at])
    }
}

/// Every root that one of two, or both, are adjacent to, and both sides' links.
pub(super) fn side_by_side<'a>(
    a: &'a [Link],
    b: &'a [Link],
) -> impl Iterator<Item = (u32, [Option<&'a Link>; 2])> {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    std::iter::from_fn(move || {
        let slots = [&mut left, &mut right].map(|links| links.peek().map(|l| l.slot));
        let third = slots.into_iter().flatten().min()?;
        Some((
            third,
            [
                left.next_if(|l| l.slot == third),
                right.next_if(|l| l.slot == third),
            ],
        ))
    })
}

/// The signs of the edges to a root and its children that add this to the children.
pub(super) fn row(adds: Adds) -> [i8; 3] {
    if adds[0] == adds[1] {
        [adds[0], 0, 0]
    } else {
        [0, adds[0], adds[1]]
    }
}
