//! Whole answers in every direction, garbage, and what goes on from stored ones.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use fingerpost_protocol::{
    Answer, Event, Finish, Format, Format::*, Head, Items, Usage, Warnings, glance, translate_answer,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn head() -> Head {
    Head {
        id: "x1".to_owned(),
        created: 7,
        model: "shown".to_owned(),
        echo: None,
    }
}

fn translate(from: Format, to: Format, body: &Value) -> (Value, Vec<String>) {
    let (out, warnings) = translate_answer(from, to, body.to_string().as_bytes(), &head()).unwrap();
    (
        serde_json::from_slice(&out).unwrap(),
        warnings.iter().map(|w| w.field.to_string()).collect(),
    )
}

fn chat() -> Value {
    json!({
        "id": "chatcmpl-x1", "object": "chat.completion", "created": 7, "model": "shown",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
            "role": "assistant", "content": "Hi", "refusal": null, "reasoning_content": "hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}],
            "annotations": [{"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "title": "T", "url": "https://t"}}],
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]}}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42, "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens_details": {"reasoning_tokens": 4}}
    })
}

#[test]
fn chat_to_messages() {
    let (out, warnings) = translate(Chat, Messages, &chat());
    assert_eq!(
        out,
        json!({
            "id": "msg_x1", "type": "message", "role": "assistant", "model": "shown",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "Hi", "citations": [{"type": "web_search_result_location", "cited_text": "", "encrypted_index": "", "title": "T", "url": "https://t"}]},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 12, "output_tokens_details": {"thinking_tokens": 4}}
        })
    );
    assert!(warnings.is_empty());
}

#[test]
fn there_and_back() {
    for over in Format::ALL {
        let (there, _) = translate(Chat, over, &chat());
        let (back, warnings) = translate(over, Chat, &there);
        assert_eq!(
            (back, warnings),
            (chat(), Vec::<String>::new()),
            "{over}: {there}"
        );
    }
}

#[test]
fn responses_repeat_their_request() {
    let request = br#"{"model":"m","input":"hi","instructions":"be kind","temperature":0.50,"tools":[{"type":"function","name":"f"}],"metadata":{"a":"b"},"previous_response_id":"resp_0"}"#;
    let (answer, _) = Answer::collect([
        Event::text("Hi"),
        Event::Finish(Finish::Length),
        Event::Usage(Usage {
            input: 3,
            output: 2,
            ..Usage::default()
        }),
    ]);
    let body = answer.to_body(Responses, &head().echo(request));
    assert!(String::from_utf8_lossy(&body).contains("\"temperature\":0.50,"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["id"], &body["object"], &body["status"]),
        (&json!("resp_x1"), &json!("response"), &json!("incomplete"))
    );
    assert_eq!(body["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(
        body["output"],
        json!([{"id": "msg_x1_0", "type": "message", "status": "incomplete", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]}])
    );
    assert_eq!(
        (
            &body["instructions"],
            &body["previous_response_id"],
            &body["metadata"]
        ),
        (&json!("be kind"), &json!("resp_0"), &json!({"a": "b"}))
    );
    assert_eq!(
        (
            &body["parallel_tool_calls"],
            &body["tool_choice"],
            &body["tools"][0]["name"]
        ),
        (&json!(true), &json!("auto"), &json!("f"))
    );
    assert_eq!(body["usage"]["total_tokens"], 5);
}

