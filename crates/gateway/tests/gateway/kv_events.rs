//! What servers publish of their caches is followed, and does no harm where it is nonsense.

use std::process::{Command, Stdio};

use fingerpost_testkit::{Behavior, KvPublisher, Script, Upstream};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Setup, eventually, upstream},
    speak::Speak,
};

const CHAT: Speak = Speak::Chat;
/// Tokens in a block.
const BLOCK: u64 = 16;

fn stored(blocks: std::ops::Range<u64>) -> Value {
    let blocks: Vec<u64> = blocks.collect();
    json!(["BlockStored", blocks, null, [1, 2, 3], BLOCK, null, "GPU"])
}

fn removed(blocks: std::ops::Range<u64>) -> Value {
    json!(["BlockRemoved", blocks.collect::<Vec<_>>(), "GPU"])
}

struct Served {
    up: Upstream,
    publisher: KvPublisher,
    bed: Bed,
}

/// A server that publishes, under a policy that says how much it believes to be cached.
fn served(with_replay: bool) -> Served {
    let up = upstream(Script::new().always(Behavior::text("hello")));
    let publisher = KvPublisher::start().unwrap();
    let replay = with_replay.then(|| publisher.replay());
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "kv_events": {"publisher": publisher.events(), "replay": replay}}]),
        )
        .set(
            "/models/m/fleet",
            json!({"policy": "dualmap", "queue": null, "state": {"block_tokens": 16}}),
        )
        .set("/learning/keep_traces", json!("all"))
        .start();
    assert!(eventually(|| publisher.subscribers() == 1));
    Served { up, publisher, bed }
}

