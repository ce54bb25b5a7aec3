//! Requests wait at the router for the instance that their policy routes them to, and are sent, moved and given up from there.

use std::time::{Duration, Instant};

use fingerpost_testkit::{Behavior, Client, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, SOON, Setup, eventually, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;

/// DualMap over as many servers, one request at each before its first token; `with` is set on top of it. A token takes a millisecond.
fn pool(scripts: Vec<Script>, with: &[(&str, Value)]) -> (Vec<Upstream>, Bed) {
    let servers: Vec<Upstream> = scripts.into_iter().map(upstream).collect();
    let (mut setup, mut names) = (Setup::new(), Vec::new());
    for (i, server) in servers.iter().enumerate() {
        names.push(format!("s{i}"));
        setup = setup.openai(&names[i], server);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    setup = setup
        .model("m", &names)
        .set(
            "/models/m/fleet",
            json!({"policy": "dualmap", "seconds_per_token": 0.001, "slo": "5s", "state": {"block_tokens": 16},
                   "queue": {"batch_tokens": 0}}),
        )
        .set("/learning/keep_traces", json!("all"));
    for (path, value) in with {
        setup = setup.set(path, value.clone());
    }
    (servers, setup.start())
}

/// Answers `text` after so long.
fn after(ms: u64) -> Behavior {
    Behavior::text("hello").after_ms(ms)
}

/// Begins to ask for a stream, with a prompt of so many tokens that begins with `name`.
fn ask(bed: &Bed, name: &str, tokens: usize) -> Client {
    let mut body = CHAT.ask_stream("m", &prompt(name, tokens));
    body["metadata"] = json!({"name": name});
    send(bed, &body)
}

fn send(bed: &Bed, body: &Value) -> Client {
    let mut client = bed.client();
    client
        .request("POST", CHAT.path(), &[], body.to_string().as_bytes())
        .unwrap();
    client
}

fn prompt(name: &str, tokens: usize) -> String {
    let mut text = format!("{name} ").repeat(1 + 4 * tokens / (name.len() + 1));
    text.truncate(4 * tokens);
    text
}

/// The names of the requests that came to a server, in their order.
fn came(server: &Upstream) -> Vec<String> {
    let name = |body: &Value| {
        let text = body["messages"][0]["content"].as_str().unwrap().to_owned();
        text.split(' ').next().unwrap().to_owned()
    };
    let asked = server.requests().into_iter().filter(|r| r.method == "POST");
    asked.map(|r| name(&r.json())).collect()
}

fn waiting(bed: &Bed, count: f64) -> bool {
    bed.counts("fingerpost_queue_length", &[], count)
}

fn answered(mut client: Client) -> String {
    let answer = client.response().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.headers.get("x-fingerpost-trace").unwrap().to_owned()
}

/// The reason of the decision for an endpoint on a trace, and how long the request waited, in seconds.
fn reason(bed: &Bed, trace: &str) -> (String, Option<f64>) {
    let path = format!("/v1/traces/{trace}");
    assert!(eventually(|| bed.get(&path).status == 200));
    let record = bed.get(&path).json();
    let hops = record["trace"]["hops"].as_array().unwrap();
    let reason = &hops.iter().rfind(|h| h["level"] == "fleet").unwrap()["decision"]["reason"];
    let facts = reason["facts"].as_array().unwrap();
    let waited = facts
        .iter()
        .find(|f| f[0] == "waited_s")
        .and_then(|f| f[1].as_f64());
    (reason["text"].as_str().unwrap().to_owned(), waited)
}

#[test]
fn one_waits_until_the_first_token_of_the_one_before_and_not_for_its_end() {
    // The first token at once, the rest after that.
    let script = Script::new().always(Behavior::text("a b c d").paced(4, 400).after_ms(300));
    let (servers, bed) = pool(vec![script], &[]);
    let first = ask(&bed, "first", 50);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    let second = ask(&bed, "second", 50);
    assert!(waiting(&bed, 1.0), "{}", bed.metrics());
    assert_eq!(servers[0].counters().requests, 1);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 2));
    assert_eq!(servers[0].counters().completed, 0, "the first is still under way");
    let (first, second) = (answered(first), answered(second));
    assert_eq!(reason(&bed, &first).1, None, "nobody was before it");
    let waited = reason(&bed, &second).1.unwrap();
    assert!((0.01..5.0).contains(&waited), "{waited}");
    assert!(waiting(&bed, 0.0));
}

#[test]
fn an_idle_instance_is_asked_at_once_and_short_prompts_go_together() {
    let script = Script::new().always(after(1_000));
    let with = [("/models/m/fleet/queue", json!({"batch_tokens": 512}))];
    let (servers, bed) = pool(vec![script], &with);
    let clients: Vec<Client> = (0..8).map(|i| ask(&bed, &format!("n{i}"), 50)).collect();
    assert!(
        servers[0].wait_until(SOON, |c| c.in_flight == 8),
        "{:?}",
        servers[0].counters()
    );
    for client in clients {
        let trace = answered(client);
        assert_eq!(reason(&bed, &trace).1, None);
    }
}

