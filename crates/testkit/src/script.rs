//! What the scripted upstream shall do: a [`Script`] chooses one [`Behavior`] for each request.
//!
//! The first of these that gives a behaviour decides: the header `x-script`, a `[[script:{...}]]` inside the last
//! user text (it survives every gateway and translation), the queue (each entry serves one request), the rules in
//! their order, `otherwise`. An empty behaviour answers as a plausible model would. All types are JSON with the same
//! names, so a shell or another language scripts it over `POST /_scripted/script`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is done with one request. Every field may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// The text to answer with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Answer with this JSON as the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Answer with the request's body as the text.
    pub echo: bool,
    /// Reasoning (thinking) before the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// A refusal in place of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Calls of tools, after the text when `text` is given too, else alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The usage to report; counted from the text when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Split a streamed text into this many pieces; by words when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<usize>,
    /// Answer with this status and an error object in the format of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The message of the error object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More header fields of the answer, such as `retry-after`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Milliseconds before anything is sent.
    pub delay_ms: u64,
    /// Milliseconds between the head and the first event of a stream (or the body).
    pub first_event_ms: u64,
    /// Milliseconds before every later event of a stream.
    pub chunk_ms: u64,
    /// Send a whole body in pieces of this many bytes, `chunk_ms` apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_bytes: Option<usize>,
    /// Break or stall somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Send something that is no proper answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub garbage: Option<Garbage>,
    /// Close the connection after the answer without having announced it, as a server does with idle connections.
    pub close_after: bool,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Value,
}

/// Token counts to report. `input` counts all input tokens, cached ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cached: u64,
    /// Input tokens written to a cache (Anthropic).
    pub cache_creation: u64,
    /// All output tokens.
    pub output: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
}

/// Where an answer goes wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The place.
    pub at: Point,
    /// The manner.
    pub how: How,
}

/// A place in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the status line.
    Headers,
    /// After the head, before the first event of a stream or the first byte of a body.
    FirstEvent,
    /// After so many events of a stream; in a whole body, at its middle.
    Events(usize),
}

/// How an answer breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Nothing more is sent; the connection stays open until the client leaves.
    Stall,
    /// The connection is reset.
    Reset,
    /// The connection is closed while the body is unfinished.
    Eof,
    /// The body ends properly on the HTTP level, but without the stream's last event (`[DONE]`, `message_stop`,
    /// `response.completed`). Before the head this is the same as `Eof`.
    CleanEof,
    /// An error event in the format of the path, then a proper end of the body.
    ErrorEvent,
}

/// What is sent in place of an answer. All but `NotHttp` have status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// Bytes that are no HTTP.
    NotHttp,
    /// A text that is no JSON, called JSON; in a stream, an event whose data is no JSON.
    NotJson,
    /// JSON of another shape.
    WrongJson,
    /// JSON that is cut off although the length is right.
    TruncatedJson,
    /// A proper answer called `text/html`.
    WrongContentType,
    /// No body at all.
    Empty,
    /// An answer whose text has this many bytes.
    Huge(usize),
}

/// Which requests a rule is for: all given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// The body's `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The path starts with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The body contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// Behaviours for the requests that match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The requests that it is for.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// One behaviour a request in turn; the last one stays.
    #[serde(rename = "do")]
    pub behaviors: Vec<Behavior>,
    #[serde(skip)]
    served: usize,
}

/// The whole plan of an upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Each entry serves one request, in order of arrival.
    pub queue: VecDeque<Behavior>,
    /// Consulted when the queue is empty; the first match decides.
    pub rules: Vec<Rule>,
    /// For all other requests.
    pub otherwise: Behavior,
    /// Models that `GET /v1/models` lists; a plausible list when empty.
    pub models: Vec<String>,
    /// When given, requests must carry this key (`authorization: Bearer` or `x-api-key`), else 401.
    pub key: Option<String>,
}

// === impl Behavior ===

