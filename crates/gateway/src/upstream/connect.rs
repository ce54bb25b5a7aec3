//! Opens connections: TCP without delay, TLS where the base URL says so.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Address, RequestBody};

/// Opens connections; holds the trusted certificates, read once.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("no connection to {0}:{1}: {2}")]
    Tcp(String, u16, #[source] io::Error),
    #[error("`{0}` is no name that a certificate can be issued for")]
    Name(String),
    #[error("no HTTP on the connection to {0}: {1}")]
    Http(String, #[source] hyper::Error),
}

/// Trust in what the system trusts, and in the certificates of Mozilla's list where the system has none. Read once.
pub(crate) fn tls_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(
            ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    };
    Arc::clone(CONFIG.get_or_init(make))
}

// === impl Connector ===

impl Connector {
    /// See [`tls_config`] for whom it trusts.
    pub(crate) fn new() -> Self {
        Self {
            tls: TlsConnector::from(tls_config()),
        }
    }

    /// A connection ready for a request. It is driven by a task of the current local set until it closes.
    pub(crate) async fn open(&self, to: &Address) -> Result<SendRequest<RequestBody>, ConnectError> {
        let tcp_error = |e| ConnectError::Tcp(to.host.clone(), to.port, e);
        let tcp = TcpStream::connect((to.host.as_str(), to.port))
            .await
            .map_err(tcp_error)?;
        tcp.set_nodelay(true).map_err(tcp_error)?;
        if to.tls {
            let name =
                ServerName::try_from(to.host.clone()).map_err(|_| ConnectError::Name(to.host.clone()))?;
            let tls = self.tls.connect(name, tcp).await.map_err(tcp_error)?;
            Self::handshake(tls, to).await
        } else {
            Self::handshake(tcp, to).await
        }
    }

    async fn handshake<S>(stream: S, to: &Address) -> Result<SendRequest<RequestBody>, ConnectError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ConnectError::Http(to.host.clone(), e))?;
        tokio::task::spawn_local(async move {
            // An error here also reaches the request that waits on this connection, which reports it.
            drop(connection.await);
        });
        Ok(sender)
    }
}
