//! The one configuration file: what may stand in it, with its defaults.
//!
//! Reading gives typed values, or everything that is wrong with the file: line, key, what was found and what is allowed
//! ([`load_file`]). [`crate::Snapshot`] builds the routers from it.

mod agents;
mod builtin;
mod endpoint;
mod environment;
mod load;
mod mcp;
mod node;
mod problem;
mod read;
mod select;
mod span;
mod validate;

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration};

use fingerpost_agents::mcp::McpConfig;
use fingerpost_core::{Capabilities, Price, Quality};
use fingerpost_fleet::{
    BreakerConfig, FleetPolicy, HedgeConfig, RetryConfig, ShedConfig, polar::PolarConfig,
};
use fingerpost_models::StayConfig;
use fingerpost_signals::{
    Condition, DecisionRule, Number, PolicyConfig, ProjectionsConfig, SignalsConfig, Strategy,
};
use fingerpost_store::StoreConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use agents::AgentsConfig;
pub use builtin::{EXAMPLE, builtin};
pub use endpoint::{Endpoint, HealthCheck, KvEvents, Pods, Reports};
pub use load::{Loaded, hash, load_file, load_text};
pub use problem::{Problem, Severity};
pub use select::Select;
pub use span::{LineMap, Place};

/// Everything that can be configured. Every key may be absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How it listens.
    pub server: ServerConfig,
    /// Where requests may be sent, by name.
    pub providers: BTreeMap<String, Provider>,
    /// The models that clients and decisions can name.
    pub models: BTreeMap<String, Model>,
    /// Names that stand for "choose for me".
    pub aliases: Aliases,
    /// Facts read off a request, by family and name.
    pub signals: SignalsConfig,
    /// Values computed from signals.
    pub projections: ProjectionsConfig,
    /// How the winner among matching decisions is chosen.
    pub strategy: Strategy,
    /// What is done with which requests, in the order of their priority.
    pub decisions: Vec<Decision>,
    /// Who answers where no decision matches: a model of `models`. The first model where absent.
    pub default_model: Option<String>,
    /// Which encoder the learned signals read texts with.
    pub encoder: EncoderConfig,
    /// Waiting, trying again, giving up.
    pub resilience: Resilience,
    /// Where state is kept, and for how long.
    pub store: StoreConfig,
    /// What is learned from.
    pub learning: Learning,
    /// What is told of the traffic.
    pub telemetry: Telemetry,
    /// MCP servers behind `fingerpost mcp`; `serve` leaves them alone.
    pub mcp: McpConfig,
}

/// How it listens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; `--listen` goes before it.
    pub listen: SocketAddr,
    /// Worker threads; one a core where absent.
    pub workers: Option<NonZeroUsize>,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// How long requests under way may take after SIGTERM.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// Headers that say who asks. Set them only where something in front of Fingerpost sets them and strips the client's own.
    pub identity: IdentityHeaders,
    /// How it is told which conversation a request belongs to, where a decision has `stay`.
    pub session: SessionConfig,
    /// Seed of everything left to chance; chosen at start where absent. Two runs with one seed decide the same.
    pub seed: Option<u64>,
}

/// Headers that say who asks; none is believed by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityHeaders {
    /// Header with the user's name.
    pub user: Option<String>,
    /// Header with the user's groups, separated by commas.
    pub groups: Option<String>,
}

/// How it is told which conversation a request belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Headers that name it; the first that is there counts.
    pub headers: Vec<String>,
    /// Whether a conversation that no header names is known again by its beginning: all texts up to the first user's.
    pub fingerprint: bool,
    /// Most conversations remembered.
    pub most: NonZeroUsize,
}

