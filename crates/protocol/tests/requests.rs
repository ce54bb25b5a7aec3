//! Requests in every direction: what is carried over, byte by byte where it must be, and what is lost with which warning.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use fingerpost_protocol::{Dialect, Format, Format::*, translate_request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn translate(from: Format, to: Format, body: &str) -> (String, Vec<String>) {
    let (out, warnings) = translate_request(from, to, body.as_bytes(), "up", Dialect::default()).unwrap();
    let warnings = warnings.iter().map(|w| w.field.to_string()).collect();
    (String::from_utf8(out).unwrap(), warnings)
}

fn value(from: Format, to: Format, body: &Value) -> (Value, Vec<String>) {
    let (out, warnings) = translate(from, to, &body.to_string());
    (serde_json::from_str(&out).unwrap(), warnings)
}

#[test]
fn chat_to_messages() {
    let (out, warnings) = value(
        Chat,
        Messages,
        &json!({
            "model": "gpt", "max_completion_tokens": 100, "temperature": 1.5, "top_p": 0.9, "stop": "END", "user": "u1", "seed": 3,
            "parallel_tool_calls": false, "stream": true, "stream_options": {"include_usage": true}, "chat_template_kwargs": {"x": 1},
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "developer", "content": [{"type": "text", "text": "and kind", "cache_control": {"type": "ephemeral"}}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}}]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"q\": 1.0}"}},
                    {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "one"},
                {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
                {"role": "user", "content": "so?"}],
            "tools": [{"type": "function", "function": {"name": "look", "description": "looks", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": "required",
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "b": 1}}},
        }),
    );
    assert_eq!(
        out,
        json!({
            "model": "up", "max_tokens": 100, "temperature": 1.0, "top_p": 0.9, "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"}, "stream": true,
            "system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "and kind", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}, "title": "a.pdf"}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "call_1", "name": "look", "input": {"q": 1.0}},
                    {"type": "tool_use", "id": "call_2", "name": "look", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "two"},
                    {"type": "text", "text": "so?"}]}],
            "tools": [{"name": "look", "description": "looks", "input_schema": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "b": 1}}},
        })
    );
    assert_eq!(warnings, ["temperature", "seed", "chat_template_kwargs"]);
}

#[test]
fn messages_to_chat() {
    let body = json!({
        "model": "claude", "max_tokens": 50, "top_k": 5, "stop_sequences": ["a", "b"], "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "sys", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "let me look"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"b": 1, "a": [2]}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    {"type": "text", "text": "no"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}]},
                {"type": "text", "text": "and?", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}],
        "tools": [
            {"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "container": "c",
    });
    let (out, warnings) = value(Messages, Chat, &body);
    assert_eq!(
        out,
        json!({
            "model": "up", "max_completion_tokens": 50, "top_k": 5, "stop": ["a", "b"], "user": "u", "reasoning_effort": "low",
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "sys", "cache_control": {"type": "ephemeral"}}]},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "let me look",
                 "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": "{\"b\":1,\"a\":[2]}"}}],
                 "reasoning_content": "hm",
                 "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "zz"}]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "no"},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]},
                {"role": "user", "content": [{"type": "text", "text": "and?", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": {"type": "function", "function": {"name": "look"}}, "parallel_tool_calls": false,
        })
    );
    assert_eq!(
        warnings,
        [
            "is_error",
            "tool_result",
            "tools.web_search_20250305",
            "container"
        ]
    );
    // And back: nothing of the thinking is lost on the way.
    let (back, _) = value(Chat, Messages, &out);
    assert_eq!(
        back["messages"][1]["content"][0],
        body["messages"][1]["content"][0]
    );
    assert_eq!(
        back["messages"][1]["content"][1],
        body["messages"][1]["content"][1]
    );
    assert_eq!(back["system"], body["system"]);
}

