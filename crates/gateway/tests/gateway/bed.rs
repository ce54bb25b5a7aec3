//! A gateway in this process, in front of scripted upstreams.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_encode::StaticEncoder;
use fingerpost_gateway::{Config, Engines, Server, Shared, config};
use fingerpost_testkit::{Client, Response, Script, SseEvent, Upstream};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Longer than anything here takes on a crowded machine; only a failure waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A configuration in the making.
#[derive(Clone)]
pub(crate) struct Setup(Value);

/// A gateway that serves; it stops when dropped.
pub(crate) struct Bed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    pub(crate) server: Option<Server>,
    _data: Option<TempDir>,
}

/// A scripted upstream.
pub(crate) fn upstream(script: Script) -> Upstream {
    Upstream::start(script).unwrap()
}

/// Waits until `condition` holds; false where it did not within [`SOON`].
pub(crate) fn eventually(condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + SOON;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A gateway in front of one OpenAI-compatible upstream whose model is `m`.
pub(crate) fn one(script: Script) -> (Upstream, Bed) {
    let up = upstream(script);
    let bed = Setup::new().openai("up", &up).model("m", &["up"]).start();
    (up, bed)
}

// === impl Setup ===

impl Setup {
    pub(crate) fn new() -> Self {
        Self(json!({"store": {"back_end": "memory"}, "server": {"seed": 7}}))
    }

    /// Sets the value at a path such as `/resilience/retry`.
    pub(crate) fn set(mut self, path: &str, value: Value) -> Self {
        let mut at = &mut self.0;
        for key in path.trim_start_matches('/').split('/') {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            at = at.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
        }
        *at = value;
        self
    }

    pub(crate) fn openai(self, name: &str, up: &Upstream) -> Self {
        self.openai_at(name, up.addr())
    }

    pub(crate) fn openai_at(self, name: &str, at: SocketAddr) -> Self {
        self.set(
            &format!("/providers/{name}"),
            json!({"type": "openai", "base_url": format!("http://{at}/v1")}),
        )
    }

    /// One that speaks Responses too.
    pub(crate) fn openai_responses(self, name: &str, up: &Upstream) -> Self {
        self.openai(name, up)
            .set(&format!("/providers/{name}/responses"), json!(true))
    }

    pub(crate) fn anthropic(self, name: &str, up: &Upstream) -> Self {
        self.set(
            &format!("/providers/{name}"),
            json!({"type": "anthropic", "base_url": up.url()}),
        )
    }

    /// A model on endpoints of these providers.
    pub(crate) fn model(self, name: &str, providers: &[&str]) -> Self {
        let endpoints: Vec<Value> = providers.iter().map(|p| json!({"provider": p})).collect();
        self.set(&format!("/models/{name}/endpoints"), json!(endpoints))
    }

    /// A decision that always holds.
    pub(crate) fn decision(self, name: &str, models: &[&str], select: Value) -> Self {
        self.set(
            "/decisions",
            json!([{"name": name, "models": models, "select": select}]),
        )
    }

    /// No second tries.
    pub(crate) fn once(self) -> Self {
        self.set("/resilience/retry/max_retries", json!(0))
    }

    /// The configuration, read and checked as from a file: JSON is YAML.
    pub(crate) fn config(&self) -> Config {
        match config::load_text(&self.text(), "test.yaml") {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!(
                "{}",
                problems.iter().map(|p| format!("{p}\n")).collect::<String>()
            ),
        }
    }

    /// The configuration's text.
    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }

    pub(crate) fn start(&self) -> Bed {
        self.start_with(Engines::default())
    }

    pub(crate) fn start_with(&self, engines: Engines) -> Bed {
        let data = tempfile::tempdir().unwrap();
        let mut bed = self.start_in(data.path(), engines);
        bed._data = Some(data);
        bed
    }

    /// Starts with the embedded store in a folder that outlives it.
    pub(crate) fn start_in(&self, data: &Path, engines: Engines) -> Bed {
        let encoder = Arc::new(StaticEncoder::bundled());
        let shared = Shared::new(self.config(), data, engines, encoder, 1).unwrap();
        let server = Server::start(Arc::clone(&shared), SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        Bed {
            shared,
            address: server.address(),
            server: Some(server),
            _data: None,
        }
    }
}

// === impl Bed ===

impl Bed {
    /// Ends it as SIGTERM does, so that another can open its store.
    pub(crate) fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.drain(SOON);
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.client().get(path).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, &[], body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        self.client().post(path, headers, &body.to_string()).unwrap()
    }

    /// Posts and reads the events of the answer; its head must say 200 and be an event stream.
    pub(crate) fn stream(&self, path: &str, body: &Value) -> Vec<SseEvent> {
        let mut client = self.begin(path, body);
        client.events().unwrap()
    }

    /// The whole answer to a request for a stream, unparsed.
    pub(crate) fn stream_trace(&self, speak: crate::speak::Speak, model: &str) -> Response {
        self.post(speak.path(), &speak.ask_stream(model, "hi"))
    }

    /// Posts and reads the head of the answer, which must be an event stream.
    pub(crate) fn begin(&self, path: &str, body: &Value) -> Client {
        let mut client = self.client();
        client
            .request("POST", path, &[], body.to_string().as_bytes())
            .unwrap();
        let head = client.head().unwrap();
        assert_eq!(
            head.status,
            200,
            "{}",
            String::from_utf8_lossy(&client.rest().unwrap_or_default())
        );
        assert!(
            head.headers
                .get("content-type")
                .unwrap()
                .starts_with("text/event-stream")
        );
        client
    }

    pub(crate) fn metrics(&self) -> String {
        self.get("/metrics").text()
    }

    /// The sum of all series of `family` whose labels contain each of `labels`. Records are counted a moment after the answer.
    pub(crate) fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        let fits = |line: &&str| {
            line.strip_prefix(family)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|l| line.contains(l))
        };
        let text = self.metrics();
        text.lines()
            .filter(fits)
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until the metric has this value.
    pub(crate) fn counts(&self, family: &str, labels: &[&str], value: f64) -> bool {
        eventually(|| (self.metric(family, labels) - value).abs() < 1e-9)
    }
}
