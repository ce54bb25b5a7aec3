//! Streams in every direction, whole and broken.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use bytes::Bytes;
use fingerpost_protocol::{
    Answer, ErrorBody, ErrorKind, Event, Finish, Format, Format::*, Head, SseDecoder, StreamReader,
    StreamWatch, StreamWriter, Translator, Usage, broken_stream,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One answer as each format streams it: a signed thought, a text, two calls, usage.
const CHAT: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

: keep-alive

data: {"choices":[{"index":0,"delta":{"reasoning_content":"Let me "}}]}

data: {"choices":[{"index":0,"delta":{"reasoning_content":"think"}}]}

data: {"choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"thinking","thinking":"Let me think","signature":"sig"}]}}]}

data: {"choices":[{"index":0,"delta":{"content":"Hello, "},"logprobs":{"content":[{"token":"Hello","logprob":-0.5,"bytes":[72],"top_logprobs":[]}]}}]}

data: {"choices":[{"index":0,"delta":{"content":"wörld"},"logprobs":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\":"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"find","arguments":"{}"}}]}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":12,"total_tokens":42,"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":4}}}

data: [DONE]

"#;

const MESSAGES: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":5,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me think"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello, wörld"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_a","name":"look","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"call_b","name":"find","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":12,"output_tokens_details":{"thinking_tokens":4}}}

event: message_stop
data: {"type":"message_stop"}

"#;

const RESPONSES: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","output":[]}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}

event: response.reasoning_summary_part.added
data: {"type":"response.reasoning_summary_part.added","sequence_number":2,"output_index":0,"summary_index":0,"item_id":"rs_1","part":{"type":"summary_text","text":""}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","sequence_number":3,"output_index":0,"summary_index":0,"item_id":"rs_1","delta":"Let me think"}

event: response.reasoning_summary_text.done
data: {"type":"response.reasoning_summary_text.done","sequence_number":4,"output_index":0,"summary_index":0,"item_id":"rs_1","text":"Let me think"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":5,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Let me think"}],"encrypted_content":"anthropic-signature:sig"}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":6,"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":7,"output_index":1,"content_index":0,"item_id":"msg_1","delta":"Hello, ","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":8,"output_index":1,"content_index":0,"item_id":"msg_1","delta":"wörld","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":9,"output_index":1,"content_index":0,"item_id":"msg_1","text":"Hello, wörld","logprobs":[]}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":10,"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_a","name":"look","arguments":"","status":"in_progress"}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","sequence_number":11,"output_index":2,"item_id":"fc_1","delta":"{\"q\":1}"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":12,"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_a","name":"look","arguments":"{\"q\":1}","status":"completed"}}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":13,"output_index":3,"item":{"id":"fc_2","type":"function_call","call_id":"call_b","name":"find","arguments":"{}","status":"completed"}}

event: response.completed
data: {"type":"response.completed","sequence_number":14,"response":{"id":"resp_1","status":"completed","incomplete_details":null,"output":[],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":20,"cache_write_tokens":5},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":42}}}

"#;

const USAGE: Usage = Usage {
    input: 30,
    cached_input: 20,
    cache_write: 5,
    output: 12,
    reasoning: 4,
};

fn fixture(format: Format) -> &'static str {
    match format {
        Chat => CHAT,
        Responses => RESPONSES,
        Messages => MESSAGES,
    }
}

fn head() -> Head {
    Head {
        id: "x1".to_owned(),
        created: 7,
        model: "shown".to_owned(),
        echo: None,
    }
}

/// The wire's events: name and data.
fn wire(stream: &[u8]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut decoder = SseDecoder::default();
    let mut take = |e: fingerpost_protocol::SseEvent<'_>| {
        out.push((e.name.to_owned(), String::from_utf8(e.data.to_vec()).unwrap()));
    };
    decoder.feed(stream, &mut take).unwrap();
    decoder.finish(&mut take);
    out
}