#[test]
fn refusals_and_hosted_tools() {
    let responses = json!({"status": "completed", "output": [
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]});
    let (out, warnings) = translate(Responses, Chat, &responses);
    assert_eq!(
        out["choices"][0]["message"],
        json!({"role": "assistant", "content": null, "refusal": "no"})
    );
    assert_eq!(warnings, ["web_search_call"]);
    let (out, _) = translate(Responses, Messages, &responses);
    assert_eq!(out["content"], json!([{"type": "text", "text": "no"}]));
    let (out, _) = translate(
        Messages,
        Responses,
        &json!({"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "refusal", "usage": {"input_tokens": 1, "output_tokens": 1}}),
    );
    assert_eq!(
        (&out["status"], &out["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("content_filter"))
    );
    let two = json!({"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]});
    assert_eq!(translate(Chat, Messages, &two).1, ["choices"]);
}

#[test]
fn garbage_is_named() {
    for (from, body, reason) in [
        (Chat, "", "it is empty"),
        (
            Chat,
            "<html>",
            "it is not JSON: expected value at line 1 column 1; it begins \"<html>\"",
        ),
        (Chat, "{}", "`choices`: missing"),
        (
            Chat,
            r#"{"choices":[]}"#,
            "`choices`: found an empty array, allowed: at least one choice",
        ),
        (
            Chat,
            r#"{"choices":[{"index":0}]}"#,
            "`choices[0].message`: missing",
        ),
        (
            Chat,
            r#"{"choices":{}}"#,
            "`choices`: found an object, allowed: an array",
        ),
        (
            Chat,
            r#"{"choices":[{"message":{"content":"a"}}],"usage":7}"#,
            "`usage`: found a number, allowed: an object of token counts",
        ),
        (
            Chat,
            r#"{"error":{"message":"no"}}"#,
            "it is an error: {\"message\":\"no\"}",
        ),
        (Messages, "[1]", "found an array, allowed: an object"),
        (Messages, r#"{"type":"message"}"#, "`content`: missing"),
        (
            Messages,
            r#"{"content":[{"type":"tool_use","name":"f"}]}"#,
            "`content[0].id`: missing",
        ),
        (
            Responses,
            r#"{"status":"failed","output":[]}"#,
            "its status is failed",
        ),
        (
            Responses,
            r#"{"output":[{"id":"x"}]}"#,
            "`output[0].type`: missing",
        ),
    ] {
        let bad = translate_answer(from, Chat, body.as_bytes(), &head()).expect_err(body);
        assert_eq!(bad.reason, reason, "{body}");
    }
    assert_eq!(
        translate_answer(Chat, Chat, b"\xff", &head()).unwrap_err().reason,
        "it is not UTF-8"
    );
}

#[test]
fn a_conversation_goes_on_from_a_stored_answer() {
    let mut items = Items::of_request(br#"{"model":"m","input":"hi \u00e9"}"#).unwrap();
    items.append(Items::of_answer(br#"{"output":[{"type":"reasoning","id":"r","encrypted_content":"e"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"yes"}]}]}"#).unwrap());
    let stored = Items::from_json(&items.to_json()).unwrap();
    assert_eq!(stored.len(), 3);
    let next = br#"{"previous_response_id":"resp_1","model":"m","input":[{"role":"user","content":"and?"}],"temperature":1.0}"#;
    let mut all = stored;
    all.append(Items::of_request(next).unwrap());
    let body = String::from_utf8(all.into_request(next).unwrap()).unwrap();
    assert_eq!(
        body,
        r#"{"model":"m","temperature":1.0,"input":[{"type":"message","role":"user","content":"hi \u00e9"},{"type":"reasoning","id":"r","encrypted_content":"e"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"yes"}]},{"role":"user","content":"and?"}]}"#
    );
    assert!(Items::of_request(br#"{"input":5}"#).is_err() && Items::of_answer(b"{}").is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for from in Format::ALL {
            let _ = Answer::read(from, &bytes, &mut Warnings::default());
            let _ = glance(from, &bytes);
        }
    }

    #[test]
    fn local_answers_read_back(text in ".{1,40}", thought in ".{0,20}", arguments in "[a-z\"\\\\]{0,10}", input in 0u32..1000, output in 0u32..1000) {
        let arguments = json!({ "q": arguments }).to_string();
        let usage = Usage { input, output, ..Usage::default() };
        let [start, pieces] = Event::tool_call(4, "id1", "f", arguments.as_str());
        let (answer, _) = Answer::collect([Event::Start, Event::Reasoning(thought.as_str().into()), Event::text(text.as_str()), start, pieces, Event::Usage(usage), Event::Finish(Finish::Stop)]);
        for format in Format::ALL {
            let body = answer.to_body(format, &head());
            let again = Answer::read(format, &body, &mut Warnings::default()).unwrap();
            prop_assert_eq!(again.text(), text.as_str());
            prop_assert_eq!((again.usage, again.finish), (Some(usage), Finish::ToolCalls));
            prop_assert!(again.has_calls() && String::from_utf8_lossy(&body).contains("id1"));
        }
    }
}
