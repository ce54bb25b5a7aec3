//! Sets that grow together.

/// Union-find with path halving; the lower number is the root.
pub(super) struct Union(Vec<usize>);

// === impl Union ===

impl Union {
    /// Each by itself.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    pub(super) fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Joins the sets of two; false if they are one already.
    pub(super) fn join(&mut self, one: usize, other: usize) -> bool {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
        one != other
    }

    pub(super) fn is_one(&mut self, one: usize, other: usize) -> bool {
        self.root(one) == self.root(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_become_one() {
        let mut union = Union::new(5);
        assert!(union.join(3, 4) && union.join(1, 3) && !union.join(4, 1));
        assert!(union.is_one(1, 4) && !union.is_one(0, 1));
        assert_eq!((union.root(4), union.root(2)), (1, 2));
    }
}
