//! One export over HTTP: connect, post, read the answer, close. An export comes every few seconds, so a connection is not worth
//! keeping, and a fresh one cannot have been closed by the collector in between.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{TracesConfig, TracesError, wire};

/// Where exports go.
pub(super) struct Target {
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What became of an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// The collector took it, but for so many spans.
    Taken { rejected: u64 },
    /// It may be tried again, not before the time that the collector asked for.
    Later { why: String, after: Option<Duration> },
    /// It shall not be tried again.
    Refused { why: String },
}

/// An answer is a short message; more than this is not read.
const ANSWER: usize = 64 * 1024;

// === impl Target ===

impl Target {
    pub(super) fn of(config: &TracesConfig) -> Result<Self, TracesError> {
        let wrong = || TracesError::Endpoint(config.endpoint.clone());
        let uri: Uri = config
            .endpoint
            .trim_end_matches('/')
            .parse()
            .map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if uri.query().is_some() {
            return Err(wrong());
        }
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(wrong)?;
        // An IPv6 address is connected to without its brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if secure {
            let config = config.tls.clone().ok_or(TracesError::NoTls)?;
            let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
            Some((TlsConnector::from(config), name))
        } else {
            None
        };
        let mut headers = HeaderMap::new();
        let authority = uri.authority().map_or(host.as_str(), |a| a.as_str());
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        headers.insert(
            header::HOST,
            HeaderValue::from_str(authority).map_err(|_| wrong())?,
        );
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let agent = concat!("fingerpost/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &config.headers {
            let wrong = || TracesError::Header(name.clone());
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                value,
            );
        }
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
            headers,
            tls,
        })
    }

    /// Posts `body` within `limit`.
    pub(super) async fn post(&self, body: Bytes, limit: Duration) -> Posted {
        match tokio::time::timeout(limit, self.exchange(body)).await {
            Ok(Ok(posted)) => posted,
            Ok(Err(why)) => Posted::Later { why, after: None },
            Err(_) => Posted::Later {
                why: format!("no answer within {limit:?}"),
                after: None,
            },
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Posted, String> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| e.to_string())?;
        match &self.tls {
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), tcp).await.map_err(|e| e.to_string())?;
                self.request(stream, body).await
            }
            None => self.request(tcp, body).await,
        }
        .map_err(|e| e.to_string())
    }

    async fn request<S>(
        &self,
        stream: S,
        body: Bytes,
    ) -> Result<Posted, Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the exchange, or with the runtime; its error also reaches the request.
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::post(self.path.as_str()).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        let (head, answer) = sender.send_request(request).await?.into_parts();
        if head.status.is_success() {
            // The spans are taken, whatever becomes of the rest of the answer.
            let answer = Limited::new(answer, ANSWER).collect().await;
            let rejected = answer.map_or(0, |a| wire::rejected(&a.to_bytes()));
            return Ok(Posted::Taken { rejected });
        }
        let why = format!("status {}", head.status);
        Ok(match head.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Posted::Later {
                why,
                after: retry_after(&head.headers),
            },
            _ => Posted::Refused { why },
        })
    }
}

/// `Retry-After` in seconds; a date there counts as absent, and the usual pause is made.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(endpoint: &str) -> Target {
        Target::of(&TracesConfig::new(endpoint)).unwrap()
    }

    #[test]
    fn a_base_url_becomes_host_port_and_path() {
        let plain = target("http://localhost:4318");
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.path.as_str()),
            ("localhost", 4318, "/v1/traces")
        );
        let based = target("http://collector.example/otlp/");
        assert_eq!((based.port, based.path.as_str()), (80, "/otlp/v1/traces"));
        assert_eq!(based.headers[header::HOST], "collector.example");
        let six = target("http://[::1]:4318");
        assert_eq!(
            (six.host.as_str(), six.headers[header::HOST].to_str().unwrap()),
            ("::1", "[::1]:4318")
        );
    }

    #[test]
    fn a_pause_is_read_in_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"),
        );
        assert_eq!(retry_after(&headers), None);
    }
}
