//! The lines of a graph's file, and the errors that name them.

use std::{io::BufRead, path::Path};

use super::GraphError;

/// Calls `take` with each line that is neither empty nor a comment.
pub(super) fn lines(
    input: impl BufRead,
    path: &Path,
    mut take: impl FnMut(&str, usize) -> Result<(), String>,
) -> Result<(), GraphError> {
    all_lines(input, path, |line, number| {
        if line.is_empty() {
            Ok(())
        } else {
            take(line, number)
        }
    })
}

/// Calls `take` with each line that is no comment, trimmed, and its number from 1.
pub(super) fn all_lines(
    mut input: impl BufRead,
    path: &Path,
    mut take: impl FnMut(&str, usize) -> Result<(), String>,
) -> Result<(), GraphError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = input
            .read_until(b'\n', &mut bytes)
            .map_err(|source| GraphError::Io {
                path: path.to_owned(),
                source,
            })?;
        if read == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| "not text".to_owned());
        let taken = text.and_then(|text| match text.trim() {
            comment if comment.starts_with(['#', '%']) => Ok(()),
            text => take(text, line),
        });
        taken.map_err(|why| GraphError::Line {
            path: path.to_owned(),
            line,
            why,
        })?;
    }
    Ok(())
}

pub(super) fn weight(word: &str) -> Result<f32, String> {
    let weight = word.parse::<f32>().ok().filter(|w| w.is_finite() && *w > 0.0);
    weight.ok_or_else(|| format!("{} is no weight: weights are finite and above 0", quote(word)))
}

/// The start of a word, for errors.
pub(super) fn quote(word: &str) -> String {
    let start: String = word.chars().take(40).collect();
    format!("{start:?}")
}
