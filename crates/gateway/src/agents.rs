//! The agents of a decision (TCAR): its models are agents, of which up to three answer a request together.
//!
//! The router of the level of agents chooses and says whom to ask; its calls are performed as those of every router that asks
//! ([`crate::exchange`]). Here it is built: agents are described by their models' descriptions, and the head is trained on the examples
//! of the configuration, so that an agent joins by a reload.

use std::sync::Arc;

use fingerpost_agents::{
    Entry, Kind,
    tcar::{AgentBank, Tcar, TcarHead, TcarMode, overlaps},
};
use fingerpost_core::Name;
use fingerpost_encode::Encoder;
use rand::{SeedableRng, rngs::SmallRng};

use crate::config::{AgentsConfig, Config, Decision};

/// Seed of the head's training: two loads of one configuration choose alike.
const SEED: u64 = 20;
/// Two agents whose descriptions are more alike than this, as the cosine of their vectors, cannot be told apart.
const ALIKE: f32 = 0.9;
/// Nor can two of whose examples more than this share is nearer to the other's than to its own.
const MIXED: f32 = 0.3;

/// The agents of a decision, and the router over them.
pub(crate) struct Agents {
    /// What it was built from.
    config: AgentsConfig,
    entries: Vec<Entry>,
    encoder: Arc<dyn Encoder>,
    pub(crate) router: Arc<Tcar>,
    /// Agents that cannot be told apart.
    pub(crate) alike: Vec<String>,
}

// === impl Agents ===

impl Agents {
    /// The agents of a decision that has any configured.
    ///
    /// # Errors
    /// What is missing or out of range.
    pub(crate) fn new(
        config: &Config,
        decision: &Decision,
        name: Name,
        encoder: &Arc<dyn Encoder>,
    ) -> Option<Result<Self, String>> {
        let agents = decision.agents.as_ref()?;
        Some(Self::build(
            agents,
            entries(config, decision, agents),
            name,
            encoder,
        ))
    }

    /// Whether these serve that decision as well: training again would give the same.
    pub(crate) fn serves(&self, config: &Config, decision: &Decision, encoder: &Arc<dyn Encoder>) -> bool {
        decision.agents.as_ref().is_some_and(|agents| {
            *agents == self.config
                && self.encoder.model() == encoder.model()
                && self.entries == entries(config, decision, agents)
        })
    }

    fn build(
        config: &AgentsConfig,
        entries: Vec<Entry>,
        name: Name,
        encoder: &Arc<dyn Encoder>,
    ) -> Result<Self, String> {
        let bank = AgentBank::new(entries.clone(), Arc::clone(encoder)).map_err(|error| error.to_string())?;
        let bank = Arc::new(bank);
        let head = match config.tcar.mode {
            TcarMode::Model => None,
            TcarMode::Head | TcarMode::Cascade => {
                let mut rng = SmallRng::seed_from_u64(SEED);
                let trained =
                    TcarHead::from_examples(&bank, &config.out_of_scope, config.mean_size, &mut rng);
                let head = trained.map_err(|error| {
                    format!(
                        "no head can be trained ({error}): give `examples` for at least two agents, or `tcar.mode: model`"
                    )
                });
                Some(head?)
            }
        };
        let alike = overlaps(&bank, ALIKE, MIXED)
            .iter()
            .map(|pair| format!("`{}` and `{}`", pair.one, pair.other))
            .collect();
        let router = Tcar::new(&config.tcar, name, bank, head).map_err(|error| error.to_string())?;
        Ok(Self {
            config: config.clone(),
            entries,
            encoder: Arc::clone(encoder),
            router: Arc::new(router),
            alike,
        })
    }
}

/// The decision's models as agents.
fn entries(config: &Config, decision: &Decision, agents: &AgentsConfig) -> Vec<Entry> {
    let entry = |name: &String| Entry {
        description: config
            .models
            .get(name)
            .map(|m| m.description.clone())
            .unwrap_or_default(),
        examples: agents.examples.get(name).cloned().unwrap_or_default(),
        ..Entry::named(name.as_str(), Kind::Agent)
    };
    decision.models.iter().map(entry).collect()
}
