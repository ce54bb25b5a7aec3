//! Vectors and texts to their neighbours.
//!
//! [`Hnsw`] is the graph index, [`Exact`] looks at everything, [`Adaptive`] is the one and then the other as the set grows;
//! [`Lexical`] finds texts by their words, [`Fielded`] those that come in fields and change, and [`Hybrid`] fuses several rankings. All stand behind [`Retrieve`]. [`Vectors`]
//! reads files.
//!
//! ```
//! use fingerpost_index::{Hnsw, Options};
//! let index = Hnsw::new(2, Options::default())?;
//! index.build(&[1.0, 0.0, 0.0, 1.0, 0.7, 0.7], None, 1, &|_| true)?;
//! let found = index.search(&[0.9, 0.1], 2, 16)?;
//! assert_eq!(found.neighbours.iter().map(|n| n.id).collect::<Vec<_>>(), [0, 2]);
//! # Ok::<(), fingerpost_index::Error>(())
//! ```

mod adaptive;
mod block;
mod error;
mod exact;
mod fielded;
mod file;
mod found;
mod hnsw;
mod hybrid;
mod items;
pub mod kernel;
mod lexical;
mod map;
mod metric;
mod pool;
mod retrieve;
mod rows;
mod vectors;
mod words;

pub use adaptive::{Adaptive, DEFAULT_THRESHOLD};
pub use error::{Error, Item};
pub use exact::Exact;
pub use fielded::{Field, Fielded};
pub use found::{Filter, Found, Neighbour};
pub use hnsw::{Hnsw, Options, Stats};
pub use hybrid::{Fusion, Hybrid};
pub use lexical::Lexical;
pub use metric::Metric;
pub use retrieve::{Hit, Query, Retrieve};
pub use rows::Precision;
pub use vectors::Vectors;
pub use words::words;
