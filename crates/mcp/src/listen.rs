//! Where clients come in: standard input and output, or HTTP; and where metrics are read.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::{
    ServiceExt,
    transport::{
        StreamableHttpServerConfig, StreamableHttpService, stdio,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{front::Front, hub::Hub};

/// Where MCP is spoken over HTTP.
pub const PATH: &str = "/mcp";

/// Most connections at once.
const MOST_CONNECTIONS: usize = 1024;
/// How long a session lasts in which nothing is said.
const SESSION_LASTS: Duration = Duration::from_secs(3600);
/// How long a client may take over the head of a request.
const HEAD_IN: Duration = Duration::from_secs(30);
/// The names under which this machine reaches itself.
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]", "::1"];

type Body = BoxBody<Bytes, Infallible>;

/// Why nobody can come in.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The conversation did not begin.
    #[error("the client did not begin a conversation: {0}")]
    Stream(String),
}

/// Answers one client over standard input and output, until it leaves.
///
/// # Errors
/// As [`over_streams`].
pub async fn over_stdio(hub: &Arc<Hub>) -> Result<(), ListenError> {
    let (input, output) = stdio();
    over_streams(hub, input, output).await
}

/// Answers one client over two streams, until it leaves.
///
/// # Errors
/// [`ListenError::Stream`] where the conversation does not begin. A client that leaves before is no error.
pub async fn over_streams<R, W>(hub: &Arc<Hub>, input: R, output: W) -> Result<(), ListenError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    use rmcp::service::ServerInitializeError as Error;
    match Front::new(Arc::clone(hub)).serve((input, output)).await {
        Ok(running) => {
            drop(running.waiting().await);
            Ok(())
        }
        Err(Error::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(ListenError::Stream(error.to_string())),
    }
}

/// A socket that answers clients over streamable HTTP, at [`PATH`].
pub struct Http {
    listener: TcpListener,
    address: SocketAddr,
}

/// A socket that metrics are read from, at `/metrics`.
pub struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
}

// === impl Http ===

impl Http {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ListenError::Address`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let (listener, address) = bind(address).await?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the hub stops.
    pub async fn serve(self, hub: Arc<Hub>) {
        let config = hub.config().http.clone();
        let mut hosts: Vec<String> = LOOPBACK.iter().map(|&host| host.to_owned()).collect();
        let own = self.address.ip();
        if !own.is_unspecified() {
            hosts.push(if own.is_ipv6() {
                format!("[{own}]")
            } else {
                own.to_string()
            });
        }
        hosts.extend(config.hosts);
        // A page of another site must not speak with it through its reader's browser.
        let origins: Vec<String> = hosts
            .iter()
            .filter(|host| *host != "::1")
            .flat_map(|host| [format!("http://{host}:*"), format!("https://{host}:*")])
            .collect();
        let settings = StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .with_cancellation_token(hub.stopped().clone());
        let front = Front::new(Arc::clone(&hub));
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_LASTS);
        let service = StreamableHttpService::new(move || Ok(front.clone()), Arc::new(sessions), settings);
        let token = config
            .token
            .map(|token| Arc::<[u8]>::from(Sha256::digest(token.as_bytes()).to_vec()));
        accept(self.listener, hub, move |request| {
            let (service, token) = (service.clone(), token.clone());
            async move {
                if request.uri().path() != PATH {
                    return plain(StatusCode::NOT_FOUND, format!("MCP is spoken at {PATH}\n"));
                }
                if token.is_some_and(|token| !is_bearer(request.headers(), &token)) {
                    let mut refused =
                        plain(StatusCode::UNAUTHORIZED, "a bearer token is needed\n".to_owned());
                    let scheme = header::HeaderValue::from_static("Bearer");
                    refused.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
                    return refused;
                }
                service.handle(request).await
            }
        })
        .await;
    }
}

// === impl Metrics ===

impl Metrics {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ListenError::Address`].
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let (listener, address) = bind(address).await?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the hub stops.
    pub async fn serve(self, hub: Arc<Hub>) {
        let told = Arc::clone(&hub);
        accept(self.listener, hub, move |request| {
            let is_metrics = request.method() == Method::GET && request.uri().path() == "/metrics";
            let answer = if is_metrics {
                plain(StatusCode::OK, told.metrics())
            } else {
                plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned())
            };
            async move { answer }
        })
        .await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let taken = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    taken
        .await
        .map_err(|source| ListenError::Address { address, source })
}

/// Has every request of every connection answered, until the hub stops.
async fn accept<A, F>(listener: TcpListener, hub: Arc<Hub>, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, say: a moment later there may be some.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = hub.stopped().cancelled() => return,
        };
        let (answer, hub) = (answer.clone(), Arc::clone(&hub));
        tokio::spawn(async move {
            let connection = converse(stream, answer);
            tokio::select! {
                () = connection => {}
                // What is under way is told that it is over, and has a moment to say so.
                () = async { hub.stopped().cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
            }
            drop(place);
        });
    }
}

async fn converse<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Send + Sync,
    F: Future<Output = Response<Body>> + Send,
{
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_IN)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Whether the request carries the token with this hash. Hashes are compared, so that the time it takes tells nothing of it.
fn is_bearer(headers: &HeaderMap, token: &[u8]) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("bearer") && *Sha256::digest(given.trim().as_bytes()) == *token
    })
}
