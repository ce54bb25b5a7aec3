//! The one way data files are read: JSON lines, gzip-compressed or plain, each line by its number.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a data file could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinesError {
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{} line {line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

// === impl LinesError ===

impl LinesError {
    /// A complaint about a line.
    pub fn line(path: &Path, line: usize, why: &impl ToString) -> Self {
        Self::Line {
            path: path.to_owned(),
            line,
            why: why.to_string(),
        }
    }
}

/// Hands every line of a file to `take` as a value, with its number; blank lines are passed over. Compressed where the name ends
/// in `.gz`.
///
/// # Errors
/// What is wrong with the file or one of its lines, or what `take` said of one.
pub fn read_lines<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(usize, T) -> Result<(), LinesError>,
) -> Result<(), LinesError> {
    each_line(path, |number, line| {
        let value = serde_json::from_str(line).map_err(|e| LinesError::line(path, number, &e))?;
        take(number, value)
    })
}

/// The same with the text of each line.
///
/// # Errors
/// What is wrong with the file, or what `take` said of a line.
pub fn each_line<E: From<LinesError>>(
    path: &Path,
    mut take: impl FnMut(usize, &str) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |source| LinesError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let reader: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        _ => Box::new(file),
    };
    // By line feed only: texts may hold other marks that Unicode calls line ends.
    for (number, line) in (1..).zip(BufReader::new(reader).split(b'\n')) {
        let line = line.map_err(failed)?;
        let line = str::from_utf8(&line).map_err(|e| LinesError::line(path, number, &e))?;
        if !line.trim().is_empty() {
            take(number, line)?;
        }
    }
    Ok(())
}
