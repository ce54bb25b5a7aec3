//! Error objects in the client's own format.
//!
//! | kind | status | OpenAI `type` / `code` | Anthropic `type` |
//! | --- | --- | --- | --- |
//! | `InvalidRequest` | 400 | `invalid_request_error` | `invalid_request_error` |
//! | `Authentication` | 401 | `authentication_error` / `invalid_api_key` | `authentication_error` |
//! | `Billing` | 402 | `insufficient_quota` / `insufficient_quota` | `billing_error` |
//! | `Permission` | 403 | `permission_error` | `permission_error` |
//! | `NotFound` | 404 | `invalid_request_error` / `not_found` | `not_found_error` |
//! | `ModelNotFound` | 404 | `invalid_request_error` / `model_not_found` | `not_found_error` |
//! | `TooLarge` | 413 | `invalid_request_error` / `request_too_large` | `request_too_large` |
//! | `RateLimit` | 429 | `rate_limit_error` / `rate_limit_exceeded` | `rate_limit_error` |
//! | `Internal` | 500 | `server_error` | `api_error` |
//! | `Upstream` | 502 | `server_error` / `upstream_error` | `api_error` |
//! | `Overloaded` | 503 | `server_error` / `overloaded` | `overloaded_error` |
//! | `Timeout` | 504 | `server_error` / `timeout` | `timeout_error` |

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Format, redact};

/// What kind of error it is; decides status and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong (400).
    InvalidRequest,
    /// No valid key (401).
    Authentication,
    /// Out of credit (402).
    Billing,
    /// Not allowed (403).
    Permission,
    /// No such thing (404).
    NotFound,
    /// No such model (404).
    ModelNotFound,
    /// Body over the limit (413).
    TooLarge,
    /// Too many requests (429).
    RateLimit,
    /// Our own failure (500).
    Internal,
    /// The upstream failed or sent garbage (502).
    Upstream,
    /// No room now (503).
    Overloaded,
    /// The upstream took too long (504).
    Timeout,
}

/// An error, to be written in any client format. Its message is redacted when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// HTTP status.
    pub status: u16,
    /// What kind it is.
    pub kind: ErrorKind,
    /// For people. Carries no keys.
    pub message: String,
    /// The field that is wrong, as a path (`messages[2].content`).
    pub param: Option<String>,
    /// A fixed code for programs; the kind's own where `None`.
    pub code: Option<Cow<'static, str>>,
    /// The request's id, which Anthropic's format repeats in the body.
    pub request_id: Option<String>,
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The HTTP status of the kind.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound | Self::ModelNotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Internal => 500,
            Self::Upstream => 502,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }

    /// The kind that a status stands for.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            408 | 504 => Self::Timeout,
            502 => Self::Upstream,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }

    const fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::InvalidRequest => ("invalid_request_error", None),
            Self::Authentication => ("authentication_error", Some("invalid_api_key")),
            Self::Billing => ("insufficient_quota", Some("insufficient_quota")),
            Self::Permission => ("permission_error", None),
            Self::NotFound => ("invalid_request_error", Some("not_found")),
            Self::ModelNotFound => ("invalid_request_error", Some("model_not_found")),
            Self::TooLarge => ("invalid_request_error", Some("request_too_large")),
            Self::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
            Self::Internal => ("server_error", None),
            Self::Upstream => ("server_error", Some("upstream_error")),
            Self::Overloaded => ("server_error", Some("overloaded")),
            Self::Timeout => ("server_error", Some("timeout")),
        }
    }

    const fn anthropic(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Billing => "billing_error",
            Self::Permission => "permission_error",
            Self::NotFound | Self::ModelNotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Internal | Self::Upstream => "api_error",
            Self::Overloaded => "overloaded_error",
            Self::Timeout => "timeout_error",
        }
    }

    fn of_type(name: &str, code: Option<&str>) -> Option<Self> {
        if code == Some("model_not_found") {
            return Some(Self::ModelNotFound);
        }
        Some(match name {
            "authentication_error" => Self::Authentication,
            "billing_error" | "insufficient_quota" => Self::Billing,
            "permission_error" => Self::Permission,
            "not_found_error" => Self::NotFound,
            "request_too_large" => Self::TooLarge,
            "rate_limit_error" | "requests" | "tokens" => Self::RateLimit,
            "overloaded_error" => Self::Overloaded,
            "timeout_error" => Self::Timeout,
            "api_error" | "server_error" => Self::Internal,
            "invalid_request_error" => return None,
            _ => return None,
        })
    }
}

// === impl ErrorBody ===

impl ErrorBody {
    /// An error of this kind with the kind's own status. The message is redacted.
    pub fn new(kind: ErrorKind, message: &str) -> Self {
        Self {
            status: kind.status(),
            kind,
            message: redact(message).into_owned(),
            param: None,
            code: None,
            request_id: None,
        }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn param(mut self, field: impl Into<String>) -> Self {
        self.param = Some(field.into());
        self
    }

    /// Sets the code for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Sets the request's id.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Reads an upstream's error answer, whatever its format; a body that is no error object gives the kind of the status and
    /// a message that quotes the body's beginning. Messages are redacted.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let kind = ErrorKind::of_status(status);
        let Some(found) = Found::parse(body) else {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            let text = text.trim();
            let message = if text.is_empty() {
                format!("the upstream answered with status {status} and no body")
            } else {
                format!("the upstream answered with status {status}: {text}")
            };
            let mut error = Self::new(kind, &message);
            error.status = status;
            return error;
        };
        let code = found.code.as_deref();
        let kind = match found.kind.as_deref().and_then(|k| ErrorKind::of_type(k, code)) {
            // The status is the plainer witness, unless it says less than the type.
            Some(typed) if matches!(kind, ErrorKind::InvalidRequest | ErrorKind::Internal) => typed,
            Some(ErrorKind::ModelNotFound) => ErrorKind::ModelNotFound,
            _ => kind,
        };
        let message = found.message.as_deref().unwrap_or("the upstream gave no message");
        let mut error = Self::new(kind, message);
        error.status = status;
        error.param = found.param;
        error.code = found.code.map(Cow::Owned);
        error.request_id = found.request_id;
        error
    }