/// Where requests may be sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What it speaks.
    #[serde(rename = "type")]
    pub kind: ProviderKind,
    /// Its base URL; the public one of the type where absent.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Environment variable that holds the key; `OPENAI_API_KEY` or `ANTHROPIC_API_KEY` where absent and the public URL is used.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Ask OpenAI-compatible streams for their usage (removed again where the client did not ask). Turn off for servers that
    /// refuse `stream_options`.
    #[serde(default = "yes")]
    pub stream_usage: bool,
    /// Whether an OpenAI-compatible server speaks the Responses format itself. Where it does not, such requests reach it as
    /// Chat Completions. True for the public URL, false for others, where absent.
    #[serde(default)]
    pub responses: Option<bool>,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI's Chat Completions, as almost every server does.
    Openai,
    /// Anthropic's Messages.
    Anthropic,
    /// A model inside this process.
    Local,
    /// The built-in stand-in that needs nothing.
    Demo,
}

/// A model that clients and decisions can name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Who serves it: at least one, or `pods`.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// The pods of a Kubernetes cluster that serve it, in place of `endpoints`.
    #[serde(default)]
    pub pods: Option<Pods>,
    /// What it is good at, for people and for routers that compare texts.
    #[serde(default)]
    pub description: String,
    /// US dollars per million tokens.
    #[serde(default)]
    #[schemars(with = "Option<PriceSchema>")]
    pub price: Option<Price>,
    /// Longest input plus output in tokens; may be written 128K.
    #[serde(default)]
    pub context_window: Option<Number>,
    /// What it can do; everything where absent.
    #[serde(default = "everything")]
    #[schemars(with = "Vec<String>")]
    pub capabilities: Capabilities,
    /// How good it is, from 0 to 1.
    #[serde(default)]
    #[schemars(with = "Option<f64>")]
    pub quality: Option<Quality>,
    /// Free labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How an endpoint is picked.
    #[serde(default)]
    pub fleet: FleetPolicy,
    /// Where its servers tell how they are; they are not asked where absent.
    #[serde(default)]
    pub reports: Option<Reports>,
    /// How its servers are asked whether they are there; only their answers tell where absent.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// How long a server that came, or came back, takes to get its full share of calls. Default: none.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub slow_start: Option<Duration>,
}

/// US dollars per million tokens.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "describes `Price`, which knows no schema, to editors")]
struct PriceSchema {
    input: f64,
    cached_input: Option<f64>,
    output: f64,
}

/// Names that stand for "choose for me".
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Aliases(pub Vec<String>);

/// What is done with which requests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Unique.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Lower tiers go first where any decision has one above 0.
    #[serde(default)]
    pub tier: u32,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// When it holds; always where absent.
    #[serde(default)]
    pub when: Condition,
    /// Who may answer: names of `models`, at least one.
    pub models: Vec<String>,
    /// How one of them is chosen: an algorithm's name, or its name and settings.
    #[serde(default)]
    pub select: Select,
    /// The models are adapters of one base model, of which the servers hold some at a time (POLAR); then nothing is said under `select`.
    #[serde(default)]
    pub adapters: Option<AdaptersConfig>,
    /// The models are agents, of which several may answer a request together (TCAR); then nothing is said under `select`.
    #[serde(default)]
    pub agents: Option<AgentsConfig>,
    /// Answers that are given again; off where absent.
    #[serde(default)]
    pub cache: Option<CacheConfig>,
    /// Whether a conversation stays with its model; it does not where absent.
    #[serde(default)]
    pub stay: Option<StayConfig>,
}

/// How adapters are routed to and loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptersConfig {
    /// Where the servers find each adapter, by the name of its model; its own name where absent.
    pub sources: BTreeMap<String, String>,
    /// Where a server is told to load one. Default `/v1/load_lora_adapter`.
    pub load_path: String,
    /// Where a server is told to unload one. Default `/v1/unload_lora_adapter`.
    pub unload_path: String,
    /// How long either may take. Default `60s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Whether an adapter that a client names itself is loaded for it, in place of another where there is no room. Default true.
    pub load_named: bool,
    /// Which are loaded, and which serves.
    pub polar: PolarConfig,
}

impl Default for AdaptersConfig {
    fn default() -> Self {
        Self {
            sources: BTreeMap::new(),
            load_path: "/v1/load_lora_adapter".to_owned(),
            unload_path: "/v1/unload_lora_adapter".to_owned(),
            timeout: Duration::from_secs(60),
            load_named: true,
            polar: PolarConfig::default(),
        }
    }
}

