//! Compiled conditions: what is known of one from the signals computed so far, and which signal to compute next.
//!
//! [`Trees::read`] looks at what has been computed and computes nothing itself. It gives whether the condition holds (yes,
//! no, not known yet), between which bounds its confidence lies if it holds, and the cheapest signal that still matters.
//! Sums run in the order in which the children are written, so that a settled confidence is bit by bit that of the plain
//! recursive definition.

use crate::{Comparison, OnError, Signal, State};

/// All conditions of a policy in one arena.
#[derive(Default)]
pub(crate) struct Trees {
    nodes: Vec<Node>,
    children: Vec<u32>,
}

#[derive(Clone, Copy)]
pub(crate) enum Node {
    /// A signal, by slot. `certain`: whenever it matches, it does so with confidence 1.
    Leaf {
        slot: u32,
        cost: u8,
        certain: bool,
        on_error: OnError,
    },
    /// A comparison with a signal's raw number.
    Test {
        slot: u32,
        cost: u8,
        comparison: Comparison,
        bound: f64,
        on_error: OnError,
    },
    Not(u32),
    All {
        first: u32,
        count: u32,
    },
    Any {
        first: u32,
        count: u32,
    },
}

/// Yes, no, or not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    No,
    Yes,
    Unknown,
}

/// What is known of a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) holds: Holds,
    /// Confidence, if it holds: at least this ...
    pub(crate) low: f64,
    /// ... and at most this.
    pub(crate) high: f64,
    pub(crate) next: Next,
}

/// The signal to compute next, or none. Ordered: what bears on whether the condition holds comes before what bears on its
/// confidence only, then the cheaper, then the lower slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Next(u64);

// === impl Next ===

impl Next {
    pub(crate) const NONE: Self = Self(u64::MAX);
    const CONFIDENCE_ONLY: u64 = 1 << 62;

    fn compute(slot: u32, cost: u8) -> Self {
        Self(u64::from(cost) << 32 | u64::from(slot))
    }

    /// The same, but bearing on confidence only.
    fn for_confidence(self) -> Self {
        if self == Self::NONE {
            self
        } else {
            Self(self.0 | Self::CONFIDENCE_ONLY)
        }
    }

    pub(crate) fn slot(self) -> Option<u32> {
        (self != Self::NONE).then_some(self.0 as u32)
    }
}

// === impl Reading ===

impl Reading {
    const NO: Self = Self {
        holds: Holds::No,
        low: 0.0,
        high: 0.0,
        next: Next::NONE,
    };

    const fn yes(confidence: f64) -> Self {
        Self {
            holds: Holds::Yes,
            low: confidence,
            high: confidence,
            next: Next::NONE,
        }
    }

    /// It holds and its confidence is known.
    pub(crate) fn is_settled(&self) -> bool {
        self.holds == Holds::Yes && self.next == Next::NONE
    }
}

// === impl Trees ===

