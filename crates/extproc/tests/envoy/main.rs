//! A real Envoy with Fingerpost behind its external-processing filter, in front of scripted servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bed;

use std::collections::BTreeMap;

use bed::{Bed, Setup, ask, pool};
use fingerpost_extproc::{Options, Role};
use fingerpost_testkit::{Behavior, Script, Upstream};
use serde_json::{Value, json};

fn servers(count: usize) -> Vec<Upstream> {
    let script = |i: usize| Script::new().always(Behavior::text(format!("server {i}")));
    (0..count).map(|i| Upstream::start(script(i)).unwrap()).collect()
}

/// How often each server was asked.
fn asked(servers: &[Upstream]) -> Vec<usize> {
    servers.iter().map(|s| s.requests().len()).collect()
}

const PICKER: Options = Options {
    role: Role::Picker,
    fail_open: false,
};

#[test]
fn a_picker_spreads_requests_and_tells_where_they_went() {
    for mode in ["BUFFERED", "FULL_DUPLEX_STREAMED"] {
        let servers = servers(3);
        let bed = Bed::start(
            &Setup::pool(&servers, "round_robin"),
            PICKER,
            &pool(&servers, mode),
        );
        let mut client = bed.client();
        let mut told = BTreeMap::new();
        for i in 0..9 {
            let answer = client
                .post(
                    "/v1/chat/completions",
                    &[],
                    &ask("auto", &format!("question {i}")),
                )
                .unwrap();
            assert_eq!(
                answer.status,
                200,
                "{mode}: {}",
                String::from_utf8_lossy(&answer.body)
            );
            let endpoint = answer.headers.get("x-fingerpost-endpoint").unwrap().to_owned();
            *told.entry(endpoint).or_insert(0) += 1;
            assert_eq!(answer.headers.get("x-fingerpost-model"), Some("m"));
            assert_eq!(answer.headers.get("x-fingerpost-trace").map(str::len), Some(32));
        }
        assert_eq!(asked(&servers), [3, 3, 3], "{mode}");
        assert_eq!(
            told.values().copied().collect::<Vec<i32>>(),
            [3, 3, 3],
            "{told:?}"
        );
        for request in servers.iter().flat_map(Upstream::requests) {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["model"], "served-as-m", "the server's own name of the model");
            assert!(request.headers.get("x-gateway-destination-endpoint").is_some());
        }
        bed.is_idle();
    }
}

#[test]
fn a_large_body_goes_through_whole_in_both_modes() {
    let text = "word ".repeat(100_000);
    for mode in ["BUFFERED", "FULL_DUPLEX_STREAMED"] {
        let servers = servers(1);
        let bed = Bed::start(&Setup::pool(&servers, "random"), PICKER, &pool(&servers, mode));
        let answer = bed
            .client()
            .post("/v1/chat/completions", &[], &ask("auto", &text))
            .unwrap();
        assert_eq!(
            answer.status,
            200,
            "{mode}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        let body: Value = serde_json::from_slice(&servers[0].requests()[0].body).unwrap();
        assert_eq!(body["messages"][0]["content"], text);
    }
}

#[test]
fn a_stream_passes_and_other_paths_are_left_alone() {
    let servers = servers(2);
    let bed = Bed::start(
        &Setup::pool(&servers, "round_robin"),
        PICKER,
        &pool(&servers, "BUFFERED"),
    );
    let mut client = bed.client();
    let body = json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    client
        .request("POST", "/v1/chat/completions", &[], body.to_string().as_bytes())
        .unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    assert!(client.events().unwrap().len() > 1);
    // Where nothing is to be routed Envoy's own choice holds.
    let models = bed.client().get("/v1/models").unwrap();
    assert!(models.headers.get("x-fingerpost-model").is_none());
    bed.is_idle();
}

#[test]
fn a_server_that_fails_is_left_out() {
    let mut all = servers(1);
    all.push(Upstream::start(Script::new().always(Behavior::status(500))).unwrap());
    let setup = Setup::pool(&all, "round_robin").breaker(3);
    let bed = Bed::start(&setup, PICKER, &pool(&all, "BUFFERED"));
    let mut client = bed.client();
    let mut answer = || {
        let status = client
            .post("/v1/chat/completions", &[], &ask("auto", "hi"))
            .unwrap()
            .status;
        bed.is_idle();
        status
    };
    let begin: Vec<u16> = (0..8).map(|_| answer()).collect();
    assert!(begin.contains(&500), "{begin:?}");
    let then: Vec<u16> = (0..10).map(|_| answer()).collect();
    assert_eq!(then, [200; 10], "its breaker is open");
}

#[test]
fn servers_are_found_by_name() {
    let servers = servers(2);
    let setup = Setup::pool(&servers, "round_robin").by_name();
    let bed = Bed::start(&setup, PICKER, &pool(&servers, "BUFFERED"));
    let mut client = bed.client();
    let mut answer = || {
        client
            .post("/v1/chat/completions", &[], &ask("auto", "hi"))
            .unwrap()
    };
    // Names are looked up beside the requests: the first ones may come too early.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while answer().status == 503 {
        assert!(std::time::Instant::now() < end, "`localhost` was never found");
    }
    for _ in 0..3 {
        assert_eq!(answer().status, 200);
    }
    assert_eq!(asked(&servers), [2, 2]);
}

