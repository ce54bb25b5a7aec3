//! One downstream server: kept connected, asked for its tools, called.
//!
//! [`Server::keep`] runs as long as Fingerpost does: it connects, lists the tools, waits until the connection ends, and begins
//! again after a pause that doubles with each attempt in a row. While a server is away its tools stay known, so that names are
//! stable and calls are taken over by others or told why not.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fingerpost_agents::mcp::{McpConfig, McpServer};
use fingerpost_core::Timestamp;
use fingerpost_fleet::{Breaker, BreakerConfig, BreakerState};
use rand::{SeedableRng, rngs::SmallRng};
use rmcp::{
    Peer, RoleClient,
    model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, ProtocolVersion, SubscriptionFilter},
};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connect::{Running, connect},
    failure::Failure,
    listener::Listener,
    secrets::Secrets,
    stats::Stats,
    text::escaped,
    tool::Listing,
};

/// Most pages of a list that are asked for.
const MOST_PAGES: usize = 100;
/// A connection that stood for so long ends a row of attempts.
const STEADY: Duration = Duration::from_secs(10);
/// The longest that a failing server gets no calls.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(120);

/// A downstream server.
pub(crate) struct Server {
    pub(crate) config: McpServer,
    pub(crate) secrets: Secrets,
    limits: fingerpost_agents::mcp::McpLimits,
    reconnect: fingerpost_agents::mcp::McpReconnect,
    breaker: Breaker,
    rng: Mutex<SmallRng>,
    state: watch::Sender<State>,
    tools: Mutex<Arc<Listing>>,
    links: AtomicU64,
    /// Counts what changes the tools of all servers.
    changed: Arc<watch::Sender<u64>>,
    stats: Arc<Stats>,
}

/// Where a server stands.
#[derive(Clone)]
pub(crate) enum State {
    /// Its first connection is being made.
    Starting,
    /// Connected.
    Up(Link),
    /// Away; it is tried again.
    Down { why: String, since: Instant },
}

/// A connection that calls go over.
#[derive(Clone)]
pub(crate) struct Link {
    /// Counts the connections of a server.
    pub(crate) number: u64,
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) listener: Listener,
    /// The version of the protocol that is spoken.
    pub(crate) protocol: String,
    pub(crate) since: Instant,
    broken: Arc<Notify>,
}

// === impl Link ===

impl Link {
    /// It turned out not to lead anywhere: a new one is to be made.
    pub(crate) fn is_broken(&self) {
        self.broken.notify_one();
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn new(
        config: McpServer,
        all: &McpConfig,
        changed: Arc<watch::Sender<u64>>,
        stats: Arc<Stats>,
    ) -> Self {
        let breaker = BreakerConfig {
            consecutive_failures: all.breaker.failures,
            // The run alone counts: few calls of tools make no share.
            failure_rate: 2.0,
            open_for: all.breaker.cool_down,
            max_open_for: LONGEST_COOL_DOWN.max(all.breaker.cool_down),
            probes: 1,
            ..BreakerConfig::default()
        };
        stats.is_up(&config.name, false);
        Self {
            secrets: Secrets::of(&config),
            limits: all.limits.clone(),
            reconnect: all.reconnect.clone(),
            breaker: Breaker::new(breaker),
            rng: Mutex::new(SmallRng::seed_from_u64(now().micros())),
            state: watch::Sender::new(State::Starting),
            tools: Mutex::default(),
            links: AtomicU64::new(0),
            changed,
            stats,
            config,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.tools.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn largest_result(&self) -> usize {
        self.limits.result
    }

    /// The connection that a call may take now; or why it may take none. While a breaker lets one call pass to see, it is this one.
    pub(crate) fn enter(&self) -> Result<Link, Failure> {
        let link = match self.state() {
            State::Up(link) => link,
            State::Starting => return Err(Failure::Unreached("it is still starting".to_owned())),
            State::Down { why, .. } => return Err(Failure::Unreached(why)),
        };
        let now = now();
        if self.breaker.enter(now) {
            return Ok(link);
        }
        let wait = self.breaker.wait(now).as_secs_f64();
        Err(Failure::Unreached(format!(
            "after failures in a row it is spared for another {wait:.1} s"
        )))
    }

    /// Whether a call could be sent now. Takes no place.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(_)) && self.breaker.admits(now())
    }

    /// A call came to an answer.
    pub(crate) fn succeeded(&self) {
        self.breaker.succeeded(now());
    }

    /// A call failed in a way that speaks against the server.
    pub(crate) fn failed(&self) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        if self.breaker.failed(now(), &mut rng) {
            tracing::warn!(
                server = self.name(),
                "fails again and again: it gets no calls for a while"
            );
        }
    }

    /// Waits until the first attempt to connect is over, however it ended.
    pub(crate) async fn tried(&self) {
        let mut state = self.state.subscribe();
        // Ends with the sender, which lives as long as this.
        drop(state.wait_for(|state| !matches!(state, State::Starting)).await);
    }

    /// Waits for another connection than this one, at most so long.
    pub(crate) async fn is_back(&self, other_than: Option<u64>, at_most: Duration) -> bool {
        let is_new = |state: &State| matches!(state, State::Up(link) if Some(link.number) != other_than);
        let mut state = self.state.subscribe();
        matches!(timeout(at_most, state.wait_for(is_new)).await, Ok(Ok(_)))
    }

    /// Keeps it connected until `stop`.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = self.reconnect.first;
        loop {
            let attached = tokio::select! {
                attached = self.attach() => attached,
                () = stop.cancelled() => return,
            };
            let why = match attached {
                Ok((running, link)) => {
                    let began = Instant::now();
                    let why = self.stay(running, &link, &stop).await;
                    if began.elapsed() >= STEADY {
                        pause = self.reconnect.first;
                    }
                    why
                }
                Err(why) => why,
            };
            if stop.is_cancelled() {
                return;
            }
            self.is_down(&why, pause);
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(self.reconnect.longest);
        }
    }

