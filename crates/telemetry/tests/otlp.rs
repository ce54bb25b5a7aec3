//! What a collector receives, read by the message types of the OpenTelemetry project; and what happens when it is slow, away,
//! or refuses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use fingerpost_core::{Failure, TraceId};
use fingerpost_telemetry::{Record, Servers, SpanIds, Traces, TracesConfig, TracesStats};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use support::{AT, PARENT, SPAN, TRACE, record, refused};

const LONG: Duration = Duration::from_secs(60);

/// One export as the collector saw it.
struct Export {
    head: String,
    request: ExportTraceServiceRequest,
}

/// A collector that answers each export with the next of `answers`, and with the last one for ever.
fn collector(answers: Vec<Vec<u8>>) -> (SocketAddr, Receiver<Export>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, exports) = channel();
    thread::spawn(move || {
        for turn in 0.. {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let answer = answers.get(turn).or(answers.last()).cloned().unwrap_or_default();
            if serve(stream, &answer, &seen).is_none() {
                return;
            }
        }
    });
    (address, exports)
}

fn serve(mut stream: TcpStream, answer: &[u8], seen: &Sender<Export>) -> Option<()> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    let body = loop {
        if let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        received.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8(received[..body].to_vec()).ok()?;
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))?
        .parse::<usize>()
        .ok()?;
    while received.len() < body + length {
        let count = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        received.extend_from_slice(&chunk[..count]);
    }
    let request = ExportTraceServiceRequest::decode(&received[body..]).ok()?;
    seen.send(Export { head, request }).ok()?;
    stream.write_all(answer).ok()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn taken() -> Vec<u8> {
    answer("200 OK", "content-type: application/x-protobuf\r\n", b"")
}

/// Exports only when asked to.
fn config(address: SocketAddr) -> TracesConfig {
    TracesConfig {
        every: LONG,
        ..TracesConfig::new(format!("http://{address}"))
    }
}

fn spans(export: &Export) -> &[Span] {
    &export.request.resource_spans[0].scope_spans[0].spans
}

fn attributes(list: &[KeyValue]) -> BTreeMap<&str, Value> {
    list.iter()
        .map(|kv| (kv.key.as_str(), kv.value.clone().unwrap().value.unwrap()))
        .collect()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

#[test]
fn the_collector_reads_the_whole_tree() {
    let (address, exports) = collector(vec![taken()]);
    let config = TracesConfig {
        headers: vec![("x-key".to_owned(), "k".to_owned())],
        service_instance: Some("replica-1".to_owned()),
        ..config(address)
    };
    let traces = Traces::start(&config).unwrap();
    traces.set_servers(Servers::from_iter([(
        "b".into(),
        ("api.example".to_owned(), 8443),
    )]));
    traces.export(&record());
    assert!(traces.flush(LONG));
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 6,
            dropped: 0
        }
    );

    let export = exports.recv_timeout(LONG).unwrap();
    assert!(
        export.head.starts_with("POST /v1/traces HTTP/1.1\r\n"),
        "{}",
        export.head
    );
    assert!(
        export.head.contains("content-type: application/x-protobuf\r\n"),
        "{}",
        export.head
    );
    assert!(export.head.contains("x-key: k\r\n"), "{}", export.head);
    let resource = export.request.resource_spans[0].resource.as_ref().unwrap();
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], text("fingerpost"));
    assert_eq!(resource["service.instance.id"], text("replica-1"));

    let spans = spans(&export);
    let names: Vec<&str> = spans.iter().map(|s| s.name.as_str()).collect();
    let expected = [
        "chat large",
        "route decision",
        "route model",
        "route fleet",
        "chat vendor/small",
        "chat vendor/large",
    ];
    assert_eq!(names, expected);
    assert!(spans.iter().all(|s| s.trace_id == TRACE.to_be_bytes()));
    let ids = SpanIds::of(SPAN);
    let own = [SPAN, ids.hop(0), ids.hop(1), ids.hop(2), ids.call(0), ids.call(1)];
    let parents = [PARENT, SPAN, ids.hop(0), ids.hop(1), SPAN, SPAN];
    for ((span, own), parent) in spans.iter().zip(own).zip(parents) {
        assert_eq!(span.span_id, own.to_be_bytes(), "{}", span.name);
        assert_eq!(span.parent_span_id, parent.to_be_bytes(), "{}", span.name);
    }
    let kinds: Vec<SpanKind> = spans.iter().map(Span::kind).collect();
    let (internal, client) = (SpanKind::Internal, SpanKind::Client);
    assert_eq!(
        kinds,
        [SpanKind::Server, internal, internal, internal, client, client]
    );

    let ms = 1_000_000;
    let at = AT * 1000;
    let times: Vec<(u64, u64)> = spans
        .iter()
        .map(|s| (s.start_time_unix_nano, s.end_time_unix_nano))
        .collect();
    let routing = (at, at + 12_000);
    let small = (at + ms, at + 101 * ms);
    let large = (at + 101 * ms, at + 1001 * ms);
    assert_eq!(
        times,
        [(at, at + 1001 * ms), routing, routing, routing, small, large]
    );
    assert_eq!(
        spans[0].flags, 0x301,
        "sampled, and the parent is of another process"
    );
    assert_eq!(spans[1].flags, 0x101);
}

