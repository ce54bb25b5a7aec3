//! Reads the documents of a taxonomy: JSON lines, or one text a line.
//!
//! A line of JSON holds `text`, and may hold `id` (text or a number, each once) and `title`. Whether a file is JSON lines is
//! seen by its first line that is not blank: it begins with a brace. Blank lines are passed over.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use serde_json::Value;
use thiserror::Error;

/// Documents in their order; an item of a taxonomy is a place in these lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documents {
    /// What each is called: its own id, or its number from 0.
    pub ids: Vec<String>,
    /// Title (if any) and text.
    pub texts: Vec<String>,
}

/// A file of documents at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line at fault.
    #[error("{path}, line {line}: {fault}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: DocumentFault,
    },
    /// Too few.
    #[error("{path} holds {found} documents; a taxonomy needs at least 2", path = path.display())]
    TooFew {
        /// Which file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
}

/// What is wrong with a line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentFault {
    /// Bytes that are no text.
    #[error("it is not UTF-8 from byte {0} of the line on; convert the file")]
    Encoding(usize),
    /// No JSON.
    #[error("no JSON object like {{\"id\": \"a\", \"text\": \"...\"}}: {0}")]
    Json(serde_json::Error),
    /// Without a text.
    #[error("the field `{field}` is missing, no text, or blank; leave the line out or give it a text")]
    Blank {
        /// Which field.
        field: String,
    },
    /// An id that is neither text nor a number.
    #[error("`id` is {0}; allowed is text or a number")]
    Id(String),
    /// An id twice.
    #[error("the id {id:?} stands on line {first} already; give every document its own")]
    Duplicate {
        /// Which.
        id: String,
        /// Where it stands too.
        first: usize,
    },
}

// === impl Documents ===

impl Documents {
    /// Reads a file; `field` is the name of the field with the text, in JSON lines.
    ///
    /// # Errors
    /// [`DocumentError`] with the line at fault.
    pub fn read(path: &Path, field: &str) -> Result<Self, DocumentError> {
        let bytes = std::fs::read(path).map_err(|source| DocumentError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes, path, field)
    }

    /// Reads bytes; `path` is for errors only.
    ///
    /// # Errors
    /// [`DocumentError`] with the line at fault.
    pub fn from_bytes(bytes: &[u8], path: &Path, field: &str) -> Result<Self, DocumentError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let fail = |line, fault| DocumentError::Line {
            path: path.to_owned(),
            line,
            fault,
        };
        let mut found = Self::default();
        let mut json = None;
        let mut seen: FxHashMap<String, usize> = FxHashMap::default();
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let line = std::str::from_utf8(line)
                .map_err(|e| fail(number, DocumentFault::Encoding(e.valid_up_to())))?
                .trim();
            if line.is_empty() {
                continue;
            }
            let next = found.texts.len().to_string();
            let (id, text) = if *json.get_or_insert(line.starts_with('{')) {
                from_json(line, field, next).map_err(|fault| fail(number, fault))?
            } else {
                (next, line.to_owned())
            };
            if let Some(&first) = seen.get(&id) {
                return Err(fail(number, DocumentFault::Duplicate { id, first }));
            }
            seen.insert(id.clone(), number);
            found.ids.push(id);
            found.texts.push(text);
        }
        if found.texts.len() < 2 {
            return Err(DocumentError::TooFew {
                path: path.to_owned(),
                found: found.texts.len(),
            });
        }
        Ok(found)
    }

    /// The texts, as the builder takes them.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }
}

fn from_json(line: &str, field: &str, next: String) -> Result<(String, String), DocumentFault> {
    let row: serde_json::Map<String, Value> = serde_json::from_str(line).map_err(DocumentFault::Json)?;
    let text_of = |name: &str| {
        row.get(name)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let id = match row.get("id") {
        None | Some(Value::Null) => next,
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(other) => return Err(DocumentFault::Id(other.to_string().chars().take(40).collect())),
    };
    let text = text_of(field).ok_or_else(|| DocumentFault::Blank {
        field: field.to_owned(),
    })?;
    Ok(match text_of("title") {
        Some(title) if field != "title" => (id, format!("{title}. {text}")),
        _ => (id, text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Documents, DocumentError> {
        Documents::from_bytes(bytes, Path::new("d"), "text")
    }

    #[test]
    fn json_lines_and_plain_lines() {
        let json = br#"{"id": "a", "title": "Cards", "text": "lost"}

            {"id": 7, "text": "stolen"}
            {"text": "third"}"#;
        let documents = read(json).unwrap();
        assert_eq!(documents.ids, ["a", "7", "2"]);
        assert_eq!(documents.texts, ["Cards. lost", "stolen", "third"]);
        let documents = read(b"one\r\n\r\n  two\n").unwrap();
        assert_eq!(
            (documents.ids, documents.texts),
            (vec!["0".into(), "1".into()], vec!["one".into(), "two".into()])
        );
    }

    #[test]
    fn faults_name_their_line() {
        let cases: [(&[u8], &str); 9] = [
            (b"", "holds 0 documents"),
            (b"only one\n", "holds 1 documents"),
            (b"one\ntw\xffo\n", "line 2: it is not UTF-8 from byte 2"),
            (b"{\"text\": \"a\"}\n{\"text\": \"b\"\n", "line 2: no JSON object"),
            (b"{\"text\": \"a\"}\n\nplain\n", "line 3: no JSON object"),
            (
                b"{\"text\": \"a\"}\n{\"text\": \"  \"}\n",
                "line 2: the field `text`",
            ),
            (
                b"{\"text\": \"a\"}\n{\"body\": \"b\"}\n",
                "line 2: the field `text`",
            ),
            (
                b"{\"text\": \"a\"}\n{\"id\": [1], \"text\": \"b\"}\n",
                "line 2: `id` is [1]",
            ),
            (
                b"{\"id\": 1, \"text\": \"a\"}\n{\"id\": \"1\", \"text\": \"b\"}\n",
                "stands on line 1 already",
            ),
        ];
        for (bytes, expected) in cases {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        }
    }
}
