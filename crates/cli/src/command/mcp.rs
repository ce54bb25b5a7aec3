//! `fingerpost mcp`: many MCP servers behind one.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use fingerpost_agents::{mcp::Expose, skill_router::Trained};
use fingerpost_encode::{Encoder, StaticEncoder};
use fingerpost_mcp::{Http, Hub, Metrics, PATH, over_stdio};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use super::{serve::address, skills::trained};
use crate::{
    configuration::{Source, say, unusable},
    failure::Failure,
    output::Output,
};

/// Offers the tools of many MCP servers as one server, over standard input and output or over HTTP.
///
/// The servers stand under `mcp.servers` of the configuration. One that is away keeps nobody waiting: it is named on standard
/// error and tried again. Clients find tools by `search_tools`, call them by `call_tool`, and see in `tool_stats` how they fare.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    #[command(flatten)]
    source: Source,
    /// Speak streamable HTTP at this ADDRESS:PORT (or port of this machine alone), under /mcp, instead of standard input and
    /// output.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    http: Option<SocketAddr>,
    /// Show Prometheus metrics at this ADDRESS:PORT (or port of this machine alone), under /metrics.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// What clients see in their list of tools. Goes before `mcp.expose`.
    #[arg(long, value_enum)]
    expose: Option<ExposeName>,
    /// What `search_tools` finds is ranked by this file of `fingerpost train skill-reranker`, trained on requests whose right tools
    /// are named `server::tool`
    #[arg(long, value_name = "FILE")]
    reranker: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExposeName {
    /// The tools that find and call the others.
    Search,
    /// These, and every tool of every server.
    All,
}

// === impl Mcp ===

impl Mcp {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        // What the library has to say of a client that misbehaves is told to the client.
        let filter =
            EnvFilter::try_from_env("FINGERPOST_LOG").unwrap_or_else(|_| EnvFilter::new("warn,rmcp=error"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
        let Some(file) = &self.source.file else {
            let way_out =
                "fingerpost mcp --config FILE, with `mcp: { servers: [ { name: …, command: … } ] }` in it";
            return Err(
                Failure::from("no configuration says which MCP servers there are").with_way_out(way_out)
            );
        };
        let name = file.display().to_string();
        let loaded = self.source.load().map_err(|problems| {
            say(&problems, output);
            unusable(&name, &problems)
        })?;
        let mut config = loaded.config.mcp;
        if config.servers.is_empty() {
            let way_out = "add `mcp: { servers: [ { name: …, command: … } ] }`; docs/mcp.md has examples";
            return Err(Failure::from(format!("{name} names no MCP servers")).with_way_out(way_out));
        }
        match self.expose {
            Some(ExposeName::Search) => config.expose = Expose::Search,
            Some(ExposeName::All) => config.expose = Expose::All,
            None => {}
        }
        let encoder: Arc<dyn Encoder> = Arc::new(StaticEncoder::bundled());
        let trained = match &self.reranker {
            Some(file) => Some(trained_with(file, &encoder)?),
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let has_token = config.http.token.is_some();
        let result = runtime.block_on(async {
            let http = match self.http {
                Some(address) => Some(Http::bind(address).await?),
                None => None,
            };
            let metrics = match self.metrics {
                Some(address) => Some(Metrics::bind(address).await?),
                None => None,
            };
            let hub = Hub::start(config, encoder, trained);
            if let Some(http) = &http {
                let address = http.address();
                let url = format!("http://{address}{PATH}");
                if !address.ip().is_loopback() && !has_token {
                    output.note(
                        "warning: whoever reaches this address can call every tool; set mcp.http.token to ask for a token",
                    );
                }
                let object = json!({"url": url, "metrics": metrics.as_ref().map(Metrics::address)});
                if output.is_json() {
                    output.result("", &object);
                } else {
                    output.note(&format!("MCP over HTTP: {url}"));
                }
            }
            if let Some(metrics) = metrics {
                output.note(&format!("metrics: http://{}/metrics", metrics.address()));
                tokio::spawn(metrics.serve(Arc::clone(&hub)));
            }
            tokio::spawn(tell(Arc::clone(&hub), output));
            let served = async {
                match http {
                    Some(http) => {
                        http.serve(Arc::clone(&hub)).await;
                        Ok(())
                    }
                    None => over_stdio(&hub).await,
                }
            };
            let served: Result<(), Failure> = tokio::select! {
                served = served => served.map_err(Failure::from),
                told = until_told() => told.map_err(Failure::from),
            };
            hub.stop().await;
            served
        });
        // A read of standard input that nobody waits for any more cannot be called off.
        runtime.shutdown_background();
        result.map(|()| ExitCode::SUCCESS)
    }
}

/// Says once who is there and who is missing.
async fn tell(hub: Arc<Hub>, output: Output) {
    hub.settled().await;
    let missing = hub.missing();
    let (here, all) = (hub.servers() - missing.len(), hub.servers());
    let mut text = format!("{here} of {all} servers connected, {} tools", hub.tools());
    for (server, why) in missing {
        text.push_str(&format!("\n  missing: {server} ({why})"));
    }
    output.note(&text);
}

/// Until SIGTERM or Ctrl-C.
async fn until_told() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// What a file holds that was trained with this encoder alone.
fn trained_with(file: &Path, encoder: &Arc<dyn Encoder>) -> Result<Arc<Trained>, Failure> {
    let trained = trained(file)?;
    if trained.about.encoders != [encoder.model().to_string()] {
        let why = format!(
            "{}: it was trained with {:?}",
            file.display(),
            trained.about.encoders
        );
        let way_out = "train it with `fingerpost train skill-reranker --encoder static`";
        return Err(Failure::from(why).with_way_out(way_out));
    }
    Ok(Arc::new(trained))
}
