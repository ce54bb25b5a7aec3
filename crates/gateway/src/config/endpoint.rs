//! Who serves a model: servers that are named, or pods that are found; and how they are asked how they are.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One server of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// One of `providers`.
    pub provider: String,
    /// The model's name there; the name here where absent.
    #[serde(default)]
    pub model: Option<String>,
    /// Most calls at once; unlimited where absent.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Whether it takes no new calls; those under way end as they will. Default false.
    #[serde(default)]
    pub drain: bool,
    /// Where it publishes what its cache holds (KV-cache events of vLLM and SGLang); it is not followed where absent.
    #[serde(default)]
    pub kv_events: Option<KvEvents>,
}

/// Pods of a Kubernetes cluster: those that a pool selects, or labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pods {
    /// The name of an `InferencePool`, whose selector and port count.
    #[serde(default)]
    pub pool: Option<String>,
    /// Labels that pods must have, in place of a pool.
    #[serde(default)]
    pub selector: BTreeMap<String, String>,
    /// Where their servers listen; together with `selector`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Their namespace. Default: that of this process.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What each of them is as an endpoint. Of its provider's `base_url` the host and the port are the pod's.
    pub each: Endpoint,
}

/// Where a server publishes its KV-cache events, over ZeroMQ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvEvents {
    /// Its publisher, `tcp://host:port`; `*` stands for the endpoint's own host.
    pub publisher: String,
    /// Where it gives batches again that were missed, likewise; what is missed is given up where absent.
    #[serde(default)]
    pub replay: Option<String>,
    /// The topic it publishes under. Default: any.
    #[serde(default)]
    pub topic: String,
}

/// How servers are asked whether they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// The path on each server, whatever the prefix of its base URL; any answer of success will do. Default `/health`.
    pub path: String,
    /// How often each server is asked; at least `100ms`. Default `5s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub every: Duration,
    /// After so many misses in a row a server is out of service, until it answers again; at least 1. Default 3.
    pub misses: u32,
}

/// Where servers tell how they are: the metrics of vLLM, SGLang and llama.cpp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// The path on each server, whatever the prefix of its base URL. Default `/metrics`.
    pub path: String,
    /// How often each server is asked; at least `100ms`. Default `1s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub every: Duration,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            every: Duration::from_secs(5),
            misses: 3,
        }
    }
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            path: "/metrics".to_owned(),
            every: Duration::from_secs(1),
        }
    }
}
