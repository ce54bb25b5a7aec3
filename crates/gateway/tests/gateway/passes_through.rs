//! Where client and upstream speak one format, bytes pass untouched in both directions but for the model's name.

use fingerpost_testkit::{Behavior, Script, Upstream, Usage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, one, upstream},
    speak::{ALL, Speak},
};

/// A gateway in front of an upstream that speaks the client's own format.
fn same_format(speak: Speak, script: Script) -> (Upstream, Bed) {
    let up = upstream(script);
    let setup = match speak {
        Speak::Chat => Setup::new().openai("up", &up),
        Speak::Responses => Setup::new().openai_responses("up", &up),
        Speak::Messages => Setup::new().anthropic("up", &up),
    };
    let endpoints = json!([{"provider": "up", "model": "upstream-name"}]);
    let bed = setup.set("/models/m/endpoints", endpoints).start();
    (up, bed)
}

#[test]
fn a_request_reaches_the_upstream_byte_for_byte_but_for_the_model() {
    let bodies = [
        (
            Speak::Chat,
            r#"{ "messages":[{"role":"user","content":"h\u00e9 \ud83d\ude00","zz":1e2,"cache_control":{"type":"ephemeral"}}],
                "tools":[{"type":"function","function":{"name":"b","parameters":{"z":1,"a":2}}},{"type":"function","function":{"name":"a"}}],
                "model" : "MODEL" ,"unknown_field":{"deep":[1,2.50,null]},"seed":123456789012345678 }"#,
        ),
        (
            Speak::Responses,
            r#"{"model":"MODEL","input":[{"role":"user","content":[{"type":"input_text","text":"hi","x-unknown":1.0}]},
                {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"}],"store":false,"future":  true}"#,
        ),
        (
            Speak::Messages,
            r#"{"max_tokens":64,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],
                "messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}],
                "tools":[{"name":"z","input_schema":{"type":"object"}},{"name":"a","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],
                "model":"MODEL","unknown":{"b":1,"a":2}}"#,
        ),
    ];
    for (speak, body) in bodies {
        let (up, bed) = same_format(speak, Script::new());
        let sent = body.replace("MODEL", "m");
        let answer = bed.client().post(speak.path(), &[], &sent).unwrap();
        assert_eq!(answer.status, 200, "{speak:?} {}", answer.text());
        let got = &up.requests()[0];
        assert_eq!(got.path, speak.path());
        assert_eq!(
            String::from_utf8_lossy(&got.body),
            body.replace("MODEL", "upstream-name"),
            "{speak:?}"
        );
    }
}

#[test]
fn a_whole_answer_reaches_the_client_byte_for_byte() {
    for speak in ALL {
        let (up, bed) = same_format(speak, Script::new().always(Behavior::text("from the upstream")));
        let answer = bed.post(speak.path(), &speak.ask("m", "hi"));
        assert_eq!(answer.status, 200, "{speak:?} {}", answer.text());
        assert_eq!(speak.text(&answer.json()), "from the upstream");
        // The upstream numbers its answers; ask it directly with what it got, and only the number differs.
        let asked = up.requests()[0].body.clone();
        let mut direct = fingerpost_testkit::Client::connect(up.addr()).unwrap();
        let version = [("anthropic-version", "2023-06-01")];
        let direct = direct
            .post(speak.path(), &version, std::str::from_utf8(&asked).unwrap())
            .unwrap();
        let unnumbered = |text: &str| text.replace("chatcmpl-2", "chatcmpl-1").replace("_2", "_1");
        assert_eq!(answer.text(), unnumbered(&direct.text()), "{speak:?}");
    }
}

#[test]
fn a_stream_reaches_the_client_event_for_event() {
    for speak in ALL {
        let (up, bed) = same_format(speak, Script::new().always(Behavior::text("one two three four")));
        let mut body = speak.ask_stream("m", "hi");
        if speak == Speak::Chat {
            body["stream_options"] = json!({"include_usage": true});
        }
        let events = bed.stream(speak.path(), &body);
        assert_eq!(speak.streamed(&events), "one two three four", "{speak:?}");
        assert!(speak.is_complete(&events), "{speak:?} {events:?}");
        let asked = up.requests()[0].body.clone();
        let mut direct = fingerpost_testkit::Client::connect(up.addr()).unwrap();
        direct
            .request(
                "POST",
                speak.path(),
                &[("anthropic-version", "2023-06-01")],
                &asked,
            )
            .unwrap();
        direct.head().unwrap();
        let show = |events: &[fingerpost_testkit::SseEvent]| -> Vec<String> {
            let line = |e: &fingerpost_testkit::SseEvent| format!("{} {}", e.event, e.data);
            events
                .iter()
                .map(line)
                .map(|l| l.replace("chatcmpl-2", "chatcmpl-1").replace("_2", "_1"))
                .collect()
        };
        assert_eq!(show(&events), show(&direct.events().unwrap()), "{speak:?}");
    }
}

#[test]
fn a_usage_chunk_is_asked_for_counted_and_hidden_from_those_who_did_not_ask() {
    let counted = Usage {
        input: 1234,
        output: 56,
        ..Usage::default()
    };
    let (up, bed) = one(Script::new().always(Behavior::text("a b").usage(counted)));
    let events = bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert_eq!(up.requests()[0].json()["stream_options"]["include_usage"], true);
    let with_usage = |e: &fingerpost_testkit::SseEvent| e.json().get("usage").is_some_and(Value::is_object);
    assert!(!events.iter().any(with_usage), "{events:?}");
    assert!(
        !events
            .iter()
            .any(|e| e.json()["choices"].as_array().is_some_and(Vec::is_empty)),
        "{events:?}"
    );
    assert!(Speak::Chat.is_complete(&events));
    assert!(
        bed.counts(
            "fingerpost_tokens_total",
            &[r#"kind="input""#, r#"model="m""#],
            1234.0
        ),
        "{}",
        bed.metrics()
    );
    assert!(bed.counts(
        "fingerpost_tokens_total",
        &[r#"kind="output""#, r#"model="m""#],
        56.0
    ));
    let mut asks = Speak::Chat.ask_stream("m", "hi");
    asks["stream_options"] = json!({"include_usage": true});
    let events = bed.stream(Speak::Chat.path(), &asks);
    assert_eq!(events.iter().filter(|e| with_usage(e)).count(), 1, "{events:?}");
}

#[test]
fn servers_that_refuse_stream_options_are_not_sent_any() {
    let up = upstream(Script::new());
    let bed = Setup::new()
        .openai("up", &up)
        .set("/providers/up/stream_usage", json!(false))
        .model("m", &["up"])
        .start();
    let events = bed.stream(Speak::Chat.path(), &Speak::Chat.ask_stream("m", "hi"));
    assert!(Speak::Chat.is_complete(&events));
    assert!(up.requests()[0].json().get("stream_options").is_none());
}

#[test]
fn headers_pass_but_neither_keys_nor_cookies_nor_what_belongs_to_a_connection() {
    let up = upstream(
        Script::new().always(
            Behavior::text("hi")
                .header("x-upstream", "yes")
                .header("set-cookie", "a=b"),
        ),
    );
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/providers/up/headers",
            json!({"authorization": "Bearer ${CARGO_PKG_NAME}", "x-from-config": "1"}),
        )
        .model("m", &["up"])
        .start();
    let headers = [
        ("authorization", "Bearer client-key"),
        ("x-api-key", "client-key"),
        ("api-key", "client-key"),
        ("x-goog-api-key", "client-key"),
        ("proxy-authorization", "Basic client-key"),
        ("cookie", "session=client-key"),
        ("accept-encoding", "gzip, br"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-fingerpost-debug", "1"),
        ("anthropic-beta", "some-beta"),
        ("x-custom", "kept"),
    ];
    let answer = bed.post_with(Speak::Chat.path(), &headers, &Speak::Chat.ask("m", "hi"));
    assert_eq!(answer.status, 200);
    let got = &up.requests()[0].headers;
    let all: Vec<(&str, &str)> = got.iter().collect();
    assert!(!all.iter().any(|(_, v)| v.contains("client-key")), "{all:?}");
    assert_eq!(got.get("authorization"), Some("Bearer fingerpost-gateway"));
    assert_eq!(got.get("x-from-config"), Some("1"));
    assert_eq!(got.get("anthropic-beta"), Some("some-beta"));
    assert_eq!(got.get("x-custom"), Some("kept"));
    assert_eq!(got.get("content-type"), Some("application/json"));
    assert_eq!(got.get("host"), Some(up.addr().to_string().as_str()));
    for gone in ["accept-encoding", "x-hop", "te", "x-fingerpost-debug", "cookie"] {
        assert_eq!(got.get(gone), None, "{gone}");
    }
    assert_eq!(answer.headers.get("x-upstream"), Some("yes"));
    assert_eq!(answer.headers.get("x-request-id"), Some("req_scripted"));
    assert_eq!(answer.headers.get("set-cookie"), None);
}

#[test]
fn a_provider_without_a_key_is_not_sent_the_clients() {
    for speak in ALL {
        let (up, bed) = same_format(speak, Script::new());
        let headers = [
            ("authorization", "Bearer client-key"),
            ("x-api-key", "client-key"),
        ];
        assert_eq!(
            bed.post_with(speak.path(), &headers, &speak.ask("m", "hi"))
                .status,
            200
        );
        let got = &up.requests()[0].headers;
        assert_eq!(
            (got.get("authorization"), got.get("x-api-key")),
            (None, None),
            "{speak:?}"
        );
        let version = (speak == Speak::Messages).then_some("2023-06-01");
        assert_eq!(got.get("anthropic-version"), version);
    }
}

#[test]
fn connections_are_kept_on_both_sides() {
    let (up, bed) = one(Script::new());
    let mut client = bed.client();
    for i in 0..6 {
        let body = if i % 2 == 0 {
            Speak::Chat.ask("m", "hi")
        } else {
            Speak::Chat.ask_stream("m", "hi")
        };
        assert_eq!(
            client
                .post(Speak::Chat.path(), &[], &body.to_string())
                .unwrap()
                .status,
            200
        );
        // A stream's connection is free once its last chunk is read, which is a moment after its last event.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(up.counters().requests, 6);
    assert!(up.counters().connections <= 2, "{:?}", up.counters());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_up, bed) = one(Script::new());
    let mut client = bed.client();
    for text in ["first", "second"] {
        let body = Speak::Chat.ask("m", text).to_string();
        client
            .request("POST", Speak::Chat.path(), &[], body.as_bytes())
            .unwrap();
    }
    for text in ["first", "second"] {
        assert_eq!(
            Speak::Chat.text(&client.response().unwrap().json()),
            format!("You said: {text}")
        );
    }
}

#[test]
fn several_choices_come_back_as_they_are() {
    let (_up, bed) = one(Script::new());
    let mut body = Speak::Chat.ask("m", "hi");
    body["n"] = json!(3);
    assert_eq!(
        bed.post(Speak::Chat.path(), &body).json()["choices"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    body["stream"] = json!(true);
    let events = bed.stream(Speak::Chat.path(), &body);
    let finishes = |i: u64| {
        events.iter().any(|e| {
            e.json()["choices"][0]["index"] == i && e.json()["choices"][0]["finish_reason"] == "stop"
        })
    };
    assert!((0..3).all(finishes), "{events:?}");
}

#[test]
fn an_answer_of_eight_megabytes_passes_whole() {
    let big = Behavior::garbage(fingerpost_testkit::Garbage::Huge(8 << 20));
    let (_up, bed) = one(Script::new().always(big));
    let answer = bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi")).json();
    assert_eq!(Speak::Chat.text(&answer).len(), 8 << 20);
}
