//! Undirected graphs, compact, and the files they are read from.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Serialize;

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

/// Nodes that any edge list may have.
const FEW_NODES: usize = 1_000_000;
/// Nodes an edge that a longer list may have.
const GAPS: usize = 100;

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
            starts: self.starts.clone(),
            neighbours: self.neighbours.clone(),
            weights: Vec::new(),
            dropped: self.dropped,
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

    /// Reads a file: METIS if it ends in `.graph` or `.metis`, else an edge list.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn read(path: &Path) -> Result<Self, GraphError> {
        let file = File::open(path).map_err(|source| GraphError::Io {
            path: path.to_owned(),
            source,
        })?;
        let input = BufReader::with_capacity(1 << 20, file);
        match path.extension().and_then(|e| e.to_str()) {
            Some("graph" | "metis") => Self::from_metis(input, path),
            _ => Self::from_edge_list(input, path),
        }
    }

    /// Reads an edge list: two node numbers a line (0 to 4,294,967,294), separated by blanks, tabs or a comma, and a weight if
    /// the first edge has one; lines that start with `#` or `%` are comments. Numbers that no edge names are isolated nodes; of more than
    /// a million nodes, there may be a hundred an edge.
    /// `path` is for errors only.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn from_edge_list(input: impl BufRead, path: &Path) -> Result<Self, GraphError> {
        let (mut edges, mut weights, mut nodes) = (Vec::new(), Vec::new(), 0);
        let mut highest = 0;
        lines(input, path, |line, number| {
            let mut words = line.split([' ', '\t', ',']).filter(|w| !w.is_empty());
            let mut node = || -> Result<u32, String> {
                let word = words.next().ok_or("a line needs two node numbers")?;
                let node: u32 = word
                    .parse()
                    .map_err(|_| format!("{} is no node number", quote(word)))?;
                (node < u32::MAX)
                    .then_some(node)
                    .ok_or_else(|| format!("{node} is too large"))
            };
            let edge = (node()?, node()?);
            if edge.0.max(edge.1) as usize >= nodes {
                nodes = edge.0.max(edge.1) as usize + 1;
                highest = number;
            }
            if let Some(word) = words.next() {
                weights.push(weight(word)?);
            }
            if words.next().is_some() {
                return Err("more than two nodes and a weight".to_owned());
            }
            edges.push(edge);
            if !weights.is_empty() && weights.len() != edges.len() {
                return Err(format!(
                    "weights are on all lines or on none, and differ at line {number}"
                ));
            }
            Ok(())
        })?;
        // Memory for each number: a stray large one would take it all.
        if nodes > FEW_NODES && nodes / GAPS > edges.len() {
            return Err(GraphError::Line {
                path: path.to_owned(),
                line: highest,
                why: format!(
                    "node {} in a graph of {} edges: number the nodes from 0, with few gaps",
                    nodes - 1,
                    edges.len()
                ),
            });
        }
        Ok(Self::new(
            nodes,
            &edges,
            (!weights.is_empty()).then_some(&weights),
        ))
    }

    /// Reads METIS: `nodes edges [flags]`, then a line a node with its neighbours counted from 1, each followed by a weight if
    /// the flags end in 1. `path` is for errors only.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn from_metis(input: impl BufRead, path: &Path) -> Result<Self, GraphError> {
        let (mut edges, mut weights) = (Vec::new(), Vec::new());
        let mut head: Option<(usize, usize, bool)> = None;
        let (mut node, mut last, mut ends) = (0_usize, 0, 0);
        all_lines(input, path, |line, number| {
            last = number;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let count = |word: &str| {
                word.parse::<usize>()
                    .map_err(|_| format!("{} is no number", quote(word)))
            };
            let Some((nodes, _, weighted)) = head else {
                let (&[nodes, edges] | &[nodes, edges, _]) = words.as_slice() else {
                    return Err("the first line is: nodes edges [flags]".to_owned());
                };
                let flags = words.get(2).copied().unwrap_or("0");
                if !["0", "00", "000", "1", "01", "001"].contains(&flags) {
                    return Err(format!(
                        "flags {} are not supported: only edge weights (1) are",
                        quote(flags)
                    ));
                }
                let nodes = count(nodes)?;
                if nodes >= u32::MAX as usize {
                    return Err(format!("{nodes} nodes are too many"));
                }
                head = Some((nodes, count(edges)?, flags.ends_with('1')));
                return Ok(());
            };
            if node >= nodes {
                return if words.is_empty() {
                    Ok(())
                } else {
                    Err(format!("more lines than {nodes} nodes"))
                };
            }
            let step = 1 + usize::from(weighted);
            if !words.len().is_multiple_of(step) {
                return Err("the last neighbour has no weight".to_owned());
            }
            for pair in words.chunks(step) {
                let to = count(pair[0])?;
                if !(1..=nodes).contains(&to) {
                    return Err(format!("neighbour {to} is no node: nodes are 1 to {nodes}"));
                }
                ends += 1;
                // Both ends list the edge; a loop is listed at its one.
                if to > node {
                    edges.push((node as u32, to as u32 - 1));
                    if weighted {
                        weights.push(weight(pair[1])?);
                    }
                }
            }
            node += 1;
            Ok(())
        })?;
        let fault = |why| GraphError::Line {
            path: path.to_owned(),
            line: last.max(1),
            why,
        };
        let (nodes, said, weighted) = head.ok_or_else(|| fault("the file is empty".to_owned()))?;
        if node < nodes {
            return Err(fault(format!("the file ends after {node} of {nodes} nodes")));
        }
        let graph = Self::new(nodes, &edges, weighted.then_some(&weights));
        if ends != 2 * said && graph.edge_count() != said {
            let found = graph.edge_count();
            return Err(fault(format!(
                "the first line says {said} edges, the file has {found}"
            )));
        }
        Ok(graph)
    }
}

