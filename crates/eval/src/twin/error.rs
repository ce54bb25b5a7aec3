//! What can go wrong with files of rows and prices.

use std::path::PathBuf;

use super::{BankError, RowError};
use crate::lines::LinesError;

/// Why a bank or its prices cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TwinError {
    /// The file or folder cannot be read.
    #[error(transparent)]
    Lines(#[from] LinesError),
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
