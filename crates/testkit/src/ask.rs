//! What a request asks for, the same for every wire format, and the error objects of the formats.

use serde_json::{Value, json};

/// The wire formats of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Chat,
    Responses,
    Messages,
}

/// A tool that the model may call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

/// Whether a tool is to be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Auto,
    Never,
    Required,
    Named(String),
}

/// A request, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    /// The JSON schema that the answer must follow.
    pub(crate) schema: Option<Value>,
    /// The answer must be some JSON object.
    pub(crate) json_object: bool,
    /// The text of the last user message.
    pub(crate) text: String,
    /// Results of tools after the last message of the model.
    pub(crate) tool_results: Vec<String>,
    /// Images anywhere in the conversation.
    pub(crate) images: usize,
    pub(crate) n: usize,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stop: Vec<String>,
    /// How many alternatives to give for each token, when log-probabilities are wanted.
    pub(crate) logprobs: Option<usize>,
    /// Reasoning was asked for.
    pub(crate) reasoning: bool,
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

// === impl ApiError ===

impl ApiError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// A 400 that names a field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(400, message)
        }
    }

    fn kind(&self, format: Format) -> &'static str {
        match (format, self.status) {
            (_, 401) => "authentication_error",
            (_, 403) => "permission_error",
            (Format::Messages, 404) => "not_found_error",
            (Format::Messages, 413) => "request_too_large",
            (Format::Messages, 429) => "rate_limit_error",
            (Format::Messages, 529 | 503) => "overloaded_error",
            (Format::Messages, 500..) => "api_error",
            (_, 429) => "rate_limit_exceeded",
            (_, 500..) => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The error object in a format.
    pub(crate) fn body(&self, format: Format) -> Value {
        let kind = self.kind(format);
        match format {
            Format::Messages => json!({
                "type": "error",
                "error": {"type": kind, "message": self.message},
                "request_id": "req_scripted",
            }),
            _ => json!({"error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code.map(Value::from).unwrap_or_else(|| match self.status {
                    429 => json!("rate_limit_exceeded"),
                    401 => json!("invalid_api_key"),
                    404 => json!("model_not_found"),
                    _ => Value::Null,
                }),
            }}),
        }
    }
}

// === reading fields ===

/// A field that must be there as a non-empty array.
pub(crate) fn required_array<'a>(body: &'a Value, name: &str) -> Result<&'a Vec<Value>, ApiError> {
    match body.get(name) {
        None => Err(ApiError::field(
            name,
            format!("Missing required parameter: '{name}'."),
        )),
        Some(Value::Array(items)) if items.is_empty() => {
            Err(ApiError::field(name, format!("Invalid '{name}': empty array.")))
        }
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(ApiError::field(
            name,
            format!("Invalid type for '{name}': expected an array."),
        )),
    }
}

/// The model's name, which every request must carry.
pub(crate) fn model(body: &Value) -> Result<String, ApiError> {
    match body.get("model").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(ApiError::field("model", "you must provide a model parameter")),
    }
}

/// A whole number.
pub(crate) fn count(body: &Value, name: &str) -> Option<usize> {
    body.get(name)
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

/// A switch; false when absent.
pub(crate) fn flag(body: &Value, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A string field; empty when absent.
pub(crate) fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// One string or an array of strings.
pub(crate) fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The text of a content that is a string or an array of parts with a `text` field.
pub(crate) fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| text(part, "text"))
            .collect::<Vec<_>>()
            .join(""),
        _ => String::new(),
    }
}

/// How many parts of a content have one of these types.
pub(crate) fn parts_of_type(content: Option<&Value>, kinds: &[&str]) -> usize {
    let parts = content
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    parts
        .iter()
        .filter(|part| kinds.contains(&text(part, "type")))
        .count()
}
