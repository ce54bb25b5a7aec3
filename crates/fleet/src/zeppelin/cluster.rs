//! What a plan is made for: the cluster, what work costs on it, and what may be wrong with either.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Devices that a plan is made for at most: a plan names every device of every sequence that is cut over all of them.
const MOST_DEVICES: u64 = 8_192;

/// Devices, nodes and the links between them. All nodes are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Nodes, 1 and more.
    pub nodes: u32,
    /// Devices of a node, 1 and more.
    pub devices_per_node: u32,
    /// Tokens that the memory of one device holds.
    pub tokens_per_device: u32,
    /// Bandwidth of a device to the others of its node, GB/s each way.
    pub intra_gb_s: f64,
    /// Network cards of a node.
    pub nics_per_node: u32,
    /// Bandwidth of one network card, GB/s each way.
    pub nic_gb_s: f64,
}

/// What work costs on one device, forward and backward, all layers together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Attention of one query to one key, nanoseconds. A causal sequence of s tokens has s(s+1)/2 such pairs.
    pub attention_ns_per_pair: f64,
    /// Linear modules, microseconds a token.
    pub linear_us_per_token: f64,
    /// Bytes of keys, values and their gradients that a ring passes on for one token.
    pub kv_bytes_per_token: f64,
    /// Bytes that moving one token from the attention layout to the linear one and back costs.
    pub remap_bytes_per_token: f64,
    /// What one step of a ring costs whatever its size (launches, latency), microseconds.
    pub ring_step_us: f64,
    /// Tokens below which a device's share of a cut sequence does not fall: smaller kernels run at low efficiency.
    pub min_share_tokens: u32,
}

/// A cluster and its costs, as a file gives them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSpec {
    /// The cluster.
    pub cluster: Cluster,
    /// What work costs on it.
    pub costs: Costs,
}

/// Why there is no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ZeppelinError {
    /// Nothing to place.
    #[error("there are no lengths; give at least one, in tokens")]
    NoLengths,
    /// A length that is none.
    #[error(
        "{place}: {found} is no length of a sequence; a length is a whole number of tokens from 1 to 4294967295"
    )]
    Length {
        /// Where it stands.
        place: String,
        /// What stands there.
        found: String,
    },
    /// No device at all, or more than a plan is made for.
    #[error(
        "{nodes} nodes of {devices_per_node} devices: a cluster has from 1 to 8192 devices; set `cluster.nodes` and \
         `cluster.devices_per_node`"
    )]
    Devices {
        /// Nodes.
        nodes: u32,
        /// Devices of each.
        devices_per_node: u32,
    },
    /// A number of the description out of its range.
    #[error("{key} is {found}; it must be {allowed}")]
    OutOfRange {
        /// Which.
        key: &'static str,
        /// What it is.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A description that is not understood, or lacks something.
    #[error(
        "the description of the cluster is not understood: {0}; it is an object of `cluster` and `costs`, each left out \
         or whole"
    )]
    Description(#[from] serde_json::Error),
    /// More tokens than all devices hold.
    #[error(
        "{tokens} tokens, and no way to place them in {devices} devices of {capacity} tokens each; give more devices, a \
         larger `cluster.tokens_per_device`, or a smaller batch"
    )]
    DoesNotFit {
        /// Tokens of the batch.
        tokens: u64,
        /// Devices.
        devices: u32,
        /// Tokens of each.
        capacity: u32,
    },
}

// === impl Cluster ===

impl Default for Cluster {
    /// Four nodes of eight devices of the 80 GB class, 400 GB/s inside a node and eight cards of 50 GB/s.
    fn default() -> Self {
        Self {
            nodes: 4,
            devices_per_node: 8,
            tokens_per_device: 65_536,
            intra_gb_s: 400.0,
            nics_per_node: 8,
            nic_gb_s: 50.0,
        }
    }
}

impl Cluster {
    /// All devices.
    pub const fn devices(&self) -> u32 {
        self.nodes * self.devices_per_node
    }

    /// The node of a device.
    pub const fn node_of(&self, device: u32) -> u32 {
        device / self.devices_per_node
    }

    /// The devices of a node.
    pub fn devices_of(&self, node: u32) -> std::ops::Range<u32> {
        node * self.devices_per_node..(node + 1) * self.devices_per_node
    }
}

// === impl Costs ===

