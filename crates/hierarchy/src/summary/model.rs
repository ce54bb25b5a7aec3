//! A finished summary, and what can be asked of it without decoding it.
//!
//! The nodes stand in one order in which every supernode's leaves are neighbours, so that a supernode is a range. The edges
//! at a node's ancestors are then signed ranges, and its neighbours are where their sum is 1.

use serde::Serialize;

use super::draft::{Draft, NONE};
use crate::Graph;

/// A lossless hierarchical summary of a graph: a forest of supernodes whose leaves are the nodes, and signed edges between
/// supernodes of any depth. Two nodes are joined if the edges between their ancestors (themselves included) sum to 1.
/// Supernodes are numbered after the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    nodes: u32,
    graph_edges: u64,
    parents: Vec<u32>,
    /// The leaves, those of a supernode side by side; and the range of each supernode.
    order: Vec<u32>,
    ranges: Vec<(u32, u32)>,
    children: Lists<u32>,
    edges: Lists<(u32, i8)>,
}

/// Lists behind each other in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lists<T> {
    starts: Vec<usize>,
    items: Vec<T>,
}

/// Sizes of a [`Summary`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SummaryStats {
    /// Nodes of the graph.
    pub nodes: usize,
    /// Edges of the graph.
    pub edges: usize,
    /// Supernodes that are no nodes.
    pub supernodes: usize,
    /// Links from children to parents.
    pub h_edges: usize,
    /// Positive edges.
    pub p_edges: usize,
    /// Negative edges.
    pub n_edges: usize,
    /// The sum of the three.
    pub cost: usize,
    /// Cost by edges of the graph; 0 without edges. Below 1 the summary is smaller than the graph.
    pub relative_size: f64,
    /// Links from the deepest node to its root.
    pub max_height: usize,
    /// Links from a node to its root, on average over the nodes.
    pub mean_leaf_depth: f64,
}

// === impl Lists ===

impl<T: Copy + Default> Lists<T> {
    pub(super) fn new(lists: &[Vec<T>]) -> Self {
        let mut starts = Vec::with_capacity(lists.len() + 1);
        starts.push(0);
        let mut items = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        for list in lists {
            items.extend_from_slice(list);
            starts.push(items.len());
        }
        Self { starts, items }
    }

    /// Items by the list that each belongs to, in the order given.
    pub(super) fn placed(lists: usize, items: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut starts = vec![0; lists + 1];
        for (list, _) in items.clone() {
            starts[list as usize + 1] += 1;
        }
        for list in 0..lists {
            starts[list + 1] += starts[list];
        }
        let mut places = starts.clone();
        let mut placed = vec![T::default(); starts[lists]];
        for (list, item) in items {
            placed[places[list as usize]] = item;
            places[list as usize] += 1;
        }
        Self {
            starts,
            items: placed,
        }
    }

    fn of(&self, at: u32) -> &[T] {
        &self.items[self.starts[at as usize]..self.starts[at as usize + 1]]
    }
}

// === impl Summary ===

impl Summary {
    /// Numbers what is left of a draft. Its supernodes must form a forest.
    pub(super) fn from_draft(draft: &Draft, graph_edges: u64) -> Self {
        let mut numbers = vec![NONE; draft.parents.len()];
        let mut kept = 0_u32;
        for (id, number) in numbers.iter_mut().enumerate() {
            if id < draft.nodes || !draft.children[id].is_empty() {
                *number = kept;
                kept += 1;
            }
        }
        let number = |id: u32| if id == NONE { NONE } else { numbers[id as usize] };
        let old = (0..draft.parents.len()).filter(|&id| numbers[id] != NONE);
        let parents: Vec<u32> = old.clone().map(|id| number(draft.parents[id])).collect();
        let ends = |id: usize| -> Vec<(u32, i8)> {
            let ends = draft.edges[id].iter();
            ends.map(|&(to, sign)| (number(to), sign)).collect()
        };
        let edges: Vec<Vec<(u32, i8)>> = old.map(ends).collect();
        Self::new(draft.nodes, graph_edges, parents, Lists::new(&edges))
    }

    /// Of parents that are above their children in number, so that every supernode's tree ends; and edges by both ends.
    pub(super) fn new(nodes: usize, graph_edges: u64, parents: Vec<u32>, edges: Lists<(u32, i8)>) -> Self {
        let linked = (0_u32..).zip(&parents).filter(|&(_, &parent)| parent != NONE);
        let children = Lists::placed(parents.len(), linked.map(|(child, &parent)| (parent, child)));
        let (order, ranges) = lay_out(nodes, &parents, &children);
        Self {
            nodes: nodes as u32,
            graph_edges,
            parents,
            order,
            ranges,
            children,
            edges,
        }
    }

    /// Nodes of the graph; supernodes are numbered from here.
    pub fn nodes(&self) -> usize {
        self.nodes as usize
    }

    /// Edges of the graph.
    pub fn graph_edges(&self) -> usize {
        self.graph_edges as usize
    }

    /// Nodes and supernodes.
    pub fn supernodes(&self) -> usize {
        self.parents.len()
    }

