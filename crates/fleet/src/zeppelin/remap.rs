//! From the attention layout to one of equal tokens a device, for the linear modules, and back by the inverse.

use serde::{Deserialize, Serialize};

use super::{Cluster, Costs};

/// Tokens that go from one device to another; the sender gives the last that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Sender.
    pub from: u32,
    /// Receiver.
    pub to: u32,
    /// How many.
    pub tokens: u64,
}

/// Moves after which no device holds more than one token above any other. Inside nodes first; between nodes goes the least that
/// must: what a node holds above its target. Cost: a sort over the devices.
pub fn remap(held: &[u64], cluster: &Cluster) -> Vec<Move> {
    let mut open = differences(held);
    let mut moves = Vec::new();
    for node in 0..cluster.nodes {
        let devices = cluster.devices_of(node).filter(|d| (*d as usize) < held.len());
        matched(&devices.collect::<Vec<_>>(), &mut open, &mut moves);
    }
    matched(&(0..held.len() as u32).collect::<Vec<_>>(), &mut open, &mut moves);
    moves
}

/// What each device holds above its target; those with most keep what does not divide.
fn differences(held: &[u64]) -> Vec<i64> {
    let (total, count) = (held.iter().sum::<u64>(), held.len().max(1) as u64);
    let (target, rest) = (total / count, (total % count) as usize);
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by_key(|d| std::cmp::Reverse(held[*d]));
    let mut open: Vec<i64> = held.iter().map(|h| *h as i64 - target as i64).collect();
    order.iter().take(rest).for_each(|d| open[*d] -= 1);
    open
}

/// Matches surplus with deficit among `devices`, in their order.
fn matched(devices: &[u32], open: &mut [i64], moves: &mut Vec<Move>) {
    let mut takers = devices
        .iter()
        .copied()
        .filter(|d| open[*d as usize] < 0)
        .collect::<Vec<_>>();
    takers.reverse();
    for from in devices.iter().copied() {
        while open[from as usize] > 0 {
            let Some(&to) = takers.last() else { return };
            let tokens = open[from as usize].min(-open[to as usize]);
            open[from as usize] -= tokens;
            open[to as usize] += tokens;
            if open[to as usize] == 0 {
                takers.pop();
            }
            moves.push(Move {
                from,
                to,
                tokens: tokens as u64,
            });
        }
    }
}

/// Time of the moves, milliseconds: the busiest device inside its node, then the busiest node, through one card a device or
/// all of them.
pub(crate) fn remap_ms(moves: &[Move], cluster: &Cluster, costs: &Costs, spread: bool) -> f64 {
    let devices = cluster.devices() as usize;
    let mut inside = vec![[0.0_f64; 2]; devices];
    let mut across = vec![[0.0_f64; 2]; devices];
    for m in moves {
        let bytes = m.tokens as f64 * costs.remap_bytes_per_token;
        let same = cluster.node_of(m.from) == cluster.node_of(m.to);
        let traffic = if same { &mut inside } else { &mut across };
        traffic[m.from as usize][0] += bytes;
        traffic[m.to as usize][1] += bytes;
    }
    let busiest = |traffic: &[[f64; 2]]| traffic.iter().flatten().copied().fold(0.0, f64::max);
    let cards = f64::from(cluster.nics_per_node) * cluster.nic_gb_s;
    let between = if spread {
        let nodes = across.chunks(cluster.devices_per_node as usize);
        let of_node = |node: &[[f64; 2]]| [0, 1].map(|way| node.iter().map(|d| d[way]).sum::<f64>());
        busiest(&nodes.map(of_node).collect::<Vec<_>>()) / cards
    } else {
        busiest(&across) / cluster.nic_gb_s
    };
    (busiest(&inside) / cluster.intra_gb_s + between) * 1e-6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cluster(nodes: u32, devices_per_node: u32) -> Cluster {
        Cluster {
            nodes,
            devices_per_node,
            ..Cluster::default()
        }
    }

    #[test]
    fn tokens_stay_inside_their_node_where_they_can() {
        // Node 0 holds 16 of 24 tokens: four must cross. Device 0 gives two to its neighbour first.
        let moves = remap(&[12, 4, 6, 2], &cluster(2, 2));
        let expected = [(0, 1, 2), (0, 3, 4)].map(|(from, to, tokens)| Move { from, to, tokens });
        assert_eq!(moves, expected);
    }

    #[test]
    fn the_busiest_device_and_node_take_the_time() {
        let moves = [(0, 1, 2), (0, 3, 4)].map(|(from, to, tokens)| Move { from, to, tokens });
        let costs = Costs {
            remap_bytes_per_token: 1e9,
            ..Costs::default()
        };
        // 2 GB at 400 GB/s, then 4 GB through one card of 50 GB/s, or through eight of them.
        assert!((remap_ms(&moves, &cluster(2, 2), &costs, false) - 85.0).abs() < 1e-9);
        assert!((remap_ms(&moves, &cluster(2, 2), &costs, true) - 15.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn afterwards_all_hold_the_same_and_the_least_has_crossed(
            held in prop::collection::vec(0u64..50_000, 12),
        ) {
            let cluster = cluster(3, 4);
            let moves = remap(&held, &cluster);
            let mut now: Vec<i64> = held.iter().map(|h| *h as i64).collect();
            let mut crossed = 0;
            for m in &moves {
                now[m.from as usize] -= m.tokens as i64;
                now[m.to as usize] += m.tokens as i64;
                crossed += if cluster.node_of(m.from) == cluster.node_of(m.to) { 0 } else { m.tokens as i64 };
            }
            prop_assert!(now.iter().max().unwrap() - now.iter().min().unwrap() <= 1);
            let surplus = |node: usize| {
                let own = 4 * node..4 * (node + 1);
                held[own.clone()].iter().map(|h| *h as i64).sum::<i64>() - now[own].iter().sum::<i64>()
            };
            prop_assert_eq!(crossed, (0..3).map(|n| surplus(n).max(0)).sum::<i64>());
        }
    }
}
