//! The scripted upstream over real sockets: what it says in each format, and how it breaks.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

use std::time::Duration;

use fingerpost_testkit::wire::WireError;
use fingerpost_testkit::{Behavior, Client, Garbage, How, Point, Script, SseEvent, Upstream, Usage};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const VERSION: &[(&str, &str)] = &[("anthropic-version", "2023-06-01")];
const SOON: Duration = Duration::from_secs(10);

fn start(script: Script) -> (Upstream, Client) {
    let upstream = Upstream::start(script).unwrap();
    let client = Client::connect(upstream.addr()).unwrap();
    (upstream, client)
}

fn chat(more: Value) -> String {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "What is the weather?"}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn messages(more: Value) -> String {
    let mut body: Value = serde_json::from_str(&chat(more)).unwrap();
    body["max_tokens"] = json!(100);
    body.to_string()
}

fn stream(client: &mut Client, path: &str, body: &str) -> Result<Vec<SseEvent>, WireError> {
    client.request("POST", path, VERSION, body.as_bytes())?;
    let head = client.head()?;
    assert_eq!(head.status, 200);
    assert!(
        head.headers
            .get("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
    client.events()
}

fn joined(events: &[SseEvent], pointer: &str) -> String {
    events
        .iter()
        .filter_map(|e| Some(e.json().pointer(pointer)?.as_str()?.to_owned()))
        .collect()
}

#[test]
fn a_chat_stream_says_what_the_whole_answer_says() {
    let script = Script::new().always(Behavior {
        reasoning: Some("Let me think".into()),
        ..Behavior::text("one two three")
    });
    let (_upstream, mut client) = start(script);
    let whole = client.post(CHAT, &[], &chat(json!({}))).unwrap().json();
    let events = stream(
        &mut client,
        CHAT,
        &chat(json!({"stream": true, "stream_options": {"include_usage": true}})),
    )
    .unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
    assert_eq!(joined(&events, "/choices/0/delta/content"), "one two three");
    assert_eq!(
        joined(&events, "/choices/0/delta/reasoning_content"),
        "Let me think"
    );
    assert_eq!(events.last().unwrap().data, "[DONE]");
    let counts = events[events.len() - 2].json();
    assert_eq!(counts["choices"], json!([]));
    assert_eq!(
        counts["usage"]["completion_tokens"],
        whole["usage"]["completion_tokens"]
    );
}

#[test]
fn tool_arguments_come_in_pieces_and_follow_the_schema() {
    let (_upstream, mut client) = start(Script::new());
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tools = json!([{"type": "function", "function": {"name": "forecast", "parameters": parameters}}]);
    let events = stream(
        &mut client,
        CHAT,
        &chat(json!({"stream": true, "tools": tools, "tool_choice": "required"})),
    )
    .unwrap();
    let arguments = joined(&events, "/choices/0/delta/tool_calls/0/function/arguments");
    let arguments: Value = serde_json::from_str(&arguments).unwrap();
    assert!(arguments["city"].is_string() && arguments["days"].is_i64());
    let finish = events
        .iter()
        .find_map(|e| Some(e.json().pointer("/choices/0/finish_reason")?.as_str()?.to_owned()));
    assert_eq!(finish.as_deref(), Some("tool_calls"));
}

#[test]
fn messages_stream_thinking_text_and_tool_use_in_their_blocks() {
    let behavior = Behavior {
        text: Some("I look it up".into()),
        reasoning: Some("hm hm".into()),
        ..Behavior::tool_call("look", json!({"q": "a long enough question"}))
    };
    let usage = Usage {
        input: 100,
        cached: 60,
        cache_creation: 30,
        output: 7,
        reasoning: 0,
    };
    let (_upstream, mut client) = start(Script::new().always(behavior.usage(usage)));
    let events = stream(&mut client, MESSAGES, &messages(json!({"stream": true}))).unwrap();
    let first = events[0].json();
    assert_eq!(events[0].event, "message_start");
    assert_eq!(first["message"]["usage"]["input_tokens"], 10);
    assert_eq!(first["message"]["usage"]["cache_read_input_tokens"], 60);
    assert_eq!(first["message"]["usage"]["cache_creation_input_tokens"], 30);
    assert!(events.iter().any(|e| e.event == "ping"));
    assert_eq!(joined(&events, "/delta/thinking"), "hm hm");
    assert_eq!(joined(&events, "/delta/text"), "I look it up");
    let input: Value = serde_json::from_str(&joined(&events, "/delta/partial_json")).unwrap();
    assert_eq!(input, json!({"q": "a long enough question"}));
    let blocks: Vec<_> = events
        .iter()
        .filter(|e| e.event == "content_block_start")
        .map(|e| e.json()["content_block"]["type"].clone())
        .collect();
    assert_eq!(blocks, ["thinking", "text", "tool_use"]);
    let delta = &events[events.len() - 2].json();
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    assert_eq!(delta["usage"]["output_tokens"], 7);
    assert_eq!(events.last().unwrap().event, "message_stop");
}

#[test]
fn responses_stream_numbered_events_and_remember_what_they_said() {
    let (_upstream, mut client) = start(Script::new().always(Behavior::text("a b c")));
    let body = json!({"model": "m", "input": "hi", "stream": true}).to_string();
    let events = stream(&mut client, RESPONSES, &body).unwrap();
    let numbers: Vec<_> = events
        .iter()
        .map(|e| e.json()["sequence_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap().event, "response.completed");
    let done = events.last().unwrap().json();
    assert_eq!(done["response"]["output"][0]["content"][0]["text"], "a b c");
    let id = done["response"]["id"].as_str().unwrap();
    let mut follow = |id: &str| {
        let body = json!({"model": "m", "input": "more", "previous_response_id": id}).to_string();
        client.post(RESPONSES, &[], &body).unwrap()
    };
    assert_eq!(follow(id).status, 200);
    let unknown = follow("resp_none");
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.json()["error"]["code"], "previous_response_not_found");
}

#[test]
fn a_schema_is_filled_on_all_formats() {
    let (_upstream, mut client) = start(Script::new());
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    let expected = json!({"age": 1}).to_string();
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let answer = client
        .post(CHAT, &[], &chat(json!({"response_format": format})))
        .unwrap()
        .json();
    assert_eq!(answer["choices"][0]["message"]["content"], *expected);
    let body = json!({"model": "m", "input": "hi", "text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}});
    let answer = client.post(RESPONSES, &[], &body.to_string()).unwrap().json();
    assert_eq!(answer["output"][0]["content"][0]["text"], *expected);
    let format = json!({"format": {"type": "json_schema", "schema": schema}});
    let answer = client
        .post(MESSAGES, VERSION, &messages(json!({"output_config": format})))
        .unwrap()
        .json();
    assert_eq!(answer["content"][0]["text"], *expected);
}

#[test]
fn statuses_carry_the_error_object_of_their_format_and_given_headers() {
    let limited = Behavior::status(429).header("retry-after", "7");
    let (_upstream, mut client) = start(Script::new().then(limited.clone()).then(limited));
    let openai = client.post(CHAT, &[], &chat(json!({}))).unwrap();
    assert_eq!(
        (openai.status, openai.headers.get("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(openai.json()["error"]["code"], "rate_limit_exceeded");
    let anthropic = client.post(MESSAGES, VERSION, &messages(json!({}))).unwrap();
    assert_eq!(anthropic.json()["error"]["type"], "rate_limit_error");
    assert_eq!(anthropic.json()["type"], "error");
}

#[test]
fn requests_that_the_real_services_turn_down_are_turned_down() {
    let (_upstream, mut client) = start(Script::new());
    let mut status = |path: &str, headers: &[(&str, &str)], body: Value| {
        let answer = client.post(path, headers, &body.to_string()).unwrap();
        (
            answer.status,
            answer.json()["error"]["param"].as_str().map(str::to_owned),
        )
    };
    let user = json!({"role": "user", "content": "hi"});
    let orphan = json!({"role": "tool", "tool_call_id": "x", "content": "y"});
    let (ok, bad) = (200, 400);
    assert_eq!(
        status(CHAT, &[], json!({"model": "m", "messages": []})),
        (bad, Some("messages".into()))
    );
    assert_eq!(
        status(CHAT, &[], json!({"messages": [user]})),
        (bad, Some("model".into()))
    );
    assert_eq!(
        status(CHAT, &[], json!({"model": "m", "messages": [user, orphan]})),
        (bad, Some("messages[1].role".into()))
    );
    let good = json!({"model": "m", "max_tokens": 9, "messages": [user]});
    assert_eq!(status(MESSAGES, VERSION, good.clone()).0, ok);
    assert_eq!(status(MESSAGES, &[], good).0, bad);
    assert_eq!(
        status(MESSAGES, VERSION, json!({"model": "m", "messages": [user]})).0,
        bad
    );
    let system = json!({"role": "system", "content": "be kind"});
    assert_eq!(
        status(
            MESSAGES,
            VERSION,
            json!({"model": "m", "max_tokens": 9, "messages": [system]})
        )
        .0,
        bad
    );
    for (field, value) in [
        ("temperature", json!(1.5)),
        ("tool_choice", json!({"type": "any"})),
        ("thinking", json!({"type": "enabled", "budget_tokens": 2048})),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "text", "text": ""}]}]),
        ),
    ] {
        let mut body = json!({"model": "m", "max_tokens": 9, "messages": [user]});
        body[field] = value;
        assert_eq!(status(MESSAGES, VERSION, body).0, bad, "{field}");
    }
    for (field, value) in [
        ("tool_choice", json!("auto")),
        ("stream_options", json!({"include_usage": true})),
    ] {
        let mut body = json!({"model": "m", "messages": [user]});
        body[field] = value;
        assert_eq!(status(CHAT, &[], body), (bad, Some(field.to_owned())));
    }
    let call =
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]});
    assert_eq!(
        status(
            MESSAGES,
            VERSION,
            json!({"model": "m", "max_tokens": 9, "messages": [user, call, user]})
        )
        .0,
        bad
    );
}

