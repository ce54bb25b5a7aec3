//! Whatever Envoy tells, in whatever order: nothing panics, and what is answered has a shape that Envoy takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use fingerpost_encode::StaticEncoder;
use fingerpost_extproc::{
    DESTINATION, DESTINATION_NAMESPACE, Exchange, Options, Role, SUBSET, SUBSET_NAMESPACE,
    messages::{
        BodySendMode, HeaderMap, HeaderValue, Heard, HttpBody, HttpHeaders, HttpTrailers, Kind, List,
        Metadata, Mutation, ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Said, Struct,
        Value,
    },
};
use fingerpost_gateway::{Engines, Placer, Shared, config};
use proptest::prelude::*;

fn placer() -> Arc<Placer> {
    let text = r#"{"store": {"back_end": "memory"}, "server": {"seed": 7, "max_body": 2000},
        "providers": {"a": {"type": "openai", "base_url": "http://10.0.0.1:8000/v1"},
                      "b": {"type": "openai", "base_url": "http://10.0.0.2:8000/v1"}},
        "models": {"m": {"endpoints": [{"provider": "a"}, {"provider": "b"}], "fleet": {"policy": "round_robin"}}},
        "decisions": [{"name": "all", "models": ["m"]}]}"#;
    let loaded = config::load_text(text, "test.yaml").unwrap();
    let encoder = Arc::new(StaticEncoder::bundled());
    let folder = std::path::Path::new("");
    Arc::new(
        Placer::new(Shared::new(loaded.config, folder, Engines::default(), encoder, 1).unwrap()).unwrap(),
    )
}

fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let header = |(key, value): &(&str, &str)| HeaderValue {
        key: (*key).to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec().into(),
    };
    HttpHeaders {
        headers: Some(HeaderMap {
            headers: pairs.iter().map(header).collect(),
        }),
        end_of_stream,
    }
}

fn chat() -> Heard {
    Heard::RequestHeaders(headers(
        &[(":method", "POST"), (":path", "/v1/chat/completions")],
        false,
    ))
}

fn body(text: &str, end_of_stream: bool) -> Heard {
    Heard::RequestBody(HttpBody {
        body: text.as_bytes().to_vec().into(),
        end_of_stream,
    })
}

fn tell(exchange: &mut Exchange, heard: Heard) -> Vec<ProcessingResponse> {
    exchange.hear(ProcessingRequest {
        request: Some(heard),
        ..ProcessingRequest::default()
    })
}

/// The headers that an answer sets.
fn set(answer: &ProcessingResponse) -> Vec<(String, String)> {
    let common = match answer.response.as_ref().unwrap() {
        Said::RequestHeaders(a) | Said::RequestBody(a) | Said::ResponseHeaders(a) => a.response.as_ref(),
        _ => None,
    };
    let mutation = common.and_then(|c| c.header_mutation.as_ref());
    let headers = mutation.into_iter().flat_map(|m| &m.set_headers);
    let pair = |h: &HeaderValue| (h.key.clone(), String::from_utf8_lossy(h.bytes()).into_owned());
    headers.filter_map(|h| h.header.as_ref().map(pair)).collect()
}

const ASK: &str = r#"{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}"#;

#[test]
fn a_whole_body_is_placed_and_its_metadata_told() {
    let mut exchange = Exchange::new(placer(), Options::default());
    assert!(set(&tell(&mut exchange, chat())[0]).is_empty());
    let answers = tell(&mut exchange, body(ASK, true));
    let [answer] = &answers[..] else {
        panic!("{answers:?}")
    };
    let told = set(answer);
    let destination = told.iter().find(|(key, _)| key == DESTINATION).unwrap();
    assert_eq!(destination.1, "10.0.0.1:8000,10.0.0.2:8000");
    let metadata = &answer.dynamic_metadata.as_ref().unwrap().fields[DESTINATION_NAMESPACE];
    let Some(Kind::Object(inner)) = &metadata.kind else {
        panic!("{metadata:?}")
    };
    assert_eq!(
        inner.fields[DESTINATION].kind,
        Some(Kind::Text(destination.1.clone()))
    );
    // A picker leaves the path and the server's key to Envoy.
    assert!(
        !told
            .iter()
            .any(|(key, _)| key == ":path" || key == "authorization")
    );
    let answer = tell(
        &mut exchange,
        Heard::ResponseHeaders(headers(&[(":status", "200")], false)),
    );
    assert!(
        set(&answer[0])
            .iter()
            .any(|(key, value)| key == "x-fingerpost-model" && value == "m")
    );
}

