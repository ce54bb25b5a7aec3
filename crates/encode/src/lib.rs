//! Text to vectors, and text to token counts.
#![doc = include_str!("../README.md")]

mod cache;
pub mod distill;
mod encoder;
mod minilm;
mod static_encoder;
mod table;
mod vector;
mod wordpiece;

pub use cache::{CacheCounts, VectorCache};
pub use encoder::{Encoder, ModelId};
pub use minilm::{MiniLm, ModelError};
pub use static_encoder::StaticEncoder;
pub use table::{Provenance, StaticTable, TableError};
pub use vector::{Similarity, Vector, dot, normalize};
pub use wordpiece::{Vocabulary, VocabularyError, WordPiece};
