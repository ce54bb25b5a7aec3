//! A provider, ready to be called: address, paths, headers with its key.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use fingerpost_protocol::Format;
use http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION};

use crate::{
    config::{Provider, ProviderKind},
    upstream::Address,
};

/// A provider, ready to be called.
pub(crate) struct ProviderSlot {
    pub(crate) kind: ProviderKind,
    /// Absent for models inside this process.
    pub(crate) address: Option<Address>,
    /// Its own headers, the key among them, marked as sensitive.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) stream_usage: bool,
    /// Whether it is the provider's own public server.
    pub(crate) is_public: bool,
    /// Names its connections in a worker's pool.
    pub(crate) pool_key: u64,
    responses: bool,
    paths: Option<Paths>,
}

/// Where requests go.
struct Paths {
    chat: Uri,
    responses: Uri,
    messages: Uri,
}

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com/v1";
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

// === impl ProviderSlot ===

impl ProviderSlot {
    /// Builds it; `environment` reads a variable. Errors name the key under the provider and what is wrong.
    pub(crate) fn build(
        provider: &Provider,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, (&'static str, String)> {
        let (public, key_env) = match provider.kind {
            ProviderKind::Openai => (OPENAI, "OPENAI_API_KEY"),
            ProviderKind::Anthropic => (ANTHROPIC, "ANTHROPIC_API_KEY"),
            ProviderKind::Local | ProviderKind::Demo => {
                return Ok(Self {
                    kind: provider.kind,
                    address: None,
                    headers: Vec::new(),
                    stream_usage: false,
                    is_public: false,
                    pool_key: 0,
                    responses: false,
                    paths: None,
                });
            }
        };
        let base = provider.base_url.as_deref().unwrap_or(public);
        let address = Address::parse(base).map_err(|e| ("base_url", e.to_string()))?;
        let path = |suffix: &str| {
            address
                .path(suffix)
                .map_err(|e| ("base_url", format!("`{base}` gives no path: {e}")))
        };
        // Anthropic's own clients take a base without the version, OpenAI's with it; both are understood.
        let versioned = address.prefix.ends_with("/v1");
        let messages = path(if versioned { "/messages" } else { "/v1/messages" })?;
        let paths = Paths {
            chat: path("/chat/completions")?,
            responses: path("/responses")?,
            messages,
        };
        let key_env = provider
            .api_key_env
            .as_deref()
            .or(provider.base_url.is_none().then_some(key_env));
        let key = key_env.and_then(environment).filter(|k| !k.trim().is_empty());
        let mut headers = Vec::new();
        for (name, value) in &provider.headers {
            let name = HeaderName::try_from(name.as_str())
                .map_err(|_| ("headers", format!("`{name}` is no header name")))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| ("headers", format!("the value of `{name}` cannot be sent")))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if let Some(key) = key {
            let unsendable = |_| {
                (
                    "api_key_env",
                    "the key holds characters that no header can carry".to_owned(),
                )
            };
            let (name, value) = match provider.kind {
                ProviderKind::Anthropic => (API_KEY, HeaderValue::from_str(key.trim())),
                _ => (
                    AUTHORIZATION,
                    HeaderValue::from_str(&format!("Bearer {}", key.trim())),
                ),
            };
            let mut value = value.map_err(unsendable)?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if provider.kind == ProviderKind::Anthropic && !headers.iter().any(|(n, _)| *n == ANTHROPIC_VERSION) {
            headers.push((ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01")));
        }
        let mut hasher = DefaultHasher::new();
        (&address.host, address.port, address.tls).hash(&mut hasher);
        Ok(Self {
            kind: provider.kind,
            headers,
            stream_usage: provider.stream_usage,
            is_public: provider.base_url.is_none(),
            pool_key: hasher.finish(),
            responses: provider.responses.unwrap_or(provider.base_url.is_none()),
            paths: Some(paths),
            address: Some(address),
        })
    }

    /// Whether it runs inside this process.
    pub(crate) fn is_engine(&self) -> bool {
        self.address.is_none()
    }

    /// The format to speak to it, for a client of `client`'s format: the same where it understands that.
    pub(crate) fn format(&self, client: Format) -> Format {
        match (self.kind, client) {
            (ProviderKind::Anthropic, _) => Format::Messages,
            (_, Format::Responses) if self.responses => Format::Responses,
            _ => Format::Chat,
        }
    }

    /// Where requests of this format go.
    pub(crate) fn path(&self, format: Format) -> Option<Uri> {
        let paths = self.paths.as_ref()?;
        Some(match format {
            Format::Chat => paths.chat.clone(),
            Format::Responses => paths.responses.clone(),
            Format::Messages => paths.messages.clone(),
        })
    }

    /// As OpenTelemetry's conventions name it.
    pub(crate) fn system(&self) -> &'static str {
        match self.kind {
            ProviderKind::Openai => "openai",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Local | ProviderKind::Demo => "fingerpost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(yaml: &str) -> Provider {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn built(yaml: &str) -> Result<ProviderSlot, (&'static str, String)> {
        ProviderSlot::build(&provider(yaml), &|name| {
            (name == "KEY").then(|| "sk-test".to_owned())
        })
    }

    #[test]
    fn both_customs_of_base_urls_work() {
        for base in ["http://h", "http://h/v1", "http://h/v1/"] {
            let slot = built(&format!("{{ type: anthropic, base_url: \"{base}\" }}")).unwrap();
            assert_eq!(slot.path(Format::Messages).unwrap(), "/v1/messages", "{base}");
        }
        let slot = built("{ type: openai, base_url: \"http://h/v1\" }").unwrap();
        assert_eq!(slot.path(Format::Chat).unwrap(), "/v1/chat/completions");
    }

    #[test]
    fn keys_are_sent_and_never_shown() {
        let slot = built("{ type: openai, base_url: \"http://h/v1\", api_key_env: KEY }").unwrap();
        assert_eq!(slot.headers[0].1, "Bearer sk-test");
        assert!(!format!("{:?}", slot.headers).contains("sk-test"));
        assert!(
            built("{ type: openai, base_url: \"http://h/v1\" }")
                .unwrap()
                .headers
                .is_empty()
        );
    }

    #[test]
    fn only_the_public_server_gets_responses_unasked() {
        assert_eq!(
            built("{ type: openai }").unwrap().format(Format::Responses),
            Format::Responses
        );
        let other = built("{ type: openai, base_url: \"http://h/v1\" }").unwrap();
        assert_eq!(other.format(Format::Responses), Format::Chat);
        assert_eq!(
            built("{ type: anthropic }").unwrap().format(Format::Chat),
            Format::Messages
        );
    }
}
