//! The contract between whoever wants text and whatever makes it.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;

use crate::error::Error;

/// A model that turns messages into text. See the crate documentation for what callers may rely on.
pub trait TextModel: Send + Sync {
    /// Name of the model, as shown to clients.
    fn name(&self) -> &str;

    /// Tokens that prompt and answer may have together.
    fn context(&self) -> usize;

    /// Tokens of a text, without the chat format around it.
    fn count_tokens(&self, text: &str) -> usize;

    /// Answers the request, handing over every piece as it comes. Blocks until the end; long waits, for a free turn
    /// or while a long prompt is read, also hand over deltas, so that the callback can always cancel.
    ///
    /// # Errors
    /// Any [`Error`] about the request before the first text; [`Error::Compute`] at any time. A cancelled generation
    /// is no error: it ends with [`Finish::Cancelled`].
    fn generate(
        &self,
        request: &Request,
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Completion, Error>;
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the operator (also what some formats call developer).
    System,
    /// The person.
    User,
    /// The model, in an earlier turn.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said; may be empty when there are calls.
    pub text: String,
    /// For [`Role::Assistant`]: the calls that were made.
    pub calls: Vec<ToolCall>,
    /// For [`Role::Tool`]: the name of the function whose result this is, if known.
    pub tool: Option<String>,
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// JSON schema of its arguments; an object. `Value::Null` stands for an object without properties.
    pub parameters: Value,
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Name of the function.
    pub name: String,
    /// The arguments as JSON text.
    pub arguments: String,
}

/// Whether a function is to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides between text and one call.
    Auto,
    /// One call of any function.
    Required,
    /// One call of this function.
    Named(String),
}

/// What form the answer must have.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Constraint {
    /// Free text.
    #[default]
    None,
    /// Any JSON object.
    JsonObject,
    /// JSON that is valid by this schema.
    ///
    /// Supported is what `llguidance` supports of JSON Schema, among it `type`, `properties`, `required`,
    /// `additionalProperties`, `items`, `enum`, `const`, `anyOf`, `allOf`, `$ref` to `#/...`, `pattern`, `format`,
    /// and limits on lengths and numbers; an unknown keyword that would forbid something is refused. Where the schema
    /// sets no limit there is one of 300 characters, 16 items, and 2^53 for numbers, and objects with properties get
    /// no others: a small model does not always find the end by itself.
    JsonSchema(Value),
    /// A call of one of the tools, or the choice of it.
    ToolCall {
        /// The functions.
        tools: Vec<Tool>,
        /// Whether one must be called.
        choice: ToolChoice,
    },
}

/// How tokens are chosen. The default is that of the common chat APIs: temperature 1, everything else off.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Scales the spread of the choice; 0 always takes the likeliest token. In [0, 5].
    pub temperature: f32,
    /// Chooses only among the likeliest tokens that together reach this probability. In (0, 1].
    pub top_p: f32,
    /// Chooses only among this many likeliest tokens, if given; at least 1.
    pub top_k: Option<usize>,
    /// Lowers the score of tokens that are already in the answer, once. In [-2, 2].
    pub presence_penalty: f32,
    /// Lowers the score of tokens by how often they are already in the answer. In [-2, 2].
    pub frequency_penalty: f32,
    /// Start of the random numbers; without one, every generation differs.
    pub seed: Option<u64>,
    /// Most tokens to produce, capped by the rest of the context; without one, the model's own default.
    pub max_tokens: Option<usize>,
    /// Texts at which the answer ends; they are not part of it. Empty ones are ignored.
    pub stop: Vec<String>,
    /// Report the log-probability of each token, and of this many likeliest alternatives (0 to 20).
    pub logprobs: Option<usize>,
}

/// What is to be answered, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What form the answer must have.
    pub constraint: Constraint,
}

/// A step of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Delta<'a> {
    /// Waiting for a free turn; sent every now and then, so that a caller who went away can cancel.
    Waiting,
    /// The prompt is being read.
    Reading {
        /// Tokens read.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// The next piece of the answer: whole characters, never empty.
    Text {
        /// The piece.
        text: &'a str,
        /// The tokens that begin in this piece, if log-probabilities were asked for.
        tokens: &'a [TokenLogprob],
    },
    /// A call of this function begins; its arguments follow.
    ToolCall {
        /// Name of the function.
        name: &'a str,
    },
    /// The next piece of the arguments of the call: JSON text, never empty.
    Arguments {
        /// The piece.
        json: &'a str,
    },
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or a stop string came, or the JSON was complete.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
    /// A tool call is complete.
    ToolCall,
    /// The callback broke off.
    Cancelled,
}

/// Tokens of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, chat format included.
    pub prompt_tokens: usize,
    /// Tokens produced, the end mark and forced tokens included.
    pub completion_tokens: usize,
}

/// A token and how likely it was, by the model's own distribution (temperature 1, before any constraint).
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The bytes of the token; not always whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens at this place, likeliest first.
    pub top: Vec<TopLogprob>,
}

/// One of the likeliest tokens at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct TopLogprob {
    /// The bytes of the token.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text; empty when there is a call.
    pub text: String,
    /// The call, if one was made. Its arguments are complete only with [`Finish::ToolCall`].
    pub call: Option<ToolCall>,
    /// Why it ended.
    pub finish: Finish,
    /// The stop string that ended it, if one did.
    pub stop: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// One entry a token of the text, if log-probabilities were asked for. Empty for calls.
    pub logprobs: Vec<TokenLogprob>,
    /// From the start of the turn (waiting for it not included) to the first token; `None` when there was none.
    pub first_token: Option<Duration>,
    /// From the start of the turn to the end.
    pub total: Duration,
}

// === impl Message ===

impl Message {
    /// A message of `role` with the given text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            calls: Vec::new(),
            tool: None,
        }
    }

    /// A message whose text came in several parts, which are joined by line breaks.
    pub fn from_parts<S: AsRef<str>>(role: Role, parts: impl IntoIterator<Item = S>) -> Self {
        let mut text = String::new();
        for (i, part) in parts.into_iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            text.push_str(part.as_ref());
        }
        Self::new(role, text)
    }

    /// Instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// What the person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// The result of a tool call, with the name of the function if it is known.
    pub fn tool(name: Option<String>, text: impl Into<String>) -> Self {
        Self {
            tool: name,
            ..Self::new(Role::Tool, text)
        }
    }
}

// === impl Request ===

impl Request {
    /// A request with default sampling and no constraint.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            messages: messages.into_iter().collect(),
            sampling: Sampling::default(),
            constraint: Constraint::None,
        }
    }
}

// === impl Sampling ===

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
            max_tokens: None,
            stop: Vec::new(),
            logprobs: None,
        }
    }
}

impl Sampling {
    /// Always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Sampling`] for the first field that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |field, found: String, allowed| {
            Err(Error::Sampling {
                field,
                found,
                allowed,
            })
        };
        if !(0.0..=5.0).contains(&self.temperature) {
            return bad("temperature", self.temperature.to_string(), "0 to 5");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("top_p", self.top_p.to_string(), "above 0, at most 1");
        }
        if self.top_k == Some(0) {
            return bad("top_k", "0".to_owned(), "at least 1");
        }
        for (field, penalty) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            if !(-2.0..=2.0).contains(&penalty) {
                return bad(field, penalty.to_string(), "-2 to 2");
            }
        }
        if self.max_tokens == Some(0) {
            return bad("max_tokens", "0".to_owned(), "at least 1");
        }
        match self.logprobs {
            Some(top) if top > 20 => bad("logprobs", top.to_string(), "0 to 20"),
            _ => Ok(()),
        }
    }
}
