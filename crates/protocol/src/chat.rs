//! OpenAI Chat Completions.

mod answer;
mod read;
mod stream;
mod write;

pub(crate) use answer::{citation, is_portable, read_answer, write_answer};
pub(crate) use read::{allowed_tools, file_data, output_schema, read_request};
pub(crate) use stream::{Reader, Writer};
pub(crate) use write::{SHARED, write_request};
