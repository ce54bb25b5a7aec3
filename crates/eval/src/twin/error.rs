//! What can go wrong with files of rows and prices.

use std::{io, path::PathBuf};

use super::{BankError, RowError};

/// Why a bank or its prices cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TwinError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is no row.
    #[error("{path}, line {line}: {source}")]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: RowError,
    },
    /// A row that does not fit to those before it.
    #[error("{path}, line {line}: {source}")]
    Bank {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What does not fit.
        source: BankError,
    },
    /// No row at all.
    #[error("{path} has no rows; it needs one JSON object a line")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Not exactly one bank in a folder.
    #[error("{path} has {found} banks (*.jsonl, *.jsonl.gz) and needs one: name the file instead")]
    NotOneBank {
        /// The folder.
        path: PathBuf,
        /// Banks found.
        found: usize,
    },
    /// A price list that does not list what it must.
    #[error("{path}: {why}")]
    Prices {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

// === impl TwinError ===

impl TwinError {
    pub(super) fn io(path: &std::path::Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