/// Answers that are given again, to the same question or to one that means the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How alike two texts must be, as the cosine of their vectors: above 0, up to 1. At 1 only the same text counts.
    pub similarity: f64,
    /// How long an answer is given again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub ttl: Duration,
    /// Most answers kept.
    pub entries: NonZeroUsize,
}

/// Which encoder the learned signals read texts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncoderConfig {
    /// The bundled one: microseconds a text.
    #[default]
    Static,
    /// MiniLM from the model folder: milliseconds a text, reads better.
    Minilm,
}

/// Waiting, trying again, giving up.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resilience {
    /// How long each stage of a call may take.
    pub timeouts: Timeouts,
    /// Trying again.
    pub retry: RetryConfig,
    /// Asking twice when the first is slow; off by default.
    pub hedge: Option<HedgeConfig>,
    /// Sparing an endpoint that fails.
    pub breaker: BreakerConfig,
    /// Turning requests away before everything gets slow.
    pub shed: ShedConfig,
}

/// How long each stage of a call may take.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// From the request to the first byte of the answer (of a stream: to its first token).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// The whole request with all retries.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub total: Duration,
}

/// What is learned from.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Learning {
    /// Which traces are kept for feedback and explanation.
    pub keep_traces: KeepTraces,
}

/// Which traces are kept for feedback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeepTraces {
    /// Those on which some router learns.
    #[default]
    Learnable,
    /// All.
    All,
    /// None: feedback answers 404.
    None,
}

/// What is told of the traffic.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// One JSON line a request on standard error.
    pub access_log: bool,
    /// Where OpenTelemetry traces go: the base URL of an OTLP/HTTP collector. Off where absent.
    pub otlp_endpoint: Option<String>,
    /// Share of requests whose trace is exported, from 0 to 1; 1 where absent.
    pub otlp_sample: Option<f64>,
}

fn yes() -> bool {
    true
}

fn everything() -> Capabilities {
    Capabilities::ALL
}

// === impl ServerConfig ===

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: crate::server::DEFAULT_ADDRESS,
            workers: None,
            max_body: 32 * 1024 * 1024,
            drain: Duration::from_secs(30),
            identity: IdentityHeaders::default(),
            session: SessionConfig::default(),
            seed: None,
        }
    }
}

// === impl SessionConfig ===

impl SessionConfig {
    /// Most conversations that may be remembered.
    pub const MOST: usize = 1_000_000;
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            headers: ["x-session-id", "x-conversation-id"].map(str::to_owned).into(),
            fingerprint: false,
            most: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

// === impl Aliases ===

impl Default for Aliases {
    fn default() -> Self {
        Self(vec!["auto".to_owned(), "fingerpost".to_owned()])
    }
}

// === impl CacheConfig ===

impl CacheConfig {
    /// Most answers that a cache may keep.
    pub const MOST_ENTRIES: usize = 1_000_000;
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            similarity: 1.0,
            ttl: Duration::from_secs(3600),
            entries: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

// === impl Config ===

impl Config {
    /// Takes the paths in it as relative to `folder`, which is that of its file.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        for decision in &mut self.decisions {
            if let Some(file) = decision.select.0.trained_mut() {
                *file = folder.join(&*file).to_string_lossy().into_owned();
            }
        }
        for server in &mut self.mcp.servers {
            if let Some(cwd) = &mut server.cwd {
                *cwd = folder.join(&*cwd);
            }
        }
    }

    /// The part that `signals` compiles.
    pub fn policy(&self) -> PolicyConfig {
        let rule = |decision: &Decision| DecisionRule {
            name: decision.name.clone(),
            description: decision.description.clone(),
            tier: decision.tier,
            priority: decision.priority,
            when: decision.when.clone(),
        };
        PolicyConfig {
            signals: self.signals.clone(),
            projections: self.projections.clone(),
            decisions: self.decisions.iter().map(rule).collect(),
            strategy: self.strategy,
        }
    }

    /// The JSON Schema of the file.
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }
}