impl Trees {
    pub(crate) fn push(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Keeps a list of children together; gives its start and length.
    pub(crate) fn list(&mut self, children: &[u32]) -> (u32, u32) {
        let first = self.children.len() as u32;
        self.children.extend_from_slice(children);
        (first, children.len() as u32)
    }

    fn children(&self, first: u32, count: u32) -> &[u32] {
        &self.children[first as usize..(first + count) as usize]
    }

    /// What is known of the condition at `at`.
    pub(crate) fn read(&self, at: u32, memo: &[Signal]) -> Reading {
        match self.nodes[at as usize] {
            Node::Leaf {
                slot,
                cost,
                certain,
                on_error,
            } => {
                let signal = &memo[slot as usize];
                match signal.state {
                    State::Match => Reading::yes(signal.confidence),
                    State::Miss => Reading::NO,
                    State::Failed => failed(on_error),
                    State::Unknown => Reading {
                        holds: Holds::Unknown,
                        low: if certain { 1.0 } else { 0.0 },
                        high: 1.0,
                        next: Next::compute(slot, cost),
                    },
                }
            }
            Node::Test {
                slot,
                cost,
                comparison,
                bound,
                on_error,
            } => {
                let signal = &memo[slot as usize];
                match signal.state {
                    State::Unknown => Reading {
                        holds: Holds::Unknown,
                        low: 1.0,
                        high: 1.0,
                        next: Next::compute(slot, cost),
                    },
                    State::Failed => failed(on_error),
                    State::Match | State::Miss => {
                        if passes(comparison, signal.raw, bound) {
                            Reading::yes(1.0)
                        } else {
                            Reading::NO
                        }
                    }
                }
            }
            Node::Not(child) => {
                let child = self.read(child, memo);
                match child.holds {
                    Holds::Yes => Reading::NO,
                    Holds::No => Reading::yes(1.0),
                    Holds::Unknown => Reading {
                        low: 1.0,
                        high: 1.0,
                        ..child
                    },
                }
            }
            Node::All { first, count } => self.read_all(self.children(first, count), memo),
            Node::Any { first, count } => self.read_any(self.children(first, count), memo),
        }
    }

    fn read_all(&self, children: &[u32], memo: &[Signal]) -> Reading {
        if children.is_empty() {
            return Reading::yes(0.0);
        }
        let (mut low, mut high) = (0.0, 0.0);
        let mut open = Next::NONE;
        let mut unsettled = Next::NONE;
        for child in children {
            let child = self.read(*child, memo);
            match child.holds {
                Holds::No => return Reading::NO,
                Holds::Unknown => open = open.min(child.next),
                Holds::Yes => unsettled = unsettled.min(child.next.for_confidence()),
            }
            low += child.low;
            high += child.high;
        }
        let count = children.len() as f64;
        let holds = if open == Next::NONE {
            Holds::Yes
        } else {
            Holds::Unknown
        };
        Reading {
            holds,
            low: low / count,
            high: high / count,
            next: open.min(unsettled),
        }
    }

    fn read_any(&self, children: &[u32], memo: &[Signal]) -> Reading {
        let mut holds = Holds::No;
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        let mut open = Next::NONE;
        for child in children {
            let child = self.read(*child, memo);
            match child.holds {
                Holds::No => continue,
                Holds::Unknown => {
                    open = open.min(child.next);
                    if holds == Holds::No {
                        holds = Holds::Unknown;
                    }
                }
                Holds::Yes => {
                    holds = Holds::Yes;
                    low = low.max(child.low);
                }
            }
            high = high.max(child.high);
        }
        match holds {
            Holds::No => Reading::NO,
            Holds::Unknown => Reading {
                holds,
                low: 0.0,
                high,
                next: open,
            },
            Holds::Yes if high <= low => Reading::yes(low),
            Holds::Yes => {
                // Only a child that can still exceed the best one matters.
                let matters = |child: Reading| {
                    if child.holds != Holds::No && child.high > low {
                        child.next
                    } else {
                        Next::NONE
                    }
                };
                let next = children.iter().map(|c| matters(self.read(*c, memo))).min();
                let next = next.unwrap_or(Next::NONE).for_confidence();
                Reading {
                    holds,
                    low,
                    high,
                    next,
                }
            }
        }
    }
}

fn failed(on_error: OnError) -> Reading {
    match on_error {
        OnError::Match => Reading::yes(1.0),
        OnError::NoMatch => Reading::NO,
    }
}

fn passes(comparison: Comparison, value: f64, bound: f64) -> bool {
    match comparison {
        Comparison::Gt => value > bound,
        Comparison::Gte => value >= bound,
        Comparison::Lt => value < bound,
        Comparison::Lte => value <= bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree over leaves 0.. of the given costs, from (any of (all of leaves)).
    fn any_of_all(groups: &[&[(u32, u8)]]) -> (Trees, u32) {
        let mut trees = Trees::default();
        let mut alternatives = Vec::new();
        for group in groups {
            let leaf = |&(slot, cost): &(u32, u8)| Node::Leaf {
                slot,
                cost,
                certain: false,
                on_error: OnError::NoMatch,
            };
            let leaves: Vec<u32> = group.iter().map(|l| trees.push(leaf(l))).collect();
            let (first, count) = trees.list(&leaves);
            alternatives.push(trees.push(Node::All { first, count }));
        }
        let (first, count) = trees.list(&alternatives);
        let root = trees.push(Node::Any { first, count });
        (trees, root)
    }

    #[test]
    fn the_cheapest_signal_that_matters_comes_next() {
        let (trees, root) = any_of_all(&[&[(0, 9), (1, 2)], &[(2, 5)]]);
        let mut memo = [Signal::UNKNOWN; 3];
        assert_eq!(trees.read(root, &memo).next.slot(), Some(1));
        memo[1] = Signal::new(false, 0.0, 0.0);
        assert_eq!(
            trees.read(root, &memo).next.slot(),
            Some(2),
            "leaf 0 cannot matter any more"
        );
        memo[2] = Signal::new(true, 0.7, 0.0);
        let reading = trees.read(root, &memo);
        assert!(reading.is_settled() && reading.low == 0.7);
    }

    #[test]
    fn a_confidence_is_open_until_nothing_can_exceed_it() {
        let (trees, root) = any_of_all(&[&[(0, 1)], &[(1, 2), (2, 3)]]);
        let mut memo = [Signal::new(true, 0.8, 0.0), Signal::UNKNOWN, Signal::UNKNOWN];
        let reading = trees.read(root, &memo);
        assert_eq!((reading.holds, reading.low, reading.high), (Holds::Yes, 0.8, 1.0));
        assert_eq!(reading.next.slot(), Some(1));
        // (0.5 + 1) / 2 is below 0.8: leaf 2 does not matter.
        memo[1] = Signal::new(true, 0.5, 0.0);
        assert!(trees.read(root, &memo).is_settled());
    }

    #[test]
    fn nothing_is_unconditional_and_any_of_nothing_never_holds() {
        let mut trees = Trees::default();
        let all = trees.push(Node::All { first: 0, count: 0 });
        let any = trees.push(Node::Any { first: 0, count: 0 });
        assert_eq!(
            (trees.read(all, &[]).holds, trees.read(all, &[]).high),
            (Holds::Yes, 0.0)
        );
        assert_eq!(trees.read(any, &[]).holds, Holds::No);
    }

    #[test]
    fn nan_passes_no_comparison() {
        for comparison in [Comparison::Gt, Comparison::Gte, Comparison::Lt, Comparison::Lte] {
            assert!(!passes(comparison, f64::NAN, 0.0));
        }
    }
}
