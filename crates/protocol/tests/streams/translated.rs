//! Streams that are read, translated and written.

use bytes::Bytes;
use fingerpost_protocol::{
    Answer, ErrorBody, Event, Finish, Format, Format::*, StreamWatch, StreamWriter, Translator,
};
use serde_json::{Value, json};

use crate::fixtures::*;

#[test]
fn every_pair_tells_the_same_answer() {
    let want = json!({
        "id": "msg_x1", "type": "message", "role": "assistant", "model": "shown",
        "content": [
            {"type": "thinking", "thinking": "Let me think", "signature": "sig"},
            {"type": "text", "text": "Hello, wörld"},
            {"type": "tool_use", "id": "call_a", "name": "look", "input": {"q": 1}},
            {"type": "tool_use", "id": "call_b", "name": "find", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 12, "output_tokens_details": {"thinking_tokens": 4}}
    });
    for from in Format::ALL {
        assert_eq!(told(from, fixture(from).as_bytes()), want, "{from}");
        for to in Format::ALL {
            let (out, translator) = translate(from, to, fixture(from).as_bytes());
            assert_eq!(
                told(to, &out),
                want,
                "{from} to {to}: {}",
                String::from_utf8_lossy(&out)
            );
            let seen = translator.seen();
            assert_eq!(
                (seen.finish, seen.usage, seen.complete, seen.content),
                (Some(Finish::ToolCalls), Some(USAGE), true, true)
            );
        }
    }
}

#[test]
fn messages_events_come_in_their_order() {
    let (out, _) = translate(Chat, Messages, CHAT.as_bytes());
    let names: Vec<_> = wire(&out)
        .into_iter()
        .map(|(n, d)| {
            let data: Value = serde_json::from_str(&d).unwrap();
            assert_eq!(data["type"], n.as_str());
            let index = data.get("index").map(|i| format!(" {i}")).unwrap_or_default();
            format!("{n}{index}")
        })
        .collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start 0",
            "content_block_delta 0",
            "content_block_delta 0",
            "content_block_delta 0",
            "content_block_stop 0",
            "content_block_start 1",
            "content_block_delta 1",
            "content_block_delta 1",
            "content_block_stop 1",
            "content_block_start 2",
            "content_block_delta 2",
            "content_block_delta 2",
            "content_block_stop 2",
            "content_block_start 3",
            "content_block_delta 3",
            "content_block_stop 3",
            "message_delta",
            "message_stop",
        ]
    );
}

#[test]
fn responses_events_come_in_their_order_and_are_numbered() {
    let (out, _) = translate(Messages, Responses, MESSAGES.as_bytes());
    let events = wire(&out);
    for (i, (name, data)) in events.iter().enumerate() {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(name), &json!(i))
        );
    }
    let names: Vec<_> = events
        .iter()
        .map(|(n, _)| n.strip_prefix("response.").unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let completed: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
    let response = &completed["response"];
    assert_eq!(
        (&response["id"], &response["status"], &response["created_at"]),
        (&json!("resp_x1"), &json!("completed"), &json!(7))
    );
    let kinds: Vec<_> = response["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(
        response["output"][0]["encrypted_content"],
        "anthropic-signature:sig"
    );
    // Every item keeps one id through its events.
    for (_, data) in &events {
        let data: Value = serde_json::from_str(data).unwrap();
        if let (Some(id), Some(index)) = (data["item_id"].as_str(), data["output_index"].as_u64()) {
            let item = &response["output"][usize::try_from(index).unwrap()];
            assert_eq!(item["id"], id, "{data}");
        }
    }
}

