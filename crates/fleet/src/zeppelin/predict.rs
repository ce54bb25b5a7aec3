//! How long a step takes in a layout.
//!
//! A device works through its groups in the layout's order; a ring begins when all its devices are ready and ends for all at
//! once. Inside a ring the transfers of keys and values hide behind the arithmetic, so it takes the longer of the two, and what
//! its steps cost whatever their size. Nothing else overlaps: the figure is an upper one.

use serde::{Deserialize, Serialize};

use super::{
    Cluster, Costs, Zone,
    layout::{self, Layout, pairs, shares},
    remap::{Move, remap, remap_ms},
    transfer::transfer_ms,
};

/// What a step takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prediction {
    /// Until the last device has finished attention, milliseconds.
    pub(crate) attention_ms: f64,
    /// The linear modules on the fullest device.
    pub(crate) linear_ms: f64,
    /// Moving tokens between the two layouts; 0 where that is not done.
    pub(crate) remap_ms: f64,
    /// All of it. Without moves a device goes on to its own linear modules at once, so it is the longest sum of the two on one
    /// device.
    pub(crate) step_ms: f64,
    /// Tokens that each device holds during attention.
    pub(crate) tokens: Vec<u64>,
    /// The moves; none where that is not done.
    pub(crate) moves: Vec<Move>,
    /// What each device does when, during attention.
    pub(crate) spans: Vec<Span>,
}

/// A stretch of one device's time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The device.
    pub device: u32,
    /// What kind of group it works on.
    pub zone: Zone,
    /// When it begins, milliseconds.
    pub from_ms: f64,
    /// When it ends.
    pub to_ms: f64,
}

/// What a step takes in this layout: with transfers between nodes spread over all cards or through one, and with tokens moved
/// before the linear modules or left. Cost: one pass over sequences times the devices that each is cut over.
pub(crate) fn predict(
    layout: &Layout,
    lengths: &[u32],
    cluster: &Cluster,
    costs: &Costs,
    spread: bool,
    moved: bool,
) -> Prediction {
    let devices = cluster.devices();
    let (ready, spans) = attention(layout, lengths, cluster, costs, spread);
    let tokens = layout::tokens(layout, lengths, devices);
    let longest = |times: &mut dyn Iterator<Item = f64>| times.fold(0.0, f64::max);
    let attention_ms = longest(&mut ready.iter().copied());
    if moved {
        let moves = remap(&tokens, cluster);
        let remap_ms = remap_ms(&moves, cluster, costs, spread);
        let even = tokens.iter().sum::<u64>().div_ceil(u64::from(devices.max(1)));
        let linear_ms = costs.linear_ms(even as f64);
        let step_ms = attention_ms + linear_ms + remap_ms;
        return Prediction {
            attention_ms,
            linear_ms,
            remap_ms,
            step_ms,
            tokens,
            moves,
            spans,
        };
    }
    let linear = |held: &u64| costs.linear_ms(*held as f64);
    let linear_ms = longest(&mut tokens.iter().map(linear));
    let step_ms = longest(&mut ready.iter().zip(&tokens).map(|(r, t)| r + linear(t)));
    Prediction {
        attention_ms,
        linear_ms,
        remap_ms: 0.0,
        step_ms,
        tokens,
        moves: Vec::new(),
        spans,
    }
}

/// When each device has finished attention, and what it did.
fn attention(
    layout: &Layout,
    lengths: &[u32],
    cluster: &Cluster,
    costs: &Costs,
    spread: bool,
) -> (Vec<f64>, Vec<Span>) {
    let mut ready = vec![0.0_f64; cluster.devices() as usize];
    let mut spans = Vec::new();
    for group in &layout.groups {
        let of_group = || group.sequences.iter().map(|s| lengths[*s as usize]);
        let ranks = group.devices.len() as u32;
        let work = |rank| {
            of_group()
                .flat_map(|s| shares(s, rank, ranks))
                .map(|r| pairs(&r))
                .sum::<f64>()
        };
        let compute = (0..ranks).map(work).fold(0.0, f64::max);
        let tokens = of_group().map(f64::from).sum::<f64>();
        let took = costs
            .attention_ms(compute)
            .max(ring_ms(group.zone, ranks, tokens, cluster, costs, spread))
            + f64::from(ranks - 1) * costs.ring_step_us / 1e3;
        let from_ms = group
            .devices
            .iter()
            .map(|d| ready[*d as usize])
            .fold(0.0, f64::max);
        for device in group.devices.iter().copied() {
            ready[device as usize] = from_ms + took;
            spans.push(Span {
                device,
                zone: group.zone,
                from_ms,
                to_ms: from_ms + took,
            });
        }
    }
    (ready, spans)
}

