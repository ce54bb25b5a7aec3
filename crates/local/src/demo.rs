//! The built-in demo model: no language model at all, but it answers.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::constraint::{schema, smallest};
use crate::error::Error;
use crate::generation::{Ended, Flow, Output};
use crate::text_model::{
    Completion, Constraint, Delta, Finish, Request, Role, TextModel, TokenLogprob, ToolChoice, Usage,
};

/// How much of the person's message is repeated, in characters.
const ECHO: usize = 200;

/// Answers at once and always the same: that it is the demo, how to pull a real model, and what the person said.
///
/// It keeps the whole contract of [`TextModel`]: streaming, `max_tokens`, stop strings, log-probabilities (all 0: it
/// is certain), and constraints, which it answers with about the smallest valid JSON. A token is a word with the
/// space before it; a tool is called only when one must be.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoModel;

// === impl DemoModel ===

impl TextModel for DemoModel {
    fn name(&self) -> &str {
        "demo"
    }

    fn context(&self) -> usize {
        8_192
    }

    fn count_tokens(&self, text: &str) -> usize {
        pieces(text).count()
    }

    fn generate(
        &self,
        request: &Request,
        on: &mut dyn FnMut(Delta<'_>) -> ControlFlow<()>,
    ) -> Result<Completion, Error> {
        let Request {
            messages,
            sampling,
            constraint,
        } = request;
        sampling.validate()?;
        if messages.is_empty() {
            return Err(Error::NoMessages);
        }
        let start = Instant::now();
        let prompt = messages
            .iter()
            .map(|message| self.count_tokens(&message.text))
            .sum();
        if prompt >= self.context() {
            return Err(Error::TooLong {
                prompt,
                context: self.context(),
            });
        }
        let is_call = matches!(
            constraint,
            Constraint::ToolCall {
                choice: ToolChoice::Required | ToolChoice::Named(_),
                ..
            }
        );
        let text = match constraint {
            Constraint::ToolCall {
                choice: ToolChoice::Auto,
                ..
            } => answer(request),
            constraint => match schema(constraint)? {
                Some(schema) => smallest(&schema)?,
                None => answer(request),
            },
        };
        let mut output = if is_call {
            Output::call()
        } else {
            Output::text(&sampling.stop)
        };
        let most = sampling
            .max_tokens
            .unwrap_or(usize::MAX)
            .min(self.context() - prompt);
        let mut usage = Usage {
            prompt_tokens: prompt,
            completion_tokens: 0,
        };
        let mut finish = if is_call { Finish::ToolCall } else { Finish::Stop };
        let mut first_token = None;
        let mut flow = Flow::Continue(());
        for piece in pieces(&text) {
            if usage.completion_tokens >= most {
                finish = Finish::Length;
                break;
            }
            usage.completion_tokens += 1;
            first_token.get_or_insert_with(|| start.elapsed());
            let bytes = piece.as_bytes();
            let certain = || TokenLogprob {
                bytes: bytes.to_vec(),
                logprob: 0.0,
                top: Vec::new(),
            };
            flow = output.push(bytes, sampling.logprobs.map(|_| certain()), on);
            if flow.is_break() {
                break;
            }
        }
        if flow.is_continue() {
            flow = output.finish(on);
        }
        if flow == Flow::Break(Ended::Cancelled) {
            finish = Finish::Cancelled;
        }
        let whole = output.into_whole();
        Ok(Completion {
            text: whole.text,
            call: whole.call,
            finish,
            stop: whole.stop,
            usage,
            logprobs: whole.logprobs,
            first_token,
            total: start.elapsed(),
        })
    }
}

/// What the demo says.
fn answer(request: &Request) -> String {
    let said = request
        .messages
        .iter()
        .rev()
        .find(|message| message.role == Role::User);
    let mut text = "This is the built-in demo of Fingerpost, not a language model. For real answers, run \
                    `fingerpost models pull smollm2` and ask again."
        .to_owned();
    if let Some(said) = said
        .map(|message| message.text.trim())
        .filter(|said| !said.is_empty())
    {
        let short: String = said.chars().take(ECHO).collect();
        let dots = if short.len() < said.len() { "..." } else { "" };
        text.push_str(&format!(" You said: {short}{dots}"));
    }
    text
}

/// Words, each with the white space before it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..]
            .find(char::is_whitespace)
            .map_or(rest.len(), |n| word + n);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
