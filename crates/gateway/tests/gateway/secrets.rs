//! Keys never show: not in answers, headers, errors, metrics, logs or traces.

use std::process::Command;

use fingerpost_testkit::{Behavior, How, Point, Response, Script};
use serde_json::json;

use crate::{
    bed::{Setup, upstream},
    speak::ALL,
};

const PROVIDER: &str = "sk-provider-0123456789abcdefXYZ";
const CLIENT: &str = "sk-client-fedcba9876543210XYZ";
/// Keys come from the environment, so the test runs itself again with one.
const VARIABLE: &str = "FINGERPOST_TEST_PROVIDER_KEY";

#[test]
fn keys_never_show() {
    if std::env::var(VARIABLE).is_ok() {
        serve_and_look();
        return;
    }
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "secrets::keys_never_show", "--nocapture"])
        .env(VARIABLE, PROVIDER)
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(run.status.success(), "{out}\n{log}");
    assert!(
        log.lines().filter(|l| l.starts_with('{')).count() >= 10,
        "the access log was written: {log}"
    );
    for secret in [PROVIDER, CLIENT] {
        assert!(!out.contains(secret) && !log.contains(secret), "{out}\n{log}");
    }
}

/// Meets every way of answering and failing, and looks at all that comes back.
fn serve_and_look() {
    let leaky = |status: u16| Behavior {
        message: Some(format!(
            "Incorrect API key provided: {PROVIDER}. Authorization: Bearer {PROVIDER}"
        )),
        ..Behavior::status(status)
    };
    let up = upstream(Script {
        key: Some(PROVIDER.to_owned()),
        ..Script::new()
    });
    let bed = Setup::new()
        .openai("o", &up)
        .set("/providers/o/api_key_env", json!(VARIABLE))
        .anthropic("a", &up)
        .set("/providers/a/api_key_env", json!(VARIABLE))
        .model("o", &["o"])
        .model("a", &["a"])
        .decision("all", &["o", "a"], json!("latency_aware"))
        .set("/learning/keep_traces", json!("all"))
        .set("/telemetry/access_log", json!(true))
        .set("/resilience/breaker/consecutive_failures", json!(2))
        .set("/resilience/retry/max_retries", json!(0))
        .start();
    let clean = |what: &str, answer: &Response| {
        let headers: String = answer
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}\n"))
            .collect();
        let all = format!("{headers}{}", answer.text());
        for secret in [PROVIDER, CLIENT] {
            assert!(!all.contains(secret), "{what}: {all}");
        }
    };
    let behaviors = [
        Behavior::default(),
        leaky(401),
        leaky(400),
        leaky(500),
        leaky(429),
        Behavior {
            message: None,
            ..Behavior::fault(Point::Events(3), How::Reset)
        },
    ];
    let bearer = format!("Bearer {CLIENT}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", CLIENT),
        ("x-fingerpost-debug", "1"),
    ];
    for behavior in behaviors {
        up.script(Script {
            key: Some(PROVIDER.to_owned()),
            ..Script::new().always(behavior)
        });
        for speak in ALL {
            for model in ["o", "a", "auto", "nobody"] {
                for body in [speak.ask(model, "hi"), speak.ask_stream(model, "hi")] {
                    let answer = bed.post_with(speak.path(), &headers, &body);
                    clean(&body.to_string(), &answer);
                    let trace = answer.headers.get("x-fingerpost-trace").unwrap().to_owned();
                    clean("trace", &bed.get(&format!("/v1/traces/{trace}")));
                }
            }
        }
    }
    // Keys did arrive where they belong.
    let sent = up.requests();
    assert!(
        sent.iter()
            .any(|r| r.headers.get("authorization") == Some(&format!("Bearer {PROVIDER}")))
    );
    assert!(sent.iter().any(|r| r.headers.get("x-api-key") == Some(PROVIDER)));
    assert!(
        !sent
            .iter()
            .any(|r| r.headers.iter().any(|(_, v)| v.contains(CLIENT)))
    );
    for path in ["/metrics", "/healthz", "/readyz", "/v1/models"] {
        clean(path, &bed.get(path));
    }
    // A key pasted where a model's name belongs is not repeated.
    for speak in ALL {
        clean("pasted", &bed.post(speak.path(), &speak.ask(CLIENT, "hi")));
    }
    clean("pasted", &bed.get(&format!("/v1/models/{CLIENT}")));
    clean("pasted", &bed.get(&format!("/v1/traces/{CLIENT}")));
    clean("pasted", &bed.get(&format!("/v1/responses/{CLIENT}")));
    let debug = format!("{:?} {:?}", bed.shared.snapshot(), bed.shared.snapshot().config());
    assert!(!debug.contains(PROVIDER));
    bed.stop();
}
