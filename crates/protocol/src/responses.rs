//! OpenAI Responses.

mod answer;
mod read;
pub(crate) mod state;
mod stream;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub(crate) use stream::{Reader, Writer};
pub(crate) use write::write_request;
