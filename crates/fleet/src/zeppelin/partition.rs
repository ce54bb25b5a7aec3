//! The hierarchical partition: which sequences are cut over nodes, which over the devices of one, which stay whole.

use std::collections::BTreeMap;

use super::{
    Cluster, Costs, Zone,
    layout::{Group, Layout},
};

/// By how much the attention of one sequence on a node may exceed the mean of all nodes before one more node is taken.
const SLACK: f64 = 0.1;

/// A batch with what all partitions of it need.
pub(crate) struct Batch<'a> {
    pub(crate) lengths: &'a [u32],
    pub(crate) cluster: &'a Cluster,
    pub(crate) costs: &'a Costs,
    /// Places, longest first.
    order: Vec<u32>,
    /// Attention of the whole batch on one device.
    attention_ms: f64,
}

/// Lengths above which sequences are cut, and what whole ones are balanced by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Thresholds {
    /// Over nodes.
    pub(crate) inter: u32,
    /// Over the devices of a node.
    pub(crate) intra: u32,
    /// Whether linear work counts in the balance: where tokens are not moved afterwards it stays where attention was.
    pub(crate) linear: bool,
}

/// Work and tokens of a node or device.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    ms: f64,
    tokens: u64,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    pub(crate) fn new(lengths: &'a [u32], cluster: &'a Cluster, costs: &'a Costs) -> Self {
        let mut order: Vec<u32> = (0..lengths.len() as u32).collect();
        order.sort_by_key(|s| std::cmp::Reverse(lengths[*s as usize]));
        let attention_ms = lengths.iter().map(|l| attention_ms(*l, costs)).sum();
        Self {
            lengths,
            cluster,
            costs,
            order,
            attention_ms,
        }
    }

    pub(crate) fn length(&self, sequence: u32) -> u32 {
        self.lengths[sequence as usize]
    }

    /// Places, longest first.
    pub(crate) fn longest_first(&self) -> &[u32] {
        &self.order
    }

    /// What a sequence costs one device.
    pub(crate) fn cost_ms(&self, sequence: u32, linear: bool) -> f64 {
        let length = self.length(sequence);
        let after = if linear {
            self.costs.linear_ms(f64::from(length))
        } else {
            0.0
        };
        attention_ms(length, self.costs) + after
    }

    /// The partition at these thresholds; `None` where a device would hold more tokens than it can.
    pub(crate) fn partition(&self, at: Thresholds) -> Option<Layout> {
        let mut nodes = vec![Load::default(); self.cluster.nodes as usize];
        let (cut, rest): (Vec<u32>, Vec<u32>) = self
            .order
            .iter()
            .partition(|s| self.length(**s) > at.inter && self.nodes_for(**s) > 1);
        let mut groups = self.over_nodes(&cut, at.linear, &mut nodes);
        let base = nodes.clone();
        let of_node = self.to_nodes(&rest, at.linear, &mut nodes)?;
        for (node, own) in (0..self.cluster.nodes).zip(of_node) {
            groups.extend(self.inside(node, &own, at, base[node as usize])?);
        }
        groups.sort_by_key(|g| g.zone);
        Some(Layout { groups })
    }

    /// Nodes that a sequence is cut over: the least that bring its attention on a node near the mean and its tokens under what
    /// nodes hold, without shares below the least size.
    fn nodes_for(&self, sequence: u32) -> u32 {
        let (nodes, per_node) = (self.cluster.nodes, u64::from(self.cluster.devices_per_node));
        let length = u64::from(self.length(sequence));
        let mean = self.attention_ms / f64::from(nodes);
        let by_work = (self.cost_ms(sequence, false) / ((1.0 + SLACK) * mean)).ceil() as u64;
        let by_tokens = length.div_ceil(per_node * u64::from(self.cluster.tokens_per_device));
        let most = length / (per_node * u64::from(self.costs.min_share_tokens.max(1)));
        // At least two where it is cut at all; memory decides over the least size.
        by_work.max(2).min(most).max(by_tokens).min(u64::from(nodes)) as u32
    }

    /// Inter-node zone: each sequence on the least loaded nodes; those on the same nodes share a ring.
    fn over_nodes(&self, cut: &[u32], linear: bool, loads: &mut [Load]) -> Vec<Group> {
        let mut rings: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
        for sequence in cut.iter().copied() {
            let count = self.nodes_for(sequence);
            let mut nodes: Vec<u32> = (0..self.cluster.nodes).collect();
            nodes.sort_by(|a, b| loads[*a as usize].ms.total_cmp(&loads[*b as usize].ms));
            nodes.truncate(count as usize);
            nodes.sort_unstable();
            for node in &nodes {
                let load = &mut loads[*node as usize];
                load.ms += self.cost_ms(sequence, linear) / f64::from(count);
                load.tokens += u64::from(self.length(sequence).div_ceil(count));
            }
            rings.entry(nodes).or_default().push(sequence);
        }
        let ring = |(nodes, sequences): (Vec<u32>, Vec<u32>)| Group {
            zone: Zone::InterNode,
            devices: nodes.iter().flat_map(|n| self.cluster.devices_of(*n)).collect(),
            sequences,
        };
        rings.into_iter().map(ring).collect()
    }

    /// The rest goes to nodes, the costliest first, each to the least loaded that has room.
    fn to_nodes(&self, rest: &[u32], linear: bool, loads: &mut [Load]) -> Option<Vec<Vec<u32>>> {
        let room = u64::from(self.cluster.tokens_per_device) * u64::from(self.cluster.devices_per_node);
        let mut of_node = vec![Vec::new(); loads.len()];
        for sequence in rest.iter().copied() {
            let node = self.lightest(sequence, linear, loads, room)?;
            of_node[node].push(sequence);
        }
        Some(of_node)
    }

    /// Intra-node and local zones of one node, on top of its share of the rings over nodes.
    fn inside(&self, node: u32, own: &[u32], at: Thresholds, base: Load) -> Option<Vec<Group>> {
        let devices: Vec<u32> = self.cluster.devices_of(node).collect();
        let count = devices.len() as u32;
        let least = u64::from(count) * u64::from(self.costs.min_share_tokens);
        let room = u64::from(self.cluster.tokens_per_device);
        let is_cut = |s: &&u32| {
            let length = u64::from(self.length(**s));
            count > 1 && (length > room || (self.length(**s) > at.intra && length >= least))
        };
        let (cut, whole): (Vec<u32>, Vec<u32>) = own.iter().partition(is_cut);
        let share = |s: &u32| u64::from(self.length(*s).div_ceil(count));
        let tokens = base.tokens.div_ceil(u64::from(count)) + cut.iter().map(share).sum::<u64>();
        let mut loads = vec![Load { ms: 0.0, tokens }; devices.len()];
        let mut of_device = vec![Vec::new(); devices.len()];
        for sequence in whole {
            of_device[self.lightest(sequence, at.linear, &mut loads, room)?].push(sequence);
        }
        let ring = Group {
            zone: Zone::IntraNode,
            devices: devices.clone(),
            sequences: cut,
        };
        let local = devices.iter().zip(of_device).map(|(device, sequences)| Group {
            zone: Zone::Local,
            devices: vec![*device],
            sequences,
        });
        let groups = std::iter::once(ring).chain(local);
        let fits = loads.iter().all(|l| l.tokens <= room);
        fits.then(|| groups.filter(|g| !g.sequences.is_empty()).collect())
    }

    /// The least loaded place with room for a sequence, which it then carries.
    fn lightest(&self, sequence: u32, linear: bool, loads: &mut [Load], room: u64) -> Option<usize> {
        let tokens = u64::from(self.length(sequence));
        let with_room = loads
            .iter()
            .enumerate()
            .filter(|(_, l)| l.tokens + tokens <= room);
        let order = |a: &Load, b: &Load| a.ms.total_cmp(&b.ms).then(a.tokens.cmp(&b.tokens));
        let (place, _) = with_room.min_by(|(_, a), (_, b)| order(a, b))?;
        loads[place].ms += self.cost_ms(sequence, linear);
        loads[place].tokens += tokens;
        Some(place)
    }
}

