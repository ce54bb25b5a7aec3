//! A request that cannot be taken: which field, what was found, what is allowed.

use std::fmt;

use thiserror::Error;

use crate::{ErrorBody, ErrorKind, Format, redact};

/// A request that cannot be taken. Always status 400.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct BadRequest {
    /// The field that is wrong, as a path (`messages[2].content`); `None` where the body as a whole is.
    pub field: Option<String>,
    /// What is wrong and what is allowed, for people. Carries no keys.
    pub message: String,
}

/// One step on the way to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(&'static str),
    Index(usize),
}

/// The way to the field at fault, innermost step first: filled in while an error unwinds, so that it costs nothing else.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<Segment>);

/// Longest piece of a user's value that a message repeats.
const LONGEST_QUOTE: usize = 80;

// === impl BadRequest ===

impl BadRequest {
    /// A wrong field. `problem` says what was found and what is allowed.
    pub fn field(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let field = field.into();
        let message = redact(&format!("`{field}`: {problem}")).into_owned();
        Self {
            field: Some(field),
            message,
        }
    }

    /// A body that is wrong as a whole.
    pub fn body(problem: impl fmt::Display) -> Self {
        Self {
            field: None,
            message: redact(&format!("the request body: {problem}")).into_owned(),
        }
    }

    /// The error that serde raised, told for people.
    pub(crate) fn of_json(error: &serde_json::Error, path: &Path) -> Self {
        let text = error.to_string();
        if !error.is_data() {
            return Self::body(format_args!("not valid JSON: {text}"));
        }
        let text = Self::without_position(&text);
        let problem = text
            .strip_prefix("invalid type: ")
            .or_else(|| text.strip_prefix("invalid value: "))
            .and_then(|rest| rest.rsplit_once(", expected "))
            .map_or_else(
                || text.to_owned(),
                |(found, allowed)| format!("found {}, allowed: {allowed}", shorten(found)),
            );
        if path.0.is_empty() {
            Self::body(problem)
        } else {
            Self::field(path.to_string(), problem)
        }
    }

    /// serde_json's message without its line and column, which say little in a body of one line.
    pub(crate) fn without_position(text: &str) -> &str {
        text.rfind(" at line ").map_or(text, |i| &text[..i])
    }

    /// The error object in the client's format.
    pub fn to_body(&self, format: Format) -> Vec<u8> {
        ErrorBody::from(self).to_body(format)
    }
}

impl From<&BadRequest> for ErrorBody {
    fn from(bad: &BadRequest) -> Self {
        let mut body = Self::new(ErrorKind::InvalidRequest, &bad.message);
        body.param.clone_from(&bad.field);
        body
    }
}

fn shorten(found: &str) -> String {
    match found.char_indices().nth(LONGEST_QUOTE) {
        Some((i, _)) => format!("{}…", &found[..i]),
        None => found.to_owned(),
    }
}

// === impl Path ===

impl Path {
    /// Notes the step at which an error passed by on its way out.
    pub(crate) fn mark<T, E>(&mut self, segment: Segment, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.0.push(segment);
        }
        result
    }

    pub(crate) fn key<T, E>(&mut self, key: &'static str, result: Result<T, E>) -> Result<T, E> {
        self.mark(Segment::Key(key), result)
    }

    pub(crate) fn index<T, E>(&mut self, index: usize, result: Result<T, E>) -> Result<T, E> {
        self.mark(Segment::Index(index), result)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().rev().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
