//! Undirected graphs, compact, and the files they are read from.

mod edge_list;
mod ids;
mod lines;
mod metis;

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::ids::Ids;

/// A simple undirected graph: neighbours by node, each edge at both ends, no loops, no doubles, optional weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// Where each node's neighbours start in `neighbours`; one more than there are nodes.
    starts: Vec<usize>,
    /// Ascending a node.
    neighbours: Vec<u32>,
    /// Beside `neighbours`; empty if all weigh 1.
    weights: Vec<f32>,
    dropped: Dropped,
}

/// What a reader left out, because a simple graph has no place for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Edges from a node to itself.
    pub loops: usize,
    /// Edges that were there already, in this direction or the other.
    pub duplicates: usize,
}

/// Why a graph cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is no part of a graph.
    #[error("{path}, line {line}: {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
}

// === impl Graph ===

impl Graph {
    /// A graph of `nodes` nodes. Loops and doubles are left out and counted; of doubles the first weight stays. Isolated nodes
    /// are nodes. Time and memory: O(nodes + edges), up to the sorting of each node's neighbours.
    ///
    /// # Panics
    /// If an edge leads to a node that is not below `nodes`, or there are weights but not as many as edges.
    pub fn new(nodes: usize, edges: &[(u32, u32)], weights: Option<&[f32]>) -> Self {
        assert!(
            weights.is_none_or(|w| w.len() == edges.len()),
            "a weight for each edge"
        );
        let mut dropped = Dropped::default();
        let mut starts = vec![0_usize; nodes + 1];
        for &(a, b) in edges {
            if a == b {
                dropped.loops += 1;
            } else {
                starts[a as usize + 1] += 1;
                starts[b as usize + 1] += 1;
            }
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut places = starts.clone();
        let mut ends = vec![(0_u32, 0_u32); starts[nodes]];
        for (edge, &(a, b)) in (0..).zip(edges) {
            if a != b {
                for (from, to) in [(a, b), (b, a)] {
                    ends[places[from as usize]] = (to, edge);
                    places[from as usize] += 1;
                }
            }
        }
        let mut graph = Self {
            starts: Vec::with_capacity(nodes + 1),
            neighbours: Vec::with_capacity(ends.len()),
            ..Self::default()
        };
        graph.starts.push(0);
        for node in 0..nodes {
            let ends = &mut ends[starts[node]..starts[node + 1]];
            ends.sort_unstable();
            let mut last = None;
            for &(to, edge) in &*ends {
                if last == Some(to) {
                    dropped.duplicates += 1;
                    continue;
                }
                last = Some(to);
                graph.neighbours.push(to);
                if let Some(weights) = weights {
                    graph.weights.push(weights[edge as usize]);
                }
            }
            graph.starts.push(graph.neighbours.len());
        }
        dropped.duplicates /= 2;
        graph.dropped = dropped;
        graph
    }

    /// Nodes.
    pub fn nodes(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Undirected edges.
    pub fn edge_count(&self) -> usize {
        self.neighbours.len() / 2
    }

    /// What was left out when it was made.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The node's neighbours, ascending.
    pub fn neighbours(&self, node: u32) -> &[u32] {
        &self.neighbours[self.starts[node as usize]..self.starts[node as usize + 1]]
    }

    /// The weights of the node's edges beside [`neighbours`](Self::neighbours); `None` if all weigh 1.
    pub fn weights(&self, node: u32) -> Option<&[f32]> {
        (!self.weights.is_empty())
            .then(|| &self.weights[self.starts[node as usize]..self.starts[node as usize + 1]])
    }

    /// Whether any edge was given a weight.
    pub fn is_weighted(&self) -> bool {
        !self.weights.is_empty()
    }

    /// The same edges, all of weight 1.
    pub fn unweighted(&self) -> Self {
        Self {
            weights: Vec::new(),
            ..self.clone()
        }
    }

    /// The node's neighbours, ascending, each with the weight of the edge.
    pub fn weighted_neighbours(&self, node: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let weights = self.weights(node);
        let weight = move |i: usize| weights.map_or(1.0, |w| f64::from(w[i]));
        self.neighbours(node)
            .iter()
            .enumerate()
            .map(move |(i, &u)| (u, weight(i)))
    }

    /// Neighbours of the node.
    pub fn degree(&self, node: u32) -> usize {
        self.neighbours(node).len()
    }

    /// Whether there is an edge. Time: O(log degree).
    pub fn has_edge(&self, a: u32, b: u32) -> bool {
        self.neighbours(a).binary_search(&b).is_ok()
    }

    /// Each edge once, the lower node first.
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.nodes() as u32).flat_map(|a| {
            self.neighbours(a)
                .iter()
                .filter(move |&&b| a < b)
                .map(move |&b| (a, b))
        })
    }

    /// Reads a file: METIS if it ends in `.graph` or `.metis`, else an edge list. Nodes keep their numbers (METIS's from 1 are
    /// one less), and numbers that no edge names are isolated nodes.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn read(path: &Path) -> Result<Self, GraphError> {
        let input = open(path)?;
        if is_metis(path) {
            Self::from_metis(input, path)
        } else {
            Self::from_edge_list(input, path)
        }
    }

    /// Reads a file as [`read`](Self::read) does, closes the gaps between numbers, and tells what the file calls each node. Only
    /// numbers that an edge or a loop names are nodes, however large they are; of METIS all are, from 1.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn read_with_ids(path: &Path) -> Result<(Self, Ids), GraphError> {
        let input = open(path)?;
        if is_metis(path) {
            let graph = Self::from_metis(input, path)?;
            let ids = Ids::counted_from_one(graph.nodes());
            Ok((graph, ids))
        } else {
            Self::from_edge_list_with_ids(input, path)
        }
    }
}

fn is_metis(path: &Path) -> bool {
    matches!(path.extension().and_then(|e| e.to_str()), Some("graph" | "metis"))
}

fn open(path: &Path) -> Result<BufReader<File>, GraphError> {
    let file = File::open(path).map_err(|source| GraphError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(BufReader::with_capacity(1 << 20, file))
}
