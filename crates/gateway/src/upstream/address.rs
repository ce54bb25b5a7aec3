//! Where an upstream server is, parsed once from its base URL.

use http::{HeaderValue, Uri, uri::Scheme};
use thiserror::Error;

/// Host, port, transport and path prefix of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// What the `host` header says: the port only where it is not the scheme's own.
    pub(crate) host_header: HeaderValue,
    /// Begins with a slash and ends without one, or is empty.
    pub(crate) prefix: String,
}

/// A base URL that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{found}` is no base URL ({why}); expected like https://host/v1")]
pub(crate) struct AddressError {
    found: String,
    why: &'static str,
}

// === impl Address ===

impl Address {
    /// Parses a base URL such as `https://host/v1` or `http://127.0.0.1:8000/v1`.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let error = |why| AddressError {
            found: redacted(url),
            why,
        };
        let uri: Uri = url.parse().map_err(|_| error("not a URL"))?;
        let tls = match uri.scheme() {
            Some(s) if *s == Scheme::HTTPS => true,
            Some(s) if *s == Scheme::HTTP => false,
            _ => return Err(error("the scheme must be http or https")),
        };
        let authority = uri.authority().ok_or_else(|| error("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(error("it carries credentials; use `api_key_env`"));
        }
        if uri.query().is_some() {
            return Err(error("it has a query"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err(error("it has no host"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| error("the host is not printable"))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            host,
            port,
            tls,
            host_header,
            prefix,
        })
    }

    /// The path of `suffix` (which begins with a slash) under this base.
    pub(crate) fn path(&self, suffix: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{suffix}", self.prefix).parse()
    }
}

/// The URL without whatever stands before an `@`.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_base_url() {
        let address = Address::parse("https://api.example.com/v1/").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.tls),
            ("api.example.com", 443, true)
        );
        assert_eq!(address.path("/chat/completions").unwrap(), "/v1/chat/completions");
        let address = Address::parse("http://[::1]:8000").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.tls),
            ("::1", 8000, false)
        );
        assert_eq!(address.host_header, "[::1]:8000");
        assert_eq!(address.path("/v1/messages").unwrap(), "/v1/messages");
    }

    #[test]
    fn what_is_no_base_url_is_named_without_secrets() {
        for bad in ["", "ftp://x", "example.com", "http://", "https://h/v1?x=1"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let error = Address::parse("https://user:sesame@host/v1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("api_key_env") && !error.contains("sesame"),
            "{error}"
        );
    }
}
