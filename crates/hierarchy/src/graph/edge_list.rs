//! Edge lists: one line an edge.

use std::{io::BufRead, path::Path};

use rustc_hash::FxHashMap;

use super::{
    Graph, GraphError, Ids,
    lines::{lines, quote, weight},
};

/// Nodes up to which gaps between their numbers are never too wide.
const ALWAYS_FINE: usize = 1 << 22;
/// Nodes an edge beyond which they are: each takes 16 bytes while a graph is made.
const WIDEST: usize = 16;

/// Edges, and their weights or none.
type Edges = (Vec<(u32, u32)>, Vec<f32>);

// === impl Graph ===

impl Graph {
    /// Reads an edge list: two node numbers a line (0 to 4,294,967,294), separated by blanks, tabs or a comma, and a weight if
    /// the first edge has one; lines that start with `#` or `%` are comments. Numbers that no edge names are isolated nodes.
    /// `path` is for errors only.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault; among them a number so large that nearly all nodes would be isolated
    /// ([`read_with_ids`](Self::read_with_ids) takes it).
    pub fn from_edge_list(input: impl BufRead, path: &Path) -> Result<Self, GraphError> {
        let (mut nodes, mut largest_at) = (0, 0);
        let (edges, weights) = read(input, path, |id, line| {
            let node = u32::try_from(id).ok().filter(|&node| node < u32::MAX);
            let node = node.ok_or_else(|| format!("{id} is too large"))?;
            if node as usize >= nodes {
                (nodes, largest_at) = (node as usize + 1, line);
            }
            Ok(node)
        })?;
        if nodes > ALWAYS_FINE.max(WIDEST * edges.len()) {
            let (largest, edges) = (nodes - 1, edges.len());
            return Err(GraphError::Line {
                path: path.to_owned(),
                line: largest_at,
                why: format!(
                    "node {largest} is too large for {edges} edges: number the nodes with fewer gaps"
                ),
            });
        }
        Ok(Self::new(
            nodes,
            &edges,
            (!weights.is_empty()).then_some(&weights),
        ))
    }

    /// Reads an edge list, closes the gaps between node numbers (0 to 18,446,744,073,709,551,615) and tells them. Only numbers
    /// that an edge or a loop names are nodes. The order of the numbers stays.
    ///
    /// # Errors
    /// [`GraphError`], with the line at fault.
    pub fn from_edge_list_with_ids(input: impl BufRead, path: &Path) -> Result<(Self, Ids), GraphError> {
        let mut met: FxHashMap<u64, u32> = FxHashMap::default();
        let (mut edges, weights) = read(input, path, |id, _| {
            let next = met.len() as u32;
            if next == u32::MAX {
                return Err(format!("{next} nodes are too many"));
            }
            Ok(*met.entry(id).or_insert(next))
        })?;
        let mut ids: Vec<(u64, u32)> = met.into_iter().collect();
        ids.sort_unstable();
        let mut places = vec![0; ids.len()];
        for (place, &(_, as_met)) in (0..).zip(&ids) {
            places[as_met as usize] = place;
        }
        for (a, b) in &mut edges {
            (*a, *b) = (places[*a as usize], places[*b as usize]);
        }
        let graph = Self::new(ids.len(), &edges, (!weights.is_empty()).then_some(&weights));
        Ok((graph, Ids::of_sorted(ids.into_iter().map(|(id, _)| id).collect())))
    }
}

/// Reads the lines; `node` makes a number and its line the graph's node.
fn read(
    input: impl BufRead,
    path: &Path,
    mut node: impl FnMut(u64, usize) -> Result<u32, String>,
) -> Result<Edges, GraphError> {
    let (mut edges, mut weights) = (Vec::new(), Vec::new());
    lines(input, path, |line, number| {
        let mut words = line.split([' ', '\t', ',']).filter(|w| !w.is_empty());
        let mut next = || {
            let word = words.next().ok_or("a line needs two node numbers")?;
            let id = word
                .parse()
                .map_err(|_| format!("{} is no node number", quote(word)))?;
            node(id, number)
        };
        edges.push((next()?, next()?));
        if let Some(word) = words.next() {
            weights.push(weight(word)?);
        }
        if words.next().is_some() {
            return Err("more than two nodes and a weight".to_owned());
        }
        if !weights.is_empty() && weights.len() != edges.len() {
            return Err(format!(
                "weights are on all lines or on none, and differ at line {number}"
            ));
        }
        Ok(())
    })?;
    Ok((edges, weights))
}

#[cfg(test)]
mod tests {
    use super::{super::Dropped, *};

    fn list(text: &str) -> Result<Graph, String> {
        Graph::from_edge_list(text.as_bytes(), Path::new("g")).map_err(|e| e.to_string())
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
        assert!(list("0 1 2\n1 2").unwrap_err().contains("line 2"));
        assert!(list("0 1 nan").unwrap_err().contains("no weight"));
        assert!(list("0 1 2 3").unwrap_err().contains("more than two"));
    }

    #[test]
    fn gaps_are_isolated_nodes_or_closed() {
        let text = "10 18446744073709551615\n10 7\n3 3\n# 4 5\n7 10\n";
        let (graph, ids) = Graph::from_edge_list_with_ids(text.as_bytes(), Path::new("g")).unwrap();
        assert_eq!(ids.all(), [3, 7, 10, u64::MAX]);
        assert_eq!(graph.edges().collect::<Vec<_>>(), [(1, 2), (2, 3)]);
        assert_eq!(
            graph.dropped(),
            Dropped {
                loops: 1,
                duplicates: 1
            }
        );
        assert_eq!((ids.node(10), ids.node(8), ids.of(3)), (Some(2), None, u64::MAX));
        assert_eq!(list("0 4194303").unwrap().nodes(), 1 << 22);
        // 32 GB of isolated nodes.
        assert!(
            list("0 1\n1 4294967294\n0 2")
                .unwrap_err()
                .contains("line 2: node 4294967294 is too large")
        );
    }
}
