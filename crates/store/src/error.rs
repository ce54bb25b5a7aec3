//! What can go wrong with a store, and the way out.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// What can go wrong with a store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the file.
    #[error(
        "{} is in use by another process; stop that one, or give this one a folder of its own (`store.path`)",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file is damaged.
    #[error(
        "{} is damaged ({detail}); move it away and start again to get a new one: stored responses, traces and what \
         routers learned are lost with it",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a later version.
    #[error(
        "{} has format {found}, this version reads up to {supported}; use a later version of Fingerpost, or give this one \
         a folder of its own (`store.path`)",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that this version knows.
        supported: u32,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be read or written: {source}; see to its permissions and the free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Too much waits to be written.
    #[error("too much waits to be written to the store; try again, or raise `store.queue`")]
    Full,
    /// Writing stopped after an earlier failure.
    #[error("the store has stopped writing: {0}; restart once the cause is gone")]
    Stopped(String),
}

// === impl StoreError ===

impl StoreError {
    pub(crate) fn corrupt(path: &Path, detail: &impl ToString) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            detail: detail.to_string(),
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