    /// Connects and lists the tools.
    async fn attach(&self) -> Result<(Running, Link), String> {
        let limit = self.config.start;
        let attached = timeout(limit, async {
            let listener = Listener::default();
            let running = connect(&self.config, &self.secrets, &listener).await;
            let running = running.map_err(|error| error.to_string())?;
            let info = running.peer_info();
            let protocol = info.as_ref().map(|info| info.protocol_version.to_string());
            let link = Link {
                number: self.links.fetch_add(1, Ordering::Relaxed),
                peer: running.peer().clone(),
                listener,
                protocol: protocol.unwrap_or_default(),
                since: Instant::now(),
                broken: Arc::default(),
            };
            let listing = if info.is_some_and(|info| info.capabilities.tools.is_none()) {
                Listing {
                    problems: vec!["it offers no tools".to_owned()],
                    ..Listing::default()
                }
            } else {
                self.list(&link.peer).await?
            };
            Ok::<_, String>((running, link, listing))
        });
        let (running, link, listing) = match attached.await {
            Ok(attached) => attached.map_err(|why| self.secrets.hide(&why))?,
            Err(_) => return Err(format!("it did not speak MCP within {limit:?} (`start`)")),
        };
        self.publish(listing);
        self.stats.is_up(self.name(), true);
        tracing::info!(server = self.name(), protocol = link.protocol, "connected");
        self.state.send_replace(State::Up(link.clone()));
        Ok((running, link))
    }

    /// Stays with the connection until it ends; why it did.
    async fn stay(&self, running: Running, link: &Link, stop: &CancellationToken) -> String {
        let listening = self.listen_for_changes(&running, link);
        let quit = running.cancellation_token();
        let mut waiting = Box::pin(running.waiting());
        let why = loop {
            tokio::select! {
                _ = &mut waiting => return "the connection ended".to_owned(),
                () = link.broken.notified() => break "it cannot be reached".to_owned(),
                () = stop.cancelled() => break "stopped".to_owned(),
                () = link.listener.changed() => match timeout(self.config.start, self.list(&link.peer)).await {
                    Ok(Ok(listing)) => self.publish(listing),
                    Ok(Err(why)) => self.stale(&why),
                    Err(_) => self.stale("no answer in time"),
                }
            }
        };
        drop(listening);
        quit.cancel();
        // A program is left a while to end by itself; only the end of everything waits for it.
        let ended = tokio::spawn(waiting);
        if stop.is_cancelled() {
            drop(ended.await);
        }
        why
    }

    /// On the stateless protocol changes are told only to who asks for them.
    fn listen_for_changes(&self, running: &Running, link: &Link) -> Option<AbortOnDrop> {
        let info = running.peer_info()?;
        let tells = info
            .capabilities
            .tools
            .as_ref()
            .and_then(|tools| tools.list_changed)
            == Some(true);
        if !tells || info.protocol_version.as_str() < ProtocolVersion::V_2026_07_28.as_str() {
            return None;
        }
        let (peer, listener, name) = (link.peer.clone(), link.listener.clone(), self.config.name.clone());
        Some(AbortOnDrop(tokio::spawn(async move {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            match peer.listen(filter).await {
                Ok(mut told) => {
                    while let Ok(Some(_)) = told.next().await {
                        listener.tools_changed();
                    }
                }
                Err(error) => {
                    let error = escaped(&error.to_string(), 200);
                    tracing::warn!(server = name, error, "does not tell when its tools change");
                }
            }
        })))
    }

    /// All pages of the list, each tool as it came.
    async fn list(&self, peer: &Peer<RoleClient>) -> Result<Listing, String> {
        let (mut raw, mut cursor) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let request = ListToolsRequest {
                method: Default::default(),
                params: cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor))),
                extensions: Default::default(),
            };
            let page = peer.send_request(ClientRequest::ListToolsRequest(request)).await;
            let page = page.map_err(|error| format!("its tools cannot be listed: {}", Failure::of(error)))?;
            // Whatever it was taken for: one tool that is no tool must not hide the others.
            let mut page = serde_json::to_value(&page).unwrap_or_default();
            let Some(Value::Array(tools)) = page.get_mut("tools").map(Value::take) else {
                return Err("its tools cannot be listed: the answer holds none".to_owned());
            };
            raw.extend(tools);
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() || raw.len() > self.limits.tools {
                break;
            }
        }
        Ok(Listing::read(&self.config, &self.limits, raw))
    }

    pub(crate) fn publish(&self, listing: Listing) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if tools.problems != listing.problems {
            for problem in &listing.problems {
                tracing::warn!(server = self.name(), "{problem}");
            }
        }
        let is_new = tools.tools != listing.tools;
        *tools = Arc::new(listing);
        drop(tools);
        if is_new {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn stale(&self, why: &str) {
        let why = escaped(&self.secrets.hide(why), 300);
        tracing::warn!(server = self.name(), why, "its list of tools may be out of date");
    }

    fn is_down(&self, why: &str, pause: Duration) {
        let why = escaped(why, 300);
        self.stats.is_up(self.name(), false);
        tracing::warn!(server = self.name(), "away: {why}; tried again in {pause:?}");
        self.state.send_modify(|state| {
            let since = match state {
                State::Down { since, .. } => *since,
                _ => Instant::now(),
            };
            *state = State::Down { why, since };
        });
    }

    /// In words, for people.
    pub(crate) fn breaker(&self) -> &'static str {
        match self.breaker.state(now()) {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Up(_) => "up",
            Self::Down { .. } => "down",
        })
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