#[test]
fn without_a_server_the_client_is_told_or_envoy_chooses() {
    let servers = servers(1);
    // The model's only endpoint is one that the proxy may not use: it speaks another format.
    let setup = Setup::pool(&servers, "random").other_format();
    let closed = Bed::start(&setup, PICKER, &pool(&servers, "BUFFERED"));
    let answer = closed
        .client()
        .post("/v1/chat/completions", &[], &ask("auto", "hi"))
        .unwrap();
    assert_eq!(answer.status, 503);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = said["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`m`") && message.contains("translates nothing"),
        "{message}"
    );
    for mode in ["BUFFERED", "FULL_DUPLEX_STREAMED"] {
        let options = Options {
            fail_open: true,
            ..PICKER
        };
        let open = Bed::start(&setup, options, &pool(&servers, mode));
        let answer = open
            .client()
            .post("/v1/chat/completions", &[], &ask("auto", "hi"))
            .unwrap();
        assert_eq!(
            answer.status,
            200,
            "{mode}: {}",
            String::from_utf8_lossy(&answer.body)
        );
    }
}

#[test]
fn what_is_no_request_is_told_as_the_gateway_tells_it() {
    let servers = servers(1);
    let bed = Bed::start(
        &Setup::pool(&servers, "random"),
        PICKER,
        &pool(&servers, "BUFFERED"),
    );
    let refused = |body: &str| bed.client().post("/v1/chat/completions", &[], body).unwrap();
    let answer = refused("{\"model\": ");
    assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&answer.body));
    let answer = refused(&ask("nobody", "hi"));
    assert_eq!(answer.status, 404, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers.get("content-type"), Some("application/json"));
    assert!(servers[0].requests().is_empty());
}

#[test]
fn a_router_chooses_the_route_by_what_the_body_says() {
    let servers = servers(2);
    let setup = Setup::by_keyword(&servers);
    let options = Options {
        role: Role::Router,
        fail_open: false,
    };
    let bed = Bed::start(&setup, options, &bed::routes(&servers));
    let mut client = bed.client();
    for (text, model, server) in [("write a poem", "poems", 0), ("prove the theorem", "proofs", 1)] {
        let answer = client
            .post("/v1/chat/completions", &[], &ask("auto", text))
            .unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.headers.get("x-fingerpost-model"), Some(model));
        assert_eq!(answer.headers.get("x-fingerpost-decision"), Some(model));
        let requests = servers[server].requests();
        let request = requests.last().unwrap();
        assert_eq!(request.path, "/api/v1/chat/completions", "the server's own path");
        assert!(String::from_utf8_lossy(&request.body).contains(text));
    }
    assert_eq!(asked(&servers), [1, 1]);
}