/// Time of the transfers of a ring: in each of its steps every device passes its share on, and the slowest link sets the pace.
fn ring_ms(zone: Zone, ranks: u32, tokens: f64, cluster: &Cluster, costs: &Costs, spread: bool) -> f64 {
    let bytes = tokens / f64::from(ranks) * costs.kv_bytes_per_token;
    let inside = bytes * 1e-6 / cluster.intra_gb_s;
    let step = match zone {
        Zone::Local => return 0.0,
        Zone::IntraNode => inside,
        Zone::InterNode => inside.max(transfer_ms(bytes, cluster, spread)),
    };
    f64::from(ranks - 1) * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zeppelin::layout::Group;

    /// A millisecond a pair and a token, a byte of keys a token at a byte a millisecond.
    fn unit() -> (Cluster, Costs) {
        let cluster = Cluster {
            nodes: 2,
            devices_per_node: 2,
            tokens_per_device: 100,
            intra_gb_s: 1e-6,
            nics_per_node: 1,
            nic_gb_s: 0.5e-6,
        };
        let costs = Costs {
            attention_ns_per_pair: 1e6,
            linear_us_per_token: 1e3,
            kv_bytes_per_token: 1.0,
            remap_bytes_per_token: 1.0,
            ring_step_us: 0.0,
            min_share_tokens: 1,
        };
        (cluster, costs)
    }

    fn group(zone: Zone, devices: &[u32], sequences: &[u32]) -> Group {
        Group {
            zone,
            devices: devices.to_vec(),
            sequences: sequences.to_vec(),
        }
    }

    #[test]
    fn a_ring_takes_the_longer_of_arithmetic_and_transfers() {
        let (cluster, mut costs) = unit();
        let layout = Layout {
            groups: vec![group(Zone::IntraNode, &[0, 1], &[0])],
        };
        let of = |costs: &Costs| predict(&layout, &[8], &cluster, costs, false, false);
        // 36 pairs over two devices; one step of four bytes hides behind it; then four tokens of linear work.
        assert_eq!((of(&costs).attention_ms, of(&costs).step_ms), (18.0, 22.0));
        costs.kv_bytes_per_token = 10.0;
        assert_eq!(of(&costs).attention_ms, 40.0);
        costs.ring_step_us = 500.0;
        assert_eq!(of(&costs).attention_ms, 40.5);
    }

    #[test]
    fn across_nodes_the_card_sets_the_pace() {
        let (cluster, mut costs) = unit();
        costs.kv_bytes_per_token = 10.0;
        let layout = Layout {
            groups: vec![group(Zone::InterNode, &[0, 1, 2, 3], &[0])],
        };
        // Three steps of 20 bytes at half a byte a millisecond.
        assert_eq!(
            predict(&layout, &[8], &cluster, &costs, false, false).attention_ms,
            120.0
        );
    }

    #[test]
    fn moving_tokens_evens_the_linear_work_at_its_price() {
        let (cluster, costs) = unit();
        let layout = Layout {
            groups: vec![group(Zone::Local, &[0], &[0]), group(Zone::Local, &[1], &[1])],
        };
        let left = predict(&layout, &[6, 2], &cluster, &costs, false, false);
        assert_eq!(
            (left.attention_ms, left.linear_ms, left.step_ms),
            (21.0, 6.0, 27.0)
        );
        let moved = predict(&layout, &[6, 2], &cluster, &costs, false, true);
        // Device 0 keeps two of six tokens and gives four to the other node at half a byte a millisecond.
        assert_eq!((moved.linear_ms, moved.remap_ms, moved.step_ms), (2.0, 8.0, 31.0));
    }
}
