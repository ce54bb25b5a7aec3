//! Groups of roots that are worth comparing: min-hash shingles of their neighbourhoods (`systems/30-slugger.md`, step 1).

use rand::{Rng, rngs::SmallRng, seq::SliceRandom};

use crate::Graph;

/// How often a group that is too large is split by another permutation, before it is cut at random.
const SPLITS: usize = 10;

/// Which nodes a root holds: a list through all nodes, joined at no cost when two roots merge.
pub(super) struct Members {
    next: Vec<u32>,
    last: Vec<u32>,
}

const END: u32 = u32::MAX;

// === impl Members ===

impl Members {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            next: vec![END; nodes],
            last: (0..nodes as u32).collect(),
        }
    }

    /// Appends the nodes of `other` to those of `slot`. A root's slot is one of its nodes, the first of its list.
    pub(super) fn join(&mut self, slot: u32, other: u32) {
        self.next[self.last[slot as usize] as usize] = other;
        self.last[slot as usize] = self.last[other as usize];
    }

    pub(super) fn of(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(slot), |&node| {
            Some(self.next[node as usize]).filter(|&next| next != END)
        })
    }
}

/// A pseudo-random permutation's value: the finaliser of splitmix64, one to one on 64 bits.
fn permuted(node: u32, seed: u64) -> u64 {
    let mut x = seed.wrapping_add(u64::from(node).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// The least value over a root's nodes and their neighbours.
fn shingle(graph: &Graph, members: &Members, slot: u32, seed: u64) -> u64 {
    members
        .of(slot)
        .flat_map(|node| std::iter::once(node).chain(graph.neighbours(node).iter().copied()))
        .map(|node| permuted(node, seed))
        .min()
        .unwrap_or(u64::MAX)
}

/// Groups of 2 to `size` of these roots. Time: O(edges) a split.
pub(super) fn groups(
    graph: &Graph,
    members: &Members,
    roots: Vec<u32>,
    size: usize,
    random: &mut SmallRng,
) -> Vec<Vec<u32>> {
    let mut groups = Vec::new();
    let mut large = vec![roots];
    for _ in 0..SPLITS {
        let seed = random.random();
        for group in std::mem::take(&mut large) {
            let mut keyed: Vec<(u64, u32)> = group
                .iter()
                .map(|&slot| (shingle(graph, members, slot, seed), slot))
                .collect();
            keyed.sort_unstable();
            for alike in keyed.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
                let alike: Vec<u32> = alike.iter().map(|&(_, slot)| slot).collect();
                if alike.len() <= size {
                    &mut groups
                } else {
                    &mut large
                }
                .push(alike);
            }
        }
    }
    for mut group in large {
        group.shuffle(random);
        groups.extend(
            group
                .chunks(size)
                .filter(|chunk| chunk.len() > 1)
                .map(<[u32]>::to_vec),
        );
    }
    groups
}