#[test]
fn responses_to_both() {
    let body = json!({
        "model": "gpt", "instructions": "be kind", "max_output_tokens": 9, "store": true, "service_tier": "flex", "truncation": "auto",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "thought"}], "encrypted_content": "enc"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "wait", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "look", "arguments": "{\"a\":1}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
            {"type": "web_search_call", "id": "ws", "status": "completed"}],
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": false}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "look"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "auto"},
    });
    let (chat, warnings) = value(Responses, Chat, &body);
    assert_eq!(
        chat,
        json!({
            "model": "up", "max_completion_tokens": 9, "store": true, "service_tier": "flex", "reasoning_effort": "high", "verbosity": "low",
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}}]},
                {"role": "assistant", "content": "wait",
                 "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"}}],
                 "reasoning_content": "thought",
                 "thinking_blocks": [{"type": "thinking", "thinking": "thought", "signature": "openai-item:rs_1:enc"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "tool", "tool_call_id": "c2", "content": "two"}],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": false}}],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        })
    );
    assert_eq!(warnings, ["web_search_call", "tools.web_search"]);
    let (messages, warnings) = value(Responses, Messages, &body);
    assert_eq!(
        messages["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "wait"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"}]}
        ])
    );
    assert_eq!(messages["system"], "be kind");
    assert_eq!(messages["tool_choice"], json!({"type": "tool", "name": "look"}));
    assert_eq!(messages.get("thinking"), None);
    assert!(
        warnings.contains(&"reasoning".to_owned()) && warnings.contains(&"service_tier".to_owned()),
        "{warnings:?}"
    );
}

#[test]
fn chat_to_responses_and_back() {
    let body = json!({
        "model": "up", "max_completion_tokens": 9, "temperature": 0.5, "reasoning_effort": "low", "verbosity": "high", "user": "u",
        "messages": [
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "wait", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "auto"}}]}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": false}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "store": false,
    });
    let (responses, warnings) = value(Chat, Responses, &body);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(
        responses["input"],
        json!([
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be kind"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "wait", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "and"}, {"type": "input_image", "image_url": "https://x/y", "detail": "auto"}]}
        ])
    );
    assert_eq!(
        responses["tools"],
        json!([{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": false}])
    );
    let (back, warnings) = value(Responses, Chat, &responses);
    assert_eq!((back, warnings), (body, Vec::<String>::new()));
}

#[test]
fn schemas_arguments_and_numbers_keep_their_bytes() {
    let schema = r#"{ "z":1, "a" : [1.50, 1e3], "type":"object","é":"\u00e9" }"#;
    let chat = format!(
        r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"b","parameters":{schema}}}}},{{"type":"function","function":{{"name":"a","parameters":{schema}}}}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"n","schema":{schema}}}}}}}"#
    );
    for to in [Messages, Responses] {
        let (out, _) = translate(Chat, to, &chat);
        assert_eq!(out.matches(schema).count(), 3, "{to}: {out}");
        assert!(
            out.find(r#""name":"b""#) < out.find(r#""name":"a""#),
            "{to}: order of tools"
        );
    }
    let arguments = r#"{\"z\": 1.0, \"a\":2}"#;
    let call = format!(
        r#"{{"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{{"id":"i","function":{{"name":"f","arguments":"{arguments}"}}}}]}}]}}"#
    );
    let (out, _) = translate(Chat, Messages, &call);
    assert!(out.contains(r#""input":{"z": 1.0, "a":2}"#), "{out}");
}

#[test]
fn thinking_by_effort_and_what_it_excludes() {
    let ask = |extra: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": "medium", "temperature": 0.2});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        value(Chat, Messages, &body)
    };
    let (out, warnings) = ask(json!({"max_tokens": 1000}));
    assert_eq!(out["thinking"], json!({"type": "enabled", "budget_tokens": 8192}));
    assert_eq!((&out["max_tokens"], out.get("temperature")), (&json!(9192), None));
    assert_eq!(warnings, ["temperature"]);
    let (out, _) = ask(json!({"reasoning_effort": "none"}));
    assert_eq!(
        (&out["thinking"], &out["temperature"]),
        (&json!({"type": "disabled"}), &json!(0.2))
    );
    assert_eq!(out["max_tokens"], 4096);
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let (out, warnings) = ask(json!({"tools": tool, "tool_choice": "required"}));
    assert_eq!(
        (out.get("thinking"), warnings),
        (None, vec!["reasoning".to_owned()])
    );
    assert_eq!(
        out["tools"][0]["input_schema"],
        json!({"type": "object", "properties": {}})
    );
    let round = json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "a", "content": "r"}]);
    let (out, warnings) = ask(json!({"tools": tool, "messages": round}));
    assert_eq!(
        (out.get("thinking"), warnings),
        (None, vec!["reasoning".to_owned()])
    );
    let adaptive = Dialect {
        adaptive_thinking: true,
        ..Dialect::default()
    };
    let body = br#"{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"minimal"}"#;
    let (out, _) = translate_request(Chat, Messages, body, "up", adaptive).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&out["thinking"], &out["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "low"}))
    );
}