#[test]
fn attributes_have_the_names_of_the_conventions() {
    let (address, exports) = collector(vec![taken()]);
    let traces = Traces::start(&config(address)).unwrap();
    traces.set_servers(Servers::from_iter([(
        "b".into(),
        ("api.example".to_owned(), 8443),
    )]));
    traces.export(&record());
    assert!(traces.shutdown(LONG));
    let export = exports.recv_timeout(LONG).unwrap();
    let spans = spans(&export);

    let request = attributes(&spans[0].attributes);
    assert_eq!(request["gen_ai.operation.name"], text("chat"));
    assert_eq!(request["gen_ai.provider.name"], text("openai"));
    assert_eq!(request["gen_ai.request.model"], text("auto"));
    assert_eq!(request["gen_ai.request.stream"], Value::BoolValue(true));
    assert_eq!(request["gen_ai.response.model"], text("vendor/large"));
    assert_eq!(request["gen_ai.usage.input_tokens"], Value::IntValue(1000));
    assert_eq!(request["gen_ai.usage.output_tokens"], Value::IntValue(61));
    assert_eq!(
        request["gen_ai.usage.cache_read.input_tokens"],
        Value::IntValue(600)
    );
    assert_eq!(
        request["gen_ai.usage.reasoning.output_tokens"],
        Value::IntValue(20)
    );
    assert_eq!(
        request["gen_ai.response.time_to_first_chunk"],
        Value::DoubleValue(0.401)
    );
    assert_eq!(request["http.response.status_code"], Value::IntValue(200));
    assert_eq!(request["http.route"], text("/v1/chat/completions"));
    assert_eq!(request["fingerpost.decision"], text("math"));
    assert_eq!(request["fingerpost.cost_usd"], Value::DoubleValue(0.0125));
    assert!(!request.contains_key("error.type"));
    assert!(spans[0].status.is_none());

    let model = attributes(&spans[2].attributes);
    assert_eq!(model["fingerpost.level"], text("model"));
    assert_eq!(model["fingerpost.router"], text("static"));
    assert_eq!(
        model["fingerpost.reason"],
        text("cheapest above the bar (price 0.25)")
    );
    assert_eq!(model["fingerpost.score"], Value::DoubleValue(0.75));
    let Value::ArrayValue(picks) = &model["fingerpost.picks"] else {
        panic!("{model:?}")
    };
    assert_eq!(
        picks.values,
        [AnyValue {
            value: Some(text("small"))
        }]
    );

    let failed = attributes(&spans[4].attributes);
    assert_eq!(failed["error.type"], text("timeout"));
    assert_eq!(failed["fingerpost.attempt"], text("first"));
    assert!(
        !failed.contains_key("gen_ai.usage.input_tokens"),
        "that call answered nothing"
    );
    assert!(
        !failed.contains_key("server.address"),
        "not known of this endpoint"
    );
    let status = spans[4].status.as_ref().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (StatusCode::Error, "timed out: first byte")
    );

    let answered = attributes(&spans[5].attributes);
    assert_eq!(answered["gen_ai.request.model"], text("vendor/large"));
    assert_eq!(answered["gen_ai.usage.input_tokens"], Value::IntValue(1000));
    assert_eq!(answered["fingerpost.attempt"], text("fallback"));
    assert_eq!(answered["server.address"], text("api.example"));
    assert_eq!(answered["server.port"], Value::IntValue(8443));
}

