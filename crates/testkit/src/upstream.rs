//! The scripted upstream: an LLM provider on a local socket that answers, streams, stalls and breaks as told.
//!
//! It speaks OpenAI Chat Completions, Responses, Embeddings and Models, and Anthropic Messages and Models, checks
//! requests as strictly as the real services do (roles, tool results, required fields and headers), records what it
//! got, and counts clients that went away in the middle of an answer.
//!
//! | path below `/_scripted/` | what it does |
//! | --- | --- |
//! | `GET requests` | the recorded requests, oldest first |
//! | `GET counters` | [`Counters`] |
//! | `POST script` | replaces the script |
//! | `POST reset` | forgets requests and goes back to the script given at the start |

mod answer;
mod play;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::script::Script;
use crate::wire::Headers;

/// Requests kept; older ones are forgotten.
const RECORDS: usize = 10_000;

/// A running upstream; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Since the start of the upstream.
    pub at: Duration,
    /// The number of the connection it came on, from 0.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The header fields.
    pub headers: Headers,
    /// The body without framing.
    pub body: Bytes,
}

/// How many of what so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests read, those to `/_scripted/` not counted.
    pub requests: u64,
    /// Requests whose answer is not finished.
    pub in_flight: u64,
    /// Answers sent whole, or as far as the script wanted.
    pub completed: u64,
    /// Answers that ended because the client closed the connection.
    pub cancelled: u64,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    first_script: Script,
    state: Mutex<State>,
    connections: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
}

#[derive(Debug)]
struct State {
    script: Script,
    recorded: VecDeque<Recorded>,
    /// Responses by id, for `previous_response_id`.
    responses: HashMap<String, Value>,
    answers: u64,
}

// === impl Upstream ===

impl Upstream {
    /// Starts an upstream on a free port of the loopback interface, on a thread of its own.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// Starts an upstream on a given address.
    pub fn listen(addr: SocketAddr, script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(script));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("scripted-upstream".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = serve::accept(listener, served) => {}
                    }
                });
            })?;
        Ok(Self {
            addr,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://ADDR`, without a path: OpenAI clients want `/v1` behind it, Anthropic clients do not.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().recorded.iter().cloned().collect()
    }

    /// The counts so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Replaces the script.
    pub fn script(&self, script: Script) {
        self.shared.state().script = script;
    }

    /// Waits until the counters satisfy a condition; false when they did not within `limit`.
    pub fn wait_until(&self, limit: Duration, condition: impl Fn(&Counters) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            if condition(&self.counters()) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Blocks until the upstream ends, which it does only when the process does.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Recorded ===

impl Recorded {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn show(&self) -> Value {
        let headers: Vec<_> = self.headers.iter().collect();
        let body = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&self.body)));
        json!({
            "at_ms": self.at.as_secs_f64() * 1e3,
            "connection": self.connection,
            "method": self.method,
            "path": self.path,
            "headers": headers,
            "body": body,
        })
    }
}

// === impl Shared ===

impl Shared {
    fn new(script: Script) -> Self {
        let first_script = script.clone();
        let state = State {
            script,
            recorded: VecDeque::new(),
            responses: HashMap::new(),
            answers: 0,
        };
        let zero = AtomicU64::default;
        Self {
            started: Instant::now(),
            first_script,
            state: Mutex::new(state),
            connections: zero(),
            requests: zero(),
            in_flight: zero(),
            completed: zero(),
            cancelled: zero(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counters {
            connections: read(&self.connections),
            requests: read(&self.requests),
            in_flight: read(&self.in_flight),
            completed: read(&self.completed),
            cancelled: read(&self.cancelled),
        }
    }

    fn record(&self, request: Recorded) {
        let mut state = self.state();
        if state.recorded.len() == RECORDS {
            state.recorded.pop_front();
        }
        state.recorded.push_back(request);
    }

    fn show_requests(&self) -> Value {
        self.state().recorded.iter().map(Recorded::show).collect()
    }

    fn reset(&self) {
        let mut state = self.state();
        state.recorded.clear();
        state.script = self.first_script.clone();
    }
}
