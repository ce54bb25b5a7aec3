//! What a search holds in its hands: the nearest nodes so far, those seen, and buffers.

use crate::rows::Query;

/// A node and its distance to the query. Nearer is less; ties go to the lower slot, so that equal searches end equally.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) slot: u32,
}

/// The nearest nodes so far, at most `capacity`, nearest first, each either expanded or not.
///
/// One sorted list does the work of the two heaps of the paper: what would be cut from the result would never be expanded.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    nodes: Vec<Near>,
    expanded: Vec<bool>,
    capacity: usize,
    /// No node before this one is unexpanded.
    next: usize,
}

/// A thread's buffers; nothing in them outlives one search.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) query: Query,
    pub(crate) other: Query,
    pub(crate) pool: Pool,
    pub(crate) seen: Seen,
    pub(crate) slots: Vec<u32>,
    pub(crate) distances: Vec<f32>,
    pub(crate) near: Vec<Near>,
    /// Distances taken since the scratch was made.
    pub(crate) evaluations: u64,
    /// Nodes expanded since the scratch was made.
    pub(crate) hops: u64,
}

/// The nodes seen in this search: a mark of the search's number by node, so that nothing is cleared in between.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    marks: Vec<u8>,
    number: u8,
}

// === impl Near ===

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Pool ===

impl Pool {
    /// Empties it.
    pub(crate) fn start(&mut self, capacity: usize) {
        self.nodes.clear();
        self.expanded.clear();
        self.capacity = capacity.max(1);
        self.next = 0;
    }

    /// Takes a node if it is among the nearest.
    #[inline]
    pub(crate) fn offer(&mut self, near: Near) {
        if self.nodes.len() >= self.capacity {
            if self.nodes.last().is_some_and(|last| near >= *last) {
                return;
            }
            self.nodes.pop();
            self.expanded.pop();
        }
        let at = self.nodes.partition_point(|n| *n < near);
        self.nodes.insert(at, near);
        self.expanded.insert(at, false);
        self.next = self.next.min(at);
    }

    /// The nearest node that was not expanded yet; from now on it was.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u32> {
        while *self.expanded.get(self.next)? {
            self.next += 1;
        }
        self.expanded[self.next] = true;
        self.next += 1;
        Some(self.nodes[self.next - 1].slot)
    }

    /// A node that will be expanded soon, if there is one.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u32> {
        let at = self.next + self.expanded.get(self.next..)?.iter().position(|done| !done)?;
        Some(self.nodes[at].slot)
    }

    pub(crate) fn nodes(&self) -> &[Near] {
        &self.nodes
    }
}

// === impl Seen ===

impl Seen {
    /// Forgets all nodes.
    pub(crate) fn start(&mut self, nodes: usize) {
        if self.marks.len() < nodes {
            self.marks.resize(nodes, 0);
        }
        self.number = self.number.wrapping_add(1);
        if self.number == 0 {
            self.marks.fill(0);
            self.number = 1;
        }
    }

    /// Whether the node is new; from now on it is not.
    #[inline]
    pub(crate) fn mark(&mut self, slot: u32) -> bool {
        let mark = &mut self.marks[slot as usize];
        let is_new = *mark != self.number;
        *mark = self.number;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(distance: f32, slot: u32) -> Near {
        Near { distance, slot }
    }

    #[test]
    fn the_nearest_are_kept_and_each_is_expanded_once() {
        let mut pool = Pool::default();
        pool.start(2);
        pool.offer(near(3.0, 1));
        assert_eq!(pool.take(), Some(1));
        assert_eq!(pool.take(), None);
        pool.offer(near(2.0, 2));
        pool.offer(near(9.0, 3));
        assert_eq!(pool.peek(), Some(2));
        pool.offer(near(1.0, 4));
        assert_eq!(pool.nodes(), [near(1.0, 4), near(2.0, 2)]);
        assert_eq!((pool.take(), pool.take(), pool.take()), (Some(4), Some(2), None));
    }

    #[test]
    fn marks_survive_the_wrap_of_their_number() {
        let mut seen = Seen::default();
        for _ in 0..600 {
            seen.start(3);
            assert!(seen.mark(1) && !seen.mark(1) && seen.mark(2));
        }
    }
}
