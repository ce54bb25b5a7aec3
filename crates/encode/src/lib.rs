#![doc = include_str!("../README.md")]

mod cache;
pub mod distill;
mod encoder;
mod minilm;
mod static_encoder;
mod table;
mod tokens;
mod vector;
mod wordpiece;

pub use cache::{CacheCounts, VectorCache};
pub use encoder::{Encoder, ModelId};
pub use minilm::{MiniLm, ModelError};
pub use static_encoder::StaticEncoder;
pub use table::{Provenance, StaticTable, TableError};
#[cfg(feature = "file-tokens")]
pub use tokens::TokenizerFileError;
pub use tokens::{TokenCounter, TokenFamily, estimate as estimate_tokens};
pub use vector::{Similarity, Vector, dot, normalize};
pub use wordpiece::{Vocabulary, VocabularyError, WordPiece};