/// Attention of a whole causal sequence on one device.
fn attention_ms(length: u32, costs: &Costs) -> f64 {
    let length = f64::from(length);
    costs.attention_ms(length * (length + 1.0) / 2.0)
}

/// Lengths to try as thresholds: all of a few, else ever sparser from the longest down, and 0, at which everything is cut.
pub(crate) fn candidates(batch: &Batch<'_>) -> Vec<u32> {
    let mut distinct: Vec<u32> = batch.order.iter().map(|s| batch.length(*s)).collect();
    distinct.dedup();
    let mut tried = Vec::new();
    let mut at = 0.0_f64;
    while (at as usize) < distinct.len() {
        tried.push(distinct[at as usize]);
        at = (at + 1.0).max(at * 1.4);
    }
    tried.push(0);
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(lengths: &[u32], at: Thresholds) -> Vec<(Zone, usize, Vec<u32>)> {
        let (cluster, costs) = (
            Cluster {
                nodes: 2,
                devices_per_node: 2,
                ..Cluster::default()
            },
            Costs::default(),
        );
        let layout = Batch::new(lengths, &cluster, &costs).partition(at).unwrap();
        layout
            .groups
            .into_iter()
            .map(|g| (g.zone, g.devices.len(), g.sequences))
            .collect()
    }

    #[test]
    fn the_longest_cross_nodes_the_middle_stays_in_one_and_the_short_stay_whole() {
        let lengths = [500, 60_000, 9_000, 400, 300];
        let found = zones(
            &lengths,
            Thresholds {
                inter: 50_000,
                intra: 5_000,
                linear: false,
            },
        );
        assert_eq!(found[0], (Zone::InterNode, 4, vec![1]));
        assert_eq!(found[1], (Zone::IntraNode, 2, vec![2]));
        assert!(found[2..].iter().all(|g| g.0 == Zone::Local && g.1 == 1));
        let whole: usize = found[2..].iter().map(|g| g.2.len()).sum();
        assert_eq!(whole, 3);
    }

    #[test]
    fn what_is_too_short_to_share_is_not_cut() {
        // 2,000 tokens over two devices would be shares of 1,000, below 1,024.
        let found = zones(
            &[2_000, 2_000],
            Thresholds {
                inter: 0,
                intra: 0,
                linear: false,
            },
        );
        assert!(found.iter().all(|g| g.0 == Zone::Local), "{found:?}");
    }

    #[test]
    fn a_partition_that_no_device_can_hold_is_none() {
        let cluster = Cluster {
            nodes: 1,
            devices_per_node: 2,
            tokens_per_device: 10,
            ..Cluster::default()
        };
        let costs = Costs::default();
        let at = Thresholds {
            inter: u32::MAX,
            intra: u32::MAX,
            linear: true,
        };
        assert!(Batch::new(&[9, 9, 9], &cluster, &costs).partition(at).is_none());
    }

    #[test]
    fn candidates_reach_from_the_longest_to_everything() {
        let lengths: Vec<u32> = (1..=1000).collect();
        let (cluster, costs) = (Cluster::default(), Costs::default());
        let tried = candidates(&Batch::new(&lengths, &cluster, &costs));
        assert!(
            tried[..3] == [1000, 999, 998] && tried.last() == Some(&0) && tried.len() < 25,
            "{tried:?}"
        );
    }
}
