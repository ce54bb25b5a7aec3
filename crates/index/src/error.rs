//! What can go wrong, naming the thing and the way out.

use std::{io, path::PathBuf};

/// Why an index did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A vector that is not as long as the others.
    #[error(
        "vector {id} has {found} components, this index takes {expected}: encode all vectors by one model"
    )]
    Dimension {
        /// The item's id; a query has none and says `query`, with its place if there are many.
        id: Item,
        /// Its components.
        found: usize,
        /// Components of the index.
        expected: usize,
    },
    /// A component that is NaN or infinite.
    #[error("component {at} of vector {id} is {value}: every component must be a finite number")]
    NotFinite {
        /// The item's id.
        id: Item,
        /// Position of the component, from 0.
        at: usize,
        /// What was found there.
        value: f32,
    },
    /// A vector without a direction.
    #[error("vector {id} is zero and has no direction: leave it out, or use the metric l2 or ip")]
    Zero {
        /// The item's id.
        id: Item,
    },
    /// A vector that has no distances.
    #[error(
        "vector {id} is so long that its distances are no numbers: its squared length must be below 8.5e37"
    )]
    TooLong {
        /// The item's id.
        id: Item,
    },
    /// An id that is there already, or twice among those to come.
    #[error(
        "id {0} is there already: each vector needs an id of its own; remove the old one first, or update it"
    )]
    DuplicateId(u64),
    /// An id that is not there.
    #[error("id {0} is not in the index")]
    UnknownId(u64),
    /// More vectors than slots can be numbered.
    #[error("an index holds at most {0} vectors: split the set")]
    Full(usize),
    /// A parameter out of range.
    #[error("{name} is {found}, allowed is {allowed}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// What was given.
        found: String,
        /// What can be given.
        allowed: &'static str,
    },
    /// A query without what this index looks for.
    #[error("the query has no {0}, and this index searches by it")]
    Query(&'static str),
    /// A file that cannot be read or written.
    #[error("cannot {what} {path}")]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An index file that is not whole.
    #[error("{path} is not a whole index file ({why}): build it again from the vectors")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A file of vectors with a fault.
    #[error("{path}, {place}: {why}")]
    Input {
        /// The file.
        path: PathBuf,
        /// `line 7` or `vector 7`.
        place: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The caller asked to stop.
    #[error("stopped after {done} of {total} vectors, nothing was kept")]
    Stopped {
        /// Vectors linked so far.
        done: usize,
        /// All vectors.
        total: usize,
    },
}

/// Names a vector in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The item of this id.
    Id(u64),
    /// The query.
    Query,
    /// The query at this place of many, from 0.
    QueryAt(usize),
}

// === impl Error ===

impl Error {
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn corrupt(path: &std::path::Path, why: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

// === impl Item ===

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Query => f.write_str("query"),
            Self::QueryAt(at) => write!(f, "query {at}"),
        }
    }
}
