//! Pods are followed against a scripted API server over a real socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use fingerpost_cluster::{Api, Pod, Tell, Wanted, Watch, Which};
use serde_json::{Value, json};

/// An API server that knows pods and one pool, and keeps a history from which watches go on.
#[derive(Clone)]
struct Cluster {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Value>,
    /// The latest changes, each with its version.
    history: Vec<(u64, Value)>,
    version: u64,
    /// Versions before this are too old to go on from.
    oldest: u64,
    watches: Vec<TcpStream>,
    asked: Vec<String>,
    refuse: Option<(u16, &'static str)>,
    labels: BTreeMap<String, String>,
}

type Told = Arc<Mutex<Vec<Vec<Pod>>>>;

impl Cluster {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let labels = BTreeMap::from([("app".to_owned(), "vllm".to_owned())]);
        let state = Arc::new(Mutex::new(State {
            labels,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    fn follow(&self, which: Which) -> (Watch, Told) {
        let told = Told::default();
        let kept = Arc::clone(&told);
        let tell: Tell = Arc::new(move |name, pods| {
            assert_eq!(name, "llama");
            kept.lock().unwrap().push(pods.to_vec());
        });
        let wanted = Wanted {
            name: "llama".to_owned(),
            namespace: Some("ml".to_owned()),
            which,
        };
        let api = Api::at(&format!("http://{}", self.address)).unwrap();
        (Watch::start(&api, vec![wanted], &tell).unwrap(), told)
    }

    /// Adds or changes a pod.
    fn set(&self, name: &str, ip: &str, is_ready: bool) {
        let mut state = self.state.lock().unwrap();
        let kind = if state.pods.contains_key(name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let ready = if is_ready { "True" } else { "False" };
        let pod = json!({
            "metadata": {"name": name},
            "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
        });
        state.change(kind, name, pod);
    }

    fn delete(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        let pod = state.pods[name].clone();
        state.change("DELETED", name, pod);
    }

    /// Cuts all watches off.
    fn cut(&self) {
        for stream in self.state.lock().unwrap().watches.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn asked(&self, what: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .asked
            .iter()
            .filter(|path| path.contains(what))
            .count()
    }
}

impl State {
    fn change(&mut self, kind: &str, name: &str, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if kind == "DELETED" {
            self.pods.remove(name);
        } else {
            self.pods.insert(name.to_owned(), pod.clone());
        }
        let line = json!({"type": kind, "object": pod});
        self.history.push((self.version, line.clone()));
        self.say(&line);
    }

    fn say(&mut self, line: &Value) {
        self.watches.retain_mut(|stream| chunk(stream, line).is_ok());
    }
}

fn chunk(stream: &mut TcpStream, line: &Value) -> std::io::Result<()> {
    let text = format!("{line}\n");
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}

fn serve(mut stream: TcpStream, shared: &Mutex<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut state = shared.lock().unwrap();
    state.asked.push(path.clone());
    let body = if let Some((status, message)) = state.refuse {
        let body = json!({"kind": "Status", "code": status, "message": message});
        return answer(&mut stream, status, &body);
    } else if path.starts_with("/apis/inference.networking.k8s.io/v1/namespaces/ml/inferencepools/llama") {
        json!({"spec": {"selector": {"matchLabels": state.labels}, "targetPorts": [{"number": 8000}]}})
    } else if !path.starts_with("/api/v1/namespaces/ml/pods?labelSelector=app%3Dvllm") {
        return answer(&mut stream, 404, &json!({"message": "not found"}));
    } else if path.contains("watch=1") {
        let from = path
            .split("resourceVersion=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let from: u64 = from.parse().unwrap();
        if from < state.oldest {
            return answer(
                &mut stream,
                410,
                &json!({"message": "too old resource version", "code": 410}),
            );
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .unwrap();
        for (_, line) in state.history.iter().filter(|(version, _)| *version > from) {
            chunk(&mut stream, line).unwrap();
        }
        state.watches.push(stream);
        return;
    } else {
        // Two pages, where there is more than one pod.
        let all: Vec<Value> = state.pods.values().cloned().collect();
        let second = path.contains("continue=more");
        let (from, to) = match (all.len(), second) {
            (0 | 1, _) => (0, all.len()),
            (_, false) => (0, 1),
            (_, true) => (1, all.len()),
        };
        let next = if to < all.len() { "more" } else { "" };
        json!({"metadata": {"resourceVersion": state.version.to_string(), "continue": next}, "items": all[from..to]})
    };
    answer(&mut stream, 200, &body);
}

fn answer(stream: &mut TcpStream, status: u16, body: &Value) {
    let body = body.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn eventually(condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether these pods were told last: names, and whether they are ready.
fn last_is(told: &Told, pods: &[(&str, bool)]) -> bool {
    eventually(|| {
        let told = told.lock().unwrap();
        let names = |pod: &Pod| (pod.name.clone(), pod.is_ready);
        told.last().is_some_and(|last| {
            last.iter()
                .map(names)
                .eq(pods.iter().map(|(name, ready)| ((*name).to_owned(), *ready)))
        })
    })
}

fn pool() -> Which {
    Which::Pool("llama".to_owned())
}

#[test]
fn pods_come_become_ready_and_go() {
    let cluster = Cluster::start();
    cluster.set("a", "10.0.0.1", true);
    cluster.set("b", "10.0.0.2", false);
    let (_watch, told) = cluster.follow(pool());
    assert!(last_is(&told, &[("a", true), ("b", false)]));
    assert_eq!(told.lock().unwrap()[0][0].address.to_string(), "10.0.0.1:8000");
    assert!(eventually(|| cluster.asked("watch=1") == 1));
    cluster.set("b", "10.0.0.2", true);
    assert!(last_is(&told, &[("a", true), ("b", true)]));
    cluster.set("c", "", false);
    cluster.delete("a");
    assert!(
        last_is(&told, &[("b", true)]),
        "one without an address is not there yet"
    );
    cluster.set("c", "10.0.0.3", true);
    assert!(last_is(&told, &[("b", true), ("c", true)]));
    assert_eq!(
        cluster.asked("limit=500"),
        2,
        "two pages of one list, and no list again"
    );
}

#[test]
fn a_watch_that_breaks_off_goes_on_from_where_it_was() {
    let cluster = Cluster::start();
    cluster.set("a", "10.0.0.1", true);
    let (_watch, told) = cluster.follow(Which::Labels(
        BTreeMap::from([("app".to_owned(), "vllm".to_owned())]),
        9000,
    ));
    assert!(eventually(|| cluster.asked("watch=1") == 1));
    cluster.cut();
    cluster.set("b", "10.0.0.2", true);
    assert!(last_is(&told, &[("a", true), ("b", true)]));
    // A bookmark moves the place on; a change of what nobody looks at is not told.
    {
        let mut state = cluster.state.lock().unwrap();
        state.version = 50;
        let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"name": "", "resourceVersion": "50"}}});
        state.say(&bookmark);
    }
    thread::sleep(Duration::from_millis(300));
    let before = told.lock().unwrap().len();
    cluster.cut();
    assert!(eventually(|| cluster.asked("resourceVersion=50") == 1));
    assert_eq!(
        (told.lock().unwrap().len(), cluster.asked("limit=500")),
        (before, 1)
    );
    assert_eq!(told.lock().unwrap()[0][0].address.port(), 9000);
}

#[test]
fn what_is_too_old_is_listed_anew() {
    let cluster = Cluster::start();
    cluster.set("a", "10.0.0.1", true);
    let (_watch, told) = cluster.follow(pool());
    assert!(last_is(&told, &[("a", true)]));
    assert!(eventually(|| cluster.asked("watch=1") == 1));
    // Refused with 410 as it goes on.
    {
        let mut state = cluster.state.lock().unwrap();
        state
            .watches
            .drain(..)
            .for_each(|s| drop(s.shutdown(Shutdown::Both)));
        state.pods.remove("a");
        (state.version, state.oldest) = (90, 90);
    }
    cluster.set("b", "10.0.0.2", true);
    assert!(
        last_is(&told, &[("b", true)]),
        "what was deleted meanwhile is gone"
    );
    // Told 410 within a watch.
    assert!(eventually(|| cluster.state.lock().unwrap().watches.len() == 1));
    let watches = cluster.asked("watch=1");
    {
        let mut state = cluster.state.lock().unwrap();
        state.pods.remove("b");
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
        state.say(&gone);
    }
    assert!(last_is(&told, &[]));
    assert!(eventually(|| cluster.asked("watch=1") > watches));
}

#[test]
fn pods_that_were_known_stay_while_the_api_is_away_or_refuses() {
    let cluster = Cluster::start();
    cluster.state.lock().unwrap().refuse = Some((403, "pods is forbidden"));
    let (_watch, told) = cluster.follow(pool());
    assert!(
        eventually(|| cluster.asked("inferencepools") >= 2),
        "it is asked again and again"
    );
    assert!(told.lock().unwrap().is_empty());
    cluster.state.lock().unwrap().refuse = None;
    cluster.set("a", "10.0.0.1", true);
    assert!(last_is(&told, &[("a", true)]));
    assert!(eventually(|| cluster.asked("watch=1") >= 1));
    cluster.state.lock().unwrap().refuse = Some((500, "etcd is away"));
    cluster.state.lock().unwrap().say(&json!("no event"));
    cluster.cut();
    thread::sleep(Duration::from_millis(300));
    assert!(last_is(&told, &[("a", true)]));
    cluster.state.lock().unwrap().refuse = None;
    cluster.set("b", "10.0.0.2", true);
    assert!(last_is(&told, &[("a", true), ("b", true)]));
}

#[test]
fn a_pool_that_selects_others_is_followed() {
    let cluster = Cluster::start();
    cluster.set("a", "10.0.0.1", true);
    let (watch, told) = cluster.follow(pool());
    assert!(eventually(|| cluster.asked("watch=1") == 1));
    let labels = &mut cluster.state.lock().unwrap().labels.clone();
    labels.insert("tier".to_owned(), "big".to_owned());
    cluster.state.lock().unwrap().labels = labels.clone();
    cluster.cut();
    assert!(eventually(
        || cluster.asked("app%3Dvllm%2Ctier%3Dbig&limit=500") == 1
    ));
    assert!(last_is(&told, &[("a", true)]));
    // Dropped, it asks no more.
    drop(watch);
    thread::sleep(Duration::from_millis(100));
    let asked = cluster.asked("");
    cluster.cut();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(cluster.asked(""), asked);
}