    /// The JSON body in a client's format.
    pub fn to_body(&self, format: Format) -> Vec<u8> {
        // Serialising plain strings cannot fail.
        match format {
            Format::Messages => serde_json::to_vec(&self.anthropic()),
            Format::Chat | Format::Responses => serde_json::to_vec(&self.openai()),
        }
        .unwrap_or_default()
    }

    pub(crate) fn code_or_kind(&self) -> Option<&str> {
        self.code.as_deref().or(self.kind.openai().1)
    }

    fn openai(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: Option<&'a str>,
        }
        Body {
            error: Inner {
                message: &self.message,
                r#type: self.kind.openai().0,
                param: self.param.as_deref(),
                code: self.code_or_kind(),
            },
        }
    }

    fn anthropic(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'a str,
            error: Inner<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            r#type: &'a str,
            message: &'a str,
        }
        Body {
            r#type: "error",
            error: Inner {
                r#type: self.kind.anthropic(),
                message: &self.message,
            },
            request_id: self.request_id.as_deref(),
        }
    }
}

/// What can be read off anyone's error object.
struct Found {
    kind: Option<String>,
    message: Option<String>,
    param: Option<String>,
    code: Option<String>,
    request_id: Option<String>,
}

impl Found {
    fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Outer {
            error: Option<Error>,
            message: Option<String>,
            detail: Option<serde_json::Value>,
            request_id: Option<String>,
            code: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Error {
            Object {
                message: Option<String>,
                r#type: Option<String>,
                param: Option<serde_json::Value>,
                code: Option<serde_json::Value>,
            },
            Text(String),
        }
        let text = |value: serde_json::Value| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(s) => Some(redact(&s).into_owned()),
            other => Some(redact(&other.to_string()).into_owned()),
        };
        let outer: Outer = serde_json::from_slice(body).ok()?;
        let request_id = outer.request_id;
        match outer.error {
            Some(Error::Object {
                message,
                r#type,
                param,
                code,
            }) => Some(Self {
                kind: r#type,
                message,
                param: param.and_then(text),
                code: code.and_then(text),
                request_id,
            }),
            Some(Error::Text(message)) => Some(Self {
                kind: None,
                message: Some(message),
                param: None,
                code: outer.code.and_then(text),
                request_id,
            }),
            None => Some(Self {
                kind: None,
                message: Some(outer.message.or_else(|| outer.detail.and_then(text))?),
                param: None,
                code: outer.code.and_then(text),
                request_id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: &ErrorBody, format: Format) -> serde_json::Value {
        serde_json::from_slice(&error.to_body(format)).unwrap()
    }

    #[test]
    fn one_error_in_each_format() {
        let error = ErrorBody::new(ErrorKind::ModelNotFound, "no model `x`")
            .param("model")
            .request_id("req_1");
        assert_eq!(
            json(&error, Format::Chat),
            serde_json::json!({"error": {"message": "no model `x`", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}})
        );
        assert_eq!(json(&error, Format::Responses), json(&error, Format::Chat));
        assert_eq!(
            json(&error, Format::Messages),
            serde_json::json!({"type": "error", "error": {"type": "not_found_error", "message": "no model `x`"}, "request_id": "req_1"})
        );
    }

    #[test]
    fn an_upstream_error_changes_its_format_and_loses_its_keys() {
        let theirs = br#"{"type":"error","error":{"type":"overloaded_error","message":"key sk-ant-REDACTED overloaded"},"request_id":"req_9"}"#;
        let error = ErrorBody::read(529, theirs);
        assert_eq!((error.status, error.kind), (529, ErrorKind::Overloaded));
        assert_eq!(
            json(&error, Format::Chat)["error"]["message"],
            "key [redacted] overloaded"
        );
        let openai = br#"{"error":{"message":"The model `z` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
        let error = ErrorBody::read(404, openai);
        assert_eq!(error.kind, ErrorKind::ModelNotFound);
        assert_eq!(json(&error, Format::Messages)["error"]["type"], "not_found_error");
    }

    #[test]
    fn bodies_that_are_no_error_object() {
        assert_eq!(
            ErrorBody::read(502, b"<html>bad gateway</html>").message,
            "the upstream answered with status 502: <html>bad gateway</html>"
        );
        assert_eq!(
            ErrorBody::read(500, b"").message,
            "the upstream answered with status 500 and no body"
        );
        assert_eq!(ErrorBody::read(400, br#"{"detail":"no"}"#).message, "no");
        assert_eq!(ErrorBody::read(400, br#"{"error":"plain"}"#).message, "plain");
        assert_eq!(
            ErrorBody::read(400, br#"{"object":"error","message":"vllm says no","code":400}"#).message,
            "vllm says no"
        );
    }
}
