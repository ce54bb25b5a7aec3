//! The plan of one batch, and the form in which a training job reads it.

use serde::{Deserialize, Serialize};

use super::{
    Baseline, Cluster, Costs, Move, Span, ZeppelinError, Zone, cluster,
    layout::{Group, Layout, shares},
    partition::{Batch, Thresholds, candidates},
    predict::{Prediction, predict},
    transfer::spread,
};

/// Version of the JSON form.
pub const PLAN_VERSION: u32 = 1;

/// Which parts a plan uses; all by default. Switched off, they show what each is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// Transfers between nodes are spread over all network cards.
    pub spread: bool,
    /// Tokens may be moved between attention and linear modules.
    pub remap: bool,
}

/// Where a batch goes, what that takes, and what else it could have taken. Written as JSON by `serde`; every token of every
/// sequence stands in exactly one chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this form.
    pub version: u32,
    /// The lengths, in the order of the input: sequence `i` is the `i`-th.
    pub lengths: Vec<u32>,
    /// The cluster that it is made for. Device `d` is on node `d / devices_per_node`.
    pub cluster: Cluster,
    /// Which way of laying out won.
    pub placement: Placement,
    /// Groups in the order in which each device works on those it belongs to.
    pub groups: Vec<PlannedGroup>,
    /// Transfers between nodes in one step of each ring over nodes.
    pub transfers: Vec<Transfer>,
    /// Moves from the attention layout to the linear one, empty where tokens stay; back by the inverse, in reverse order.
    pub moves: Vec<Move>,
    /// Tokens of each device during attention.
    pub tokens: Vec<u64>,
    /// What a step is predicted to take.
    pub times: Times,
    /// What the baselines are predicted to take.
    pub baselines: Vec<BaselineTimes>,
    /// What each device does when, during attention.
    pub timeline: Vec<Span>,
}

/// A way of laying out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Placement {
    /// Three zones; sequences longer than these many tokens are cut over nodes, over the devices of one node.
    Hierarchical {
        /// Over nodes.
        inter_node_above: u32,
        /// Over the devices of a node.
        intra_node_above: u32,
    },
    /// No partition in zones was predicted to be faster than this.
    Baseline {
        /// Which.
        baseline: Baseline,
    },
}

/// Sequences that the same devices work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGroup {
    /// Where keys and values travel.
    pub zone: Zone,
    /// The ring, in its order.
    pub devices: Vec<u32>,
    /// What each device holds.
    pub chunks: Vec<Chunk>,
}

/// Part of a sequence on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Place of the sequence in the batch.
    pub sequence: u32,
    /// The device.
    pub device: u32,
    /// Half-open ranges of tokens, at most two, none empty.
    pub ranges: Vec<(u32, u32)>,
}

/// Keys and values from the last device of a node to the first of the next in a ring, in each step of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Place of the ring in `groups`.
    pub group: u32,
    /// Sending device.
    pub from: u32,
    /// Receiving device.
    pub to: u32,
    /// Bytes through each network card of the sending node, to the same card of the receiving one.
    pub bytes_per_nic: Vec<f64>,
}

/// What a step is predicted to take, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Attention, until the last device is done.
    pub attention_ms: f64,
    /// Linear modules on the fullest device.
    pub linear_ms: f64,
    /// Moving tokens.
    pub remap_ms: f64,
    /// The step.
    pub step_ms: f64,
}

/// What a baseline is predicted to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BaselineTimes {
    /// Which.
    pub baseline: Baseline,
    /// The step, milliseconds.
    pub step_ms: f64,
    /// Its time over that of the plan.
    pub speed_up: f64,
    /// Whether no device holds more tokens than its memory does; where not, it could not run.
    pub fits: bool,
}

/// A layout with its prediction.
struct Judged {
    placement: Placement,
    layout: Layout,
    prediction: Prediction,
}

// === impl PlanOptions ===

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            spread: true,
            remap: true,
        }
    }
}

/// Plans one batch. The plan is the fastest by prediction among partitions in zones at some hundred pairs of thresholds and the
/// baselines, of those that fit the memory. Cost: some hundred times a sort-free pass over the batch.
///
/// # Errors
/// [`ZeppelinError`]: no lengths, a length of zero, a cluster or costs out of range, more tokens than fit.
pub fn plan(
    lengths: &[u32],
    cluster: &Cluster,
    costs: &Costs,
    options: &PlanOptions,
) -> Result<Plan, ZeppelinError> {
    cluster::check(cluster, costs)?;
    if lengths.is_empty() {
        return Err(ZeppelinError::NoLengths);
    }
    if let Some(at) = lengths.iter().position(|l| *l == 0) {
        return Err(ZeppelinError::Length {
            place: format!("entry {}", at + 1),
            found: "0".to_owned(),
        });
    }
    let batch = Batch::new(lengths, cluster, costs);
    let baselines = Baseline::ALL.map(|b| judged(&batch, b));
    let own = fastest_in_zones(&batch, options);
    let fitting = baselines.iter().filter(|b| fits(&b.prediction, cluster));
    let best = own
        .iter()
        .chain(fitting)
        .min_by(|a, b| a.step_ms().total_cmp(&b.step_ms()));
    let best = best.ok_or_else(|| ZeppelinError::DoesNotFit {
        tokens: lengths.iter().map(|l| u64::from(*l)).sum(),
        devices: cluster.devices(),
        capacity: cluster.tokens_per_device,
    })?;
    Ok(written(&batch, best, &baselines, options))
}

