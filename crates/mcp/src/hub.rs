//! All servers behind one: what they offer, and how a call finds its way.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fingerpost_agents::{mcp::McpConfig, skill_router::Trained};
use fingerpost_encode::Encoder;
use rmcp::model::CallToolResult;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    call::Call,
    catalogue::{Catalogue, Known},
    changes::Changes,
    exchange::Exchange,
    failure::Failure,
    listing::Declared,
    reroute::{may_go_on, plan},
    server::{Server, State},
    shelf::Shelf,
    stats::{Stats, Summary},
};

/// How long after a server has gone calls wait for it to come back, where nobody else can take them over.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long programs are left to end by themselves.
const FAREWELL: Duration = Duration::from_secs(8);

/// The downstream servers, kept connected.
pub struct Hub {
    config: McpConfig,
    started: Instant,
    servers: Vec<Arc<Server>>,
    encoder: Arc<dyn Encoder>,
    trained: Option<Arc<Trained>>,
    changed: Arc<watch::Sender<Changes>>,
    catalogue: Mutex<Built<Catalogue>>,
    shelf: Mutex<Built<Shelf>>,
    stats: Arc<Stats>,
    stop: CancellationToken,
    kept: Mutex<JoinSet<()>>,
}

/// What is made of the lists of all servers, and the changes that it knows of.
type Built<T> = Option<(Changes, Arc<T>)>;

/// Why a call brought no result: everybody who was asked, and what came of it.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) tried: Vec<Tried>,
    /// What came of the last attempt.
    pub(crate) last: Failure,
}

/// An attempt that brought no result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tried {
    tool: String,
    because: String,
    /// Whether it may have been executed all the same.
    may_have_run: bool,
}

/// Key in a result's `_meta` where another tool answered than was asked.
const REROUTED: &str = "io.fingerpost/rerouted";

// === impl Hub ===

impl Hub {
    /// Connects to the servers, in the background: one that is away keeps nobody waiting. Tools are searched by words and by the
    /// encoder; what was `trained` with that encoder, on requests for tools named `server::tool`, ranks them.
    pub fn start(config: McpConfig, encoder: Arc<dyn Encoder>, trained: Option<Arc<Trained>>) -> Arc<Self> {
        let (changed, stats) = (
            Arc::new(watch::Sender::new(Changes::default())),
            Arc::new(Stats::default()),
        );
        let stop = CancellationToken::new();
        let server = |own: &fingerpost_agents::mcp::McpServer| {
            let server = Server::new(own.clone(), &config, Arc::clone(&changed), Arc::clone(&stats));
            Arc::new(server)
        };
        let servers: Vec<Arc<Server>> = config.servers.iter().map(server).collect();
        let mut kept = JoinSet::new();
        for server in &servers {
            kept.spawn(Arc::clone(server).keep(stop.clone()));
        }
        Arc::new(Self {
            config,
            started: Instant::now(),
            servers,
            encoder,
            trained,
            changed,
            catalogue: Mutex::default(),
            shelf: Mutex::default(),
            stats,
            stop,
            kept: Mutex::new(kept),
        })
    }