    /// The roots of the forest, ascending; nodes outside all supernodes among them.
    pub fn roots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.parents.len() as u32).filter(|&id| self.parents[id as usize] == NONE)
    }

    /// The supernode that holds this node or supernode.
    ///
    /// # Panics
    /// As all that take a node or supernode: if there is none of this number.
    pub fn parent(&self, id: u32) -> Option<u32> {
        Some(self.parents[id as usize]).filter(|&p| p != NONE)
    }

    /// What a supernode holds, ascending; nothing for a node.
    pub fn children(&self, id: u32) -> &[u32] {
        self.children.of(id)
    }

    /// The nodes below a supernode, in no particular order; a node itself.
    pub fn leaves(&self, id: u32) -> &[u32] {
        let (from, to) = self.ranges[id as usize];
        &self.order[from as usize..to as usize]
    }

    /// The edges at a supernode: the other end, and 1 or -1. A loop stands for all pairs of the supernode's leaves.
    pub fn edges_at(&self, id: u32) -> &[(u32, i8)] {
        self.edges.of(id)
    }

    /// Every edge of the summary once: the lower end, the other, the sign.
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32, i8)> + '_ {
        (0..self.parents.len() as u32).flat_map(move |id| {
            self.edges_at(id)
                .iter()
                .filter(move |e| id <= e.0)
                .map(move |&(to, sign)| (id, to, sign))
        })
    }

    /// The node or supernode, what holds it, what holds that, up to the root.
    pub fn ancestors(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(id), |&id| self.parent(id))
    }

    fn place(&self, node: u32) -> u32 {
        self.ranges[node as usize].0
    }

    fn holds(&self, id: u32, place: u32) -> bool {
        let (from, to) = self.ranges[id as usize];
        from <= place && place < to
    }

    /// The signed ranges that a node's edges cover, each edge once.
    fn covered(&self, node: u32) -> impl Iterator<Item = ((u32, u32), i8)> + '_ {
        let place = self.place(node);
        self.ancestors(node).flat_map(move |id| {
            let (from, to) = self.ranges[id as usize];
            self.edges_at(id).iter().filter_map(move |&(other, sign)| {
                let range = self.ranges[other as usize];
                // Of an edge between two of the node's ancestors the upper one counts, seen from the lower.
                let seen_from_above = range.1 - range.0 < to - from && self.holds(other, place);
                (!seen_from_above).then_some((range, sign))
            })
        })
    }

    /// Ranges of one sum, of a node to all others; `take` gets range and sum, where it is not 0.
    pub(super) fn sums(&self, node: u32, mut take: impl FnMut((u32, u32), i32)) {
        let place = self.place(node);
        let mut bounds: Vec<(u32, i32)> = vec![(place, 0), (place + 1, 0)];
        for ((from, to), sign) in self.covered(node) {
            bounds.push((from, i32::from(sign)));
            bounds.push((to, -i32::from(sign)));
        }
        bounds.sort_unstable();
        let mut sum = 0;
        for pair in bounds.windows(2) {
            sum += pair[0].1;
            if sum != 0 && pair[0].0 < pair[1].0 && pair[0].0 != place {
                take((pair[0].0, pair[1].0), sum);
            }
        }
    }

    /// The node's neighbours in the graph, ascending. Time: the edges at its ancestors, times the logarithm of their number, and
    /// the neighbours.
    pub fn neighbours(&self, node: u32) -> Vec<u32> {
        let mut neighbours = Vec::new();
        self.sums(node, |(from, to), _| {
            neighbours.extend_from_slice(&self.order[from as usize..to as usize]);
        });
        neighbours.sort_unstable();
        neighbours
    }

    /// Whether the graph has this edge. Time: the edges at the first node's ancestors.
    pub fn has_edge(&self, a: u32, b: u32) -> bool {
        let place = self.place(b);
        let at = |((from, to), sign): ((u32, u32), i8)| {
            if from <= place && place < to {
                i32::from(sign)
            } else {
                0
            }
        };
        a != b && self.covered(a).map(at).sum::<i32>() == 1
    }

    /// The graph.
    pub fn decode(&self) -> Graph {
        let mut edges = Vec::new();
        for node in 0..self.nodes {
            self.sums(node, |(from, to), _| {
                let others = &self.order[from as usize..to as usize];
                edges.extend(
                    others
                        .iter()
                        .filter(|&&other| node < other)
                        .map(|&other| (node, other)),
                );
            });
        }
        Graph::new(self.nodes(), &edges, None)
    }

    /// Sizes.
    pub fn stats(&self) -> SummaryStats {
        let (mut p_edges, mut n_edges) = (0, 0);
        for (_, _, sign) in self.edges() {
            *if sign > 0 { &mut p_edges } else { &mut n_edges } += 1;
        }
        let h_edges = self.parents.iter().filter(|&&p| p != NONE).count();
        let depth = |node: u32| self.ancestors(node).count() - 1;
        let cost = h_edges + p_edges + n_edges;
        SummaryStats {
            nodes: self.nodes(),
            edges: self.graph_edges(),
            supernodes: self.parents.len() - self.nodes(),
            h_edges,
            p_edges,
            n_edges,
            cost,
            relative_size: if self.graph_edges == 0 {
                0.0
            } else {
                cost as f64 / self.graph_edges as f64
            },
            max_height: (0..self.nodes).map(depth).max().unwrap_or(0),
            mean_leaf_depth: (0..self.nodes).map(depth).sum::<usize>() as f64 / (self.nodes as f64).max(1.0),
        }
    }
}

/// The nodes in an order in which every supernode is a range, and the ranges.
fn lay_out(nodes: usize, parents: &[u32], children: &Lists<u32>) -> (Vec<u32>, Vec<(u32, u32)>) {
    let mut order = Vec::with_capacity(nodes);
    let mut ranges = vec![(0, 0); parents.len()];
    for root in (0..parents.len()).filter(|&id| parents[id] == NONE) {
        let mut open = vec![(root as u32, false)];
        while let Some((id, done)) = open.pop() {
            let range = &mut ranges[id as usize];
            if done {
                range.1 = order.len() as u32;
            } else if (id as usize) < nodes {
                *range = (order.len() as u32, order.len() as u32 + 1);
                order.push(id);
            } else {
                range.0 = order.len() as u32;
                open.push((id, true));
                open.extend(children.of(id).iter().map(|&child| (child, false)));
            }
        }
    }
    (order, ranges)
}
