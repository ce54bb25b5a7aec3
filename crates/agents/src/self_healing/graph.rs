//! The graph of tools that is walked.

use fingerpost_core::Name;
use petgraph::{
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};
use rustc_hash::FxHashMap;

use super::{file::Tool, settings::Settings};

/// Most nodes of a graph.
pub const MAX_NODES: usize = 1_000_000;
/// Most facts that preconditions may speak of: they are bits of one word.
pub const MAX_FACTS: usize = 64;
/// Most lesser goals, and most branches: each costs a search.
pub const MAX_GOALS: usize = 64;

/// A node of a [`ToolGraph`].
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// The tool that is called there; nothing is called at a place that is only passed.
    pub tool: Option<Tool>,
    pub(crate) needs: u64,
    pub(crate) unless: u64,
    pub(crate) gives: u64,
}

/// An edge of a [`ToolGraph`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Its base cost.
    pub cost: f64,
    /// How many edges stand before it among those from the same node: what is declared first wins ties.
    pub(crate) rank: u32,
}

/// The parts of a fan-out, as nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fan {
    pub(crate) from: u32,
    pub(crate) branches: Vec<(u32, bool)>,
    pub(crate) quorum: usize,
    pub(crate) join: u32,
}

/// A graph of tools that can be walked: its goal can be reached from its start.
#[derive(Debug, Clone)]
pub struct ToolGraph {
    pub(crate) graph: DiGraph<Node, Edge, u32>,
    pub(crate) by_name: FxHashMap<Name, u32>,
    pub(crate) facts: Vec<Name>,
    pub(crate) start: u32,
    pub(crate) goal: u32,
    pub(crate) demotions: Vec<u32>,
    pub(crate) intents: Vec<(u32, Vec<String>)>,
    pub(crate) fan: Option<Fan>,
    pub(crate) name: Name,
    pub(crate) settings: Settings,
    pub(crate) fingerprint: u64,
}

// === impl ToolGraph ===

impl ToolGraph {
    /// What the graph is for.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// All nodes, tools first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.graph.node_weights()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.graph.node_count()
    }

    /// The tools.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.graph.node_weights().filter_map(|n| n.tool.as_ref())
    }

    /// From, to and base cost of each edge.
    pub fn edges(&self) -> impl Iterator<Item = (&Name, &Name, f64)> {
        self.graph.edge_references().map(|e| {
            (
                &self.graph[e.source()].name,
                &self.graph[e.target()].name,
                e.weight().cost,
            )
        })
    }

    /// The start and the goal.
    pub fn ends(&self) -> (&Name, &Name) {
        (self.name_of(self.start), self.name_of(self.goal))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn name_of(&self, node: u32) -> &Name {
        &self.graph[NodeIndex::from(node)].name
    }

    pub(crate) fn node(&self, node: u32) -> &Node {
        &self.graph[NodeIndex::from(node)]
    }

    /// The bits of these facts. What no precondition speaks of has none.
    pub(crate) fn bits<'n>(&self, facts: impl IntoIterator<Item = &'n Name>) -> u64 {
        let bit = |name: &Name| self.facts.iter().position(|f| f == name);
        facts
            .into_iter()
            .filter_map(bit)
            .fold(0, |bits, bit| bits | 1 << bit)
    }
}
