//! A hub in this process, scripted servers in processes of their own, and a client of the hub.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "a test that fails panics; support is shared"
)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_agents::mcp::{Backups, Expose, McpConfig, McpServer};
use fingerpost_encode::StaticEncoder;
use fingerpost_mcp::{Hub, over_streams};
use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, GetPromptRequestParams, ProgressNotificationParam,
        ProtocolVersion, ReadResourceRequestParams, ResourceContents,
    },
    service::{ClientLifecycleMode, ClientServiceExt, NotificationContext, RunningService, ServiceError},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub const SCRIPTED: &str = env!("CARGO_BIN_EXE_scripted-mcp");

/// A server of the configuration that starts `scripted-mcp` with these words.
pub fn scripted(name: &str, words: &[&str]) -> McpServer {
    let mut server = McpServer::started(name, SCRIPTED);
    server.args = ["--name", name]
        .iter()
        .chain(words)
        .map(|&word| word.to_owned())
        .collect();
    server
}

pub fn config(servers: Vec<McpServer>) -> McpConfig {
    McpConfig {
        servers,
        expose: Expose::All,
        ..McpConfig::default()
    }
}

pub fn backup(tool: &str, instead: &[&str]) -> Backups {
    Backups {
        tool: tool.to_owned(),
        instead: instead.iter().map(|&tool| tool.to_owned()).collect(),
    }
}

pub fn hub(config: McpConfig) -> Arc<Hub> {
    Hub::start(config, Arc::new(StaticEncoder::bundled()), None)
}

/// What a client hears.
pub enum Heard {
    Changed,
    ResourcesChanged,
    PromptsChanged,
    Progress(f64),
}

#[derive(Clone)]
pub struct Ears(mpsc::UnboundedSender<Heard>);

impl ClientHandler for Ears {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        drop(self.0.send(Heard::Changed));
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        drop(self.0.send(Heard::ResourcesChanged));
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        drop(self.0.send(Heard::PromptsChanged));
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        drop(self.0.send(Heard::Progress(params.progress)));
    }
}

pub struct Client {
    pub running: RunningService<RoleClient, Ears>,
    pub heard: mpsc::UnboundedReceiver<Heard>,
}

/// A client of the hub, with a session.
pub async fn client(hub: &Arc<Hub>) -> Client {
    client_by(hub, ClientLifecycleMode::Initialize).await
}

pub fn stateless() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

pub async fn client_by(hub: &Arc<Hub>, mode: ClientLifecycleMode) -> Client {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (input, output) = tokio::io::split(theirs);
    let hub = Arc::clone(hub);
    tokio::spawn(async move { over_streams(&hub, input, output).await });
    let (sender, heard) = mpsc::unbounded_channel();
    let running = Ears(sender).serve_with_lifecycle(ours, mode).await.unwrap();
    Client { running, heard }
}

impl Client {
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<CallToolResult, ServiceError> {
        let Value::Object(arguments) = arguments else {
            panic!("{arguments}")
        };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        self.running.call_tool(params).await
    }

    pub async fn names(&self) -> Vec<String> {
        let tools = self.running.list_tools(None).await.unwrap().tools;
        tools.into_iter().map(|tool| tool.name.into_owned()).collect()
    }

    pub async fn uris(&self) -> Vec<String> {
        let resources = self.running.list_resources(None).await.unwrap().resources;
        resources.into_iter().map(|resource| resource.uri).collect()
    }

    pub async fn prompts(&self) -> Vec<String> {
        let prompts = self.running.list_prompts(None).await.unwrap().prompts;
        prompts.into_iter().map(|prompt| prompt.name).collect()
    }

    /// The text of a resource and the URIs of all its contents; or the error.
    pub async fn read(&self, uri: &str) -> Result<(String, Vec<String>), ErrorData> {
        let read = self
            .running
            .read_resource(ReadResourceRequestParams::new(uri))
            .await;
        let contents = match read {
            Ok(read) => read.contents,
            Err(ServiceError::McpError(error)) => return Err(error),
            Err(error) => panic!("{uri}: {error}"),
        };
        let (mut all, mut uris) = (String::new(), Vec::new());
        for one in contents {
            match one {
                ResourceContents::TextResourceContents { uri, text, .. } => {
                    all.push_str(&text);
                    uris.push(uri);
                }
                ResourceContents::BlobResourceContents { uri, .. } => uris.push(uri),
                _ => {}
            }
        }
        Ok((all, uris))
    }

    /// The text of a prompt; or the error.
    pub async fn prompt(&self, name: &str, arguments: Value) -> Result<String, ErrorData> {
        let Value::Object(arguments) = arguments else {
            panic!("{arguments}")
        };
        let params = GetPromptRequestParams::new(name).with_arguments(arguments);
        match self.running.get_prompt(params).await {
            Ok(got) => {
                let texts = got
                    .messages
                    .iter()
                    .filter_map(|message| message.content.as_text());
                Ok(texts.map(|text| text.text.clone()).collect())
            }
            Err(ServiceError::McpError(error)) => Err(error),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// What `tool_stats` says.
    pub async fn stats(&self) -> Value {
        self.call("tool_stats", json!({}))
            .await
            .unwrap()
            .structured_content
            .unwrap()
    }

    pub async fn state_of(&self, server: &str) -> String {
        let stats = self.stats().await;
        let servers = stats["servers"].as_array().unwrap();
        let own = servers.iter().find(|told| told["name"] == server).unwrap();
        own["state"].as_str().unwrap().to_owned()
    }

    /// Waits until a server is in this state.
    pub async fn until(&self, server: &str, state: &str) {
        let began = Instant::now();
        while self.state_of(server).await != state {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{server} is not {state}: {}",
                self.stats().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this tool is listed; it is looked for whenever the list is said to have changed.
    pub async fn until_listed(&mut self, tool: &str) {
        while !self.names().await.iter().any(|name| name == tool) {
            self.until_changed().await;
        }
    }

    async fn until_changed(&mut self) {
        let next = async { while !matches!(self.heard.recv().await, Some(Heard::Changed)) {} };
        tokio::time::timeout(Duration::from_secs(20), next).await.unwrap();
    }
}

pub fn text(result: &CallToolResult) -> String {
    result
        .content
        .iter()
        .filter_map(|block| block.as_text())
        .map(|text| text.text.clone())
        .collect()
}

/// The calls that the server of this file has begun.
pub fn calls(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

pub fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// A scripted server over HTTP; ended with this.
pub struct OverHttp {
    pub child: Child,
    pub address: String,
}

impl OverHttp {
    pub fn start(address: &str, words: &[&str]) -> Self {
        let mut child = Command::new(SCRIPTED)
            .args(["--http", address])
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            address: line.trim().to_owned(),
        }
    }

    pub fn server(&self, name: &str) -> McpServer {
        McpServer::at(name, format!("http://{}/mcp", self.address))
    }
}

impl Drop for OverHttp {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
