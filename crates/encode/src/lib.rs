//! Text to vectors, and text to token counts.
#![doc = include_str!("../README.md")]

mod cache;
mod encoder;
mod vector;
mod wordpiece;

pub use cache::{CacheCounts, VectorCache};
pub use encoder::{Encoder, ModelId};
pub use vector::{Similarity, Vector, dot, normalize};
pub use wordpiece::{Vocabulary, VocabularyError, WordPiece};
