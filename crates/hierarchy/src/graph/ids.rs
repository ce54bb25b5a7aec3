//! What a file calls the nodes of its graph.

/// One number a node, ascending: a graph counts its nodes from 0 without gaps, a file may count them as it likes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids(Vec<u64>);

// === impl Ids ===

impl Ids {
    /// These numbers; none if they do not ascend.
    pub fn from_ascending(ids: Vec<u64>) -> Option<Self> {
        ids.is_sorted_by(|a, b| a < b).then_some(Self(ids))
    }

    /// Numbers that ascend because they were sorted.
    pub(crate) fn of_sorted(ids: Vec<u64>) -> Self {
        Self(ids)
    }

    pub(super) fn counted_from_one(nodes: usize) -> Self {
        Self((1..=nodes as u64).collect())
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the file calls a node.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn of(&self, node: u32) -> u64 {
        self.0[node as usize]
    }

    /// The node that the file calls so. Time: O(log nodes).
    pub fn node(&self, id: u64) -> Option<u32> {
        self.0.binary_search(&id).ok().map(|node| node as u32)
    }

    /// All, by node.
    pub fn all(&self) -> &[u64] {
        &self.0
    }
}