impl Behavior {
    /// Answers with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// Answers with an error status.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Answers with one call of a tool.
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self {
            tool_calls: vec![ToolCall {
                name: name.into(),
                arguments,
            }],
            ..Self::default()
        }
    }

    /// Answers plausibly, but goes wrong at a place.
    pub fn fault(at: Point, how: How) -> Self {
        Self {
            fault: Some(Fault { at, how }),
            ..Self::default()
        }
    }

    /// Sends garbage.
    pub fn garbage(kind: Garbage) -> Self {
        Self {
            garbage: Some(kind),
            ..Self::default()
        }
    }

    /// Answers with the request's body as the text.
    pub fn echo() -> Self {
        Self {
            echo: true,
            ..Self::default()
        }
    }

    /// Adds a header field to the answer.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Waits so many milliseconds before anything is sent.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }

    /// Streams the text in `chunks` pieces, `ms` milliseconds apart.
    #[must_use]
    pub fn paced(mut self, chunks: usize, ms: u64) -> Self {
        self.chunks = Some(chunks);
        self.chunk_ms = ms;
        self
    }

    /// Reports this usage.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

// === impl Script ===

impl Script {
    /// A script without entries: every request is answered plausibly.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a behaviour for one request to the end of the queue.
    #[must_use]
    pub fn then(mut self, behavior: Behavior) -> Self {
        self.queue.push_back(behavior);
        self
    }

    /// The behaviour of all requests that neither the queue nor a rule covers.
    #[must_use]
    pub fn always(mut self, behavior: Behavior) -> Self {
        self.otherwise = behavior;
        self
    }

    /// Adds a rule for a model name: one behaviour a request in turn, the last one stays.
    #[must_use]
    pub fn on_model(mut self, model: impl Into<String>, behaviors: Vec<Behavior>) -> Self {
        let matches = Match {
            model: Some(model.into()),
            ..Match::default()
        };
        self.rules.push(Rule {
            matches,
            behaviors,
            served: 0,
        });
        self
    }

    /// The behaviour for the next request, by queue, rules and `otherwise`.
    pub(crate) fn next(&mut self, model: &str, path: &str, body: &str) -> Behavior {
        if let Some(behavior) = self.queue.pop_front() {
            return behavior;
        }
        for rule in &mut self.rules {
            if rule.matches.fits(model, path, body) {
                let at = rule.served.min(rule.behaviors.len().saturating_sub(1));
                rule.served += 1;
                return rule.behaviors.get(at).cloned().unwrap_or_default();
            }
        }
        self.otherwise.clone()
    }
}

impl Match {
    fn fits(&self, model: &str, path: &str, body: &str) -> bool {
        self.model.as_deref().is_none_or(|m| m == model)
            && self.path.as_deref().is_none_or(|p| path.starts_with(p))
            && self.contains.as_deref().is_none_or(|c| body.contains(c))
    }
}

/// The behaviour inside a `[[script:{...}]]` mark of a text, if there is one.
pub(crate) fn in_text(text: &str) -> Option<Result<Behavior, serde_json::Error>> {
    let start = text.find("[[script:")? + "[[script:".len();
    serde_json::Deserializer::from_str(&text[start..])
        .into_iter()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_comes_before_rules_and_the_last_behaviour_of_a_rule_stays() {
        let mut script = Script::new()
            .then(Behavior::status(500))
            .on_model("m", vec![Behavior::status(429), Behavior::text("ok")])
            .always(Behavior::text("else"));
        let mut next = |model| script.next(model, "/", "");
        assert_eq!(next("m").status, Some(500));
        assert_eq!(next("m").status, Some(429));
        assert_eq!(next("m").text.as_deref(), Some("ok"));
        assert_eq!(next("m").text.as_deref(), Some("ok"));
        assert_eq!(next("x").text.as_deref(), Some("else"));
    }

    #[test]
    fn a_script_reads_as_json() {
        let script: Script = serde_json::from_str(
            r#"{"rules": [{"match": {"model": "a"}, "do": [{"fault": {"at": {"events": 2}, "how": "reset"}}]}],
                "otherwise": {"garbage": {"huge": 10}}}"#,
        )
        .unwrap();
        assert_eq!(
            script.rules[0].behaviors[0],
            Behavior::fault(Point::Events(2), How::Reset)
        );
        assert_eq!(script.otherwise.garbage, Some(Garbage::Huge(10)));
    }

    #[test]
    fn a_mark_in_the_text_is_found_and_a_wrong_one_is_an_error() {
        let found = in_text(r#"hello [[script:{"status":503,"headers":[["a","b"]]}]] you"#)
            .unwrap()
            .unwrap();
        assert_eq!(found, Behavior::status(503).header("a", "b"));
        assert!(in_text("[[script:{\"statuss\":503}]]").unwrap().is_err());
        assert!(in_text("no mark").is_none());
    }
}
