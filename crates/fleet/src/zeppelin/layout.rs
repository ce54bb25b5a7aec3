//! Which devices work on which sequences during attention.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Between which devices the keys and values of a sequence travel. The order is that of the engine: long transfers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Between nodes.
    InterNode,
    /// Inside one node.
    IntraNode,
    /// Nowhere: the sequence is whole on one device.
    Local,
}

/// Sequences that the same devices work on, each cut over all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Where its keys and values travel.
    pub(crate) zone: Zone,
    /// The ring, in its order; one device for whole sequences.
    pub(crate) devices: Vec<u32>,
    /// Places in the batch.
    pub(crate) sequences: Vec<u32>,
}

/// Where a batch goes during attention: groups in the order in which each device works on those it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The groups.
    pub(crate) groups: Vec<Group>,
}

/// What rank `rank` of `ranks` holds of a sequence: of twice as many equal chunks the one at its place from the front and
/// the one at its place from the back, so that all ranks have as much causal work. One rank holds all of it.
pub(crate) fn shares(length: u32, rank: u32, ranks: u32) -> [Range<u32>; 2] {
    if ranks == 1 {
        return [0..length, length..length];
    }
    let chunks = 2 * u64::from(ranks);
    let edge = |i: u32| (u64::from(length) * u64::from(i) / chunks) as u32;
    let back = 2 * ranks - 1 - rank;
    [edge(rank)..edge(rank + 1), edge(back)..edge(back + 1)]
}

/// Pairs of a query in `range` and a key not after it.
pub(crate) fn pairs(range: &Range<u32>) -> f64 {
    let up_to = |n: u32| f64::from(n) * (f64::from(n) + 1.0) / 2.0;
    up_to(range.end) - up_to(range.start)
}

/// Tokens that each device holds during attention.
pub(crate) fn tokens(layout: &Layout, lengths: &[u32], devices: u32) -> Vec<u64> {
    let mut held = vec![0; devices as usize];
    for group in &layout.groups {
        let ranks = group.devices.len() as u32;
        for (device, rank) in group.devices.iter().zip(0..) {
            let share = |s: &u32| {
                let parts = shares(lengths[*s as usize], rank, ranks);
                parts.iter().map(|r| u64::from(r.end - r.start)).sum::<u64>()
            };
            held[*device as usize] += group.sequences.iter().map(share).sum::<u64>();
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunks_from_both_ends_are_equal_work() {
        // Eight chunks of two tokens: rank 0 has tokens 0, 1 and 14, 15: 1 + 2 + 15 + 16 pairs.
        let work = |rank| shares(16, rank, 4).iter().map(pairs).sum::<f64>();
        assert_eq!((0..4).map(work).collect::<Vec<_>>(), [34.0; 4]);
        assert_eq!(pairs(&(0..3)), 6.0);
    }

    proptest! {
        #[test]
        fn every_token_is_held_once(length in 1u32..100_000, ranks in 1u32..64) {
            let mut parts: Vec<_> = (0..ranks).flat_map(|r| shares(length, r, ranks)).collect();
            parts.retain(|r| !r.is_empty());
            parts.sort_by_key(|r| r.start);
            prop_assert_eq!(parts.first().unwrap().start, 0);
            prop_assert_eq!(parts.last().unwrap().end, length);
            prop_assert!(parts.windows(2).all(|w| w[0].end == w[1].start));
        }
    }
}
