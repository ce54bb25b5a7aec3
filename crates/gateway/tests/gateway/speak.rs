//! The three formats as a client sees them: how it asks, and where in an answer it looks.

use fingerpost_testkit::{Response, SseEvent};
use serde_json::{Value, json};

/// A client's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speak {
    Chat,
    Responses,
    Messages,
}

/// An error as a client sees it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

pub(crate) const ALL: [Speak; 3] = [Speak::Chat, Speak::Responses, Speak::Messages];

// === impl Speak ===

impl Speak {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    /// A request with one user text.
    pub(crate) fn ask(self, model: &str, text: &str) -> Value {
        let messages = json!([{"role": "user", "content": text}]);
        match self {
            Self::Chat => json!({"model": model, "messages": messages}),
            Self::Responses => json!({"model": model, "input": text}),
            Self::Messages => json!({"model": model, "max_tokens": 500, "messages": messages}),
        }
    }

    /// The same, for a stream.
    pub(crate) fn ask_stream(self, model: &str, text: &str) -> Value {
        let mut body = self.ask(model, text);
        body["stream"] = json!(true);
        body
    }

    /// The text of a whole answer.
    pub(crate) fn text(self, answer: &Value) -> String {
        let texts = |list: &Value| -> String {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part["text"].as_str())
                .collect()
        };
        match self {
            Self::Chat => answer["choices"][0]["message"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            Self::Responses => {
                let items = answer["output"].as_array().into_iter().flatten();
                items
                    .filter(|i| i["type"] == "message")
                    .map(|i| texts(&i["content"]))
                    .collect()
            }
            Self::Messages => texts(&answer["content"]),
        }
    }

    /// The text of a stream, joined.
    pub(crate) fn streamed(self, events: &[SseEvent]) -> String {
        let piece = |event: &SseEvent| -> Option<String> {
            let data = event.json();
            let at = match self {
                Self::Chat => data.pointer("/choices/0/delta/content"),
                Self::Responses => data
                    .get("delta")
                    .filter(|_| event.event == "response.output_text.delta"),
                Self::Messages => data.pointer("/delta/text"),
            };
            at.and_then(Value::as_str).map(str::to_owned)
        };
        events.iter().filter_map(piece).collect()
    }

    /// Whether a stream says that it is complete.
    pub(crate) fn is_complete(self, events: &[SseEvent]) -> bool {
        match self {
            Self::Chat => events.iter().any(|e| e.data == "[DONE]"),
            Self::Responses => events.iter().any(|e| e.event == "response.completed"),
            Self::Messages => events.iter().any(|e| e.event == "message_stop"),
        }
    }

    /// The message of the error event, which must be the last event.
    pub(crate) fn stream_error(self, events: &[SseEvent]) -> Option<String> {
        let last = events.last()?;
        let data = last.json();
        let message = match self {
            Self::Chat => data.pointer("/error/message")?,
            Self::Messages if last.event == "error" => data.pointer("/error/message")?,
            Self::Responses if last.event == "error" => data.get("message")?,
            Self::Responses if last.event == "response.failed" => data.pointer("/response/error/message")?,
            _ => return None,
        };
        message.as_str().map(str::to_owned)
    }

    /// The error of an answer, which must be an error object of this format.
    pub(crate) fn error(self, answer: &Response) -> Told {
        assert_eq!(
            answer.headers.get("content-type"),
            Some("application/json"),
            "{}",
            answer.text()
        );
        let body = answer.json();
        if self == Self::Messages {
            assert_eq!(body["type"], "error", "{}", answer.text());
        }
        let error = &body["error"];
        let text = |key: &str| error[key].as_str().map(str::to_owned);
        if self != Self::Messages {
            assert!(
                error
                    .as_object()
                    .is_some_and(|e| e.contains_key("param") && e.contains_key("code")),
                "{}",
                answer.text()
            );
        }
        Told {
            kind: text("type").unwrap_or_else(|| panic!("no type: {}", answer.text())),
            message: text("message").unwrap_or_else(|| panic!("no message: {}", answer.text())),
            param: text("param"),
        }
    }

    /// Input and output tokens of a whole answer.
    pub(crate) fn usage(self, answer: &Value) -> (u64, u64) {
        let (input, output) = match self {
            Self::Chat => ("prompt_tokens", "completion_tokens"),
            _ => ("input_tokens", "output_tokens"),
        };
        let count = |key: &str| answer["usage"][key].as_u64().unwrap_or_default();
        (count(input), count(output))
    }

    /// The name and arguments of each call of a tool in a whole answer.
    pub(crate) fn calls(self, answer: &Value) -> Vec<(String, Value)> {
        let name = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let parsed = |v: &Value| serde_json::from_str(v.as_str().unwrap_or_default()).unwrap_or_default();
        let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
        match self {
            Self::Chat => list(&answer["choices"][0]["message"]["tool_calls"])
                .iter()
                .map(|c| (name(&c["function"]["name"]), parsed(&c["function"]["arguments"])))
                .collect(),
            Self::Responses => list(&answer["output"])
                .iter()
                .filter(|i| i["type"] == "function_call")
                .map(|c| (name(&c["name"]), parsed(&c["arguments"])))
                .collect(),
            Self::Messages => list(&answer["content"])
                .iter()
                .filter(|b| b["type"] == "tool_use")
                .map(|c| (name(&c["name"]), c["input"].clone()))
                .collect(),
        }
    }
}
