//! The cheapest path over (node, facts that hold), found by petgraph's search.
//!
//! Preconditions make a plain search over nodes wrong: the cheapest way to a node may be one on which the next tool's
//! precondition does not hold. So a state is a node together with the facts that hold there, and [`States`] shows the states to
//! petgraph as a graph that is never built: only those that the search looks at exist. Without preconditions there is one state a
//! node. Cost: O((V + E) log V) for each set of facts that is met, O(1) to change the weight of a tool.

use std::{cell::Cell, iter, ops::Add};

use petgraph::{
    algo::astar,
    graph::NodeIndex,
    visit::{
        Data, EdgeRef, GraphBase, GraphRef, IntoEdgeReferences, IntoEdges, IntoNeighbors, VisitMap, Visitable,
    },
};
use rustc_hash::FxHashSet;

use super::graph::{Edge, ToolGraph};

/// A node, and the facts that hold once it is behind.
type State = (u32, u64);

/// What is known of the nodes: their factors, and which are behind.
pub(crate) struct Terrain<'a> {
    pub(crate) graph: &'a ToolGraph,
    /// What the cost of the edges into a node is multiplied by: 0 for what has been run already, infinite for what must not be.
    pub(crate) factor: &'a dyn Fn(u32) -> f64,
    /// Whether a node has been run already: its preconditions do not matter any more.
    pub(crate) behind: &'a dyn Fn(u32) -> bool,
}

/// A path and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// The nodes after the first.
    pub(crate) nodes: Vec<u32>,
    pub(crate) cost: f64,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    Path(Path),
    None,
    /// It looked at as many states as it may.
    GaveUp,
}

/// Weight first; among equal ones what was declared first.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
struct Cost {
    weight: f64,
    rank: u64,
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            rank: self.rank + other.rank,
        }
    }
}

/// All states, as a graph.
#[derive(Clone, Copy)]
struct States<'a> {
    terrain: &'a Terrain<'a>,
    left: &'a Cell<usize>,
}

/// An edge between two states.
#[derive(Clone, Copy)]
struct Passage {
    from: State,
    to: State,
    cost: Cost,
}

// === impl Terrain ===

impl Terrain<'_> {
    /// The cheapest path from a node, where these facts hold, to the goal.
    pub(crate) fn path(&self, from: u32, facts: u64, goal: u32) -> Found {
        if from == goal {
            return Found::Path(Path {
                nodes: Vec::new(),
                cost: 0.0,
            });
        }
        let left = Cell::new(self.graph.settings.max_states);
        let states = States {
            terrain: self,
            left: &left,
        };
        let is_goal = |(node, _): State| node == goal;
        match astar(
            states,
            (from, facts),
            is_goal,
            |edge| edge.cost,
            |_| Cost::default(),
        ) {
            Some((cost, path)) => Found::Path(Path {
                nodes: path.into_iter().skip(1).map(|(node, _)| node).collect(),
                cost: cost.weight,
            }),
            None if left.get() == 0 => Found::GaveUp,
            None => Found::None,
        }
    }
}

// === impl States ===

impl<'a> States<'a> {
    fn passages(self, from: State) -> impl Iterator<Item = Passage> + use<'a> {
        let Terrain {
            graph,
            factor,
            behind,
        } = *self.terrain;
        let open = self.left.get() > 0;
        self.left.set(self.left.get().saturating_sub(1));
        let (node, facts) = from;
        let edges = open.then(|| graph.graph.edges(NodeIndex::from(node)));
        edges.into_iter().flatten().filter_map(move |edge| {
            let to = edge.target().index() as u32;
            let next = graph.node(to);
            if !behind(to) && (next.needs & !facts != 0 || next.unless & facts != 0) {
                return None;
            }
            let Edge { cost, rank } = *edge.weight();
            let factor = factor(to);
            let weight = if factor == 0.0 { 0.0 } else { cost * factor };
            weight.is_finite().then_some(Passage {
                from,
                to: (to, facts | next.gives),
                cost: Cost {
                    weight,
                    rank: rank.into(),
                },
            })
        })
    }
}

impl GraphBase for States<'_> {
    type NodeId = State;
    type EdgeId = (State, State);
}

impl GraphRef for States<'_> {}

impl Data for States<'_> {
    type NodeWeight = ();
    type EdgeWeight = Cost;
}

impl EdgeRef for Passage {
    type NodeId = State;
    type EdgeId = (State, State);
    type Weight = Cost;

    fn source(&self) -> State {
        self.from
    }

    fn target(&self) -> State {
        self.to
    }

    fn weight(&self) -> &Cost {
        &self.cost
    }

    fn id(&self) -> (State, State) {
        (self.from, self.to)
    }
}

impl IntoEdgeReferences for States<'_> {
    type EdgeRef = Passage;
    // Nobody can list states that were never met; the search asks for those out of a state.
    type EdgeReferences = iter::Empty<Passage>;

    fn edge_references(self) -> Self::EdgeReferences {
        iter::empty()
    }
}

impl<'a> IntoNeighbors for States<'a> {
    type Neighbors = Box<dyn Iterator<Item = State> + 'a>;

    fn neighbors(self, state: State) -> Self::Neighbors {
        Box::new(self.passages(state).map(|p| p.to))
    }
}

impl<'a> IntoEdges for States<'a> {
    type Edges = Box<dyn Iterator<Item = Passage> + 'a>;

    fn edges(self, state: State) -> Self::Edges {
        Box::new(self.passages(state))
    }
}

/// Which states were visited.
struct Visited(FxHashSet<State>);

impl VisitMap<State> for Visited {
    fn visit(&mut self, state: State) -> bool {
        self.0.insert(state)
    }

    fn is_visited(&self, state: &State) -> bool {
        self.0.contains(state)
    }

    fn unvisit(&mut self, state: State) -> bool {
        self.0.remove(&state)
    }
}

impl Visitable for States<'_> {
    type Map = Visited;

    fn visit_map(&self) -> Visited {
        Visited(FxHashSet::default())
    }

    fn reset_map(&self, map: &mut Visited) {
        map.0.clear();
    }
}
