//! METIS: one line a node.

use std::{io::BufRead, path::Path};

use super::{
    Graph, GraphError,
    lines::{all_lines, quote, weight},
};

// === impl Graph ===

impl Graph {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn metis(text: &str) -> Result<Graph, String> {
        Graph::from_metis(text.as_bytes(), Path::new("g")).map_err(|e| e.to_string())
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
