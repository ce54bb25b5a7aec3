//! What may stand under `agents` of a decision.

use std::collections::BTreeMap;

use fingerpost_agents::tcar::TcarConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How agents are chosen for a request (TCAR): a set of up to three, asked at once, and one answer made of theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AgentsConfig {
    /// Requests that each agent is meant for, by the name of its model. From them and the models' descriptions the head is trained
    /// when the configuration is loaded.
    pub examples: BTreeMap<String, Vec<String>>,
    /// Requests that no agent is for; without any, every request is for some agent.
    pub out_of_scope: Vec<String>,
    /// How many agents the head asks for a request on the average, at most: from 1 to 3. Default 1.2.
    pub mean_size: f64,
    /// Who chooses, and who makes one answer of several.
    pub tcar: TcarConfig,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self {
            examples: BTreeMap::new(),
            out_of_scope: Vec::new(),
            mean_size: 1.2,
            tcar: TcarConfig::default(),
        }
    }
}
