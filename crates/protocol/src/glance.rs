//! A quick look at a whole answer that is passed on as it came: is it an answer at all, and what did it use?

use crate::{BadAnswer, Format, Usage, scan::Scan, usage::Wire};

/// Looks at an answer of `format`: one pass that skips its content. Gives the tokens used, where it says so.
///
/// # Errors
/// [`BadAnswer`] where it is no answer: not JSON (or cut off), an error object, without `choices`, `output` or `content`.
pub fn glance(format: Format, body: &[u8]) -> Result<Option<Usage>, BadAnswer> {
    let (needed, may_be_empty) = match format {
        // A choice without an answer in it is still a choice; none at all is nothing to show.
        Format::Chat => ("choices", false),
        Format::Responses => ("output", true),
        Format::Messages => ("content", true),
    };
    let (mut there, mut error, mut usage) = (false, false, None);
    let mut scan = Scan::new(body);
    scan.object(|key, scan| {
        match key {
            key if key == needed.as_bytes() => there = scan.is_filled_array()? || may_be_empty,
            b"error" => error = scan.is_there()?,
            b"usage" if scan.at_object() => usage = Some(Wire::scan(scan)?),
            _ => scan.skip()?,
        }
        Ok(())
    })
    .and_then(|()| scan.end())
    .map_err(|e| BadAnswer::new(&format!("it is not an answer: {e}")))?;
    match (error, there) {
        (true, _) => Err(BadAnswer::new("it is an error object under a status of success")),
        (false, false) => Err(BadAnswer::new(&format!("it has no `{needed}`"))),
        (false, true) => Ok(usage.map(|wire| wire.usage(format))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_pass_with_their_usage() {
        let chat = br#"{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        assert_eq!(
            glance(Format::Chat, chat).unwrap().map(|u| (u.input, u.output)),
            Some((3, 2))
        );
        let messages =
            br#"{"content":[],"usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":4}}"#;
        assert_eq!(
            glance(Format::Messages, messages)
                .unwrap()
                .map(|u| (u.input, u.cached_input)),
            Some((7, 4))
        );
        let responses = br#"{"output":[],"error":null}"#;
        assert_eq!(glance(Format::Responses, responses).unwrap(), None);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, told) in [
            (&b"<html>"[..], "it is not an answer"),
            (br#"{"choices":[{"mess"#, "it is not an answer"),
            (br#"{"choices":"none"}"#, "expected an array"),
            (br#"{"choices":[]}"#, "it has no `choices`"),
            (br#"{"object":"chat.completion"}"#, "it has no `choices`"),
            (br#"{"error":{"message":"boom"},"choices":[1]}"#, "error object"),
            (br#"[1]"#, "expected a JSON object"),
        ] {
            let bad = glance(Format::Chat, body).unwrap_err().to_string();
            assert!(bad.contains(told), "{bad}");
        }
    }
}
