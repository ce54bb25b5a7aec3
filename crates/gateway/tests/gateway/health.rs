//! Liveness, readiness, metrics.

use fingerpost_testkit::Script;

use crate::{bed::one, speak::Speak};

#[test]
fn alive_and_ready() {
    let (_up, bed) = one(Script::new());
    let health = bed.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (200, &"ok".into()));
    assert_eq!(health.json()["version"], env!("CARGO_PKG_VERSION"));
    let ready = bed.get("/readyz");
    assert_eq!(
        (ready.status, &ready.json()["status"], &ready.json()["models"]),
        (200, &"ready".into(), &1.into())
    );
}

#[test]
fn metrics_are_open_metrics_text_and_count() {
    let (_up, bed) = one(Script::new());
    let before = bed.get("/metrics");
    assert!(
        before
            .headers
            .get("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(before.text().ends_with("# EOF\n"));
    for _ in 0..3 {
        bed.post(Speak::Chat.path(), &Speak::Chat.ask("m", "hi"));
    }
    bed.stream(Speak::Messages.path(), &Speak::Messages.ask_stream("m", "hi"));
    let ok = r#"status="2xx""#;
    assert!(
        bed.counts("fingerpost_requests_total", &[ok, r#"model="m""#], 4.0),
        "{}",
        bed.metrics()
    );
    assert!(bed.counts("fingerpost_requests_total", &[ok, r#"format="chat""#], 3.0));
    assert!(bed.counts(
        "fingerpost_upstream_calls_total",
        &[r#"endpoint="m@up""#, r#"result="ok""#],
        4.0
    ));
}

#[test]
fn no_client_can_make_the_number_of_series_grow() {
    let (_up, bed) = one(Script::new());
    bed.post(Speak::Chat.path(), &Speak::Chat.ask("nobody-0", "hi"));
    assert!(bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 1.0));
    let before = bed.metrics().lines().count();
    for i in 1..50 {
        bed.post(Speak::Chat.path(), &Speak::Chat.ask(&format!("nobody-{i}"), "hi"));
    }
    assert!(bed.counts("fingerpost_requests_total", &[r#"status="4xx""#], 50.0));
    let after = bed.metrics();
    assert_eq!(after.lines().count(), before);
    assert!(!after.contains("nobody"));
}

#[test]
fn a_head_request_is_answered_without_a_body() {
    let (_up, bed) = one(Script::new());
    let mut client = bed.client();
    client.send(b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
}