impl Served {
    /// Tokens that the server says it holds.
    fn holds(&self, tokens: u64) -> bool {
        let labels = [r#"endpoint="m@up""#, r#"value="cached_tokens""#];
        #[allow(clippy::cast_precision_loss)]
        let tokens = tokens as f64;
        self.bed.counts("fingerpost_endpoint_reported", &labels, tokens)
    }

    /// The share of a prompt of 600 tokens that the router believed to be cached there as it asked.
    fn believed(&self) -> f64 {
        let text = "one two three four five ".repeat(100);
        let answer = self.bed.post(CHAT.path(), &CHAT.ask("m", &text));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let path = format!("/v1/traces/{}", answer.headers.get("x-fingerpost-trace").unwrap());
        assert!(eventually(|| self.bed.get(&path).status == 200));
        let record = self.bed.get(&path).json();
        let hops = record["trace"]["hops"].as_array().unwrap();
        let fleet = hops.iter().rfind(|hop| hop["level"] == "fleet").unwrap();
        let facts = fleet["decision"]["reason"]["facts"].as_array().unwrap();
        facts.iter().find(|f| f[0] == "cached_tokens").unwrap()[1]
            .as_f64()
            .unwrap()
            / 600.0
    }
}

#[test]
fn what_a_server_holds_is_shown_with_its_age() {
    let served = served(true);
    served.publisher.publish(&json!([stored(0..10)]));
    assert!(served.holds(10 * BLOCK), "{}", served.bed.metrics());
    // As the latest servers write it.
    served
        .publisher
        .publish(&json!([{"type": "BlockRemoved", "block_hashes": [0, 1], "medium": "GPU"}]));
    assert!(served.holds(8 * BLOCK), "{}", served.bed.metrics());
    let age = || {
        let labels = [r#"value="cached_tokens""#];
        served
            .bed
            .metric("fingerpost_endpoint_report_age_seconds", &labels)
    };
    let (first, older) = (age(), eventually(|| age() > 0.3));
    assert!(
        first >= 0.0 && older,
        "nothing new is told, so what was told grows old"
    );
}

#[test]
fn what_a_server_drops_is_no_longer_believed_to_be_there() {
    for with_replay in [true, false] {
        let served = served(with_replay);
        served.publisher.publish(&json!([stored(0..40)]));
        assert!(served.holds(40 * BLOCK));
        assert_eq!(served.believed(), 0.0);
        assert!(served.believed() > 0.9);
        served.publisher.publish(&json!([removed(0..20)]));
        assert!(served.holds(20 * BLOCK));
        let half = served.believed();
        assert!(
            (0.3..0.7).contains(&half),
            "half of everything was dropped, {half} is believed"
        );
        served.publisher.publish(&json!([["AllBlocksCleared"]]));
        assert!(served.holds(0));
        assert_eq!(served.believed(), 0.0);
    }
}

#[test]
fn what_was_missed_is_asked_for_again() {
    let served = served(true);
    served.publisher.publish(&json!([stored(0..4)]));
    assert!(served.holds(4 * BLOCK));
    let asked = served.publisher.asked();
    served.publisher.miss(&json!([stored(4..6)]));
    served.publisher.publish(&json!([stored(6..7)]));
    assert!(served.holds(7 * BLOCK), "{}", served.bed.metrics());
    assert!(served.publisher.asked() > asked);
    // Broken off and connected again, nothing is lost and nothing counted twice.
    served.publisher.disconnect();
    served.publisher.miss(&json!([removed(0..1)]));
    assert!(served.holds(6 * BLOCK), "{}", served.bed.metrics());
}

#[test]
fn what_cannot_be_made_good_is_given_up_until_the_cache_is_empty() {
    let served = served(true);
    served.publisher.publish(&json!([stored(0..4)]));
    assert!(served.holds(4 * BLOCK));
    served.publisher.miss(&json!([stored(4..6)]));
    served.publisher.forget();
    served.publisher.publish(&json!([stored(6..7)]));
    served
        .publisher
        .publish(&json!([["AllBlocksCleared"], stored(7..9)]));
    assert!(served.holds(2 * BLOCK), "{}", served.bed.metrics());
}

#[test]
fn a_server_that_starts_anew_holds_nothing() {
    for with_replay in [true, false] {
        let served = served(with_replay);
        for first in 0..3 {
            served
                .publisher
                .publish(&json!([stored(10 * first..10 * first + 10)]));
        }
        assert!(served.holds(30 * BLOCK));
        served.believed();
        assert!(served.believed() > 0.9);
        served.publisher.restart();
        assert!(eventually(|| served.publisher.subscribers() == 1));
        served.publisher.publish(&json!([stored(0..1)]));
        assert!(served.holds(BLOCK), "{}", served.bed.metrics());
        assert_eq!(served.believed(), 0.0);
    }
}

#[test]
fn nonsense_does_no_harm() {
    let served = served(true);
    served.publisher.publish(&json!([stored(0..4)]));
    assert!(served.holds(4 * BLOCK));
    let first = |n: u64| n.to_be_bytes();
    served.publisher.send(&[b"kv", &first(1), b"\xc1 no MessagePack"]);
    served.publisher.send(&[b"kv", &first(2), &[0x91; 50_000]]);
    served.publisher.send(&[b"kv", b"short", b""]);
    assert!(eventually(|| served.publisher.subscribers() == 1));
    // A frame of 2^63 bytes.
    served
        .publisher
        .send_raw(&[2, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 64], b""] {
        served.publisher.greet_with(Some(greeting.to_vec()));
        served.believed();
    }
    served.publisher.greet_with(None);
    served.publisher.restart();
    served.publisher.publish(&json!([stored(0..2)]));
    assert!(served.holds(2 * BLOCK), "{}", served.bed.metrics());
    assert_eq!(served.up.counters().in_flight, 0);
}

#[test]
fn a_server_that_vanishes_is_modelled_without() {
    let Served { up, publisher, bed } = served(true);
    publisher.publish(&json!([stored(0..4)]));
    drop(publisher);
    let answer = bed.post(CHAT.path(), &CHAT.ask("m", "hi"));
    assert_eq!((answer.status, up.counters().requests), (200, 1));
}

#[test]
fn where_it_publishes_is_checked() {
    let setup = Setup::new()
        .set(
            "/providers/up",
            json!({"type": "openai", "base_url": "http://127.0.0.1:1/v1"}),
        )
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "kv_events": {"publisher": "ipc:///tmp/kv"}}]),
        );
    let encoder = std::sync::Arc::new(fingerpost_encode::StaticEncoder::bundled());
    let data = tempfile::tempdir().unwrap();
    let started =
        fingerpost_gateway::Shared::new(setup.config(), data.path(), Default::default(), encoder, 1);
    let error = started.err().unwrap().to_string();
    assert!(
        error.contains("kv_events.publisher") && error.contains("tcp://host:port"),
        "{error}"
    );
}

