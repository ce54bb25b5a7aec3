//! The ids of a request's spans.
//!
//! The spans are made when the request is over, but the id of a call's span must be known when the call is made, because it
//! travels to the provider in `traceparent`. So all of them follow from the request's own span id, which is random: the
//! gateway and the exporter compute the same ids without talking to each other.

/// The ids of the spans below the span `root`: as far apart as random numbers, and never zero, which W3C Trace Context
/// forbids.
///
/// ```
/// use fingerpost_telemetry::SpanIds;
///
/// let ids = SpanIds::of(0x00f0_67aa_0ba9_02b7);
/// assert_eq!(ids.call(0), SpanIds::of(0x00f0_67aa_0ba9_02b7).call(0));
/// assert_ne!(ids.call(0), ids.call(1));
/// assert_ne!(ids.call(0), ids.hop(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanIds {
    root: u64,
}

// === impl SpanIds ===

impl SpanIds {
    /// The ids below `root`, the request's own span ([`crate::Record::span`]).
    pub const fn of(root: u64) -> Self {
        Self { root }
    }

    /// The span of the decision at this place of the trace.
    pub const fn hop(self, index: usize) -> u64 {
        self.derived(1 << 48 | index as u64)
    }

    /// The span of the call at this place of [`crate::Record::calls`].
    pub const fn call(self, index: usize) -> u64 {
        self.derived(2 << 48 | index as u64)
    }

    /// The finalizer of SplitMix64: a bijection of 64 bits that leaves no trace of the input's structure.
    const fn derived(self, salt: u64) -> u64 {
        let mut x = self.root ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        if x == 0 { 1 } else { x }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_spans_of_many_requests_share_an_id() {
        let mut seen = HashSet::new();
        for root in 0..2_000 {
            let ids = SpanIds::of(root);
            for i in 0..8 {
                assert!(seen.insert(ids.hop(i)), "hop {i} of {root}");
                assert!(seen.insert(ids.call(i)), "call {i} of {root}");
            }
        }
        assert!(!seen.contains(&0));
    }
}
