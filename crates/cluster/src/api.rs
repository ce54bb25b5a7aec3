//! The cluster's API: where it is, who asks, and two ways to ask.

use std::{env, fs, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Where a pod finds who it is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long connecting, and a whole answer, may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest page of a list, and longest line of a watch, in bytes.
const MOST: usize = 32 << 20;

/// The cluster's API.
#[derive(Clone)]
pub struct Api {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    /// Read anew for every question: the cluster replaces it every hour or so.
    token: Option<PathBuf>,
    namespace: String,
}

/// Why the cluster's API is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Not in a cluster.
    #[error(
        "this process runs in no Kubernetes cluster ({0} is not set), so it cannot find pods; run it in a pod, or name where the API is \
         (--kubernetes http://127.0.0.1:8001 beside `kubectl proxy`)"
    )]
    NoCluster(&'static str),
    /// A file that every pod has is not there, unless it is told not to have it.
    #[error(
        "{path} cannot be read: {source}; the pod needs its service account's token (automountServiceAccountToken: true)"
    )]
    Account {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No URL.
    #[error("`{0}` is no place of a Kubernetes API; expected http://host:port")]
    Url(String),
    /// No thread.
    #[error("cannot watch pods: {0}")]
    Thread(#[from] io::Error),
}

/// An answer that comes line by line.
pub(crate) struct Lines {
    incoming: Incoming,
    buffer: BytesMut,
}

/// Why a question was not answered.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("the cluster's API does not answer: {0}")]
    Unreachable(String),
    #[error("the cluster's API refuses ({status}): {said}")]
    Refused { status: StatusCode, said: String },
}

// === impl Api ===

impl Api {
    /// The API of the cluster that this process is a pod of.
    ///
    /// # Errors
    /// [`ClusterError`]: it is no pod, or one without a service account's token.
    pub fn in_cluster() -> Result<Self, ClusterError> {
        let variable = |name| env::var(name).map_err(|_| ClusterError::NoCluster(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let port = port
            .parse()
            .map_err(|_| ClusterError::Url(format!("{host}:{port}")))?;
        let account = |name: &str| PathBuf::from(ACCOUNT).join(name);
        let read = |path: PathBuf| fs::read(&path).map_err(|source| ClusterError::Account { path, source });
        let mut roots = RootCertStore::empty();
        let ca = read(account("ca.crt"))?;
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&ca).flatten());
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        drop(read(account("token"))?);
        let namespace = read(account("namespace"))?;
        Ok(Self {
            host,
            port,
            tls: Some(Arc::new(tls)),
            token: Some(account("token")),
            namespace: String::from_utf8_lossy(&namespace).trim().to_owned(),
        })
    }

    /// An API that asks for no proof, as `kubectl proxy` gives one; `http://host:port`. Its namespace is `default`.
    ///
    /// # Errors
    /// [`ClusterError::Url`].
    pub fn at(url: &str) -> Result<Self, ClusterError> {
        let wrong = || ClusterError::Url(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@']) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
            tls: None,
            token: None,
            namespace: "default".to_owned(),
        })
    }

    /// The namespace of this process.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The whole answer to a question.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, AskError> {
        let whole = async {
            let incoming = self.ask(path).await?;
            let body = Limited::new(incoming, MOST).collect().await;
            Ok(body.map_err(|e| AskError::Unreachable(e.to_string()))?.to_bytes())
        };
        timeout(PATIENCE, whole).await.unwrap_or_else(|_| Err(slow()))
    }

    /// An answer that goes on for as long as there is something to tell.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, AskError> {
        let incoming = timeout(PATIENCE, self.ask(path))
            .await
            .unwrap_or_else(|_| Err(slow()))?;
        Ok(Lines {
            incoming,
            buffer: BytesMut::new(),
        })
    }

    /// Asks on a connection of its own.
    async fn ask(&self, path: &str) -> Result<Incoming, AskError> {
        let unreachable = |why: String| AskError::Unreachable(why);
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(HOST, format!("{}:{}", bracketed(&self.host), self.port))
            .header(USER_AGENT, concat!("fingerpost/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(file) = &self.token {
            let token =
                fs::read_to_string(file).map_err(|e| unreachable(format!("{}: {e}", file.display())))?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| unreachable(format!("{} holds no token", file.display())))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|e| unreachable(e.to_string()))?;
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        let answer = match &self.tls {
            None => send(tcp, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|e| unreachable(e.to_string()))?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
                send(stream.map_err(|e| unreachable(e.to_string()))?, request).await
            }
        };
        let answer = answer.map_err(|e| unreachable(e.to_string()))?;
        let (head, incoming) = answer.into_parts();
        if head.status.is_success() {
            return Ok(incoming);
        }
        let said = Limited::new(incoming, 64 << 10).collect().await;
        let said = said.map(|body| body.to_bytes()).unwrap_or_default();
        let message = serde_json::from_slice::<serde_json::Value>(&said)
            .ok()
            .and_then(|body| body["message"].as_str().map(str::to_owned));
        let text = || String::from_utf8_lossy(&said).chars().take(200).collect();
        Err(AskError::Refused {
            status: head.status,
            said: message.unwrap_or_else(text),
        })
    }
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // An error here also reaches the request that waits on this connection.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn slow() -> AskError {
    AskError::Unreachable(format!("nothing within {PATIENCE:?}"))
}

// === impl Lines ===

impl Lines {
    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, AskError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1).freeze();
                return Ok(Some(line.slice(..end)));
            }
            if self.buffer.len() > MOST {
                return Err(AskError::Unreachable(
                    "a line of a watch without an end".to_owned(),
                ));
            }
            match self.incoming.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(AskError::Unreachable(error.to_string())),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |url: &str| Api::at(url).map(|api| (api.host, api.port));
        assert_eq!(
            place("http://127.0.0.1:8001/").unwrap(),
            ("127.0.0.1".to_owned(), 8001)
        );
        assert_eq!(place("http://[::1]:8001").unwrap(), ("::1".to_owned(), 8001));
        for bad in [
            "",
            "https://h:1",
            "http://h",
            "http://u@h:1",
            "http://h:1/x",
            "http://:1",
        ] {
            assert!(
                place(bad).unwrap_err().to_string().contains("http://host:port"),
                "{bad}"
            );
        }
    }

    #[test]
    fn outside_of_a_cluster_the_way_out_is_told() {
        // A test that runs in a pod has nothing to tell.
        if env::var("KUBERNETES_SERVICE_HOST").is_err() {
            let error = Api::in_cluster().err().map(|e| e.to_string()).unwrap_or_default();
            assert!(
                error.contains("KUBERNETES_SERVICE_HOST") && error.contains("kubectl proxy"),
                "{error}"
            );
        }
    }
}