#[test]
fn a_client_at_fault_does_not_make_the_server_span_fail() {
    let (address, exports) = collector(vec![taken()]);
    let traces = Traces::start(&config(address)).unwrap();
    traces.export(&refused(400));
    traces.export(&refused(500));
    let failed = Record {
        status: 502,
        ..record()
    };
    let outcome = fingerpost_core::Outcome {
        failure: Some(Failure::Status(500)),
        ..failed.outcome
    };
    traces.export(&Record { outcome, ..failed });
    assert!(traces.shutdown(LONG));
    let export = exports.recv_timeout(LONG).unwrap();
    let roots: Vec<&Span> = spans(&export)
        .iter()
        .filter(|s| s.kind() == SpanKind::Server)
        .collect();
    assert_eq!(roots[0].name, "chat", "no model, no name of one");
    assert!(roots[0].parent_span_id.is_empty());
    assert!(roots[0].status.is_none());
    assert_eq!(attributes(&roots[1].attributes)["error.type"], text("500"));
    assert_eq!(roots[1].status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(attributes(&roots[2].attributes)["error.type"], text("status"));
    assert_eq!(roots[2].status.as_ref().unwrap().message, "upstream status 500");
}

#[test]
fn many_records_come_whole_and_in_one_piece() {
    let (address, exports) = collector(vec![taken()]);
    let traces = Traces::start(&config(address)).unwrap();
    for i in 1..=500 {
        let mut each = record();
        each.trace.id = TraceId(i);
        traces.export(&each);
    }
    assert!(traces.shutdown(LONG));
    let mut seen = HashMap::new();
    for export in exports.try_iter() {
        for span in spans(&export) {
            *seen.entry(span.trace_id.clone()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 500);
    assert!(seen.values().all(|count| *count == 6));
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 3000,
            dropped: 0
        }
    );
}

#[test]
fn the_sample_follows_from_the_trace_id() {
    let (address, exports) = collector(vec![taken()]);
    let traces = Traces::start(&TracesConfig {
        sample: 0.5,
        ..config(address)
    })
    .unwrap();
    for low in [0u64, u64::MAX / 2 - 1, u64::MAX / 2 + 2, u64::MAX] {
        let mut each = record();
        each.trace.id = TraceId(1 << 64 | u128::from(low));
        assert_eq!(traces.samples(each.trace.id), low < u64::MAX / 2, "{low}");
        traces.export(&each);
    }
    assert!(traces.shutdown(LONG));
    let export = exports.recv_timeout(LONG).unwrap();
    assert_eq!(spans(&export).len(), 12);
}

#[test]
fn a_collector_in_trouble_is_asked_again() {
    let busy = answer("503 Service Unavailable", "retry-after: 0\r\n", b"");
    let (address, exports) = collector(vec![busy.clone(), busy, taken()]);
    let traces = Traces::start(&config(address)).unwrap();
    traces.export(&record());
    assert!(traces.flush(LONG));
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 6,
            dropped: 0
        }
    );
    let sizes: Vec<usize> = exports.try_iter().map(|e| spans(&e).len()).collect();
    assert_eq!(sizes, [6, 6, 6]);
}

#[test]
fn a_refusal_is_not_repeated_and_a_partial_one_is_counted() {
    let partial = ExportTracePartialSuccess {
        rejected_spans: 2,
        error_message: "two too old".to_owned(),
    };
    let partial = ExportTraceServiceResponse {
        partial_success: Some(partial),
    }
    .encode_to_vec();
    let (address, exports) = collector(vec![
        answer("400 Bad Request", "", b"no"),
        answer("200 OK", "", &partial),
        taken(),
    ]);
    let traces = Traces::start(&config(address)).unwrap();
    traces.export(&record());
    assert!(traces.flush(LONG));
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 0,
            dropped: 6
        }
    );
    traces.export(&record());
    assert!(traces.flush(LONG));
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 4,
            dropped: 8
        }
    );
    assert_eq!(exports.try_iter().count(), 2);
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let traces = Traces::start(&config(address)).unwrap();
    traces.export(&record());
    assert!(traces.shutdown(LONG), "the end does not wait for retries");
    assert_eq!(
        traces.stats(),
        TracesStats {
            exported: 0,
            dropped: 6
        }
    );
    traces.export(&record());
    assert_eq!(traces.stats().dropped, 12, "nothing is taken in after the end");
    assert!(traces.shutdown(LONG), "a second end finds it ended");
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = TracesConfig {
        queue_bytes: 64 * 1024,
        timeout: LONG,
        ..config(address)
    };
    let traces = Traces::start(&config).unwrap();
    for _ in 0..10_000 {
        traces.export(&record());
    }
    let dropped = traces.stats().dropped;
    assert!(dropped > 6 * 9_000, "the queue is bounded: {dropped} dropped");
    assert!(!traces.flush(Duration::from_millis(1)));
    // From here on an export is under way, and stays so.
    let held = silent.accept().unwrap();
    assert!(
        !traces.shutdown(Duration::from_millis(10)),
        "the export under way has its own time limit"
    );
    drop(held);
}