/// Calls `take` with each line that is neither empty nor a comment.
fn lines(
    input: impl BufRead,
    path: &Path,
    mut take: impl FnMut(&str, usize) -> Result<(), String>,
) -> Result<(), GraphError> {
    all_lines(input, path, |line, number| {
        if line.is_empty() {
            Ok(())
        } else {
            take(line, number)
        }
    })
}

/// Calls `take` with each line that is no comment, trimmed, and its number from 1.
fn all_lines(
    mut input: impl BufRead,
    path: &Path,
    mut take: impl FnMut(&str, usize) -> Result<(), String>,
) -> Result<(), GraphError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = input
            .read_until(b'\n', &mut bytes)
            .map_err(|source| GraphError::Io {
                path: path.to_owned(),
                source,
            })?;
        if read == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| "not text".to_owned());
        let taken = text.and_then(|text| match text.trim() {
            comment if comment.starts_with(['#', '%']) => Ok(()),
            text => take(text, line),
        });
        taken.map_err(|why| GraphError::Line {
            path: path.to_owned(),
            line,
            why,
        })?;
    }
    Ok(())
}

fn weight(word: &str) -> Result<f32, String> {
    let weight = word.parse::<f32>().ok().filter(|w| w.is_finite() && *w > 0.0);
    weight.ok_or_else(|| format!("{} is no weight: weights are finite and above 0", quote(word)))
}

/// The start of a word, for errors.
fn quote(word: &str) -> String {
    let start: String = word.chars().take(40).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Graph, String> {
        Graph::from_edge_list(text.as_bytes(), Path::new("g")).map_err(|e| e.to_string())
    }

    fn metis(text: &str) -> Result<Graph, String> {
        Graph::from_metis(text.as_bytes(), Path::new("g")).map_err(|e| e.to_string())
    }

    #[test]
    fn edge_lists() {
        let graph = list("# nodes\n0 1\n1\t0\n2,2\n\n4 1\n").unwrap();
        assert_eq!((graph.nodes(), graph.edge_count()), (5, 2));
        assert_eq!(
            graph.dropped(),
            Dropped {
                loops: 1,
                duplicates: 1
            }
        );
        assert_eq!(graph.neighbours(1), [0, 4]);
        assert!(graph.has_edge(4, 1) && !graph.has_edge(2, 2) && graph.degree(3) == 0);
        assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (1, 4)]);
        let weighted = list("0 1 2.5\n1 2 0.5").unwrap();
        assert_eq!(weighted.weights(1), Some(&[2.5, 0.5][..]));
        assert_eq!(list("").unwrap().nodes(), 0);
    }

    #[test]
    fn edge_lists_at_fault_name_the_line() {
        assert!(
            list("0 1\n1 x")
                .unwrap_err()
                .contains("line 2: \"x\" is no node number")
        );
        assert!(list("0 1\n\n7").unwrap_err().contains("line 3: a line needs two"));
        assert!(list("0 -1").unwrap_err().contains("line 1"));
        assert!(list("0 4294967295").unwrap_err().contains("too large"));
        let stray = list("0 1\n0 4294967294\n1 2\n").unwrap_err();
        assert!(
            stray.contains("line 2: node 4294967294 in a graph of 3 edges"),
            "{stray}"
        );
        assert_eq!(list("0 999999").unwrap().nodes(), 1_000_000);
        assert!(list("0 1 2\n1 2").unwrap_err().contains("line 2"));
        assert!(list("0 1 nan").unwrap_err().contains("no weight"));
        assert!(list("0 1 2 3").unwrap_err().contains("more than two"));
    }

    #[test]
    fn metis_files() {
        let graph = metis("3 2\n2 3\n1\n1\n").unwrap();
        assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        let weighted = metis("% c\n3 2 1\n2 5 3 7\n1 5\n1 7\n").unwrap();
        assert_eq!(weighted.weights(0), Some(&[5.0, 7.0][..]));
        assert_eq!(metis("2 0\n\n\n").unwrap().nodes(), 2);
        assert!(metis("").unwrap_err().contains("empty"));
        assert!(metis("3 2\n2 3\n1\n").unwrap_err().contains("after 2 of 3"));
        assert!(
            metis("2 1\n3\n1\n")
                .unwrap_err()
                .contains("line 2: neighbour 3 is no node")
        );
        assert!(metis("2 9\n2\n1\n").unwrap_err().contains("says 9 edges"));
        assert!(
            metis("2 1\n2\n1\n1\n")
                .unwrap_err()
                .contains("line 4: more lines")
        );
        assert!(metis("2 1 11\n2\n1\n").unwrap_err().contains("not supported"));
    }
}
