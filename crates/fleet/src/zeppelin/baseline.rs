//! What training jobs do today, to be judged by the same prediction.

use serde::{Deserialize, Serialize};

use super::{
    Zone,
    layout::{Group, Layout},
    partition::Batch,
};

/// A way to lay a batch out. None of them spreads transfers over network cards or moves tokens between modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// Sequences dealt out in turn, as many to each device: plain data parallelism.
    EvenSplit,
    /// Best-fit packing by tokens, at the smallest size of bin with which all fit in as many bins as there are devices.
    BestFit,
    /// Longest first, each to the device with the fewest tokens.
    FewestTokens,
    /// Longest first, each to the device with the least attention.
    LeastAttention,
    /// Every sequence cut over the devices of one node, nodes balanced by attention.
    RingInNode,
    /// Every sequence cut over all devices: context parallelism.
    RingAll,
}

// === impl Baseline ===

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::EvenSplit,
        Self::BestFit,
        Self::FewestTokens,
        Self::LeastAttention,
        Self::RingInNode,
        Self::RingAll,
    ];

    /// As in plans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EvenSplit => "even_split",
            Self::BestFit => "best_fit",
            Self::FewestTokens => "fewest_tokens",
            Self::LeastAttention => "least_attention",
            Self::RingInNode => "ring_in_node",
            Self::RingAll => "ring_all",
        }
    }

    /// Where it puts a batch, whether that fits the devices' memory or not.
    pub(crate) fn layout(self, batch: &Batch<'_>) -> Layout {
        let devices = batch.cluster.devices();
        match self {
            Self::EvenSplit => {
                let in_turn = (0..batch.lengths.len() as u32).map(|s| s % devices);
                whole(in_turn.zip(0..), devices)
            }
            Self::BestFit => best_fit(batch),
            Self::FewestTokens => lightest_first(batch, devices, |s| f64::from(batch.length(s))),
            Self::LeastAttention => lightest_first(batch, devices, |s| batch.cost_ms(s, false)),
            Self::RingInNode => ring_in_node(batch),
            Self::RingAll => Layout {
                groups: vec![ring(
                    batch,
                    (0..devices).collect(),
                    (0..batch.lengths.len() as u32).collect(),
                )],
            },
        }
    }
}

/// Whole sequences on devices.
fn whole(placed: impl Iterator<Item = (u32, u32)>, devices: u32) -> Layout {
    let mut groups: Vec<Group> = (0..devices)
        .map(|device| Group {
            zone: Zone::Local,
            devices: vec![device],
            sequences: Vec::new(),
        })
        .collect();
    for (device, sequence) in placed {
        groups[device as usize].sequences.push(sequence);
    }
    groups.retain(|g| !g.sequences.is_empty());
    Layout { groups }
}

fn ring(batch: &Batch<'_>, devices: Vec<u32>, sequences: Vec<u32>) -> Group {
    let zone = match devices.as_slice() {
        [_] => Zone::Local,
        [first, .., last] if batch.cluster.node_of(*first) != batch.cluster.node_of(*last) => Zone::InterNode,
        _ => Zone::IntraNode,
    };
    Group {
        zone,
        devices,
        sequences,
    }
}

/// Longest first, each to the place of least load.
fn deal(batch: &Batch<'_>, places: u32, load_of: impl Fn(u32) -> f64) -> Vec<(u32, u32)> {
    let mut loads = vec![0.0_f64; places as usize];
    let mut placed = Vec::with_capacity(batch.lengths.len());
    for sequence in batch.longest_first().iter().copied() {
        let lightest = (0..places).min_by(|a, b| loads[*a as usize].total_cmp(&loads[*b as usize]));
        let lightest = lightest.unwrap_or(0);
        loads[lightest as usize] += load_of(sequence);
        placed.push((lightest, sequence));
    }
    placed
}

fn lightest_first(batch: &Batch<'_>, devices: u32, load_of: impl Fn(u32) -> f64) -> Layout {
    whole(deal(batch, devices, load_of).into_iter(), devices)
}

fn ring_in_node(batch: &Batch<'_>) -> Layout {
    let mut of_node = vec![Vec::new(); batch.cluster.nodes as usize];
    for (node, sequence) in deal(batch, batch.cluster.nodes, |s| batch.cost_ms(s, false)) {
        of_node[node as usize].push(sequence);
    }
    let nodes = of_node.into_iter().zip(0..).filter(|(own, _)| !own.is_empty());
    let ring_of = |(own, node)| ring(batch, batch.cluster.devices_of(node).collect(), own);
    Layout {
        groups: nodes.map(ring_of).collect(),
    }
}

fn best_fit(batch: &Batch<'_>) -> Layout {
    let devices = batch.cluster.devices();
    let total: u64 = batch.lengths.iter().map(|l| u64::from(*l)).sum();
    let longest = batch
        .longest_first()
        .first()
        .map_or(0, |s| u64::from(batch.length(*s)));
    // Between the mean, below which nothing fits, and twice that plus the longest, above which everything does.
    let mut low = total.div_ceil(u64::from(devices)).max(longest);
    let mut high = low + total / u64::from(devices) + longest;
    while low < high {
        let middle = low.midpoint(high);
        if pack(batch, devices, middle).is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    whole(
        pack(batch, devices, high).unwrap_or_default().into_iter(),
        devices,
    )
}

/// Longest first, each to the fullest bin with room.
fn pack(batch: &Batch<'_>, devices: u32, size: u64) -> Option<Vec<(u32, u32)>> {
    let mut room = vec![size; devices as usize];
    let mut placed = Vec::with_capacity(batch.lengths.len());
    for sequence in batch.longest_first().iter().copied() {
        let length = u64::from(batch.length(sequence));
        let fitting = (0..devices).filter(|d| room[*d as usize] >= length);
        let device = fitting.min_by_key(|d| room[*d as usize])?;
        room[device as usize] -= length;
        placed.push((device, sequence));
    }
    Some(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zeppelin::{Cluster, Costs, layout::tokens};

    fn held(baseline: Baseline, lengths: &[u32]) -> Vec<u64> {
        let (cluster, costs) = (
            Cluster {
                nodes: 1,
                devices_per_node: 2,
                ..Cluster::default()
            },
            Costs::default(),
        );
        tokens(
            &baseline.layout(&Batch::new(lengths, &cluster, &costs)),
            lengths,
            2,
        )
    }

    #[test]
    fn each_puts_a_batch_where_it_says() {
        let lengths = [7, 6, 5, 4, 2];
        assert_eq!(held(Baseline::EvenSplit, &lengths), [14, 10]);
        // Bins of twelve: 7 + 5 and 6 + 4 + 2.
        assert_eq!(held(Baseline::BestFit, &lengths), [12, 12]);
        // 7, 6, then 5 beside the 6, 4 beside the 7, 2 on the first of equals.
        assert_eq!(held(Baseline::FewestTokens, &lengths), [13, 11]);
        // By squares: 49; 36 + 25; 49 + 16; 61 + 4.
        assert_eq!(held(Baseline::LeastAttention, &lengths), [11, 13]);
        assert_eq!(held(Baseline::RingAll, &[8, 8]), [8, 8]);
        assert_eq!(held(Baseline::RingInNode, &[8, 8]), [8, 8]);
    }
}