/// The answer that a stream tells, as a Messages body: it has all of it in order.
fn told(format: Format, stream: &[u8]) -> Value {
    let mut reader = StreamReader::new(format);
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut decoder = SseDecoder::default();
    decoder
        .feed(stream, |e| {
            reader.read(&e, |event| events.push(own(&event))).unwrap();
        })
        .unwrap();
    assert_eq!(reader.missing(), None, "{format}");
    let (answer, error) = Answer::collect(events);
    assert_eq!(error, None);
    serde_json::from_slice(&answer.to_body(Messages, &head())).unwrap()
}

fn own(event: &Event<'_>) -> Event<'static> {
    match event {
        Event::Start => Event::Start,
        Event::Text { text, .. } => Event::text(text.clone().into_owned()),
        Event::Refusal(text) => Event::Refusal(text.clone().into_owned().into()),
        Event::Reasoning(text) => Event::Reasoning(text.clone().into_owned().into()),
        Event::Seal(seal) => Event::Seal(seal.clone().into_owned()),
        Event::ToolCallStart {
            index,
            id,
            name,
            custom,
        } => Event::ToolCallStart {
            index: *index,
            id: id.clone().into_owned().into(),
            name: name.clone().into_owned().into(),
            custom: *custom,
        },
        Event::ToolCallArguments { index, json } => Event::ToolCallArguments {
            index: *index,
            json: json.clone().into_owned().into(),
        },
        Event::Finish(finish) => Event::Finish(*finish),
        Event::Usage(usage) => Event::Usage(*usage),
        Event::Error(error) => Event::Error(error.clone()),
        Event::Citation(citation) => Event::Citation(citation.to_static()),
        other => panic!("an event that this test does not know: {other:?}"),
    }
}

fn translate(from: Format, to: Format, stream: &[u8]) -> (Vec<u8>, Translator) {
    let mut translator = Translator::new(from, to, head(), true);
    let mut out = Vec::new();
    translator.feed(stream, &mut out).unwrap();
    translator.finish(&mut out).unwrap();
    (out, translator)
}

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

/// What marks a stream of the format as whole.
fn marked_whole(format: Format, stream: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stream);
    match format {
        Chat => text.contains("[DONE]") || text.contains("\"finish_reason\":\""),
        Responses => text.contains("response.completed") || text.contains("response.incomplete"),
        Messages => text.contains("message_stop") || text.contains("message_delta"),
    }
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

fn watched(format: Format, hide: bool, pieces: &[&[u8]]) -> (Vec<u8>, StreamWatch, bool) {
    let mut watch = if hide {
        StreamWatch::hiding_usage(format)
    } else {
        StreamWatch::new(format)
    };
    let mut out = Vec::new();
    let fed = pieces.iter().all(|piece| {
        watch
            .feed(&Bytes::copy_from_slice(piece), |b| out.extend_from_slice(&b))
            .is_ok()
    });
    let whole = fed && watch.finish(|b| out.extend_from_slice(&b)).is_ok();
    (out, watch, whole)
}

#[test]
fn a_watched_stream_that_turns_into_garbage_keeps_what_stood_before() {
    let good = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (format, hide) in [(Chat, false), (Chat, true), (Responses, false), (Messages, false)] {
        let mut watch = if hide {
            StreamWatch::hiding_usage(format)
        } else {
            StreamWatch::new(format)
        };
        let mut out = Vec::new();
        let stream = Bytes::from(format!("{good}data: <html>oops\n\n{good}"));
        let bad = watch.feed(&stream, |b| out.extend_from_slice(&b)).unwrap_err();
        assert!(bad.reason.contains("not JSON"), "{}", bad.reason);
        assert_eq!(String::from_utf8(out).unwrap(), good);
    }
}

#[test]
fn half_an_event_waits_for_its_other_half() {
    let mut watch = StreamWatch::new(Chat);
    let mut out = Vec::new();
    for (piece, so_far) in [
        ("data: {\"choi", ""),
        ("ces\":[]}\n", ""),
        ("\n", "data: {\"choices\":[]}\n\n"),
    ] {
        let piece = Bytes::from_static(piece.as_bytes());
        watch.feed(&piece, |b| out.extend_from_slice(&b)).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), so_far);
    }
}

