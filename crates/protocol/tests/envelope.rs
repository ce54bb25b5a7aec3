//! What the envelope reads, refuses, and sends on.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use fingerpost_core::{Role, TokenCount};
use fingerpost_protocol::{Edit, Envelope, Format};
use proptest::prelude::*;

fn texts(envelope: &Envelope<'_>) -> Vec<(Role, String)> {
    envelope
        .query
        .turns
        .iter()
        .map(|t| (t.role, t.text().into_owned()))
        .collect()
}

#[test]
fn chat() {
    let body = br#"{"messages":[
        {"content":"be brief","role":"developer"},
        {"role":"user","content":[{"type":"text","text":"what\nis this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"a"},{"id":"b"}]},
        {"role":"tool","tool_call_id":"a","content":"42"},
        {"role":"user","name":"x","content":"go on"}],
        "model":"gpt-4o","stream":true,"max_tokens":5,"max_completion_tokens":7,"n":2,
        "tools":[{"type":"function","function":{"name":"f"}},{}],"response_format":{"json_schema":{"type":"no"},"type":"json_schema"},
        "metadata":{"team":"a","odd":5},"user":"u1","unknown":{"deep":[1,{"x":null}]}}"#;
    let e = Envelope::parse(Format::Chat, body).unwrap();
    assert_eq!(
        texts(&e),
        [
            (Role::Developer, "be brief".to_owned()),
            (Role::User, "what\nis this?".to_owned()),
            (Role::Assistant, String::new()),
            (Role::Tool, "42".to_owned()),
            (Role::User, "go on".to_owned()),
        ]
    );
    let q = &e.query;
    assert_eq!(
        (
            q.turns[1].images,
            q.turns[1].audio,
            q.turns[2].tool_calls,
            q.turns[3].tool_results
        ),
        (1, 1, 2, 1)
    );
    assert_eq!(
        (q.model.as_ref(), q.stream, q.max_output, q.tools),
        ("gpt-4o", true, Some(TokenCount(7)), 2)
    );
    assert!(q.structured && !q.continues && e.names_model() && e.hides_usage());
    assert_eq!((e.answers, e.user.as_deref()), (2, Some("u1")));
    assert_eq!(q.metadata, [("team".into(), "a".into())]);
}

#[test]
fn messages() {
    let body = br#"{"model":"claude","max_tokens":10,"system":[{"type":"text","text":"sys","cache_control":{"type":"ephemeral"}}],
        "messages":[{"role":"user","content":"hi"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"ok"},{"type":"tool_use","id":"t","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"res"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"type":"text","text":"and?"}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"plain"}]}],
        "output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},"metadata":{"user_id":"u9"}}"#;
    let e = Envelope::parse(Format::Messages, body).unwrap();
    assert_eq!(
        texts(&e),
        [
            (Role::System, "sys".to_owned()),
            (Role::User, "hi".to_owned()),
            (Role::Assistant, "ok".to_owned()),
            (Role::Tool, "res".to_owned()),
            (Role::User, "and?".to_owned()),
            (Role::Tool, "plain".to_owned()),
        ]
    );
    assert_eq!(
        (
            e.query.turns[2].tool_calls,
            e.query.turns[3].images,
            e.query.turns[4].tool_results
        ),
        (1, 1, 0)
    );
    assert!(e.query.structured);
    assert_eq!(e.user.as_deref(), Some("u9"));
    assert_eq!(e.query.max_output, Some(TokenCount(10)));
    assert_eq!(e.query.user_text(), "and?");
}

#[test]
fn responses() {
    let body = br#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_image","image_url":"https://x/y.png","detail":"auto"}]},
        {"type":"reasoning","id":"r","summary":[],"encrypted_content":"xx"},
        {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"c2","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"one"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"done","annotations":[]}]}],
        "instructions":"be kind","model":"gpt-5","previous_response_id":"resp_1","store":false,"text":{"format":{"type":"json_object"}},"max_output_tokens":9}"#;
    let e = Envelope::parse(Format::Responses, body).unwrap();
    assert_eq!(
        texts(&e),
        [
            (Role::System, "be kind".to_owned()),
            (Role::User, "hi".to_owned()),
            (Role::Assistant, String::new()),
            (Role::Tool, "one".to_owned()),
            (Role::Tool, "two".to_owned()),
            (Role::Assistant, "done".to_owned()),
        ]
    );
    assert_eq!(e.query.turns[2].tool_calls, 2);
    assert_eq!(e.instructions(), Some("be kind"));
    assert_eq!(e.previous_response_id.as_deref(), Some("resp_1"));
    assert!(e.query.continues && e.query.structured);
    assert_eq!((e.store, e.query.max_output), (Some(false), Some(TokenCount(9))));
    let plain = Envelope::parse(Format::Responses, br#"{"model":"m","input":"hi"}"#).unwrap();
    assert_eq!(plain.query.user_text(), "hi");
    assert_eq!(plain.instructions(), None);
}

#[test]
fn wrong_requests_name_the_field() {
    use Format::{Chat, Messages, Responses};
    for (format, body, field, message) in [
        (
            Chat,
            "{",
            None,
            "the request body: not valid JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            Chat,
            "[]",
            None,
            "the request body: found sequence, allowed: a JSON object",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"x"}]} x"#,
            None,
            "the request body: not valid JSON: trailing characters at line 1 column 46",
        ),
        (
            Chat,
            r#"{"model":"m"}"#,
            Some("messages"),
            "`messages`: missing; allowed: an array of at least one message",
        ),
        (
            Chat,
            r#"{"messages":[]}"#,
            Some("messages"),
            "`messages`: found an empty array, allowed: at least one message",
        ),
        (
            Chat,
            r#"{"messages":"hi"}"#,
            Some("messages"),
            "`messages`: found string \"hi\", allowed: an array of messages",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":5}]}"#,
            Some("messages[1].content"),
            "`messages[1].content`: found integer `5`, allowed: a string or an array of parts",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"robot","content":"a"}]}"#,
            Some("messages[0].role"),
            "`messages[0].role`: found string \"robot\", allowed: system, developer, user, assistant, tool, function",
        ),
        (
            Chat,
            r#"{"messages":[{"content":"a"}]}"#,
            Some("messages[0].role"),
            "`messages[0].role`: missing; allowed: system, developer, user, assistant, tool, function",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user"}]}"#,
            Some("messages[0].content"),
            "`messages[0].content`: missing; allowed: a string or an array of parts",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:application/zip;base64,AA"}}]}]}"#,
            Some("messages[0].content[0].image_url"),
            "`messages[0].content[0].image_url`: found string \"application/zip\", allowed: an image: image/png, image/jpeg, image/gif or image/webp",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#,
            Some("messages[0].content[0].type"),
            "`messages[0].content[0].type`: missing; every part has a type",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"model":7}"#,
            Some("model"),
            "`model`: found integer `7`, allowed: a string",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"model":"a","model":"b"}"#,
            Some("model"),
            "`model`: stands twice; allowed: once",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"max_tokens":-1}"#,
            Some("max_tokens"),
            "`max_tokens`: found integer `-1`, allowed: a whole number from 0 to 4294967295",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"stream":"yes"}"#,
            Some("stream"),
            "`stream`: found string \"yes\", allowed: true or false",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"stream_options":{"include_usage":1}}"#,
            Some("stream_options.include_usage"),
            "`stream_options.include_usage`: found 1, allowed: true or false",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"a"}],"tools":{}}"#,
            Some("tools"),
            "`tools`: found map, allowed: an array",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"tool","content":"a"}]}"#,
            Some("messages[0].role"),
            "`messages[0].role`: found string \"tool\", allowed: user, assistant, system",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"video/mp4","data":""}}]}]}"#,
            Some("messages[0].content[0].source"),
            "`messages[0].content[0].source`: found string \"video/mp4\", allowed: an image: image/png, image/jpeg, image/gif or image/webp",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/svg+xml","data":""}}]}]}"#,
            Some("messages[0].content[0].source"),
            "`messages[0].content[0].source`: found string \"image/svg+xml\", allowed: an image: image/png, image/jpeg, image/gif or image/webp",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
            Some("max_tokens"),
            "`max_tokens`: missing; allowed: a whole number from 1",
        ),
        (
            Messages,
            r#"{"max_tokens":0,"messages":[{"role":"user","content":"a"}]}"#,
            Some("max_tokens"),
            "`max_tokens`: found 0, allowed: a whole number from 1",
        ),
        (
            Messages,
            r#"{"system":5,"messages":[{"role":"user","content":"x"}]}"#,
            Some("system"),
            "`system`: found integer `5`, allowed: a string or an array of parts",
        ),
        (
            Responses,
            r#"{"model":"m"}"#,
            Some("input"),
            "`input`: missing; allowed: a string or an array of items",
        ),
        (
            Responses,
            r#"{"input":[]}"#,
            Some("input"),
            "`input`: found no message, allowed: at least one item with content",
        ),
        (
            Responses,
            r#"{"input":[{"role":"tool","content":"x"}]}"#,
            Some("input[0].role"),
            "`input[0].role`: found string \"tool\", allowed: system, developer, user, assistant",
        ),
    ] {
        let bad = Envelope::parse(format, body.as_bytes()).expect_err(body);
        assert_eq!(
            (bad.field.as_deref(), bad.message.as_str()),
            (field, message),
            "{body}"
        );
    }
    let bad = Envelope::parse(Chat, b"\xff").unwrap_err();
    assert_eq!(bad.message, "the request body: not valid UTF-8 after 0 bytes");
}