#[test]
fn who_can_still_be_in_time_goes_first() {
    let script = Script::new().then(after(700)).always(after(0));
    let (servers, bed) = pool(vec![script], &[]);
    let mut clients = vec![ask(&bed, "first", 50)];
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    // It takes ten seconds and is wanted within five: whoever is in time goes before it, in the order in which they came.
    for (i, (name, tokens)) in [("late", 10_000), ("one", 90), ("two", 50)]
        .into_iter()
        .enumerate()
    {
        clients.push(ask(&bed, name, tokens));
        assert!(eventually(|| bed.metric("fingerpost_queue_length", &[])
            >= i as f64 + 1.0
            || servers[0].counters().requests > 1));
    }
    clients.into_iter().for_each(|client| drop(answered(client)));
    assert_eq!(came(&servers[0]), ["first", "one", "two", "late"]);
}

#[test]
fn what_is_no_stream_is_waited_for_as_long_as_its_prompt_should_take() {
    let script = Script::new().then(after(3_000)).always(after(0));
    let (servers, bed) = pool(vec![script], &[]);
    let first = send(&bed, &CHAT.ask("m", &prompt("first", 300)));
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    let began = Instant::now();
    let second = answered(ask(&bed, "second", 50));
    let took = began.elapsed();
    assert_eq!(servers[0].counters().in_flight, 1, "the first is still under way");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert!(reason(&bed, &second).1.is_some());
    answered(first);
}

#[test]
fn those_who_wait_at_a_hot_spot_move_to_their_other_instance() {
    let with = [(
        "/models/m/fleet",
        json!({"policy": "dualmap", "seconds_per_token": 0.001, "slo": "1s", "choose": "affinity", "state": {"block_tokens": 16},
               "key": {"first_tokens": 16}, "queue": {"batch_tokens": 0, "scan_every": "50ms"}}),
    )];
    let (servers, bed) = pool(vec![Script::new().always(after(0)); 2], &with);
    // The home of all that begin like this is where it is cached.
    let shared = "same ".repeat(20);
    let ask = |tail: &str| {
        send(
            &bed,
            &CHAT.ask_stream("m", &format!("{shared}{}", prompt(tail, 400))),
        )
    };
    answered(send(&bed, &CHAT.ask_stream("m", &shared)));
    let home = usize::from(servers[1].counters().requests == 1);
    servers[home].script(Script::new().always(after(2_500)));
    let mut clients = vec![ask("first")];
    assert!(servers[home].wait_until(SOON, |c| c.requests == 2));
    clients.extend(["one", "two", "three"].map(ask));
    assert!(
        servers[1 - home].wait_until(SOON, |c| c.requests >= 1),
        "{:?}",
        servers[home].counters()
    );
    assert_eq!(
        servers[home].counters().in_flight,
        1,
        "it is still busy with the first"
    );
    let traces: Vec<String> = clients.into_iter().map(answered).collect();
    let moved = |trace: &String| reason(&bed, trace).0.starts_with("moved");
    assert!(traces.iter().any(moved) && !moved(&traces[0]));
}

#[test]
fn a_server_that_dies_takes_nobody_with_it() {
    let with = [
        ("/models/m/fleet/choose", json!("affinity")),
        ("/models/m/fleet/queue/rebalance", json!(false)),
    ];
    let (mut servers, bed) = pool(vec![Script::new().always(after(0)); 2], &with);
    answered(ask(&bed, "same", 100));
    let home = usize::from(servers[1].counters().requests == 1);
    servers[home].script(Script::new().always(after(60_000)));
    let clients: Vec<Client> = (0..12).map(|_| ask(&bed, "same", 100)).collect();
    assert!(waiting(&bed, 11.0), "{}", bed.metrics());
    drop(servers.remove(home));
    for client in clients {
        answered(client);
    }
    assert_eq!(servers[0].counters().completed, 12);
    assert!(waiting(&bed, 0.0));
}

