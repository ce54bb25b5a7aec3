//! What leaves a generation: text with held-back stop strings, or a call taken apart while it is written.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::stream::{StopStrings, Utf8};
use crate::text_model::{Delta, TokenLogprob, ToolCall};

/// Where the tokens' bytes go.
pub(crate) enum Output {
    /// Text for the reader.
    Text(TextOutput),
    /// A call, in the fixed layout `{"name": "...", "arguments": ...}`.
    Call(CallOutput),
}

/// Text on its way out.
pub(crate) struct TextOutput {
    utf8: Utf8,
    stops: StopStrings,
    text: String,
    /// Log-probabilities of tokens that are not fully shown, with the place in the text where each begins.
    pending: VecDeque<(usize, TokenLogprob)>,
    logprobs: Vec<TokenLogprob>,
    seen: usize,
    stop: Option<String>,
}

/// A call on its way out.
#[derive(Default)]
pub(crate) struct CallOutput {
    utf8: Utf8,
    head: String,
    name: Option<String>,
    arguments: String,
    /// The last character seen: when the call is complete, it is the bracket that closes the call itself.
    last: Option<char>,
}

/// Whether the output wants more.
pub(crate) type Flow = ControlFlow<Ended>;

/// Why the output wants no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A stop string was met.
    Stop,
    /// The callback broke off.
    Cancelled,
}

/// The whole output.
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) call: Option<ToolCall>,
    pub(crate) stop: Option<String>,
    pub(crate) logprobs: Vec<TokenLogprob>,
}