#[test]
fn chat_chunks_come_in_their_order() {
    let (out, _) = translate(Responses, Chat, RESPONSES.as_bytes());
    let events = wire(&out);
    assert_eq!(events.last().unwrap().1, "[DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|(_, d)| serde_json::from_str(d).unwrap())
        .collect();
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    let last = &chunks[chunks.len() - 1];
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(42))
    );
    let finish = &chunks[chunks.len() - 2];
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert!(
        chunks[..chunks.len() - 2]
            .iter()
            .all(|c| c["choices"][0]["finish_reason"].is_null() && c["usage"].is_null())
    );
    assert!(
        chunks
            .iter()
            .all(|c| c["id"] == "chatcmpl-x1" && c["model"] == "shown" && c["created"] == 7)
    );
    let calls: Vec<_> = chunks
        .iter()
        .flat_map(|c| {
            c["choices"][0]["delta"]["tool_calls"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(
        calls[0],
        json!({"index": 0, "id": "call_a", "type": "function", "function": {"name": "look", "arguments": ""}})
    );
    assert_eq!(calls[2]["index"], 1);
}

#[test]
fn log_probabilities_go_with_their_text() {
    let (out, _) = translate(Chat, Responses, CHAT.as_bytes());
    let events = wire(&out);
    let of = |name: &str| {
        events
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, d)| serde_json::from_str::<Value>(d).unwrap())
            .unwrap()
    };
    assert_eq!(of("response.output_text.delta")["logprobs"][0]["token"], "Hello");
    assert_eq!(of("response.output_text.done")["logprobs"][0]["logprob"], -0.5);
    let (out, _) = translate(Chat, Chat, CHAT.as_bytes());
    assert!(String::from_utf8_lossy(&out).contains(r#""logprobs":{"content":[{"token":"Hello""#));
}

#[test]
fn a_client_that_did_not_ask_gets_no_usage_chunk() {
    let mut translator = Translator::new(Messages, Chat, head(), false);
    let mut out = Vec::new();
    translator.feed(MESSAGES.as_bytes(), &mut out).unwrap();
    translator.finish(&mut out).unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("usage"));
    assert_eq!(translator.seen().usage, Some(USAGE));
}

#[test]
fn a_stream_that_breaks_off_is_never_told_as_whole() {
    for from in Format::ALL {
        let stream = fixture(from);
        // Cut behind the first call, amid an event, amid the first event.
        for cut in [stream.find("call_b").unwrap(), stream.find("think").unwrap(), 40] {
            for to in Format::ALL {
                let mut translator = Translator::new(from, to, head(), true);
                let mut out = Vec::new();
                translator.feed(&stream.as_bytes()[..cut], &mut out).unwrap();
                let bad = translator.finish(&mut out).unwrap_err();
                assert!(
                    !marked_whole(to, &out),
                    "{from} to {to} at {cut}: {}",
                    String::from_utf8_lossy(&out)
                );
                assert!(
                    String::from_utf8_lossy(&out).contains("\"error\""),
                    "{from} to {to} at {cut}: {bad}"
                );
                assert!(!translator.seen().complete);
            }
        }
    }
}

#[test]
fn an_upstream_error_amid_the_stream_reaches_the_client() {
    let chat = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"error\":{\"message\":\"out of memory, key sk-abcdefghijklmnop\",\"type\":\"server_error\"}}\n\n";
    let messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"out of memory\"}}\n\n";
    let responses = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"out of memory\"}}}\n\n";
    for (from, stream) in [(Chat, chat), (Messages, messages), (Responses, responses)] {
        for to in Format::ALL {
            let mut translator = Translator::new(from, to, head(), true);
            let mut out = Vec::new();
            translator.feed(stream.as_bytes(), &mut out).unwrap();
            assert!(translator.finish(&mut out).is_err(), "{from} to {to}");
            let text = String::from_utf8_lossy(&out);
            assert!(
                text.contains("out of memory") && !text.contains("sk-abc") && !marked_whole(to, &out),
                "{from} to {to}: {text}"
            );
            assert!(translator.seen().error.is_some());
        }
        let mut watch = StreamWatch::new(from);
        watch
            .feed(&Bytes::from_static(stream.as_bytes()), |_| {})
            .unwrap();
        assert!(
            watch.finish(|_| {}).unwrap_err().reason.contains("out of memory"),
            "{from}"
        );
    }
}

#[test]
fn garbage_in_a_stream_is_named() {
    for (from, stream) in [
        (Chat, "data: <html>\n\n"),
        (Chat, "data: {\"choices\":5}\n\n"),
        (
            Messages,
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0}\n\n",
        ),
        (Responses, "data: 17\n\n"),
    ] {
        let mut translator = Translator::new(from, Chat, head(), true);
        let bad = translator.feed(stream.as_bytes(), &mut Vec::new()).unwrap_err();
        assert!(!bad.reason.is_empty());
        let mut out = Vec::new();
        translator.finish_broken(&ErrorBody::from(&bad), &mut out);
        assert!(String::from_utf8_lossy(&out).contains("not understood"));
    }
}

