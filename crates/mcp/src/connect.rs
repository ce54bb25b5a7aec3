//! Opens the connection to a downstream server: starts its program, or finds it at its address.

use std::{collections::HashMap, process::Stdio, sync::Arc};

use fingerpost_agents::mcp::{McpProtocol, McpServer};
use http::{HeaderName, HeaderValue, Uri};
use rmcp::{
    RoleClient,
    model::ProtocolVersion,
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport, TokioChildProcess,
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, Command},
};

use crate::{failure::told, listener::Listener, secrets::Secrets, text::escaped};

/// Variables that a program gets of this process's environment: what every program needs, and no secret.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "PATHEXT",
    "APPDATA",
    "LOCALAPPDATA",
    "USERPROFILE",
    "PROGRAMFILES",
];

/// Longest line of a program's standard error that is passed on to the log.
const LONGEST_LINE: u64 = 4096;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// The program.
    #[error("cannot start `{program}`: {why}")]
    Start { program: String, why: String },
    /// The client for HTTP.
    #[error("cannot ask over HTTP: {0}")]
    Http(String),
    /// The beginning of the conversation.
    #[error("{0}")]
    Handshake(String),
}

/// A connection that stands.
pub(crate) type Running = RunningService<RoleClient, Listener>;

/// Opens the connection, and the conversation by the protocol that the server speaks.
pub(crate) async fn connect(
    server: &McpServer,
    secrets: &Secrets,
    listener: &Listener,
) -> Result<Running, ConnectError> {
    let session = || ClientLifecycleMode::Initialize;
    let versions = vec![ProtocolVersion::V_2026_07_28];
    match server.protocol {
        McpProtocol::Session => open(server, secrets, listener, session()).await,
        McpProtocol::Stateless => {
            let mode = ClientLifecycleMode::Discover {
                preferred_versions: versions,
            };
            open(server, secrets, listener, mode).await
        }
        McpProtocol::Auto => {
            let mode = ClientLifecycleMode::Auto {
                preferred_versions: versions,
                legacy_version: None,
            };
            match open(server, secrets, listener, mode).await {
                // One that was put off by the question (it hung up, or answered with a page) is spoken to the old way.
                Err(ConnectError::Handshake(_)) => open(server, secrets, listener, session()).await,
                other => other,
            }
        }
    }
}

async fn open(
    server: &McpServer,
    secrets: &Secrets,
    listener: &Listener,
    mode: ClientLifecycleMode,
) -> Result<Running, ConnectError> {
    let opened = match (&server.command, &server.url) {
        (Some(program), _) => {
            let child = start(server, secrets, program)?;
            listener.clone().serve_with_lifecycle(child, mode).await
        }
        (None, Some(url)) => {
            let transport = over_http(server, url)?;
            listener.clone().serve_with_lifecycle(transport, mode).await
        }
        (None, None) => {
            let why = "neither `command` nor `url` is configured".to_owned();
            return Err(ConnectError::Handshake(why));
        }
    };
    opened.map_err(|error| ConnectError::Handshake(why(&error)))
}

fn start(server: &McpServer, secrets: &Secrets, program: &str) -> Result<TokioChildProcess, ConnectError> {
    let mut command = Command::new(program);
    command.args(&server.args).env_clear().kill_on_drop(true);
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(&server.env);
    if let Some(folder) = &server.cwd {
        command.current_dir(folder);
    }
    let (child, stderr) = TokioChildProcess::builder(command)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| ConnectError::Start {
            program: program.to_owned(),
            why: error.to_string(),
        })?;
    if let Some(stderr) = stderr {
        tokio::spawn(pass_to_log(server.name.clone(), secrets.clone(), stderr));
    }
    Ok(child)
}

/// What the program says of itself, line by line, until it ends.
async fn pass_to_log(server: String, secrets: Secrets, stderr: ChildStderr) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(1..) => {
                let text = secrets.hide(&String::from_utf8_lossy(&line));
                tracing::info!(server, "{}", escaped(&text, LONGEST_LINE as usize));
            }
            Ok(0) | Err(_) => return,
        }
    }
}

fn over_http(
    server: &McpServer,
    url: &str,
) -> Result<StreamableHttpClientTransport<reqwest::Client>, ConnectError> {
    let http = |error: &dyn std::fmt::Display| ConnectError::Http(error.to_string());
    let uri: Uri = url.parse().map_err(|error| http(&error))?;
    // The first to install it wins; any is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A connection a request: so it is always known whether a call had a connection to go out on.
    let mut client = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::custom(same_place));
    if matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| http(&told(&error)))?;
    let mut headers = HashMap::new();
    for (name, value) in &server.headers {
        let name = HeaderName::try_from(name).map_err(|error| http(&error))?;
        let value = HeaderValue::try_from(value).map_err(|error| http(&error))?;
        headers.insert(name, value);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(Arc::<str>::from(url)).custom_headers(headers);
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

/// A request is passed on within its server alone, and only where it stays what it is: headers may carry secrets.
fn same_place(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
    let origin = |url: &reqwest::Url| url.origin();
    let stays = attempt.previous().first().map(origin) == Some(origin(attempt.url()));
    if keeps_body && stays && attempt.previous().len() < 5 {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn why(error: &ClientInitializeError) -> String {
    use ClientInitializeError as Error;
    let ended = || "it ended before the conversation had begun".to_owned();
    let text = match error {
        Error::ConnectionClosed(_) => ended(),
        Error::TransportError { error, .. } if is_broken_pipe(error.error.as_ref()) => ended(),
        Error::JsonRpcError(error) => format!("it refused: {}", error.message),
        Error::LegacyFallbackFailed { fallback, .. } => why(fallback),
        Error::TransportError { error, .. } => told(error.error.as_ref()),
        Error::NoCompatibleProtocolVersion { server_supported, .. } => {
            let theirs: Vec<&str> = server_supported.iter().map(ProtocolVersion::as_str).collect();
            format!("it speaks only {}", theirs.join(", "))
        }
        Error::ExpectedInitResponse(_) | Error::ExpectedInitResult(_) => {
            "its first answer is not one of the protocol".to_owned()
        }
        other => other.to_string(),
    };
    escaped(&text, 300)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