#[test]
fn a_watched_answer_names_the_stored_one_that_it_goes_on_from() {
    let stream = "event: response.created\ndata: {\"type\":\"response.created\",\ndata: \"response\":{\"id\":\"r2\",\"previous_response_id\":null,\"new\":1.50}}\n\n\
                  event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n";
    let mut watch = StreamWatch::new(Responses).going_on_from("r1");
    let mut out = Vec::new();
    watch
        .feed(&Bytes::from_static(stream.as_bytes()), |b| {
            out.extend_from_slice(&b);
        })
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r2\",\"new\":1.50,\"previous_response_id\":\"r1\"}}\n\n\
         event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n"
    );
}

#[test]
fn a_watched_stream_passes_untouched() {
    for format in Format::ALL {
        let stream = fixture(format).as_bytes();
        let (out, watch, whole) = watched(format, false, &[stream]);
        assert_eq!(out, stream);
        let seen = watch.seen();
        assert!(
            whole && watch.is_done() && seen.content && seen.complete,
            "{format}"
        );
        assert_eq!(
            (seen.finish, seen.usage),
            (Some(Finish::ToolCalls), Some(USAGE)),
            "{format}"
        );
        let broken = &stream[..fixture(format).find("call_b").unwrap()];
        let (out, watch, whole) = watched(format, false, &[broken]);
        let whole_events = broken.windows(2).rposition(|w| w == b"\n\n").unwrap() + 2;
        assert_eq!(out, broken[..whole_events]);
        assert!(
            !whole && !watch.seen().complete && watch.seen().content,
            "{format}"
        );
        let error = ErrorBody::new(ErrorKind::Upstream, "broke off");
        let tail = String::from_utf8(broken_stream(format, &error)).unwrap();
        assert!(
            tail.contains("broke off") && tail.ends_with("\n\n") && !marked_whole(format, tail.as_bytes())
        );
    }
}

#[test]
fn only_the_usage_chunk_is_hidden() {
    let (out, watch, whole) = watched(Chat, true, &[CHAT.as_bytes()]);
    let at = CHAT.find("data: {\"choices\":[],\"usage\"").unwrap();
    let end = CHAT.find("data: [DONE]").unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("{}{}", &CHAT[..at], &CHAT[end..])
    );
    assert!(whole);
    assert_eq!(watch.seen().usage, Some(USAGE));
}

#[test]
fn words_in_the_text_do_not_mislead_the_watch() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\" \\\"usage\\\":{ \\\"error\\\": [DONE]\"},\"finish_reason\":null}]}\n\n";
    let (_, watch, whole) = watched(Chat, true, &[stream.as_bytes()]);
    assert!(!whole);
    assert_eq!(
        (
            watch.seen().finish,
            watch.seen().usage,
            watch.seen().error.as_ref()
        ),
        (None, None, None)
    );
}

proptest! {
    #[test]
    fn any_split_gives_the_same_stream(cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10)) {
        for from in Format::ALL {
            let bytes = fixture(from).as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            for to in Format::ALL {
                let mut translator = Translator::new(from, to, head(), true);
                let mut out = Vec::new();
                for piece in &pieces {
                    translator.feed(piece, &mut out).unwrap();
                }
                translator.finish(&mut out).unwrap();
                prop_assert_eq!(out, translate(from, to, bytes).0);
            }
            for hide in [false, true] {
                let (out, watch, whole) = watched(from, hide, &pieces);
                let (want, _, _) = watched(from, hide, &[bytes]);
                prop_assert_eq!(out, want);
                prop_assert!(whole && watch.seen().usage == Some(USAGE));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_stream_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(data: ?[\\[{\"a-z:0-9}\\],]{0,40}\n){0,4}\n") {
        for from in Format::ALL {
            for stream in [bytes.as_slice(), text.as_bytes()] {
                let mut translator = Translator::new(from, Responses, head(), true);
                let mut out = Vec::new();
                if translator.feed(stream, &mut out).is_ok() {
                    let _ = translator.finish(&mut out);
                }
                let (passed, _, _) = watched(from, false, &[stream]);
                prop_assert!(stream.starts_with(&passed));
            }
        }
    }
}
