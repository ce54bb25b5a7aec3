//! Whatever a client sends, it gets an error of its own format that names what is wrong: never a 500, never silence.

use fingerpost_testkit::{Client, Script};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, one, upstream},
    speak::{ALL, Speak},
};

/// Posts `body`, which must be refused with `status`, naming `field`.
fn refused(bed: &Bed, speak: Speak, body: &Value, status: u16, field: &str) {
    let answer = bed.post(speak.path(), body);
    assert_eq!(answer.status, status, "{speak:?} {body} {}", answer.text());
    let told = speak.error(&answer);
    assert!(
        told.message.contains(field),
        "{speak:?} {body} should name {field}: {told:?}"
    );
    if speak != Speak::Messages && !field.is_empty() {
        assert!(
            told.param.as_deref().is_some_and(|p| p.contains(field)),
            "{speak:?} {body}: {told:?}"
        );
    }
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[test]
fn what_is_no_json() {
    let (up, bed) = one(Script::new());
    for speak in ALL {
        for body in [
            "",
            "{",
            "nonsense",
            "[]",
            "null",
            "7",
            "\"text\"",
            "{\"model\": \"m\",}",
            "{} {}",
            "\u{feff}{}",
        ] {
            let answer = bed.client().post(speak.path(), &[], body).unwrap();
            assert_eq!(answer.status, 400, "{speak:?} {body:?} {}", answer.text());
            let told = speak.error(&answer);
            assert_eq!(told.kind, "invalid_request_error");
            assert!(told.message.len() > 5, "{told:?}");
        }
        let mut client = bed.client();
        client
            .request("POST", speak.path(), &[], b"{\"model\": \"\xff\xfe\"}")
            .unwrap();
        let answer = client.response().unwrap();
        assert_eq!(answer.status, 400);
        assert!(
            speak.error(&answer).message.contains("UTF-8"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn wrong_types_and_missing_fields_are_named() {
    let (up, bed) = one(Script::new());
    for speak in ALL {
        refused(
            &bed,
            speak,
            &with(speak.ask("m", "hi"), "model", json!(5)),
            400,
            "model",
        );
        refused(
            &bed,
            speak,
            &with(speak.ask("m", "hi"), "stream", json!("yes")),
            400,
            "stream",
        );
    }
    for speak in [Speak::Chat, Speak::Messages] {
        for wrong in [json!([]), json!("hi"), json!({}), json!(null), json!(3)] {
            refused(
                &bed,
                speak,
                &with(speak.ask("m", "hi"), "messages", wrong),
                400,
                "messages",
            );
        }
        for wrong in [
            json!([5]),
            json!([{}]),
            json!([{"role": "wizard", "content": "hi"}]),
            json!([{"role": "user", "content": 5}]),
        ] {
            refused(
                &bed,
                speak,
                &with(speak.ask("m", "hi"), "messages", wrong),
                400,
                "messages[0]",
            );
        }
        refused(
            &bed,
            speak,
            &json!({"model": "m", "max_tokens": 5}),
            400,
            "messages",
        );
    }
    for wrong in [json!([]), json!({}), json!(null), json!(3)] {
        refused(
            &bed,
            Speak::Responses,
            &with(Speak::Responses.ask("m", "hi"), "input", wrong),
            400,
            "input",
        );
    }
    refused(&bed, Speak::Responses, &json!({"model": "m"}), 400, "input");
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn media_that_cannot_be_taken_are_named() {
    let (up, bed) = one(Script::new());
    let film = "data:video/mp4;base64,AAAA";
    let source = json!({"type": "base64", "media_type": "video/mp4", "data": "AAAA"});
    for (speak, key, part) in [
        (
            Speak::Chat,
            "messages",
            json!({"type": "image_url", "image_url": {"url": film}}),
        ),
        (
            Speak::Chat,
            "messages",
            json!({"type": "hologram", "hologram": {}}),
        ),
        (
            Speak::Responses,
            "input",
            json!({"type": "input_image", "image_url": film}),
        ),
        (
            Speak::Messages,
            "messages",
            json!({"type": "image", "source": source}),
        ),
    ] {
        let body = with(
            speak.ask("m", "hi"),
            key,
            json!([{"role": "user", "content": [part]}]),
        );
        refused(&bed, speak, &body, 400, &format!("{key}[0].content[0]"));
    }
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn an_unknown_model_is_404_and_lists_those_there_are() {
    let (_up, bed) = one(Script::new());
    for speak in ALL {
        refused(&bed, speak, &speak.ask("gpt-99", "hi"), 404, "model");
        let answer = bed.post(speak.path(), &speak.ask("gpt-99", "hi"));
        let told = speak.error(&answer);
        assert!(
            told.message.contains("gpt-99") && told.message.contains("auto, fingerpost, m"),
            "{told:?}"
        );
        assert_eq!(
            told.kind,
            if speak == Speak::Messages {
                "not_found_error"
            } else {
                "invalid_request_error"
            }
        );
        // Whatever stands there is shown cut short, not echoed whole.
        let long = bed.post(speak.path(), &speak.ask(&"x".repeat(100_000), "hi"));
        assert_eq!(long.status, 404);
        assert!(long.body.len() < 1000);
    }
}

#[test]
fn a_client_that_is_still_sending_too_much_reads_its_413() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/server/max_body", json!(2000))
        .start();
    // More than the buffers of both sockets take: a connection closed meanwhile would be an error in writing.
    let big = Speak::Chat.ask("m", &"x".repeat(16 << 20)).to_string();
    let chunked = format!("{:x}\r\n{big}\r\n0\r\n\r\n", big.len());
    for (header, body) in [(None, &big), (Some(("transfer-encoding", "chunked")), &chunked)] {
        let mut client = bed.client();
        match header {
            None => assert_eq!(client.post(Speak::Chat.path(), &[], body).unwrap().status, 413),
            Some(header) => {
                client
                    .request("POST", Speak::Chat.path(), &[header], body.as_bytes())
                    .unwrap();
                assert_eq!(client.response().unwrap().status, 413);
            }
        }
    }
}

#[test]
fn a_body_over_the_limit_is_413_whether_announced_or_not() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/server/max_body", json!(2000))
        .start();
    for speak in ALL {
        let big = speak.ask("m", &"x".repeat(3000)).to_string();
        let answer = bed.client().post(speak.path(), &[], &big).unwrap();
        assert_eq!(answer.status, 413, "{}", answer.text());
        let told = speak.error(&answer);
        assert!(
            told.message.contains("2000") && told.message.contains("server.max_body"),
            "{told:?}"
        );
        assert_eq!(
            told.kind,
            if speak == Speak::Messages {
                "request_too_large"
            } else {
                "invalid_request_error"
            }
        );
        let chunked = format!("{:x}\r\n{big}\r\n0\r\n\r\n", big.len());
        let mut client = bed.client();
        client
            .request(
                "POST",
                speak.path(),
                &[("transfer-encoding", "chunked")],
                chunked.as_bytes(),
            )
            .unwrap();
        assert_eq!(client.response().unwrap().status, 413);
        let small = speak.ask("m", "hi").to_string();
        let chunked: String = small
            .as_bytes()
            .chunks(7)
            .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
            .collect();
        let mut client = bed.client();
        client
            .request(
                "POST",
                speak.path(),
                &[("transfer-encoding", "chunked")],
                format!("{chunked}0\r\n\r\n").as_bytes(),
            )
            .unwrap();
        assert_eq!(client.response().unwrap().status, 200);
    }
}

#[test]
fn a_body_far_over_the_limit_is_answered_before_it_is_sent() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set("/server/max_body", json!(100_000))
        .start();
    let mut client = bed.client();
    client
        .send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99000000000\r\n\r\n{")
        .unwrap();
    assert_eq!(client.response().unwrap().status, 413);
    assert!(
        client.is_closed(),
        "nobody can say where the next request would begin"
    );
}

#[test]
fn methods_and_paths_that_are_not_there() {
    let (_up, bed) = one(Script::new());
    for speak in ALL {
        for method in ["GET", "PUT", "DELETE"] {
            let mut client = bed.client();
            client.request(method, speak.path(), &[], b"").unwrap();
            let answer = client.response().unwrap();
            assert_eq!(answer.status, 405, "{method} {speak:?} {}", answer.text());
            assert_eq!(answer.headers.get("allow"), Some("POST"));
            assert!(speak.error(&answer).message.contains(method));
        }
    }
    for path in ["/v1/embeddings", "/v1/feedback"] {
        assert_eq!(bed.get(path).status, 405, "{path}");
    }
    for path in ["/v1/models", "/healthz", "/readyz", "/metrics"] {
        let answer = bed.post(path, &json!({}));
        assert_eq!(
            (answer.status, answer.headers.get("allow")),
            (405, Some("GET, HEAD")),
            "{path}"
        );
    }
    for (path, speak) in [
        ("/", Speak::Chat),
        ("/v1/completions", Speak::Chat),
        ("/v1/chat/completions/", Speak::Chat),
        ("/v1/messages/batches", Speak::Messages),
        ("//v1/chat/completions", Speak::Chat),
        ("/v1/%2e%2e/chat/completions", Speak::Chat),
    ] {
        let answer = bed.post(path, &speak.ask("m", "hi"));
        assert_eq!(answer.status, 404, "{path} {}", answer.text());
        assert!(speak.error(&answer).message.contains(path), "{}", answer.text());
    }
    // Anthropic's client adds `?beta=true` to some calls.
    let answer = bed.post("/v1/messages?beta=true", &Speak::Messages.ask("m", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn heads_that_are_no_http_are_refused_and_the_server_lives_on() {
    let (_up, bed) = one(Script::new());
    let heads: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/chat/completions\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    for head in heads {
        let mut client = bed.client();
        client.send(head).unwrap();
        if let Ok(answer) = client.response() {
            assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(head));
        }
    }
    let long = "x".repeat(600_000);
    let mut client = bed.client();
    // The server may close before all of it is written.
    let _ = client.request("POST", Speak::Chat.path(), &[("x-long", &long)], b"{}");
    if let Ok(answer) = client.response() {
        assert_eq!(answer.status, 431);
    }
    assert_eq!(
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).status,
        200
    );
    assert_eq!(bed.get("/healthz").json()["status"], "ok");
}

#[test]
fn odd_headers_do_no_harm() {
    let (_up, bed) = one(Script::new());
    let odd = [
        ("traceparent", "nonsense"),
        (
            "traceparent",
            "00-00000000000000000000000000000000-0000000000000000-00",
        ),
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=latin1"),
        ("authorization", "\u{fe}\u{ff}"),
        ("x-fingerpost-debug", ""),
        ("expect", "100-continue"),
        ("accept", "text/event-stream"),
        ("upgrade", "websocket"),
    ];
    for header in odd {
        let answer = bed.post_with(Speak::Chat.path(), &[header], &Speak::Chat.ask("m", "hi"));
        assert_eq!(answer.status, 200, "{header:?} {}", answer.text());
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let (_up, bed) = one(Script::new());
    for speak in ALL {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
            for key in ["messages", "input", "tools", "metadata", "unknown", "model"] {
                let whole = speak.ask("m", "hi").to_string();
                let body = format!("{},\"{key}\":{deep}}}", &whole[..whole.len() - 1]);
                let answer = bed.client().post(speak.path(), &[], &body).unwrap();
                assert!(
                    answer.status == 400 || answer.status == 200,
                    "{speak:?} {key} {}",
                    answer.status
                );
            }
        }
    }
    assert_eq!(bed.get("/healthz").status, 200);
}

#[test]
fn what_only_the_translation_notices_is_refused_too() {
    // Routing needs none of these; a translation does.
    let up = upstream(Script::new());
    let bed = Setup::new().anthropic("up", &up).model("m", &["up"]).start();
    let body = with(Speak::Chat.ask("m", "hi"), "tools", json!("hammer"));
    refused(&bed, Speak::Chat, &body, 400, "tools");
    let body = with(Speak::Chat.ask("m", "hi"), "temperature", json!("hot"));
    refused(&bed, Speak::Chat, &body, 400, "temperature");
    let body = with(
        Speak::Responses.ask("m", "hi"),
        "tools",
        json!([{"type": "function"}]),
    );
    refused(&bed, Speak::Responses, &body, 400, "tools[0]");
    assert_eq!(up.counters().requests, 0);
}

#[test]
fn bad_requests_are_counted_as_such() {
    let (_up, bed) = one(Script::new());
    bed.client().post(Speak::Chat.path(), &[], "{").unwrap();
    bed.post(Speak::Messages.path(), &Speak::Messages.ask("nobody", "hi"));
    assert!(
        bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 2.0),
        "{}",
        bed.metrics()
    );
    assert!(eventually(|| bed
        .metric("fingerpost_requests_total", &[r#"status="5xx""#])
        .abs()
        < 0.5));
}

/// A gateway for many cases: a model in each upstream format, so that every reader is met.
fn many() -> (Vec<fingerpost_testkit::Upstream>, Bed) {
    let ups = vec![upstream(Script::new()), upstream(Script::new())];
    let bed = Setup::new()
        .openai("o", &ups[0])
        .anthropic("a", &ups[1])
        .model("o", &["o"])
        .model("a", &["a"])
        .once()
        .set("/resilience/breaker/consecutive_failures", json!(0))
        .set("/resilience/breaker/failure_rate", json!(2))
        .start();
    (ups, bed)
}

fn seeds() -> Vec<(Speak, Value)> {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let mut all = Vec::new();
    for model in ["o", "a", "auto"] {
        for speak in ALL {
            let mut body = speak.ask(model, "What is the weather?");
            body["temperature"] = json!(0.5);
            body["metadata"] = json!({"user_id": "u"});
            match speak {
                Speak::Chat => {
                    body["tools"] =
                        json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
                    body["messages"] = json!([
                        {"role": "system", "content": "s"},
                        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://e.org/i.png"}}]},
                        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                        {"role": "tool", "tool_call_id": "c", "content": "r"}]);
                    body["stream_options"] = json!({"include_usage": true});
                }
                Speak::Responses => {
                    body["tools"] = json!([{"type": "function", "name": "f", "parameters": schema}]);
                    body["input"] = json!([
                        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                        {"type": "reasoning", "summary": []},
                        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                        {"type": "function_call_output", "call_id": "c", "output": "r"}]);
                    body["instructions"] = json!("i");
                    body["store"] = json!(false);
                }
                Speak::Messages => {
                    body["tools"] = json!([{"name": "f", "input_schema": schema}]);
                    body["system"] =
                        json!([{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]);
                    body["messages"] = json!([
                        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}]);
                }
            }
            body["stream"] = json!(model == "auto");
            all.push((speak, body));
        }
    }
    all
}

/// Something to put in the place of something else.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{}])),
        Just(json!({"type": "text"})),
        Just(json!([[null]])),
    ]
}

/// The paths of all values within.
fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| paths(v, &format!("{at}/{k}"), all)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, v)| paths(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

/// Posts and looks at the answer: an answer, a refusal in the client's format, or the upstream's fault, nothing else.
fn sound(client: &mut Client, speak: Speak, body: &[u8]) -> Result<(), TestCaseError> {
    client
        .request("POST", speak.path(), &[], body)
        .map_err(|e| TestCaseError::fail(e.to_string()))?;
    let answer = client
        .response()
        .map_err(|e| TestCaseError::fail(format!("{e} on {}", String::from_utf8_lossy(body))))?;
    let fine = matches!(answer.status, 200 | 400..=499 | 502);
    prop_assert!(
        fine,
        "{} {} on {}",
        answer.status,
        answer.text(),
        String::from_utf8_lossy(body)
    );
    if answer.status != 200 {
        speak.error(&answer);
    }
    Ok(())
}

#[test]
fn mutated_requests_never_break_it() {
    let (_ups, bed) = many();
    let seeds = seeds();
    let client = std::cell::RefCell::new(bed.client());
    let cases = (
        0..seeds.len(),
        any::<prop::sample::Index>(),
        anything(),
        any::<prop::sample::Index>(),
        anything(),
        any::<bool>(),
    );
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&cases, |(seed, first, a, second, b, twice)| {
            let (speak, mut body) = seeds[seed].clone();
            for (at, with) in [(Some(first), a), (twice.then_some(second), b)] {
                let Some(at) = at else { continue };
                let mut all = Vec::new();
                paths(&body, "", &mut all);
                let path = at.get(&all).clone();
                if let Some(place) = body.pointer_mut(&path) {
                    *place = with;
                }
            }
            sound(&mut client.borrow_mut(), speak, body.to_string().as_bytes())
        })
        .unwrap();
    assert_eq!(bed.get("/healthz").json()["status"], "ok");
}

#[test]
fn cut_and_garbled_requests_never_break_it() {
    let (_ups, bed) = many();
    let seeds = seeds();
    let client = std::cell::RefCell::new(bed.client());
    let cases = (0..seeds.len(), any::<prop::sample::Index>(), any::<Option<u8>>());
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&cases, |(seed, at, byte)| {
            let (speak, body) = &seeds[seed];
            let mut bytes = body.to_string().into_bytes();
            let at = at.index(bytes.len());
            match byte {
                Some(byte) => bytes[at] = byte,
                None => bytes.truncate(at),
            }
            sound(&mut client.borrow_mut(), *speak, &bytes)
        })
        .unwrap();
}

#[test]
fn random_bytes_never_break_it() {
    let (ups, bed) = many();
    let client = std::cell::RefCell::new(bed.client());
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(
            &(0..3usize, prop::collection::vec(any::<u8>(), 0..400)),
            |(speak, bytes)| sound(&mut client.borrow_mut(), ALL[speak], &bytes),
        )
        .unwrap();
    assert!(ups.iter().all(|up| up.counters().requests == 0));
}
