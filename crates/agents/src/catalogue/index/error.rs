//! What can go wrong with an index of a catalogue.

use std::{io, path::PathBuf};

/// Why an index did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder without an index.
    #[error("{folder} holds no index of a catalogue: make one with `fingerpost skills index SOURCE --to {folder}`", folder = .0.display())]
    NotThere(PathBuf),
    /// An index of another encoder's vectors.
    #[error(
        "the index {folder} was made with the encoder {made}, and this is {found}: open it with the first, or make it again",
        folder = folder.display()
    )]
    Model {
        /// The folder.
        folder: PathBuf,
        /// The encoder it was made with.
        made: String,
        /// The encoder it was to be opened with.
        found: String,
    },
    /// A file that a newer program wrote.
    #[error(
        "the index {folder} has the version {found}, and this program reads {known}: make it again",
        folder = folder.display()
    )]
    Version {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        found: u32,
        /// What can be read.
        known: u32,
    },
    /// A file or folder that cannot be read or written.
    #[error("cannot {what} {path}", path = path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the index of vectors or words says.
    #[error(transparent)]
    Index(#[from] fingerpost_index::Error),
}
