//! An answer as it comes, in no format. Every upstream's stream is read into these events, every client's stream is written
//! from them, and whoever makes answers here (the local model, a cache) makes them too.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{ErrorBody, Usage, conversation::Seal, json};

/// One step of an answer as it comes.
///
/// Texts, thoughts and calls follow each other as the model makes them; a change from one to another begins a new block.
/// `Finish` and `Usage` may come in either order, and nothing but the other one follows them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The answer begins.
    Start,
    /// A piece of text.
    Text {
        /// The piece.
        text: Cow<'a, str>,
        /// An array of its tokens' log-probabilities, as Chat writes them ([`logprobs`]).
        logprobs: Option<Cow<'a, RawValue>>,
    },
    /// A piece of a refusal.
    Refusal(Cow<'a, str>),
    /// A piece of a thought.
    Reasoning(Cow<'a, str>),
    /// The proof of the thought that ends here.
    Seal(Seal<'a>),
    /// A source of the text before.
    Citation(Citation<'a>),
    /// A tool call begins.
    ToolCallStart {
        /// Tells calls of one answer apart; any numbers will do.
        index: u32,
        /// The call's id.
        id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// Whether its input is free text (OpenAI's custom tools).
        custom: bool,
    },
    /// A piece of a call's arguments (JSON text).
    ToolCallArguments {
        /// Which call.
        index: u32,
        /// The piece.
        json: Cow<'a, str>,
    },
    /// The answer is whole, and ended for this reason.
    Finish(Finish),
    /// Tokens used.
    Usage(Usage),
    /// The answer broke off.
    Error(ErrorBody),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finish {
    /// It was done.
    #[default]
    Stop,
    /// It ran into a stop text.
    StopSequence,
    /// It reached its most tokens.
    Length,
    /// It calls tools.
    ToolCalls,
    /// It was refused or filtered.
    ContentFilter,
    /// It paused and wants to be sent again (Anthropic).
    Pause,
}

/// A source that a text cites.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Citation<'a> {
    /// Its address.
    pub url: Cow<'a, str>,
    /// Its title.
    pub title: Cow<'a, str>,
    /// What it says there (Anthropic).
    pub cited_text: Cow<'a, str>,
    /// First character of the text that rests on it. 0 where unknown.
    pub start: u32,
    /// Character after the last. 0 where unknown.
    pub end: u32,
}

/// One token with its log-probability.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Likely tokens at its place, best first.
    pub top: Vec<(String, f32)>,
}

/// Log-probabilities as Chat and Responses write them.
pub fn logprobs(tokens: &[TokenLogprob]) -> Box<RawValue> {
    let mut out = Vec::new();
    json::object(&mut out, |holder| {
        holder.array("x", |a| {
            for token in tokens {
                a.object(|t| {
                    one(t, &token.token, token.logprob);
                    t.array("top_logprobs", |top| {
                        for (text, logprob) in &token.top {
                            top.object(|t| one(t, text, *logprob));
                        }
                    });
                });
            }
        });
    });
    // The holder's one member: `{"x":[…]}`.
    let list = out.get(5..out.len() - 1).unwrap_or(b"[]");
    json::raw_or_null(String::from_utf8_lossy(list).into_owned())
}

fn one(o: &mut json::Object<'_>, token: &str, logprob: f32) {
    o.field("token", token);
    o.field("logprob", logprob);
    o.array("bytes", |a| token.bytes().for_each(|b| a.item(b)));
}

// === impl Event ===

impl<'a> Event<'a> {
    /// A piece of text without log-probabilities.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text {
            text: text.into(),
            logprobs: None,
        }
    }

    /// A whole tool call at once.
    pub fn tool_call(
        index: u32,
        id: impl Into<Cow<'a, str>>,
        name: impl Into<Cow<'a, str>>,
        json: impl Into<Cow<'a, str>>,
    ) -> [Self; 2] {
        let start = Self::ToolCallStart {
            index,
            id: id.into(),
            name: name.into(),
            custom: false,
        };
        let arguments = Self::ToolCallArguments {
            index,
            json: json.into(),
        };
        [start, arguments]
    }

    /// Whether it carries something that the model said, thought or called.
    pub const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Text { .. }
                | Self::Refusal(_)
                | Self::Reasoning(_)
                | Self::ToolCallStart { .. }
                | Self::ToolCallArguments { .. }
        )
    }
}

// === impl Finish ===

impl Finish {
    /// Reads Chat's `finish_reason`.
    pub(crate) fn of_chat(reason: &str) -> Self {
        match reason {
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            _ => Self::Stop,
        }
    }

    /// Chat's `finish_reason`.
    pub const fn chat(self) -> &'static str {
        match self {
            Self::Stop | Self::StopSequence | Self::Pause => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }

    /// Reads Anthropic's `stop_reason`.
    pub(crate) fn of_messages(reason: &str) -> Self {
        match reason {
            "max_tokens" | "model_context_window_exceeded" => Self::Length,
            "stop_sequence" => Self::StopSequence,
            "tool_use" => Self::ToolCalls,
            "refusal" => Self::ContentFilter,
            "pause_turn" => Self::Pause,
            _ => Self::Stop,
        }
    }

    /// Anthropic's `stop_reason`.
    pub const fn messages(self) -> &'static str {
        match self {
            Self::Stop => "end_turn",
            Self::StopSequence => "stop_sequence",
            Self::Length => "max_tokens",
            Self::ToolCalls => "tool_use",
            Self::ContentFilter => "refusal",
            Self::Pause => "pause_turn",
        }
    }

    /// Responses' `incomplete_details.reason`; `None` where the answer is complete.
    pub const fn incomplete(self) -> Option<&'static str> {
        match self {
            Self::Length => Some("max_output_tokens"),
            Self::ContentFilter => Some("content_filter"),
            Self::Stop | Self::StopSequence | Self::ToolCalls | Self::Pause => None,
        }
    }

    /// Some servers say `stop` although they call tools.
    pub(crate) const fn with_calls(self, calls: bool) -> Self {
        match self {
            Self::Stop if calls => Self::ToolCalls,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_as_chat_writes_them() {
        let raw = logprobs(&[TokenLogprob {
            token: "é".to_owned(),
            logprob: -0.5,
            top: vec![("e".to_owned(), -1.25)],
        }]);
        assert_eq!(
            raw.get(),
            r#"[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"e","logprob":-1.25,"bytes":[101]}]}]"#
        );
        assert_eq!(logprobs(&[]).get(), "[]");
    }

    #[test]
    fn reasons_survive_their_own_format() {
        for finish in [
            Finish::Stop,
            Finish::Length,
            Finish::ToolCalls,
            Finish::ContentFilter,
        ] {
            assert_eq!(Finish::of_chat(finish.chat()), finish);
            assert_eq!(Finish::of_messages(finish.messages()), finish);
        }
        assert_eq!(Finish::of_messages("pause_turn"), Finish::Pause);
        assert_eq!(Finish::Stop.with_calls(true), Finish::ToolCalls);
    }
}