/// What the very libraries of the servers send: `pyzmq` and `msgspec`.
#[test]
fn a_publisher_of_the_real_libraries_is_understood() {
    let script = r#"
import sys, time, msgspec, zmq
class Batch(msgspec.Struct, array_like=True, omit_defaults=True):
    ts: float
    events: list
class Stored(msgspec.Struct, array_like=True, omit_defaults=True, tag="BlockStored"):
    block_hashes: list
    parent_block_hash: int | bytes | None
    token_ids: list
    block_size: int
    lora_id: int | None
    medium: str | None = None
class Later(msgspec.Struct, omit_defaults=True):
    ts: float
    events: list
    data_parallel_rank: int | None = None
class Removed(msgspec.Struct, omit_defaults=True, tag="BlockRemoved"):
    block_hashes: list
    medium: str | None
context = zmq.Context()
events, replay = context.socket(zmq.XPUB), context.socket(zmq.ROUTER)
ports = [s.bind_to_random_port("tcp://127.0.0.1") for s in (events, replay)]
print(*ports, flush=True)
pack = msgspec.msgpack.Encoder().encode
kept = []
def publish(batch, live=True):
    kept.append((len(kept), pack(batch)))
    if live:
        events.send_multipart((b"kv", kept[-1][0].to_bytes(8, "big"), kept[-1][1]))
publish(Batch(1.0, [Stored([bytes([i]) * 32 for i in range(4)], None, list(range(64)), 16, None, "GPU")]), live=False)
subscribed = replayed = False
while True:
    if events.poll(5):
        subscribed = events.recv()[:1] == b"\x01"
    if replay.poll(5):
        client, _, start = replay.recv_multipart()
        for number, payload in kept:
            if number >= int.from_bytes(start, "big"):
                replay.send_multipart((client, b"", number.to_bytes(8, "big"), payload))
        replay.send_multipart((client, b"", (-1).to_bytes(8, "big", signed=True), b""))
        replayed = True
    if len(kept) == 1 and subscribed and replayed:
        publish(Later(2.0, [Removed([bytes([0]) * 32], "GPU")], 0))
"#;
    let has_them = Command::new("python3")
        .args(["-c", "import zmq, msgspec"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_them {
        println!("skipped: python3 has no pyzmq or no msgspec (pip install pyzmq msgspec)");
        return;
    }
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ports = String::new();
    let output = std::io::BufReader::new(python.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut { output }, &mut ports).unwrap();
    let places: Vec<String> = ports
        .split_whitespace()
        .map(|port| format!("tcp://*:{port}"))
        .collect();
    let up = upstream(Script::new().always(Behavior::text("hello")));
    let bed = Setup::new()
        .openai("up", &up)
        .set(
            "/models/m/endpoints",
            json!([{"provider": "up", "kv_events": {"publisher": places[0], "replay": places[1], "topic": "kv"}}]),
        )
        .start();
    let held = bed.counts(
        "fingerpost_endpoint_reported",
        &[r#"value="cached_tokens""#],
        48.0,
    );
    python.kill().unwrap();
    python.wait().unwrap();
    assert!(held, "{}", bed.metrics());
}
