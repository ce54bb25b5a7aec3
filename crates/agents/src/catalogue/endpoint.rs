//! Where an agent is called.

use std::fmt;

use http::Uri;

use super::problem::Address;

/// The address of an agent: absolute, `http` or `https`, without user and password. Shown without its query, where keys travel.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    model: Option<String>,
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it; never the address itself.
    pub fn parse(text: &str) -> Result<Self, Address> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Address::Missing);
        }
        let uri: Uri = text.parse().map_err(|_| Address::Malformed)?;
        let authority = uri.authority().ok_or(Address::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(Address::Credentials);
        }
        match uri.scheme_str() {
            Some("http" | "https") if !authority.host().is_empty() => Ok(Self { uri, model: None }),
            Some("http" | "https") | None => Err(Address::Malformed),
            Some(_) => Err(Address::Scheme),
        }
    }

    /// The same, where one address serves several models.
    #[must_use]
    pub fn with_model(self, model: Option<String>) -> Self {
        Self { model, ..self }
    }

    /// The whole address, for the one who calls it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its host, in lower case.
    pub fn host(&self) -> String {
        self.uri.host().unwrap_or_default().to_ascii_lowercase()
    }

    /// The model that is asked for there.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())?;
        if self.uri.query().is_some() {
            f.write_str("?…")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_their_secrets_not_shown() {
        let endpoint = Endpoint::parse("https://Agents.Example.com:8443/a2a?api_key=hunter2").unwrap();
        assert_eq!(endpoint.host(), "agents.example.com");
        assert_eq!(format!("{endpoint} {endpoint:?}").matches("hunter2").count(), 0);
        assert_eq!(endpoint.to_string(), "https://Agents.Example.com:8443/a2a?…");
        for (text, expected) in [
            ("", Address::Missing),
            ("/a2a", Address::Malformed),
            ("example.com", Address::Malformed),
            ("ftp://example.com/", Address::Scheme),
            ("https://user:hunter2@example.com/", Address::Credentials),
            ("https://example.com@evil.org/", Address::Credentials),
            ("https://exa mple.com/", Address::Malformed),
        ] {
            assert_eq!(Endpoint::parse(text), Err(expected), "{text}");
        }
    }
}
