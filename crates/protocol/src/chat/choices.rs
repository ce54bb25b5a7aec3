//! The choices of a Chat answer, changed without a look at what they say.

use serde_json::value::RawValue;

use crate::{
    Format, Usage,
    fields::{Fields, Member, array},
    glance,
    json::{self, Array},
};

/// A Chat answer without log-probabilities, every other member untouched; `None` where it is no answer.
pub fn without_logprobs(answer: &[u8]) -> Option<Vec<u8>> {
    let members = members(answer)?;
    let choices = choices(&members)?;
    let mut out = Vec::with_capacity(answer.len());
    json::object(&mut out, |o| {
        for (key, value) in &members {
            if key == "choices" {
                o.array(key, |a| choices.iter().for_each(|c| write(c, None, true, a)));
            } else {
                o.raw(key, value.get().as_bytes());
            }
        }
    });
    Some(out)
}

/// Several Chat answers as one with a choice each, in their order: the first one's own members, and the tokens of all. `None`
/// where one of them is no answer.
pub fn side_by_side(answers: &[&[u8]]) -> Option<Vec<u8>> {
    let read: Vec<Vec<Member<'_>>> = answers.iter().map(|a| members(a)).collect::<Option<_>>()?;
    let first: Vec<Vec<Member<'_>>> = read
        .iter()
        .map(|members| choices(members)?.into_iter().next())
        .collect::<Option<_>>()?;
    let mut usage = None::<Usage>;
    for answer in answers {
        if let Some(more) = glance(Format::Chat, answer).ok()? {
            usage = Some(usage.map_or(more, |usage| added(usage, more)));
        }
    }
    let mut out = Vec::with_capacity(answers.iter().map(|a| a.len()).sum());
    json::object(&mut out, |o| {
        for (key, value) in read.first().into_iter().flatten() {
            match (key.as_ref(), &usage) {
                ("choices", _) => o.array(key, |a| {
                    for (index, choice) in first.iter().enumerate() {
                        write(choice, Some(index), false, a);
                    }
                }),
                ("usage", Some(usage)) => o.object(key, |u| usage.write(Format::Chat, u)),
                _ => o.raw(key, value.get().as_bytes()),
            }
        }
    });
    Some(out)
}

fn members(answer: &[u8]) -> Option<Vec<Member<'_>>> {
    let raw: &RawValue = serde_json::from_slice(answer).ok()?;
    Some(Fields::of(raw).ok()?.all())
}

fn choices<'a>(members: &[Member<'a>]) -> Option<Vec<Vec<Member<'a>>>> {
    let (_, raw) = members.iter().find(|(key, _)| key == "choices")?;
    let choices = array(raw).ok()?.into_iter();
    choices.map(|c| Some(Fields::of(c).ok()?.all())).collect()
}

/// Writes a choice, under another index where one is given.
fn write(choice: &[Member<'_>], index: Option<usize>, blank: bool, a: &mut Array<'_>) {
    a.object(|c| {
        for (key, value) in choice {
            match (key.as_ref(), index) {
                ("index", Some(index)) => c.field("index", index),
                ("logprobs", _) if blank => c.null("logprobs"),
                _ => c.raw(key, value.get().as_bytes()),
            }
        }
    });
}

fn added(a: Usage, b: Usage) -> Usage {
    Usage {
        input: a.input.saturating_add(b.input),
        cached_input: a.cached_input.saturating_add(b.cached_input),
        output: a.output.saturating_add(b.output),
        cache_write: a.cache_write.saturating_add(b.cache_write),
        reasoning: a.reasoning.saturating_add(b.reasoning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_taken_out_and_nothing_else() {
        let body = br#"{"id":"a","x":1.50,"choices":[{"index":0,"message":{"content":"hi"},"logprobs":{"content":[]},"finish_reason":null}]}"#;
        let out = String::from_utf8(without_logprobs(body).unwrap()).unwrap();
        assert_eq!(
            out,
            r#"{"id":"a","x":1.50,"choices":[{"index":0,"message":{"content":"hi"},"logprobs":null,"finish_reason":null}]}"#
        );
        assert!(without_logprobs(b"[]").is_none());
    }

    #[test]
    fn answers_become_choices_and_tokens_are_added_up() {
        let answer = |text: &str| {
            format!(
                r#"{{"id":"{text}","choices":[{{"index":0,"message":{{"content":"{text}"}}}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}}"#
            )
        };
        let (a, b) = (answer("a"), answer("b"));
        let out = side_by_side(&[a.as_bytes(), b.as_bytes()]).unwrap();
        let out: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(out["id"], "a");
        assert_eq!(out["choices"][1]["index"], 1);
        assert_eq!(out["choices"][1]["message"]["content"], "b");
        assert_eq!(out["usage"]["total_tokens"], 10);
        assert!(side_by_side(&[a.as_bytes(), b"{}"]).is_none());
    }
}