impl Default for Costs {
    /// A dense model of 7 billion parameters (hidden 4096, 32 layers, as many heads of keys as of queries) in bf16 at 400
    /// TFLOP/s: 16,384 x 32 x 3.5 FLOP a pair, 6 x 6.5e9 a token; keys and values forward, and again with their gradients
    /// backward; hidden states there and back in every layer, forward and backward.
    fn default() -> Self {
        Self {
            attention_ns_per_pair: 4.6,
            linear_us_per_token: 97.0,
            kv_bytes_per_token: 1.57e6,
            remap_bytes_per_token: 1.05e6,
            ring_step_us: 1280.0,
            min_share_tokens: 1024,
        }
    }
}

impl Costs {
    /// Time of `pairs` of query and key, milliseconds.
    pub(crate) fn attention_ms(&self, pairs: f64) -> f64 {
        pairs * self.attention_ns_per_pair / 1e6
    }

    /// Time of `tokens` in the linear modules, milliseconds.
    pub(crate) fn linear_ms(&self, tokens: f64) -> f64 {
        tokens * self.linear_us_per_token / 1e3
    }
}

// === impl ClusterSpec ===

impl ClusterSpec {
    /// Reads a description. A section that is left out has its defaults; one that is there must be whole, so that nobody plans
    /// with half of another cluster.
    ///
    /// # Errors
    /// [`ZeppelinError::Description`] with the line and the key that is missing or unknown, and what
    /// [`ClusterSpec::check`] finds.
    pub fn read(text: &str) -> Result<Self, ZeppelinError> {
        let spec: Self = serde_json::from_str(text)?;
        spec.check()?;
        Ok(spec)
    }

    /// Whether all numbers are in their ranges.
    ///
    /// # Errors
    /// [`ZeppelinError::Devices`] or [`ZeppelinError::OutOfRange`].
    pub fn check(&self) -> Result<(), ZeppelinError> {
        check(&self.cluster, &self.costs)
    }
}

/// Whether all numbers are in their ranges.
pub(crate) fn check(cluster: &Cluster, costs: &Costs) -> Result<(), ZeppelinError> {
    let devices = u64::from(cluster.nodes) * u64::from(cluster.devices_per_node);
    if devices == 0 || devices > MOST_DEVICES {
        return Err(ZeppelinError::Devices {
            nodes: cluster.nodes,
            devices_per_node: cluster.devices_per_node,
        });
    }
    let over_0 = [
        ("cluster.tokens_per_device", f64::from(cluster.tokens_per_device)),
        ("cluster.intra_gb_s", cluster.intra_gb_s),
        ("cluster.nics_per_node", f64::from(cluster.nics_per_node)),
        ("cluster.nic_gb_s", cluster.nic_gb_s),
        ("costs.attention_ns_per_pair", costs.attention_ns_per_pair),
        ("costs.linear_us_per_token", costs.linear_us_per_token),
    ];
    let from_0 = [
        ("costs.kv_bytes_per_token", costs.kv_bytes_per_token),
        ("costs.remap_bytes_per_token", costs.remap_bytes_per_token),
        ("costs.ring_step_us", costs.ring_step_us),
    ];
    let wrong = |(key, found), allowed| ZeppelinError::OutOfRange { key, found, allowed };
    if let Some(bad) = over_0.into_iter().find(|(_, v)| !(v.is_finite() && *v > 0.0)) {
        return Err(wrong(bad, "a finite number over 0"));
    }
    if let Some(bad) = from_0.into_iter().find(|(_, v)| !(v.is_finite() && *v >= 0.0)) {
        return Err(wrong(bad, "a finite number of at least 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_description_is_named() {
        let said = |text: &str| ClusterSpec::read(text).unwrap_err().to_string();
        assert_eq!(ClusterSpec::read("{}").unwrap(), ClusterSpec::default());
        assert!(
            said(r#"{"costs":{"attention_ns_per_pair":1}}"#).contains("missing field `linear_us_per_token`")
        );
        assert!(said(r#"{"cost":{}}"#).contains("unknown field `cost`"));
        let with = |change: fn(&mut ClusterSpec)| {
            let mut spec = ClusterSpec::default();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert!(with(|s| s.cluster.nodes = 0).contains("0 nodes of 8 devices"));
        assert!(with(|s| s.cluster.nodes = u32::MAX).contains("8192"));
        assert!(
            with(|s| s.costs.linear_us_per_token = f64::NAN).contains("costs.linear_us_per_token is NaN")
        );
        assert!(with(|s| s.costs.ring_step_us = -1.0).contains("at least 0"));
    }
}