#[test]
fn a_stream_that_breaks_never_looks_complete() {
    for how in [How::Reset, How::Eof, How::CleanEof, How::ErrorEvent] {
        for path in [CHAT, MESSAGES, RESPONSES] {
            for events in [3, 1000] {
                let script = Script::new().always(Behavior {
                    chunks: Some(6),
                    ..Behavior::fault(Point::Events(events), how)
                });
                let (_upstream, mut client) = start(script);
                let mut body: Value = serde_json::from_str(&messages(json!({"stream": true}))).unwrap();
                body["input"] = json!("hi");
                client
                    .request("POST", path, VERSION, body.to_string().as_bytes())
                    .unwrap();
                client.head().unwrap();
                let mut seen = Vec::new();
                let end = loop {
                    match client.next_event() {
                        Ok(Some(event)) => seen.push(event),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                let complete = |e: &SseEvent| {
                    e.data == "[DONE]" || e.event == "message_stop" || e.event == "response.completed"
                };
                assert!(!seen.iter().any(complete), "{how:?} {path} {events}");
                assert!(seen.iter().all(|e| {
                    e.json()
                        .pointer("/choices/0/finish_reason")
                        .is_none_or(Value::is_null)
                }));
                assert_eq!(
                    end.is_ok(),
                    matches!(how, How::CleanEof | How::ErrorEvent),
                    "{how:?} {path}: {end:?}"
                );
                if events == 3 {
                    let error = seen
                        .iter()
                        .filter(|e| e.event == "error" || e.json().get("error").is_some())
                        .count();
                    assert_eq!(error, usize::from(how == How::ErrorEvent));
                    assert_eq!(seen.len(), 3 + error);
                }
            }
        }
    }
}

#[test]
fn breaks_before_the_answer_leave_nothing_to_read() {
    for how in [How::Reset, How::Eof] {
        let (_upstream, mut client) = start(Script::new().always(Behavior::fault(Point::Headers, how)));
        assert!(client.post(CHAT, &[], &chat(json!({}))).is_err());
        let (_upstream, mut client) = start(Script::new().always(Behavior::fault(Point::FirstEvent, how)));
        client
            .request("POST", CHAT, &[], chat(json!({"stream": true})).as_bytes())
            .unwrap();
        assert_eq!(client.head().unwrap().status, 200);
        assert!(client.next_event().is_err());
    }
}

#[test]
fn a_client_that_leaves_is_counted() {
    let (upstream, mut client) = start(Script::new().always(Behavior::fault(Point::Events(2), How::Stall)));
    client
        .request("POST", CHAT, &[], chat(json!({"stream": true})).as_bytes())
        .unwrap();
    client.head().unwrap();
    assert!(client.next_event().unwrap().is_some());
    assert_eq!(upstream.counters().in_flight, 1);
    client.leave();
    assert!(upstream.wait_until(SOON, |c| c.cancelled == 1 && c.in_flight == 0));
    assert_eq!(upstream.counters().completed, 0);
}

#[test]
fn a_client_that_leaves_after_the_answer_is_not_counted() {
    let (upstream, mut client) = start(Script::new());
    client.post(CHAT, &[], &chat(json!({}))).unwrap();
    client.leave();
    assert!(upstream.wait_until(SOON, |c| c.completed == 1 && c.in_flight == 0));
    assert_eq!(upstream.counters().cancelled, 0);
}

#[test]
fn garbage_is_garbage() {
    let send = |kind, streamed: bool| {
        let (_upstream, mut client) = start(Script::new().always(Behavior::garbage(kind)));
        client.post(CHAT, &[], &chat(json!({"stream": streamed})))
    };
    assert!(matches!(send(Garbage::NotHttp, false), Err(WireError::Head(_))));
    for kind in [Garbage::NotJson, Garbage::TruncatedJson, Garbage::Empty] {
        let answer = send(kind, false).unwrap();
        assert_eq!((answer.status, answer.json()), (200, Value::Null));
        let streamed = send(kind, true).unwrap();
        assert!(!streamed.text().contains("[DONE]"));
    }
    assert_eq!(
        send(Garbage::WrongJson, false).unwrap().json(),
        json!({"unexpected": true})
    );
    assert_eq!(
        send(Garbage::WrongContentType, false)
            .unwrap()
            .headers
            .get("content-type"),
        Some("text/html")
    );
    assert!(send(Garbage::Huge(3_000_000), false).unwrap().body.len() > 3_000_000);
}

#[test]
fn a_request_may_carry_its_own_behaviour() {
    let (_upstream, mut client) = start(Script::new().always(Behavior::status(500)));
    let header = [("x-script", r#"{"text": "by header"}"#)];
    let answer = client.post(CHAT, &header, &chat(json!({}))).unwrap().json();
    assert_eq!(answer["choices"][0]["message"]["content"], "by header");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "[[script:{\"status\":503}]]"}]}]});
    assert_eq!(client.post(CHAT, &[], &body.to_string()).unwrap().status, 503);
    assert_eq!(
        client
            .post(CHAT, &[("x-script", "{")], &chat(json!({})))
            .unwrap()
            .status,
        400
    );
}

