//! OpenAI Chat Completions.

mod answer;
mod choices;
mod read;
mod stream;
mod write;

pub(crate) use answer::{citation, is_portable, read_answer, write_answer};
pub use choices::{side_by_side, without_logprobs};
pub(crate) use read::{allowed_tools, file_data, output_schema, read_request};
pub(crate) use stream::{Reader, Writer};
pub(crate) use write::{SHARED, write_request};
