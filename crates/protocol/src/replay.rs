//! A whole answer as the events that make it: for a client that wants a stream of what is already there.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{Answer, Event, conversation::PartContent};

#[derive(Deserialize)]
struct Logprob {
    #[serde(default)]
    token: String,
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<Logprob>,
}

impl Answer<'_> {
    /// The events that make this answer, from start to usage.
    pub fn events(&self) -> Vec<Event<'_>> {
        let mut events = vec![Event::Start];
        let mut logprobs = self.logprobs.as_ref().map(|l| Cow::Borrowed(l.as_ref()));
        for (index, part) in (0u32..).zip(&self.parts) {
            match &part.content {
                PartContent::Text(text) => {
                    events.push(Event::Text {
                        text: Cow::Borrowed(text),
                        logprobs: logprobs.take(),
                    });
                }
                PartContent::Refusal(text) => events.push(Event::Refusal(Cow::Borrowed(text))),
                PartContent::Reasoning(thought) => {
                    events.push(Event::Reasoning(Cow::Borrowed(&thought.text)));
                    events.extend(thought.seal.clone().map(Event::Seal));
                }
                PartContent::ToolCall(call) => {
                    let arguments = Cow::Borrowed(call.arguments.as_ref());
                    let (id, name) = (Cow::Borrowed(call.id.as_ref()), Cow::Borrowed(call.name.as_ref()));
                    events.push(Event::ToolCallStart {
                        index,
                        id,
                        name,
                        custom: call.custom,
                    });
                    events.push(Event::ToolCallArguments {
                        index,
                        json: arguments,
                    });
                }
                // An answer has no other parts.
                _ => {}
            }
        }
        events.push(Event::Finish(self.finish));
        events.extend(self.usage.map(Event::Usage));
        events
    }

    /// How many tools it calls.
    pub fn calls(&self) -> usize {
        self.parts
            .iter()
            .filter(|p| matches!(p.content, PartContent::ToolCall(_)))
            .count()
    }

    /// Natural logarithm of the probability of each token of its text; empty where the answer does not say.
    pub fn logprob_values(&self) -> Vec<f32> {
        self.tokens().iter().map(|t| t.logprob).collect()
    }

    /// Each token of its text; empty where the answer does not say.
    pub fn logprob_tokens(&self) -> Vec<String> {
        self.tokens().into_iter().map(|t| t.token).collect()
    }

    /// For each token of its text, how much likelier the likeliest token at its place was than the second, as a difference of
    /// logarithms; empty where the answer does not say for every token.
    pub fn logprob_margins(&self) -> Vec<f32> {
        let margin = |token: &Logprob| match token.top_logprobs.as_slice() {
            [first, second, ..] => Some(first.logprob - second.logprob),
            _ => None,
        };
        self.tokens()
            .iter()
            .map(margin)
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    /// For each token that [`logprob_values`](Self::logprob_values) tells of, whether it belongs to the arguments of a tool call;
    /// empty where no arguments are found among the tokens.
    pub fn logprobs_in_arguments(&self) -> Vec<bool> {
        let tokens = self.tokens();
        let said: String = tokens.iter().map(|t| t.token.as_str()).collect();
        let mut spans = Vec::new();
        let mut from = 0;
        for part in &self.parts {
            if let PartContent::ToolCall(call) = &part.content
                && !call.arguments.is_empty()
                && let Some(at) = said[from..].find(call.arguments.as_ref())
            {
                let end = from + at + call.arguments.len();
                spans.push(from + at..end);
                from = end;
            }
        }
        if spans.is_empty() {
            return Vec::new();
        }
        let mut at = 0;
        let inside = |token: &Logprob| {
            let (start, end) = (at, at + token.token.len());
            at = end;
            spans.iter().any(|span| start < span.end && span.start < end)
        };
        tokens.iter().map(inside).collect()
    }

    fn tokens(&self) -> Vec<Logprob> {
        let list = self
            .logprobs
            .as_ref()
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        list.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Answer, Format, Head, StreamWriter, Warnings};

    const BODY: &[u8] = br#"{"id":"a","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"},
        "logprobs":{"content":[{"token":"hi","logprob":-0.5,"bytes":null,"top_logprobs":[
        {"token":"hi","logprob":-0.5,"bytes":null},{"token":"ho","logprob":-2.0,"bytes":null}]}]}}],
        "usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

    #[test]
    fn a_whole_answer_as_a_stream() {
        let answer = Answer::read(Format::Chat, BODY, &mut Warnings::default()).unwrap();
        let mut writer = StreamWriter::new(
            Format::Chat,
            Head {
                id: "x".into(),
                ..Head::default()
            },
            true,
        );
        let mut out = Vec::new();
        answer
            .events()
            .iter()
            .for_each(|event| writer.write(event, &mut out));
        writer.end(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(r#""content":"hi""#) && text.contains(r#""finish_reason":"stop""#),
            "{text}"
        );
        assert!(
            text.contains(r#""completion_tokens":1"#) && text.trim_end().ends_with("data: [DONE]"),
            "{text}"
        );
    }

    #[test]
    fn log_probabilities_and_margins() {
        let answer = Answer::read(Format::Chat, BODY, &mut Warnings::default()).unwrap();
        assert_eq!(answer.logprob_values(), [-0.5]);
        assert_eq!(answer.logprob_margins(), [1.5]);
        assert_eq!(Answer::default().logprob_margins(), Vec::<f32>::new());
        assert_eq!(answer.logprobs_in_arguments(), Vec::<bool>::new());
    }

    #[test]
    fn tokens_of_arguments_are_told_from_others() {
        let tokens = ["<call>", "{\"city", "\":1}", "</call>"]
            .map(|t| serde_json::json!({"token": t, "logprob": -1.0}).to_string());
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":null,"tool_calls":[{{"id":"c","type":"function","function":
            {{"name":"f","arguments":"{{\"city\":1}}"}}}}]}},"logprobs":{{"content":[{}]}}}}]}}"#,
            tokens.join(",")
        );
        let answer = Answer::read(Format::Chat, body.as_bytes(), &mut Warnings::default()).unwrap();
        assert_eq!(answer.logprobs_in_arguments(), [false, true, true, false]);
    }
}
