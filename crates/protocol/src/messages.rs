//! Anthropic Messages.

mod answer;
mod read;
mod stream;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::{read_request, thinking};
pub(crate) use stream::{Reader, Writer};
pub(crate) use write::{write_request, write_thinking};