fn judged(batch: &Batch<'_>, baseline: Baseline) -> Judged {
    let layout = baseline.layout(batch);
    Judged {
        placement: Placement::Baseline { baseline },
        prediction: predict(&layout, batch.lengths, batch.cluster, batch.costs, false, false),
        layout,
    }
}

fn fits(prediction: &Prediction, cluster: &Cluster) -> bool {
    prediction
        .tokens
        .iter()
        .all(|t| *t <= u64::from(cluster.tokens_per_device))
}

/// The fastest partition in zones that fits, over all thresholds.
fn fastest_in_zones(batch: &Batch<'_>, options: &PlanOptions) -> Option<Judged> {
    let tried = candidates(batch);
    let mut best: Option<Judged> = None;
    let one_node = batch.cluster.nodes == 1;
    for (i, inter) in tried.iter().copied().enumerate() {
        if one_node && i > 0 {
            break;
        }
        for intra in tried[i..].iter().copied() {
            for linear in [false, true] {
                let Some(found) = at(batch, Thresholds { inter, intra, linear }, options) else {
                    continue;
                };
                if best.as_ref().is_none_or(|b| found.step_ms() < b.step_ms()) {
                    best = Some(found);
                }
            }
        }
    }
    best
}

fn at(batch: &Batch<'_>, thresholds: Thresholds, options: &PlanOptions) -> Option<Judged> {
    let moved = !thresholds.linear;
    if moved && !options.remap {
        return None;
    }
    let layout = batch.partition(thresholds)?;
    let prediction = predict(
        &layout,
        batch.lengths,
        batch.cluster,
        batch.costs,
        options.spread,
        moved,
    );
    let placement = Placement::Hierarchical {
        inter_node_above: thresholds.inter,
        intra_node_above: thresholds.intra,
    };
    fits(&prediction, batch.cluster).then_some(Judged {
        placement,
        layout,
        prediction,
    })
}

fn written(batch: &Batch<'_>, best: &Judged, baselines: &[Judged], options: &PlanOptions) -> Plan {
    let prediction = best.prediction.clone();
    let baselines = Baseline::ALL
        .iter()
        .zip(baselines)
        .map(|(baseline, judged)| BaselineTimes {
            baseline: *baseline,
            step_ms: judged.step_ms(),
            speed_up: judged.step_ms() / best.step_ms(),
            fits: fits(&judged.prediction, batch.cluster),
        });
    let spread = options.spread && matches!(best.placement, Placement::Hierarchical { .. });
    Plan {
        version: PLAN_VERSION,
        lengths: batch.lengths.to_vec(),
        cluster: batch.cluster.clone(),
        placement: best.placement,
        groups: best
            .layout
            .groups
            .iter()
            .map(|g| planned(g, batch.lengths))
            .collect(),
        transfers: transfers(&best.layout, batch, spread),
        moves: prediction.moves,
        tokens: prediction.tokens,
        times: Times {
            attention_ms: prediction.attention_ms,
            linear_ms: prediction.linear_ms,
            remap_ms: prediction.remap_ms,
            step_ms: prediction.step_ms,
        },
        baselines: baselines.collect(),
        timeline: prediction.spans,
    }
}

fn planned(group: &Group, lengths: &[u32]) -> PlannedGroup {
    let ranks = group.devices.len() as u32;
    let chunk = |sequence: u32, device: u32, rank: u32| {
        let parts = shares(lengths[sequence as usize], rank, ranks);
        let ranges = parts.iter().filter(|r| !r.is_empty()).map(|r| (r.start, r.end));
        Chunk {
            sequence,
            device,
            ranges: ranges.collect(),
        }
    };
    let of = |s: &u32| {
        let sequence = *s;
        group
            .devices
            .iter()
            .zip(0..)
            .map(move |(device, rank)| chunk(sequence, *device, rank))
    };
    let chunks = group
        .sequences
        .iter()
        .flat_map(of)
        .filter(|c| !c.ranges.is_empty());
    PlannedGroup {
        zone: group.zone,
        devices: group.devices.clone(),
        chunks: chunks.collect(),
    }
}

/// What crosses between nodes in a step of each ring. Rings on the same node follow each other, so its cards are free.
fn transfers(layout: &Layout, batch: &Batch<'_>, spread_out: bool) -> Vec<Transfer> {
    let (cluster, costs) = (batch.cluster, batch.costs);
    let mut all = Vec::new();
    for (group, place) in layout
        .groups
        .iter()
        .zip(0..)
        .filter(|(g, _)| g.zone == Zone::InterNode)
    {
        let tokens: f64 = group.sequences.iter().map(|s| f64::from(batch.length(*s))).sum();
        let bytes = tokens / group.devices.len() as f64 * costs.kv_bytes_per_token;
        let next = group.devices.iter().cycle().skip(1);
        for (from, to) in group.devices.iter().zip(next) {
            if cluster.node_of(*from) == cluster.node_of(*to) {
                continue;
            }
            let mut cards = vec![0.0; cluster.nics_per_node as usize];
            if spread_out {
                spread(bytes, &mut cards);
            } else {
                cards[(from % cluster.devices_per_node % cluster.nics_per_node) as usize] = bytes;
            }
            all.push(Transfer {
                group: place,
                from: *from,
                to: *to,
                bytes_per_nic: cards,
            });
        }
    }
    all
}

// === impl Judged ===

impl Judged {
    fn step_ms(&self) -> f64 {
        self.prediction.step_ms
    }
}