    /// Ends all connections, and the programs that were started.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while kept.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("a server did not end in time and is left behind");
        }
    }

    /// The metrics in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        self.stats.metrics()
    }

    /// Waits until every server has been tried once, at most as long after the start as the configuration says.
    pub async fn settled(&self) {
        let all = async {
            for server in &self.servers {
                server.tried().await;
            }
        };
        // Who is not there by then is said to be missing.
        let _ = timeout_at(self.started + self.config.settle, all).await;
    }

    /// The servers that are not connected, and why.
    pub fn missing(&self) -> Vec<(String, String)> {
        let missing = |server: &Arc<Server>| match server.state() {
            State::Up(_) => None,
            State::Starting => Some((server.name().to_owned(), "still starting".to_owned())),
            State::Down { why, .. } => Some((server.name().to_owned(), why)),
        };
        self.servers.iter().filter_map(missing).collect()
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// How many tools there are now.
    pub fn tools(&self) -> usize {
        self.catalogue().tools().len()
    }

    pub(crate) fn config(&self) -> &McpConfig {
        &self.config
    }

    /// The names of all servers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.name())
    }

    /// Whether any server may do something: one does, or has not said yet.
    pub(crate) fn may(&self, does: impl Fn(Declared) -> bool) -> bool {
        let servers = self.servers.iter();
        servers
            .map(|server| server.offers().declared)
            .any(|said| said.is_none_or(&does))
    }

    pub(crate) fn counts(&self) -> &Stats {
        &self.stats
    }

    /// Tells when what servers offer has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Changes> {
        self.changed.subscribe()
    }

    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tools as they are now. Made anew where a list has changed: 1000 tools take some 30 ms.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        let is_old = |then: Changes, now: Changes| then.tools != now.tools;
        self.built(&self.catalogue, is_old, || {
            Catalogue::of(&self.servers, &self.encoder, self.trained.as_ref())
        })
    }

    /// The resources and prompts as they are now.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        let is_old =
            |then: Changes, now: Changes| (then.resources, then.prompts) != (now.resources, now.prompts);
        self.built(&self.shelf, is_old, || Shelf::of(&self.servers))
    }

    fn built<T>(
        &self,
        place: &Mutex<Built<T>>,
        is_old: impl Fn(Changes, Changes) -> bool,
        build: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut built = place.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *self.changed.borrow();
        match &*built {
            Some((then, known)) if !is_old(*then, now) => Arc::clone(known),
            _ => {
                let known = Arc::new(build());
                *built = Some((now, Arc::clone(&known)));
                known
            }
        }
    }

    /// The tool of this name; waits for servers that are still starting before it says no.
    pub(crate) async fn named(&self, name: &str) -> Option<Known> {
        if let Some(known) = self.catalogue().named(name) {
            return Some(known.clone());
        }
        self.settled().await;
        self.catalogue().named(name).cloned()
    }

    /// Calls a tool, or who may do its work.
    pub(crate) async fn call(&self, asked: &Known, call: &Call) -> Result<CallToolResult, Unanswered> {
        let catalogue = self.catalogue();
        let (mut tried, mut last, mut link_lost) = (Vec::new(), None, None);
        for known in plan(&catalogue, &self.config, asked) {
            let failure = match known.server.enter() {
                Ok(link) => {
                    let failure = match call.send(known, &link, &self.stats).await {
                        Ok(result) => return Ok(self.answered(asked, known, &tried, result)),
                        Err(failure) => failure,
                    };
                    if known.tool.id == asked.tool.id && failure.may_end_connection() {
                        link_lost = Some(link.number);
                    }
                    failure
                }
                Err(failure) => failure,
            };
            tried.push(Tried::of(known, &failure));
            let goes_on = may_go_on(&failure, known.tool.repeatable);
            last = Some(failure);
            if !goes_on {
                break;
            }
        }
        // Nobody could: the tool itself once more, if its server comes back at once. One that is there is not waited
        // for (it is spared, or has said what it had to say), nor is any more time spent where it went on waiting for another.
        let is_there = link_lost.is_none() && matches!(asked.server.state(), State::Up(_));
        let may_wait = last
            .as_ref()
            .is_none_or(|last| may_go_on(last, asked.tool.repeatable))
            && tried
                .iter()
                .all(|tried| asked.tool.repeatable || !tried.may_have_run)
            && !is_there
            && !matches!(last, Some(Failure::Late(_)));
        if may_wait
            && self.is_back(&asked.server, &call.with, link_lost).await
            && let Ok(link) = asked.server.enter()
        {
            match call.send(asked, &link, &self.stats).await {
                Ok(result) => return Ok(self.answered(asked, asked, &tried, result)),
                Err(failure) => {
                    tried.push(Tried::of(asked, &failure));
                    last = Some(failure);
                }
            }
        }
        let last = last.unwrap_or_else(|| Failure::Unreached("nobody was asked".to_owned()));
        Err(Unanswered { tried, last })
    }

    /// Whether a server that has gone comes back at once.
    pub(crate) async fn is_back(&self, server: &Server, with: &Exchange, link_lost: Option<u64>) -> bool {
        let gone_for = match server.state() {
            State::Down { since, .. } => since.elapsed(),
            State::Up(_) | State::Starting => Duration::ZERO,
        };
        let patience = PATIENCE.saturating_sub(gone_for);
        tokio::select! {
            is_back = server.is_back(link_lost, patience) => is_back,
            () = with.taken_back.cancelled() => false,
        }
    }

    /// The result, and in its metadata who gave it where that is another than was asked.
    fn answered(
        &self,
        asked: &Known,
        by: &Known,
        tried: &[Tried],
        mut result: CallToolResult,
    ) -> CallToolResult {
        if by.tool.id != asked.tool.id {
            self.stats.rerouted(&asked.tool.id, &by.tool.id);
            tracing::info!(asked = asked.tool.id, answered = by.tool.id, "rerouted");
            let mut meta = result.meta.take().unwrap_or_default();
            let told = json!({"asked": asked.tool.id, "answered": by.tool.id, "tried": tried});
            meta.insert(REROUTED.to_owned(), told);
            result.meta = Some(meta);
        }
        result
    }

    /// Servers and tools with what became of their calls; of one server or one tool where it is named.
    pub(crate) fn stats(&self, server: Option<&str>, tool: Option<&str>) -> Value {
        let catalogue = self.catalogue();
        let is_server = |name: &str| server.is_none_or(|asked| asked == name);
        let servers = self.servers.iter().filter(|server| is_server(server.name()));
        let servers: Vec<Value> = servers.map(|server| self.told_of(server)).collect();
        let tools = catalogue.tools().iter().filter(|known| {
            let own = &known.tool;
            let is_tool = tool.is_none_or(|asked| asked == own.shown.name || asked == own.id);
            is_server(known.server.name()) && is_tool
        });
        let tools = tools.filter_map(|known| {
            // Of all tools, only those that were called; one that is asked for by name is told in any case.
            let summary = self.stats.of(&known.tool.id);
            let summary = summary.or_else(|| tool.map(|_| Summary::default()))?;
            let mut told = json!({"name": known.tool.shown.name, "tool": known.tool.id});
            if let (Some(told), Ok(Value::Object(summary))) =
                (told.as_object_mut(), serde_json::to_value(summary))
            {
                told.extend(summary);
            }
            Some(told)
        });
        json!({"servers": servers, "tools": tools.collect::<Vec<_>>()})
    }

    fn told_of(&self, server: &Server) -> Value {
        let (state, offers) = (server.state(), server.offers());
        let mut told = json!({
            "name": server.name(), "state": state.to_string(), "breaker": server.breaker(),
            "tools": offers.tools.items.len(), "resources": offers.resources.items.len(),
            "templates": offers.templates.items.len(), "prompts": offers.prompts.items.len(),
        });
        match state {
            State::Up(link) => {
                told["protocol"] = json!(link.protocol);
                told["for_seconds"] = json!(link.since.elapsed().as_secs());
                told["reconnected"] = json!(link.number);
            }
            State::Down { why, since } => {
                told["why"] = json!(why);
                told["for_seconds"] = json!(since.elapsed().as_secs());
            }
            State::Starting => {}
        }
        let problems: Vec<&String> = offers.problems().collect();
        if !problems.is_empty() {
            told["problems"] = json!(problems);
        }
        let requests = self.stats.of_server(server.name());
        if !requests.is_empty() {
            told["requests"] = json!(requests);
        }
        told
    }
}

// === impl Tried ===

impl Tried {
    fn of(known: &Known, failure: &Failure) -> Self {
        Self {
            tool: known.tool.id.clone(),
            because: failure.to_string(),
            may_have_run: failure.may_have_run(),
        }
    }
}

// === impl Unanswered ===

impl Unanswered {
    /// In words, for the model that called.
    pub(crate) fn told(&self) -> String {
        let mut text = "The call brought no result.".to_owned();
        for tried in &self.tried {
            text.push_str(&format!("\n- {}: {}", tried.tool, tried.because));
        }
        let may_have_run = self.tried.iter().any(|tried| tried.may_have_run);
        let is_answer = matches!(self.last, Failure::Refused(_));
        text.push_str(if may_have_run && !is_answer {
            "\nIt may have been executed all the same: look before you call it again."
        } else if may_have_run {
            ""
        } else {
            "\nIt was not executed."
        });
        text
    }
}
