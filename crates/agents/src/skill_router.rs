//! Which skill, tool or agent a request is for, among thousands (SkillRouter, 2026).
//!
//! Two stages. *Retrieve*: rankings by words (BM25F over name, description, body and group apart), by vectors and by remembered
//! requests are fused by reciprocal rank. *Rerank*: a small head, trained here on requests with their right entries, scores each
//! candidate by what every field has of the request. It says how likely it is that anything fits at all, and which field decided.
//!
//! What differs from the paper: its two stages are models of 0.6 billion parameters. Here the first is words and a small encoder,
//! the second a linear part taught by the same listwise loss, with boosted trees taught by LambdaRank's over some eighty features; the
//! paper's filter of false negatives is kept. What looks at training requests (memory, classifier, habits) is computed without the request that is
//! looked at, also while training.
//!
//! Entries are untrusted. Their words are counted and compared, never followed: what an entry says of another one does not help
//! that other.

mod abstain;
mod arguments;
mod classes;
mod clauses;
mod family;
mod features;
mod field;
mod habits;
mod head;
mod index;
mod knowledge;
mod lexical;
mod memory;
mod plain;
mod retrieve;
mod search;
mod sheet;
mod train;
mod trained;
mod vectors;
mod words;

pub use field::Field;
pub use head::Objective;
pub use index::SkillIndex;
pub use plain::PlainWords;
pub use retrieve::Rankings;
pub use search::{Found, Hit, SkillRouter};
pub use train::{Class, Options, Request, train};
pub use trained::{About, Trained, TrainedError};

#[cfg(test)]
mod tests;