#[test]
fn a_server_out_of_service_is_waited_for_by_nobody() {
    let with = [
        ("/models/m/fleet/choose", json!("affinity")),
        ("/models/m/fleet/queue/rebalance", json!(false)),
        (
            "/models/m/health",
            json!({"path": "/v1/models", "every": "100ms", "misses": 2}),
        ),
    ];
    let (servers, bed) = pool(vec![Script::new().always(after(0)); 2], &with);
    answered(ask(&bed, "same", 100));
    let chats = |server: &Upstream| came(server).len();
    let home = usize::from(chats(&servers[1]) == 1);
    servers[home].script(Script::new().always(after(60_000)));
    let first = ask(&bed, "same", 100);
    assert!(eventually(|| chats(&servers[home]) == 2));
    let clients: Vec<Client> = (0..4).map(|_| ask(&bed, "same", 100)).collect();
    assert!(waiting(&bed, 4.0), "{}", bed.metrics());
    // It works at its last call, and refuses every check.
    let mut refuses = Script::new();
    refuses.key = Some("another".to_owned());
    servers[home].script(refuses);
    for client in clients {
        answered(client);
    }
    assert_eq!(chats(&servers[1 - home]), 4);
    drop(first);
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let (servers, bed) = pool(vec![Script::new().then(after(1_200)).always(after(0))], &[]);
    let first = ask(&bed, "first", 50);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    let (gone, stays) = (ask(&bed, "gone", 50), ask(&bed, "stays", 50));
    assert!(waiting(&bed, 2.0));
    gone.leave();
    assert!(waiting(&bed, 1.0), "{}", bed.metrics());
    answered(first);
    answered(stays);
    assert_eq!(came(&servers[0]), ["first", "stays"]);
    // Who leaves while it is asked makes room as well.
    servers[0].script(Script::new().then(after(60_000)).always(after(0)));
    let asked = ask(&bed, "asked", 50);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 3));
    let next = ask(&bed, "next", 50);
    assert!(waiting(&bed, 1.0));
    asked.leave();
    answered(next);
}

#[test]
fn who_waits_too_long_or_comes_too_late_is_told_when_to_come_back() {
    let script = Script::new().then(after(4_000)).always(after(0));
    let with = [
        ("/models/m/fleet/queue/max_wait", json!("300ms")),
        ("/resilience/shed/queue", json!(1)),
    ];
    let (servers, bed) = pool(vec![script], &with);
    let first = ask(&bed, "first", 50);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    let mut waits = ask(&bed, "waits", 50);
    assert!(waiting(&bed, 1.0));
    let full = ask(&bed, "full", 50).response().unwrap();
    let late = waits.response().unwrap();
    for (answer, why) in [(&full, "resilience.shed.queue"), (&late, "in time")] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.headers.get("retry-after").is_some());
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    answered(first);
    assert_eq!(servers[0].counters().requests, 1);
}

#[test]
fn a_reload_loses_nobody_who_waits() {
    let script = Script::new().then(after(1_000)).always(after(0));
    let (servers, bed) = pool(vec![script, Script::new().always(after(0))], &[]);
    let mut config = bed.shared.snapshot().config().clone();
    // Without the second server, so that everything waits for the first; with it after the next reload.
    let second = config.models.get_mut("m").unwrap().endpoints.pop().unwrap();
    bed.shared.reload(config.clone()).unwrap();
    let first = ask(&bed, "first", 50);
    assert!(servers[0].wait_until(SOON, |c| c.requests == 1));
    let mut clients = vec![first, ask(&bed, "before", 50)];
    assert!(waiting(&bed, 1.0));
    // The same servers: they wait in the same queue.
    bed.shared.reload(config.clone()).unwrap();
    clients.push(ask(&bed, "between", 50));
    assert!(
        waiting(&bed, 1.0),
        "who came before the reload is counted with its own configuration"
    );
    // Others: the old queue and the new one look at the same server.
    config.models.get_mut("m").unwrap().endpoints.push(second);
    bed.shared.reload(config).unwrap();
    clients.extend((0..6).map(|i| ask(&bed, &format!("after{i}"), 50)));
    for client in clients {
        answered(client);
    }
    let came = came(&servers[0]);
    let place = |name: &str| came.iter().position(|n| n == name).unwrap();
    assert!(
        place("first") < place("before") && place("before") < place("between"),
        "{came:?}"
    );
}

#[test]
fn requests_of_all_workers_wait_in_one_queue() {
    let up = upstream(Script::new().always(after(20)));
    let config = Setup::new()
        .openai("up", &up)
        .model("m", &["up"])
        .set(
            "/models/m/fleet",
            json!({"policy": "dualmap", "queue": {"batch_tokens": 0}}),
        )
        .config();
    let encoder = std::sync::Arc::new(fingerpost_encode::StaticEncoder::bundled());
    let data = tempfile::tempdir().unwrap();
    let shared =
        fingerpost_gateway::Shared::new(config, data.path(), Default::default(), encoder, 3).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let server = fingerpost_gateway::Server::start(shared, address, 3).unwrap();
    let address = server.address();
    let asks = |name: usize| {
        move || {
            for i in 0..10 {
                let body = CHAT.ask_stream("m", &prompt(&format!("{name}-{i}"), 600));
                let mut client = Client::connect(address).unwrap();
                let answer = client.post(CHAT.path(), &[], &body.to_string()).unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
    };
    let clients: Vec<_> = (0..6).map(|name| std::thread::spawn(asks(name))).collect();
    while clients.iter().any(|client| !client.is_finished()) {
        // One before its first token, and those whose end is on its way.
        assert!(up.counters().in_flight <= 3, "{:?}", up.counters());
        std::thread::sleep(Duration::from_millis(1));
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(up.counters().completed, 60);
}