#[test]
fn a_thought_finds_its_maker_again_through_any_client() {
    // Anthropic's thinking through a Responses client.
    let items = json!({"input": [
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "anthropic-signature:sig"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "anthropic-redacted:data"},
        {"role": "assistant", "content": "y"}]});
    let (out, warnings) = value(Responses, Messages, &items);
    assert_eq!(
        out["messages"][1]["content"],
        json!([{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "data"}, {"type": "text", "text": "y"}])
    );
    assert!(warnings.is_empty());
    // OpenAI's reasoning through an Anthropic client.
    let blocks = json!({"max_tokens": 5, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "openai-item:rs_9:enc:ed"}, {"type": "text", "text": "y"}]}]});
    let (out, warnings) = value(Messages, Responses, &blocks);
    assert_eq!(
        out["input"][1],
        json!({"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "enc:ed"})
    );
    assert!(warnings.is_empty());
    // And nobody gets another's.
    let foreign = json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning_content": "own"}]});
    for to in [Messages, Responses] {
        let (out, warnings) = value(Chat, to, &foreign);
        assert_eq!(warnings, ["reasoning"], "{to}");
        assert!(!out.to_string().contains("own"), "{to}");
    }
}

#[test]
fn a_dialect_without_extensions_says_what_it_drops() {
    let strict = Dialect {
        extensions: false,
        max_completion_tokens: false,
        developer: false,
        ..Dialect::default()
    };
    let body = br#"{"max_tokens":7,"top_k":3,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"y"}]}]}"#;
    let (out, warnings) = translate_request(Messages, Chat, body, "up", strict).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        out,
        json!({"model": "up", "max_tokens": 7, "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s"}]}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]})
    );
    let fields: Vec<_> = warnings.iter().map(|w| w.field.as_ref()).collect();
    assert_eq!(fields, ["cache_control", "reasoning", "top_k"]);
}

#[test]
fn wrong_requests_name_the_field() {
    for (from, body, message) in [
        (
            Chat,
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"arguments":"{}"}}]}]}"#,
            "`messages[0].tool_calls[0].function.name`: missing",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            "`messages[0].content[0].image_url.url`: missing",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}"#,
            "`temperature`: found a string, allowed: a number",
        ),
        (
            Chat,
            r#"{"messages":[{"role":"user","content":"x"}],"tool_choice":"maybe"}"#,
            "`tool_choice`: found \"maybe\", allowed: none, auto, required, or an object that names a tool",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}"#,
            "`messages[0].content[0].tool_use_id`: missing",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"ftp"}}]}]}"#,
            "`messages[0].content[0].source.type`: found \"ftp\", allowed: base64, url, text, file",
        ),
        (
            Messages,
            r#"{"messages":[{"role":"user","content":"x"}],"tools":[{"input_schema":{}}]}"#,
            "`tools[0].name`: missing",
        ),
        (
            Responses,
            r#"{"input":[{"type":"function_call","call_id":"a","arguments":"{}"}]}"#,
            "`input[0].name`: missing",
        ),
        (
            Responses,
            r#"{"input":"x","background":true}"#,
            "`background`: found true, allowed: false; answers are not made in the background here",
        ),
        (
            Responses,
            "nonsense",
            "the request body: not valid JSON: expected ident at line 1 column 2",
        ),
    ] {
        let bad = translate_request(from, Chat, body.as_bytes(), "up", Dialect::default()).expect_err(body);
        assert_eq!(bad.message, message, "{body}");
    }
}