#[test]
fn calls_whose_pieces_come_in_turns_are_put_in_order() {
    let piece = |index: u32, json: &'static str| Event::ToolCallArguments {
        index,
        json: json.into(),
    };
    let start = |index: u32, id: &'static str| Event::ToolCallStart {
        index,
        id: id.into(),
        name: "f".into(),
        custom: false,
    };
    let events = [
        start(0, "a"),
        piece(0, "{\"x\""),
        start(1, "b"),
        piece(1, "{\"y\":"),
        piece(0, ":1}"),
        piece(1, "2}"),
        Event::Finish(Finish::Stop),
    ];
    for to in Format::ALL {
        let mut writer = StreamWriter::new(to, head(), false);
        let mut out = Vec::new();
        for event in &events {
            writer.write(event, &mut out);
        }
        writer.end(&mut out);
        let answer = told(to, &out);
        assert_eq!(answer["content"][0]["input"], json!({"x": 1}), "{to}");
        assert_eq!(answer["content"][1]["input"], json!({"y": 2}), "{to}");
        assert_eq!(answer["stop_reason"], "tool_use");
    }
}

#[test]
fn custom_tools_take_free_text() {
    let stream = r#"data: {"type":"response.output_item.added","output_index":0,"item":{"id":"c","type":"custom_tool_call","call_id":"call_c","name":"sh","input":""}}

data: {"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"ls -l"}

data: {"type":"response.completed","response":{"status":"completed"}}

"#;
    let (out, _) = translate(Responses, Chat, stream.as_bytes());
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(r#"{"index":0,"id":"call_c","type":"custom","custom":{"name":"sh","input":""}}"#),
        "{text}"
    );
    assert!(
        text.contains(r#"{"index":0,"custom":{"input":"ls -l"}}"#),
        "{text}"
    );
    let (out, _) = translate(Chat, Responses, text.as_bytes());
    let events = wire(&out);
    let of = |name: &str| {
        let found = events.iter().find(|(n, _)| n == name);
        found
            .map(|(_, d)| serde_json::from_str::<Value>(d).unwrap())
            .unwrap()
    };
    assert_eq!(of("response.custom_tool_call_input.done")["input"], "ls -l");
    let item = &of("response.completed")["response"]["output"][0];
    assert_eq!(
        (&item["type"], &item["input"]),
        (&json!("custom_tool_call"), &json!("ls -l"))
    );
    assert_eq!(item["id"], of("response.custom_tool_call_input.delta")["item_id"]);
}

#[test]
fn a_thought_keeps_one_id_through_its_stream() {
    let stream = RESPONSES.replace("anthropic-signature:sig", "enc");
    let (out, _) = translate(Responses, Responses, stream.as_bytes());
    let events = wire(&out);
    let done = events
        .iter()
        .find(|(n, d)| n == "response.output_item.done" && d.contains("reasoning"))
        .unwrap();
    let done: Value = serde_json::from_str(&done.1).unwrap();
    let last: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
    assert_eq!(last["response"]["output"][0], done["item"]);
    assert_eq!(
        (&done["item"]["encrypted_content"], &done["item"]["id"]),
        (&json!("enc"), &json!("rs_x1_0"))
    );
}

#[test]
fn an_empty_answer_is_whole() {
    for to in Format::ALL {
        let mut writer = StreamWriter::new(to, head(), true);
        let mut out = Vec::new();
        writer.end(&mut out);
        writer.end(&mut out);
        assert_eq!(told(to, &out)["content"], json!([]), "{to}");
        let before = out.len();
        writer.write(&Event::text("late"), &mut out);
        assert_eq!((out.len(), writer.has_ended()), (before, true));
    }
}

#[test]
fn reasons_of_ending() {
    for (finish, chat, messages, status) in [
        (Finish::Length, "length", "max_tokens", "incomplete"),
        (Finish::ContentFilter, "content_filter", "refusal", "incomplete"),
        (Finish::Stop, "stop", "end_turn", "completed"),
    ] {
        let events = || [Event::text("x"), Event::Finish(finish)];
        let (answer, _) = Answer::collect(events());
        let body = |format| serde_json::from_slice::<Value>(&answer.to_body(format, &head())).unwrap();
        assert_eq!(body(Chat)["choices"][0]["finish_reason"], chat);
        assert_eq!(body(Messages)["stop_reason"], messages);
        assert_eq!(body(Responses)["status"], status);
        for to in Format::ALL {
            let mut writer = StreamWriter::new(to, head(), false);
            let mut out = Vec::new();
            events().iter().for_each(|e| writer.write(e, &mut out));
            writer.end(&mut out);
            assert_eq!(told(to, &out)["stop_reason"], messages, "{to}");
        }
    }
}
