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
    /// What the configuration says of the server makes no sense.
    #[error("`store.{key}`: {detail}")]
    Address {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it and what is right; never the value, which may hold a password.
        detail: String,
    },
    /// The server does not take the password, or asks for one.
    #[error(
        "the server at {server} does not let this process in ({detail}); put a URL with its user and password, \
         redis://user:password@host:port/database, into an environment variable and name that in `store.url_env`"
    )]
    Denied {
        /// Host and port.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server cannot be asked just now. It is tried again by itself.
    #[error(
        "the store's server at {server} cannot be asked ({detail}); routing goes on, and the server is tried again by \
         itself: see that it runs and that `store.url` or `store.url_env` names it"
    )]
    Unavailable {
        /// Host and port.
        server: String,
        /// What went wrong.
        detail: String,
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
    /// Whether the same may succeed a moment later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full)
    }

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
