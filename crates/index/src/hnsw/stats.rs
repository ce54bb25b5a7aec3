//! The shape of an index.

use serde::Serialize;

use super::{Hnsw, Options, repair};

/// The shape of an index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Live vectors.
    pub vectors: usize,
    /// Slots of removed ones.
    pub dead: usize,
    /// Components of a vector.
    pub dimension: usize,
    /// The options it was built with.
    pub options: Options,
    /// Nodes whose highest layer is this one, from the lowest on.
    pub layers: Vec<usize>,
    /// Mean number of links in the lowest layer.
    pub mean_degree: f64,
    /// Bytes that a search works on: vectors or codes, links, ids.
    pub bytes: usize,
    /// The same a vector.
    pub bytes_per_vector: f64,
    /// Bytes of the originals that only re-ranking reads.
    pub original_bytes: usize,
}

// === impl Hnsw ===

impl Hnsw {
    /// Its shape. Looks at every list.
    pub fn stats(&self) -> Stats {
        let state = self.read();
        let mut layers = Vec::new();
        for &level in state.graph.levels.as_slice() {
            let level = usize::from(level);
            if layers.len() <= level {
                layers.resize(level + 1, 0);
            }
            layers[level] += 1;
        }
        let (nodes, live) = (state.graph.nodes(), state.items.live());
        let mut links = 0_u64;
        for node in 0..nodes {
            state.graph.base.each(node, nodes, |_| links += 1);
        }
        let (rows, original_bytes) = state.rows.bytes();
        let graph = state.graph.base.bytes()
            + state.graph.upper.bytes()
            + state.graph.levels.bytes()
            + state.graph.upper_slots.bytes()
            + state.graph.upper_at.bytes();
        let bytes = rows + graph + state.items.bytes();
        Stats {
            vectors: live,
            dead: nodes - live,
            dimension: state.rows.dim(),
            options: self.options.clone(),
            layers,
            mean_degree: links as f64 / nodes.max(1) as f64,
            bytes,
            bytes_per_vector: bytes as f64 / live.max(1) as f64,
            original_bytes,
        }
    }

    /// Live vectors that no search can come to; 0 after a build, a save or an open of what was saved.
    pub fn unreachable(&self) -> usize {
        let state = self.read();
        let mut reached = vec![false; state.graph.nodes()];
        if let Some(entry) = state.graph.entry() {
            repair::spread(&state.graph, entry.slot, &mut reached);
        }
        state.items.live_slots().filter(|&s| !reached[s as usize]).count()
    }
}