#[test]
fn a_proxy_that_can_reach_one_server_is_sent_there() {
    let placer = placer();
    for listed in [
        Kind::Text("10.0.0.2:8000, 10.9.9.9:1".to_owned()),
        Kind::List(List {
            values: vec![Value {
                kind: Some(Kind::Text("10.0.0.2:8000".to_owned())),
            }],
        }),
    ] {
        let mut exchange = Exchange::new(placer.clone(), Options::default());
        exchange.hear(ProcessingRequest {
            request: Some(chat()),
            metadata_context: Some(Metadata {
                filter_metadata: [(SUBSET_NAMESPACE.to_owned(), Struct::of(SUBSET, listed))].into(),
            }),
            protocol_config: None,
        });
        let answers = tell(&mut exchange, body(ASK, true));
        let told = set(&answers[0]);
        assert!(
            told.contains(&(DESTINATION.to_owned(), "10.0.0.2:8000".to_owned())),
            "{told:?}"
        );
    }
}

#[test]
fn a_body_over_the_limit_is_told() {
    let mut exchange = Exchange::new(placer(), Options::default());
    tell(&mut exchange, chat());
    let answers = tell(&mut exchange, body(&"x".repeat(2001), false));
    let Some(Said::Immediate(answer)) = &answers[0].response else {
        panic!("{answers:?}")
    };
    assert_eq!(answer.status.unwrap().code, 413);
    assert!(tell(&mut exchange, body("x", true)).is_empty(), "it was answered");
}

fn any_heard() -> impl Strategy<Value = Heard> {
    let text = prop_oneof![Just(ASK.to_owned()), "\\PC{0,40}", Just("x".repeat(1500))];
    let path = prop_oneof![
        Just("/v1/chat/completions"),
        Just("/v1/messages"),
        Just("/v1/models"),
        Just("")
    ];
    let status = prop_oneof![Just("200"), Just("503"), Just("no number"), Just("99999")];
    let part = (text, any::<bool>()).prop_map(|(text, end)| HttpBody {
        body: text.into_bytes().into(),
        end_of_stream: end,
    });
    let request =
        (path, any::<bool>()).prop_map(|(path, end)| headers(&[(":path", path), ("bad name", "x")], end));
    prop_oneof![
        4 => request.prop_map(Heard::RequestHeaders),
        6 => part.clone().prop_map(Heard::RequestBody),
        1 => part.prop_map(Heard::ResponseBody),
        2 => status.prop_map(|s| Heard::ResponseHeaders(headers(&[(":status", s)], false))),
        1 => Just(Heard::RequestTrailers(HttpTrailers::default())),
        1 => Just(Heard::ResponseTrailers(HttpTrailers::default())),
    ]
}

proptest! {
    #[test]
    fn any_messages_in_any_order(
        messages in prop::collection::vec(any_heard(), 0..12),
        duplex: bool, fail_open: bool, router: bool,
    ) {
        let role = if router { Role::Router } else { Role::Picker };
        let mut exchange = Exchange::new(placer(), Options { role, fail_open });
        let mode = if duplex { BodySendMode::FullDuplexStreamed } else { BodySendMode::Buffered } as i32;
        exchange.hear(ProcessingRequest {
            protocol_config: Some(ProtocolConfiguration { request_body_mode: mode, response_body_mode: 0 }),
            ..ProcessingRequest::default()
        });
        for message in messages {
            for answer in tell(&mut exchange, message) {
                let response = answer.response.expect("an answer says something");
                if let Said::RequestBody(answer) = response {
                    let mutation = answer.response.and_then(|r| r.body_mutation).and_then(|b| b.mutation);
                    if let Some(Mutation::Streamed(part)) = &mutation {
                        prop_assert!(duplex && part.body.len() <= 64 << 10);
                    }
                }
            }
        }
    }
}
