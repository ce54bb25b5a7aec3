//! What can go wrong with a local model.

use std::path::PathBuf;

/// An error of loading or generating.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or folder has no model.
    #[error("no GGUF model at {}: {reason}; pull one with `fingerpost models pull smollm2`", path.display())]
    NoModel {
        /// What was given.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The file is a model of another kind than this crate can run.
    #[error("{} cannot be run: {what} is `{found}`, supported: {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The property.
        what: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
    /// The file could not be read as a GGUF model.
    #[error("{} is not a readable GGUF model: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The prompt does not fit.
    #[error(
        "the prompt has {prompt} tokens and the context of this model is {context}; shorten the messages"
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that prompt and answer may have together.
        context: usize,
    },
    /// There is nothing to answer.
    #[error("no messages to answer")]
    NoMessages,
    /// A sampling parameter is out of range.
    #[error("`{field}` is {found}, allowed: {allowed}")]
    Sampling {
        /// The field of [`Sampling`](crate::Sampling).
        field: &'static str,
        /// Its value.
        found: String,
        /// The range.
        allowed: &'static str,
    },
    /// The JSON schema cannot be followed.
    #[error("the JSON schema{} cannot be followed: {reason}", of(tool))]
    Schema {
        /// The tool whose parameters it describes, if any.
        tool: Option<String>,
        /// Why.
        reason: String,
    },
    /// The tool choice names no tool.
    #[error("no tool `{name}` among the tools of the request: {known}")]
    UnknownTool {
        /// The tool that was named.
        name: String,
        /// The tools that are there.
        known: String,
    },
    /// A tool call is required, but there are no tools.
    #[error("a tool call is required but the request has no tools")]
    NoTools,
    /// The arithmetic failed: a defect of the model file or of this crate.
    #[error("the local model failed: {0}")]
    Compute(String),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error.to_string())
    }
}

fn of(tool: &Option<String>) -> String {
    tool.as_ref()
        .map(|name| format!(" of tool `{name}`"))
        .unwrap_or_default()
}