/// A Chat conversation in its plainest spelling, such as the translation back spells it.
fn conversation() -> impl Strategy<Value = Value> {
    let text = "[a-zA-Zäß\"\\\\ {}:]{0,12}[a-z]";
    let user = text.prop_map(|t| vec![json!({"role": "user", "content": t})]);
    let picture = (text, "[A-Z]{4}").prop_map(|(t, data)| {
        vec![json!({"role": "user", "content": [{"type": "text", "text": t}, {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}]})]
    });
    let round = (text, proptest::collection::vec(("[a-z]{1,5}", "[a-z]{1,5}", text, any::<i32>()), 1..4)).prop_map(|(said, calls)| {
        let list: Vec<_> = calls.iter().enumerate().map(|(i, (id, name, q, n))| {
            json!({"id": format!("call_{id}{i}"), "type": "function", "function": {"name": name, "arguments": json!({"q": q, "n": n}).to_string()}})
        }).collect();
        let mut turns = vec![json!({"role": "assistant", "content": said, "tool_calls": list})];
        turns.extend(calls.iter().enumerate().map(|(i, (id, _, q, _))| json!({"role": "tool", "tool_call_id": format!("call_{id}{i}"), "content": q})));
        turns
    });
    let answer = text.prop_map(|t| vec![json!({"role": "assistant", "content": t})]);
    let exchange = (prop_oneof![user, picture], proptest::option::of(round), answer)
        .prop_map(|(u, r, a)| [u, r.unwrap_or_default(), a].concat());
    (proptest::option::of(text), proptest::collection::vec(exchange, 1..4)).prop_map(|(system, turns)| {
        let system = system.map(|s| vec![json!({"role": "system", "content": s})]).unwrap_or_default();
        let mut turns: Vec<Value> = system.into_iter().chain(turns.concat()).collect();
        // Two turns of the assistant in a row are one in the other formats.
        turns.dedup_by(|b, a| {
            let merge = b["role"] == "assistant" && a["role"] == "assistant";
            merge && a.get("tool_calls").is_none()
        });
        json!({"model": "up", "max_completion_tokens": 10, "messages": turns,
               "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": false}}]})
    })
}

proptest! {
    #[test]
    fn a_conversation_survives_the_way_there_and_back(body in conversation()) {
        for over in [Messages, Responses] {
            let (there, lost) = value(Chat, over, &body);
            prop_assert!(lost.is_empty(), "{over}: {lost:?}");
            let (mut back, lost) = value(over, Chat, &there);
            prop_assert!(lost.is_empty(), "{over}: {lost:?}");
            for name in ["store", "reasoning_effort"] {
                back.as_object_mut().unwrap().remove(name);
            }
            for message in back["messages"].as_array_mut().unwrap() {
                // Responses asks for a detail; `auto` is what no detail means.
                for part in message["content"].as_array_mut().into_iter().flatten() {
                    if let Some(image) = part.get_mut("image_url").and_then(Value::as_object_mut) {
                        image.remove("detail");
                    }
                }
            }
            prop_assert_eq!(&back, &body, "over {}: {}", over, there);
        }
    }

    #[test]
    fn any_bytes_are_translated_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for from in Format::ALL {
            let _ = translate_request(from, Chat, &bytes, "up", Dialect::default());
        }
    }

    #[test]
    fn near_requests_are_translated_or_refused(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"messages\":["), Just("\"input\":["), Just("{\"role\":\"user\",\"content\":"),
                Just("\"x\"}"), Just("\"type\":\"text\""), Just("\"type\":\"tool_use\""), Just("\"tools\":"), Just("null"), Just("1"), Just("\"\\ud83d\""),
                Just("{\"type\":\"reasoning\"}"), Just("\"source\":{}"), Just("true"),
            ],
            0..25,
        )
    ) {
        let body = format!("{{{}", pieces.concat());
        for from in Format::ALL {
            for to in Format::ALL {
                if let Ok((out, _)) = translate_request(from, to, body.as_bytes(), "up", Dialect::default()) {
                    prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
                }
            }
        }
    }
}
