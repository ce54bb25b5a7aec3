//! A request taken apart into what its last user message says and everything that it is said in: the model, the instructions,
//! the turns before, the tools, the sampling. Two requests with one frame may differ only in their last text, which is what a
//! cache of answers compares.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    Format,
    fields::{self, Fields},
};

/// What is left of a request when its frame is taken off.
#[derive(Debug, Clone, PartialEq)]
pub struct Framed<'a> {
    /// What the last user message says; several parts are joined by line feeds.
    pub text: Cow<'a, str>,
    /// The temperature, where the client gives one.
    pub temperature: Option<f64>,
}

/// Takes the last user text out of a request and hands everything else to `feed`, piece after piece, so that two requests feed
/// the same bytes only where they are the same but for that text. The order of top-level members does not count, nor whether a
/// stream is asked for; spaces inside of values do.
///
/// `None` where the request does not end with a user message of nothing but text, where some of the conversation is kept
/// elsewhere, or where an object has a key twice (two parsers may disagree which one counts).
pub fn frame<'a>(format: Format, body: &'a [u8], feed: &mut dyn FnMut(&[u8])) -> Option<Framed<'a>> {
    // With its length before it, no piece can pass for another one's end.
    let mut piece = |bytes: &[u8]| {
        feed(&(bytes.len() as u64).to_le_bytes());
        feed(bytes);
    };
    let raw: &RawValue = serde_json::from_slice(body).ok()?;
    let mut request = single(raw)?;
    let said = request.take(match format {
        Format::Responses => "input",
        Format::Chat | Format::Messages => "messages",
    })?;
    for stays_out in ["stream", "stream_options"] {
        request.take(stays_out);
    }
    if request.take("conversation").is_some() {
        return None;
    }
    let mut temperature = None;
    let mut rest = request.rest();
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, value) in rest {
        if key == "temperature" {
            temperature = serde_json::from_str(value.get()).ok();
        }
        piece(key.as_bytes());
        piece(value.get().as_bytes());
    }
    let text = if fields::is_text(said) {
        fields::text(said).ok()?
    } else {
        let messages = fields::array(said).ok()?;
        let (last, before) = messages.split_last()?;
        for message in before {
            piece(message.get().as_bytes());
        }
        last_text(last, &mut piece)?
    };
    Some(Framed { text, temperature })
}

/// What a message says, where it is a user's and has nothing but text.
fn last_text<'a>(message: &'a RawValue, piece: &mut dyn FnMut(&[u8])) -> Option<Cow<'a, str>> {
    let mut message = single(message)?;
    let is_user = message.text("role").ok()?.as_deref() == Some("user");
    let is_message = matches!(message.text("type").ok()?.as_deref(), None | Some("message"));
    let content = message.take("content").filter(|_| is_user && is_message)?;
    for (key, value) in message.rest() {
        piece(key.as_bytes());
        piece(value.get().as_bytes());
    }
    if fields::is_text(content) {
        return fields::text(content).ok();
    }
    let mut texts = Vec::new();
    for part in fields::array(content).ok()? {
        let mut part = single(part)?;
        if !matches!(part.text("type").ok()?.as_deref(), Some("text" | "input_text")) {
            return None;
        }
        texts.push(part.text("text").ok()??);
        piece(b"part");
        for (key, value) in part.rest() {
            piece(key.as_bytes());
            piece(value.get().as_bytes());
        }
    }
    match texts.len() {
        1 => texts.pop(),
        _ => Some(texts.join("\n").into()),
    }
}

/// The members of an object none of whose keys stands twice.
fn single(raw: &RawValue) -> Option<Fields<'_>> {
    let fields = Fields::of(raw).ok()?;
    (!fields.has_twins()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(format: Format, body: &str) -> Option<(String, Vec<u8>)> {
        let mut frame_bytes = Vec::new();
        let framed = frame(format, body.as_bytes(), &mut |b| frame_bytes.extend_from_slice(b))?;
        Some((framed.text.into_owned(), frame_bytes))
    }

    #[test]
    fn the_last_text_comes_out_and_the_rest_is_the_frame() {
        let chat = |system: &str, text: &str| {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{text}"}}]}}"#
            );
            taken(Format::Chat, &body).unwrap()
        };
        let (text, first) = chat("s", "a\\nb");
        assert_eq!(text, "a\nb");
        assert_eq!(chat("s", "c").1, first, "only the text differs");
        assert_ne!(chat("t", "a\\nb").1, first, "another system text");
    }

    #[test]
    fn the_order_of_members_and_the_wish_for_a_stream_do_not_count() {
        let frame = |body: &str| taken(Format::Responses, body).unwrap().1;
        let first = frame(r#"{"model":"m","instructions":"i","input":"x"}"#);
        assert_eq!(
            frame(r#"{"input":"y","stream":true,"instructions":"i","model":"m","user":null}"#),
            first
        );
        assert_ne!(frame(r#"{"model":"m","instructions":"j","input":"x"}"#), first);
        assert_ne!(
            frame(r#"{"model":"m","instructions":"i","top_p":1,"input":"x"}"#),
            first
        );
    }

    #[test]
    fn parts_are_joined_and_their_markers_belong_to_the_frame() {
        let ask = |marker: &str| {
            let body = format!(
                r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"text","text":"a"}},{{"type":"text","text":"b"{marker}}}]}}]}}"#
            );
            taken(Format::Messages, &body).unwrap()
        };
        let (text, plain) = ask("");
        assert_eq!(text, "a\nb");
        assert_ne!(ask(r#","cache_control":{"type":"ephemeral"}"#).1, plain);
    }

    #[test]
    fn what_cannot_be_compared_has_no_frame() {
        for body in [
            r#"{"messages":[{"role":"assistant","content":"x"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}"#,
            r#"{"seed":1,"seed":2,"messages":[{"role":"user","content":"a"}]}"#,
            r#"{"messages":[]}"#,
            r#"{"model":"m"}"#,
            "[]",
            "{",
        ] {
            assert_eq!(taken(Format::Chat, body), None, "{body}");
        }
        let elsewhere = r#"{"model":"m","input":"x","conversation":"conv_1"}"#;
        assert_eq!(taken(Format::Responses, elsewhere), None);
        let call = r#"{"input":[{"type":"function_call_output","call_id":"c","output":"o"}]}"#;
        assert_eq!(taken(Format::Responses, call), None);
    }

    #[test]
    fn the_temperature_is_read_and_belongs_to_the_frame() {
        let body = |t: &str| format!(r#"{{"temperature":{t},"messages":[{{"role":"user","content":"a"}}]}}"#);
        let (cold, warm) = (body("0.2"), body("1.5"));
        let framed = frame(Format::Chat, warm.as_bytes(), &mut |_| {}).unwrap();
        assert_eq!(framed.temperature, Some(1.5));
        assert_ne!(taken(Format::Chat, &cold), taken(Format::Chat, &warm));
    }
}
