//! The three chat formats, read, translated and written. Pure: no I/O, no async, no clock, no chance.
//!
//! ```text
//!  request body ──► Envelope ──► routing ──┬─ same format ──► Envelope::body_for   (the client's bytes, model spliced in)
//!                                          └─ other format ─► Conversation ──► translate_request
//!  answer body  ──────────────────────────┬─ same format ──► glance               (the upstream's bytes)
//!                                          └─ other format ─► Answer ──► translate_answer
//!  answer stream ─────────────────────────┬─ same format ──► StreamWatch          (the upstream's bytes)
//!                                          └─ other format ─► Event ──► Translator
//!  local model ──► Event ──► StreamWriter, or Answer::collect(events).to_body()
//! ```
//!
//! Each format has one folder with one reader and one writer of requests ([`Conversation`]), of answers ([`Answer`]) and of
//! streams ([`Event`]). A new format is one more folder.
//!
//! # What maps to what
//!
//! | | Chat | Responses | Messages |
//! | --- | --- | --- | --- |
//! | operator's text | `system`, `developer` messages | `instructions` (read), messages (written) | `system`; those amid the conversation move to its top¹ |
//! | text, image, document | `text`, `image_url`, `file` | `input_text`, `input_image`, `input_file` | `text`, `image`, `document` (base64 ↔ data URL) |
//! | sound | `input_audio` | –¹ | –¹ |
//! | tool | `tools[].function` | `tools[]` | `tools[].input_schema` |
//! | hosted tool | –¹ | –¹ | –¹ (each kept in its own format only) |
//! | tool choice | `none auto required`, named, `allowed_tools` | the same | `none auto any tool`; `allowed_tools` leaves the others out |
//! | one call at a time | `parallel_tool_calls: false` | the same | `tool_choice.disable_parallel_tool_use` |
//! | tool call | `tool_calls[]` | `function_call` item | `tool_use` block |
//! | tool result | `tool` message, text; images follow in a user message¹ | `function_call_output` item | `tool_result` block, `is_error`¹ |
//! | answer as JSON of a schema | `response_format.json_schema` | `text.format` | `output_config.format` (native; also read as `output_format`) |
//! | any JSON | `response_format.json_object` | `text.format` | asked for in words¹ |
//! | thinking, asked | `reasoning_effort` (`thinking`, `reasoning` read too) | `reasoning.effort` | `thinking.budget_tokens`, or `output_config.effort` ([`Dialect::adaptive_thinking`]) |
//! | thinking, given | `reasoning_content`, `thinking_blocks` | `reasoning` item | `thinking`, `redacted_thinking` |
//! | cache marker | `cache_control` on parts, messages, tools | –¹ | `cache_control` |
//! | most tokens | `max_completion_tokens` | `max_output_tokens` | `max_tokens`, 4096 where none is given |
//! | temperature | 0–2 | 0–2 | 0–1, clamped¹; not while thinking¹ |
//! | `top_p` | yes | yes | yes; 0.95 and more while thinking¹ |
//! | `top_k` | extension | –¹ | yes |
//! | stop texts | `stop` | –¹ | `stop_sequences` |
//! | `seed`, penalties, `n` | yes | –¹ | –¹ |
//! | log-probabilities | `logprobs` | `include`, `top_logprobs` | –¹ |
//! | end user | `user`, `safety_identifier` | the same | `metadata.user_id` |
//! | `metadata`, `verbosity`, `store` | yes | yes (`store: false` where the client's format does not store) | –¹ |
//! | `service_tier`, `prompt_cache_key`, … | yes | yes | –¹ |
//! | any other field | same format only¹ | same format only¹ | same format only¹ |
//! | web citation | `annotations[].url_citation` | `annotations[]` | `citations[].web_search_result_location` |
//! | refusal | `refusal` | `refusal` part | a text |
//! | done | `stop` | `completed` | `end_turn`, `stop_sequence`, `pause_turn` |
//! | too long | `length` | `incomplete`: `max_output_tokens` | `max_tokens`, `model_context_window_exceeded` |
//! | calls tools | `tool_calls` | `completed` | `tool_use` |
//! | filtered | `content_filter` | `incomplete`: `content_filter` | `refusal` |
//! | input tokens | all | all | fresh ones; cached ones apart |
//!
//! ¹ What is lost or changed stands in the [`Warnings`], to be sent as `x-fingerpost-warning`.
//!
//! **Effort and budget.** minimal 1024 tokens, low 2048, medium 8192, high 16384, more 32768; back: to 4096 low, to 12288 medium, above
//! high, 0 none. A budget that `max_tokens` would not hold is added to it. Messages cannot think when a tool is forced, nor in the middle of
//! a round of calls that began without signed thinking: then thinking is dropped¹.
//!
//! **Whose thought it was.** A provider takes back only thoughts that carry its own proof: Anthropic's `signature`, OpenAI's
//! `encrypted_content`. On the way through a client of another format the proof travels in that format's field, marked with its maker
//! (`anthropic-signature:…` inside `encrypted_content`, `openai-item:…` inside `signature`), and is put back in its place when the client
//! sends it again. Thoughts without a proof, or with another maker's, are not sent to Anthropic or Responses¹.
//!
//! **Bytes.** Schemas, tool arguments, cache markers and unknown fields are copied as they were written.

mod answer;
mod bad_answer;
mod bad_request;
mod blocks;
mod chat;
pub mod conversation;
mod embeddings;
mod envelope;
mod error_body;
mod event;
mod fields;
mod format;
mod frame;
mod gather;
mod glance;
mod json;
mod messages;
mod model_list;
mod redact;
mod replay;
mod responses;
mod sse;
mod stream;
mod tools;
mod usage;
mod warnings;
mod watch;

pub use answer::{Answer, Echo, Head, translate_answer};
pub use bad_answer::BadAnswer;
pub use bad_request::BadRequest;
pub use chat::{side_by_side, without_logprobs};
pub use conversation::{Conversation, Dialect, translate_request};
pub use embeddings::{EmbeddingEncoding, EmbeddingsRequest, MOST_INPUTS, write_embeddings};
pub use envelope::{Body, Edit, Envelope};
pub use error_body::{ErrorBody, ErrorKind};
pub use event::{Citation, Event, Finish, TokenLogprob, logprobs};
pub use format::Format;
pub use frame::{Framed, frame};
pub use gather::Gather;
pub use glance::glance;
pub use model_list::{ModelEntry, write_model_entry, write_models};
pub use redact::{BLOT, redact};
pub use responses::state::{Items, going_on_from};
pub use sse::{LONGEST_EVENT, SseDecoder, SseEvent, TooLong};
pub use stream::{Seen, StreamReader, StreamWriter, Translator, broken, broken_stream};
pub use tools::{ToolOffer, Tools};
pub use usage::Usage;
pub use warnings::{Warning, Warnings};
pub use watch::StreamWatch;