type Callback<'a> = &'a mut dyn FnMut(Delta<'_>) -> ControlFlow<()>;

// === impl Output ===

impl Output {
    pub(crate) fn text(stops: &[String]) -> Self {
        Self::Text(TextOutput {
            utf8: Utf8::default(),
            stops: StopStrings::new(stops),
            text: String::new(),
            pending: VecDeque::new(),
            logprobs: Vec::new(),
            seen: 0,
            stop: None,
        })
    }

    pub(crate) fn call() -> Self {
        Self::Call(CallOutput::default())
    }

    /// Adds the bytes of a token.
    pub(crate) fn push(&mut self, bytes: &[u8], logprob: Option<TokenLogprob>, on: Callback<'_>) -> Flow {
        match self {
            Self::Text(output) => output.push(bytes, logprob, on),
            Self::Call(output) => {
                let text = output.utf8.push(bytes);
                output.push(&text, on)
            }
        }
    }

    /// Shows what was held back, unless the output has ended before.
    pub(crate) fn finish(&mut self, on: Callback<'_>) -> Flow {
        match self {
            Self::Text(output) => output.finish(on),
            Self::Call(_) => Flow::Continue(()),
        }
    }

    pub(crate) fn into_whole(self) -> Whole {
        match self {
            Self::Text(TextOutput {
                text, stop, logprobs, ..
            }) => Whole {
                text,
                call: None,
                stop,
                logprobs,
            },
            Self::Call(CallOutput { name, arguments, .. }) => {
                let call = name.map(|name| ToolCall { name, arguments });
                Whole {
                    text: String::new(),
                    call,
                    stop: None,
                    logprobs: Vec::new(),
                }
            }
        }
    }
}

// === impl TextOutput ===

impl TextOutput {
    fn push(&mut self, bytes: &[u8], logprob: Option<TokenLogprob>, on: Callback<'_>) -> Flow {
        if let Some(logprob) = logprob {
            self.pending.push_back((self.seen, logprob));
        }
        self.seen += bytes.len();
        let whole = self.utf8.push(bytes);
        let released = self.stops.push(&whole);
        self.show(&released.text, on)?;
        if released.stop.is_some() {
            self.stop = released.stop;
            return Flow::Break(Ended::Stop);
        }
        Flow::Continue(())
    }

    fn finish(&mut self, on: Callback<'_>) -> Flow {
        if self.stop.is_some() {
            return Flow::Continue(());
        }
        let rest = self.utf8.finish();
        let released = self.stops.push(&rest);
        let mut text = released.text;
        if released.stop.is_none() {
            text.push_str(&self.stops.finish());
        }
        self.stop = released.stop;
        self.show(&text, on)
    }

    fn show(&mut self, text: &str, on: Callback<'_>) -> Flow {
        if text.is_empty() {
            return Flow::Continue(());
        }
        self.text.push_str(text);
        let from = self.logprobs.len();
        let begun = self
            .pending
            .iter()
            .take_while(|(begins, _)| *begins < self.text.len())
            .count();
        self.logprobs
            .extend(self.pending.drain(..begun).map(|(_, logprob)| logprob));
        on(Delta::Text {
            text,
            tokens: &self.logprobs[from..],
        })
        .map_break(|()| Ended::Cancelled)
    }
}

// === impl CallOutput ===

impl CallOutput {
    fn push(&mut self, text: &str, on: Callback<'_>) -> Flow {
        const NAME: &str = "{\"name\": ";
        const ARGUMENTS: &str = ", \"arguments\": ";
        let mut text = text;
        let rest;
        if self.name.is_none() {
            self.head.push_str(text);
            let Some((name, after)) = self.head.strip_prefix(NAME).and_then(split_string) else {
                return Flow::Continue(());
            };
            let Some(after) = after.strip_prefix(ARGUMENTS) else {
                return Flow::Continue(());
            };
            rest = after.to_owned();
            text = &rest;
            on(Delta::ToolCall { name: &name }).map_break(|()| Ended::Cancelled)?;
            self.name = Some(name);
        }
        let Some(last) = text.chars().next_back() else {
            return Flow::Continue(());
        };
        let mut piece: String = self.last.replace(last).into_iter().collect();
        piece.push_str(&text[..text.len() - last.len_utf8()]);
        if piece.is_empty() {
            return Flow::Continue(());
        }
        self.arguments.push_str(&piece);
        on(Delta::Arguments { json: &piece }).map_break(|()| Ended::Cancelled)
    }
}

/// A JSON string at the beginning of a text, and what follows it; `None` while it is not complete.
fn split_string(text: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = values.next()?.ok()?;
    Some((name, &text[values.byte_offset()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(output: &mut Output, pieces: &[&str]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut on = |delta: Delta<'_>| {
            seen.push(match delta {
                Delta::Text { text, tokens } => format!("{text}/{}", tokens.len()),
                Delta::ToolCall { name } => format!("call {name}"),
                Delta::Arguments { json } => json.to_owned(),
                other => format!("{other:?}"),
            });
            ControlFlow::Continue(())
        };
        for piece in pieces {
            let bytes = piece.as_bytes().to_vec();
            let logprob = TokenLogprob {
                bytes: bytes.clone(),
                logprob: 0.0,
                top: Vec::new(),
            };
            if output.push(&bytes, Some(logprob), &mut on).is_break() {
                break;
            }
        }
        assert_eq!(output.finish(&mut on), Flow::Continue(()));
        seen
    }

    #[test]
    fn log_probabilities_go_with_the_text_that_their_token_begins_in() {
        let mut output = Output::text(&["stop".to_owned()]);
        assert_eq!(
            run(&mut output, &["a", "s", "t", "x", "st", "op", "y"]),
            ["a/1", "stx/3"]
        );
        let whole = output.into_whole();
        assert_eq!(
            (whole.text.as_str(), whole.stop.as_deref()),
            ("astx", Some("stop"))
        );
        assert_eq!(
            whole.logprobs.len(),
            4,
            "those of the stop string are not reported"
        );
    }

    #[test]
    fn a_call_is_taken_apart_in_any_cut() {
        let text = r#"{"name": "a \"b\"", "arguments": {"x": {}}}"#;
        for size in 1..text.len() {
            let pieces: Vec<&str> = text
                .as_bytes()
                .chunks(size)
                .map(|chunk| std::str::from_utf8(chunk).unwrap())
                .collect();
            let mut output = Output::call();
            let seen = run(&mut output, &pieces);
            assert_eq!(seen[0], "call a \"b\"");
            assert_eq!(seen[1..].concat(), r#"{"x": {}}"#, "in pieces of {size}");
            let call = output.into_whole().call.unwrap();
            assert_eq!(
                (call.name.as_str(), call.arguments.as_str()),
                ("a \"b\"", r#"{"x": {}}"#)
            );
        }
    }

    #[test]
    fn breaking_off_is_told_apart_from_a_stop_string() {
        let mut output = Output::text(&[]);
        let flow = output.push(b"text", None, &mut |_| ControlFlow::Break(()));
        assert_eq!(flow, Flow::Break(Ended::Cancelled));
    }
}
