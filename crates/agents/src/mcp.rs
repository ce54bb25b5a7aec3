//! Where tools come from: MCP servers, as the configuration names them.
//!
//! Only what may be written; `fingerpost mcp` connects to them.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// MCP servers behind one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpConfig {
    /// The servers whose tools are offered.
    pub servers: Vec<McpServer>,
    /// What a client sees in its list of tools. Default `search`.
    pub expose: Expose,
    /// Tools that may do the work of another one that fails.
    pub backups: Vec<Backups>,
    /// Whether tools of the same name and the same arguments on several servers may do each other's work. Default false: two
    /// servers of one program may well stand for two different things.
    pub twins: bool,
    /// How long after the start a listing, search or call waits for servers that are still starting. Default `10s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub settle: Duration,
    /// Sparing a server that fails.
    pub breaker: McpBreaker,
    /// Coming back to a server that is gone.
    pub reconnect: McpReconnect,
    /// How much a server may say.
    pub limits: McpLimits,
    /// Who may ask over HTTP.
    pub http: McpHttp,
}

/// A server whose tools are offered: a program that is started (`command`), or an address (`url`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// Unique; the first part of its tools' names. Letters, digits, `-` and single `_`, at most 32.
    pub name: String,
    /// The program that is started and spoken to over its standard input and output.
    #[serde(default)]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables of its environment. Of this process's own it gets only what every program needs, such as `PATH` and `HOME`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The folder it is started in, as seen from the file's; this process's own where absent.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Where it answers over streamable HTTP.
    #[serde(default)]
    pub url: Option<String>,
    /// Headers sent with every request to `url`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How it is spoken to. Default `auto`.
    #[serde(default)]
    pub protocol: McpProtocol,
    /// How long one call may take, or one read, prompt or completion. Default `60s`.
    #[serde(default = "a_minute", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long it may take to start and to list its tools. Default `30s`.
    #[serde(default = "half_a_minute", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub start: Duration,
    /// What is known of its tools beyond what it says itself, by the server's own name of the tool.
    #[serde(default)]
    pub tools: BTreeMap<String, McpTool>,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum McpProtocol {
    /// It is asked which; one that does not understand the question is opened a session.
    #[default]
    Auto,
    /// Every request for itself (protocol 2026-07-28).
    Stateless,
    /// A session, opened by `initialize` (protocols 2024-11-05 to 2025-11-25).
    Session,
}

/// What is known of a tool beyond what its server says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpTool {
    /// US dollars a call. Default 0.
    pub cost: f64,
    /// How long one call may take; that of the server where absent.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// Whether calling it twice does no more than calling it once; what the server says where absent.
    pub idempotent: Option<bool>,
}

/// What a client sees in its list of tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expose {
    /// The tools that find and call the others.
    #[default]
    Search,
    /// These, and every tool of every server.
    All,
}

/// Tools that may do the work of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backups {
    /// The tool, as `server::tool`.
    pub tool: String,
    /// Who does its work where it fails, in this order. They take the same arguments.
    pub instead: Vec<String>,
}

/// Sparing a server that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpBreaker {
    /// Failures in a row after which it gets no calls; 0: it gets them all the same. Default 3.
    pub failures: u32,
    /// How long it gets none; doubled with each time in a row, up to `2m`. Default `10s`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub cool_down: Duration,
}

/// Coming back to a server that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpReconnect {
    /// The first pause; doubled with each attempt in a row. Default `200ms`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub first: Duration,
    /// The longest pause. Default `1m`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub longest: Duration,
}

/// How much a server may say, in bytes where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpLimits {
    /// Longest description of a tool, resource or prompt; the rest is cut off. Default 4096.
    pub description: usize,
    /// Largest schema of a tool's arguments or results, and largest list of a prompt's arguments; what has a larger one is left out.
    /// Default 65536.
    pub schema: usize,
    /// Largest result; a larger one becomes an error. Default 1048576.
    pub result: usize,
    /// Most tools of one server, and most resources, templates and prompts; the rest are left out. Default 1000.
    pub tools: usize,
}

/// Who may ask over HTTP (`fingerpost mcp --http`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpHttp {
    /// Names beside this machine's own under which clients may reach it (the `host` header).
    pub hosts: Vec<String>,
    /// What clients must send as `Authorization: Bearer …`; nothing where absent.
    pub token: Option<String>,
}

const fn a_minute() -> Duration {
    Duration::from_secs(60)
}

const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

// === impl McpConfig ===

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            expose: Expose::default(),
            backups: Vec::new(),
            twins: false,
            settle: Duration::from_secs(10),
            breaker: McpBreaker::default(),
            reconnect: McpReconnect::default(),
            limits: McpLimits::default(),
            http: McpHttp::default(),
        }
    }
}

// === impl McpServer ===

impl McpServer {
    /// Longest name.
    pub const LONGEST_NAME: usize = 32;

    /// A server that is started by this command.
    pub fn started(name: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            command: Some(command.into()),
            ..Self::named(name.into())
        }
    }

    /// A server that answers at this address.
    pub fn at(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            ..Self::named(name.into())
        }
    }

    fn named(name: String) -> Self {
        Self {
            name,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            url: None,
            headers: BTreeMap::new(),
            protocol: McpProtocol::default(),
            timeout: a_minute(),
            start: half_a_minute(),
            tools: BTreeMap::new(),
        }
    }

    /// Whether a name can be the first part of a tool's: letters, digits, `-` and single `_` between them, 1 to 32. So the first
    /// `__` of a tool's full name always ends the server's.
    pub fn is_name(name: &str) -> bool {
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        name.len() <= Self::LONGEST_NAME
            && is_edge(name.chars().next())
            && is_edge(name.chars().next_back())
            && !name.contains("__")
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    }
}

// === impl McpBreaker ===

impl Default for McpBreaker {
    fn default() -> Self {
        Self {
            failures: 3,
            cool_down: Duration::from_secs(10),
        }
    }
}

// === impl McpReconnect ===

impl Default for McpReconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(60),
        }
    }
}

// === impl McpLimits ===

impl Default for McpLimits {
    fn default() -> Self {
        Self {
            description: 4096,
            schema: 65_536,
            result: 1_048_576,
            tools: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_servers_end_before_the_first_double_underscore() {
        for good in ["a", "github", "my-files_2", &"x".repeat(32)] {
            assert!(McpServer::is_name(good), "{good}");
        }
        for bad in ["", "_a", "a_", "a__b", "a b", "ü", "a.b", &"x".repeat(33)] {
            assert!(!McpServer::is_name(bad), "{bad}");
        }
    }
}
