//! Language models that run inside Fingerpost's own process.
//!
//! Two of them, behind one trait:
//!
//! * [`LocalModel`] — a real one: SmolLM2-135M-Instruct (or another small llama in GGUF form) on `candle`, on the CPU;
//! * [`DemoModel`] — instant and deterministic; it says what it is and how to pull the real one.
//!
//! # The contract
//! [`TextModel::generate`] is synchronous and CPU bound: call it from a thread of its own. It takes a [`Request`]
//! (messages, [`Sampling`], [`Constraint`]) and a callback that is given every [`Delta`] as it is produced and that
//! can end the generation by returning [`ControlFlow::Break`](std::ops::ControlFlow). It returns a [`Completion`]:
//! the whole text or tool call, why it ended, usage, and the time to the first token.
//!
//! Callers may rely on these:
//! * the text pieces are never empty, always whole UTF-8, and put together are exactly [`Completion::text`];
//! * neither a stop string nor the beginning of one that is later completed is ever shown;
//! * temperature 0 takes the likeliest token; with equal seeds (and everything else equal) the text is equal;
//! * one generation leaves nothing behind that another could see;
//! * under a [`Constraint`] a generation that ends with [`Finish::Stop`] or [`Finish::ToolCall`] has produced JSON
//!   that is valid by the schema; when tokens run short, it is steered to the nearest end of the JSON;
//! * `tools` with [`ToolChoice::Required`] or [`ToolChoice::Named`] give exactly one call, whose arguments are an
//!   instance of the function's schema.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use fingerpost_local::{Delta, LocalModel, Message, Request, TextModel};
//!
//! let model = LocalModel::load("models/smollm2".as_ref())?;
//! let request = Request::new([Message::user("What is the capital of France?")]);
//! let completion = model.generate(&request, &mut |delta| {
//!     if let Delta::Text { text, .. } = delta {
//!         print!("{text}");
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! println!("\n{:?}, {:?}", completion.finish, completion.usage);
//! # Ok::<(), fingerpost_local::Error>(())
//! ```
//!
//! # How the real one works
//! candle reads the GGUF file and computes on tensors. The 4-bit matrices become 8-bit ones at load, for which the
//! product is quick on any processor, and every generation computes on one thread: many small requests share the cores
//! with the server without waiting for each other. The weights are shared and never change; the key/value cache of a
//! generation belongs to that generation alone. Constraints are grammars of
//! the `llguidance` library, applied as a mask over the vocabulary before each token is chosen; tokens that the
//! grammar forces are not sampled but fed in one go.

mod chat;
mod constraint;
mod demo;
mod eight_bit;
mod error;
mod generation;
mod gguf;
mod landing;
mod llama;
mod local;
mod pointwise;
mod sampler;
mod stream;
mod text_model;
mod tokenizer;
mod turns;

pub use demo::DemoModel;
pub use error::Error;
pub use local::{LocalModel, LocalOptions};
pub use text_model::{
    Completion, Constraint, Delta, Finish, Message, Request, Role, Sampling, TextModel, TokenLogprob, Tool,
    ToolCall, ToolChoice, TopLogprob, Usage,
};