#[test]
fn a_wrong_part_type_lists_what_is_allowed_and_hides_keys() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"sk-abcdefghijklmnop"}]}]}"#;
    let bad = Envelope::parse(Format::Chat, body.as_bytes()).unwrap_err();
    assert_eq!(bad.field.as_deref(), Some("messages[0].content[0].type"));
    assert!(
        bad.message.contains("[redacted]") && bad.message.contains("text, image_url, input_audio"),
        "{bad}"
    );
    let sent: serde_json::Value = serde_json::from_slice(&bad.to_body(Format::Chat)).unwrap();
    assert_eq!(sent["error"]["param"], "messages[0].content[0].type");
    assert_eq!(sent["error"]["type"], "invalid_request_error");
}

fn sent(format: Format, body: &str, edit: Edit<'_>) -> String {
    let bytes = Bytes::from(body.to_owned());
    let envelope = Envelope::parse(format, &bytes).unwrap();
    String::from_utf8(envelope.body_for(&bytes, edit).into_bytes().to_vec()).unwrap()
}

#[test]
fn only_the_model_changes_on_the_way() {
    let edit = Edit {
        model: Some("a\"b"),
        include_usage: false,
    };
    assert_eq!(
        sent(
            Format::Chat,
            r#" {"x" : 1.0e2, "model" : "old\n", "messages":[{"role":"user","content":"a"}]} "#,
            edit
        ),
        r#" {"x" : 1.0e2, "model" : "a\"b", "messages":[{"role":"user","content":"a"}]} "#
    );
    assert_eq!(
        sent(
            Format::Chat,
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
            edit
        ),
        r#"{"model":"a\"b","messages":[{"role":"user","content":"a"}]}"#
    );
    assert_eq!(
        sent(
            Format::Chat,
            r#"{"model":null,"messages":[{"role":"user","content":"a"}]}"#,
            edit
        ),
        r#"{"model":"a\"b","messages":[{"role":"user","content":"a"}]}"#
    );
}