#[test]
fn it_is_scripted_and_read_over_http_and_wants_its_key() {
    let (_upstream, mut client) = start(Script::new());
    let script = json!({"key": "k", "otherwise": {"text": "new"}}).to_string();
    assert_eq!(
        client.post("/_scripted/script", &[], &script).unwrap().status,
        200
    );
    assert_eq!(client.post(CHAT, &[], &chat(json!({}))).unwrap().status, 401);
    let key = [("authorization", "Bearer k")];
    let answer = client
        .post(CHAT, &key, &chat(json!({"image": "x"})))
        .unwrap()
        .json();
    assert_eq!(answer["choices"][0]["message"]["content"], "new");
    let requests = client.get("/_scripted/requests").unwrap().json();
    assert_eq!(requests[1]["body"]["image"], "x");
    assert_eq!(client.get("/_scripted/counters").unwrap().json()["requests"], 2);
    client.get("/_scripted/reset").unwrap();
    assert_eq!(client.get("/_scripted/requests").unwrap().json(), json!([]));
    assert_eq!(client.post(CHAT, &[], &chat(json!({}))).unwrap().status, 200);
}

#[test]
fn chunked_and_pipelined_requests_are_read() {
    let (upstream, mut client) = start(Script::new());
    let body = chat(json!({}));
    let (left, right) = body.split_at(20);
    let wire = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n14\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        right.len()
    );
    client.send(wire.as_bytes()).unwrap();
    assert_eq!(client.response().unwrap().status, 200);
    assert_eq!(client.response().unwrap().json(), json!({"ok": true}));
    assert_eq!(upstream.requests()[0].json()["model"], "m");
}

#[test]
fn an_unannounced_close_follows_the_answer() {
    let (_upstream, mut client) = start(Script::new().always(Behavior {
        close_after: true,
        ..Behavior::text("x")
    }));
    let answer = client.post(CHAT, &[], &chat(json!({}))).unwrap();
    assert_eq!((answer.status, answer.headers.get("connection")), (200, None));
    assert!(client.is_closed());
}