#[test]
fn an_unchanged_body_is_the_very_same_bytes() {
    let bytes = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#);
    let envelope = Envelope::parse(Format::Chat, &bytes).unwrap();
    let same = envelope
        .body_for(
            &bytes,
            Edit {
                model: Some("m"),
                include_usage: true,
            },
        )
        .into_bytes();
    assert_eq!(same.as_ptr(), bytes.as_ptr());
}

#[test]
fn usage_is_asked_for_in_every_shape_of_stream_options() {
    let edit = Edit {
        model: None,
        include_usage: true,
    };
    let tail = r#""stream":true,"messages":[{"role":"user","content":"a"}]}"#;
    for (before, after) in [
        ("{", r#"{"stream_options":{"include_usage":true},"#),
        (
            r#"{"stream_options":null,"#,
            r#"{"stream_options":{"include_usage":true},"#,
        ),
        (
            r#"{"stream_options":{ },"#,
            r#"{"stream_options":{"include_usage":true },"#,
        ),
        (
            r#"{"stream_options":{"a":1},"#,
            r#"{"stream_options":{"include_usage":true,"a":1},"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false},"#,
            r#"{"stream_options":{"include_usage": true},"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"#,
            r#"{"stream_options":{"include_usage":true},"#,
        ),
    ] {
        assert_eq!(
            sent(Format::Chat, &format!("{before}{tail}"), edit),
            format!("{after}{tail}")
        );
    }
    let not_a_stream = r#"{"messages":[{"role":"user","content":"a"}]}"#;
    assert_eq!(sent(Format::Chat, not_a_stream, edit), not_a_stream);
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = |n| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"a"}}],"x":{}{}}}"#,
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    // Skipped values are skipped without recursion.
    assert!(Envelope::parse(Format::Chat, deep(100_000).as_bytes()).is_ok());
    let content = format!(
        r#"{{"messages":[{{"role":"user","content":{}{}}}]}}"#,
        r#"[{"type":"tool_result","content":"#.repeat(1000),
        "}]".repeat(1000)
    );
    let bad = Envelope::parse(Format::Messages, content.as_bytes()).unwrap_err();
    assert!(bad.message.contains("recursion limit"), "{bad}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            let _ = Envelope::parse(format, &bytes);
        }
    }

    #[test]
    fn near_json_is_read_or_refused(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"messages\""), Just("\"model\""),
                Just("\"role\""), Just("\"user\""), Just("\"content\""), Just("\"type\""), Just("\"text\""), Just("null"), Just("1"),
                Just("\"input\""), Just("true"), Just("\"stream_options\""), Just("\"include_usage\""), Just("\"\\ud800\""),
            ],
            0..60,
        )
    ) {
        let body = pieces.concat();
        for format in Format::ALL {
            if let Ok(envelope) = Envelope::parse(format, body.as_bytes()) {
                let bytes = Bytes::from(body.clone());
                let sent = envelope.body_for(&bytes, Edit { model: Some("new"), include_usage: true }).into_bytes();
                let again = Envelope::parse(format, &sent).expect("an edited body can be read");
                prop_assert_eq!(again.query.model.as_ref(), "new");
            }
        }
    }

    #[test]
    fn splicing_changes_the_model_alone(
        model in ".{0,12}", new in ".{1,12}", text in ".{0,40}", first in any::<bool>(), include_usage in any::<bool>(), stream in any::<bool>()
    ) {
        let model_json = serde_json::to_string(&model).unwrap();
        let messages = serde_json::json!([{"role": "user", "content": text}]);
        let body = if first {
            format!(r#"{{"model": {model_json} ,"messages":{messages},"stream":{stream}}}"#)
        } else {
            format!(r#"{{"messages":{messages},"stream":{stream},"model":{model_json}}}"#)
        };
        let bytes = Bytes::from(body.clone());
        let envelope = Envelope::parse(Format::Chat, &bytes).unwrap();
        prop_assert_eq!(envelope.query.model.as_ref(), model);
        prop_assert_eq!(envelope.query.user_text(), if text.trim().is_empty() { "" } else { &text });
        let sent = envelope.body_for(&bytes, Edit { model: Some(&new), include_usage }).into_bytes();
        let mut want: serde_json::Value = serde_json::from_str(&body).unwrap();
        want["model"] = new.into();
        if include_usage && stream {
            want["stream_options"] = serde_json::json!({"include_usage": true});
        }
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&sent).unwrap(), want);
    }
}
