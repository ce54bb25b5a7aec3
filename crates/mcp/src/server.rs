//! One downstream server: kept connected, asked for what it offers, called.
//!
//! [`Server::keep`] runs as long as Fingerpost does: it connects, asks for the lists, waits until the connection ends, and begins
//! again after a pause that doubles with each attempt in a row. While a server is away its lists stay known, so that names are
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
use rmcp::{Peer, RoleClient, model::ServerCapabilities};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    changes::Changes,
    connect::{Running, connect},
    failure::Failure,
    listener::Listener,
    listing::{Declared, Listed, Listing, Offers},
    lists::AbortOnDrop,
    secrets::Secrets,
    stats::Stats,
    text::escaped,
    tool::Offered,
};

/// A connection that stood for so long ends a row of attempts.
const STEADY: Duration = Duration::from_secs(10);
/// The longest that a failing server gets no calls.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(120);

/// A downstream server.
pub(crate) struct Server {
    pub(crate) config: McpServer,
    pub(crate) secrets: Secrets,
    pub(crate) limits: fingerpost_agents::mcp::McpLimits,
    reconnect: fingerpost_agents::mcp::McpReconnect,
    breaker: Breaker,
    rng: Mutex<SmallRng>,
    state: watch::Sender<State>,
    offers: Mutex<Offers>,
    links: AtomicU64,
    /// Counts what changes in what all servers offer.
    changed: Arc<watch::Sender<Changes>>,
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
        changed: Arc<watch::Sender<Changes>>,
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
            offers: Mutex::default(),
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

    /// What it offers, as it was last listed.
    pub(crate) fn offers(&self) -> Offers {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
                Ok((running, link, listening)) => {
                    let began = Instant::now();
                    let why = self.stay(running, &link, &stop).await;
                    drop(listening);
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

    /// Connects and lists what there is: the tools, without which nothing goes on, then the rest.
    async fn attach(&self) -> Result<(Running, Link, Option<AbortOnDrop>), String> {
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
            let listening = self.listen_for_changes(&running, &link).await;
            // One that does not say is taken to have tools.
            let tools_alone = || ServerCapabilities::builder().enable_tools().build();
            let declared = info.map_or_else(tools_alone, |info| info.capabilities.clone());
            let nothing = declared.resources.is_none() && declared.prompts.is_none();
            let tools = match &declared.tools {
                Some(_) => self.list::<Offered>(&link.peer).await?,
                None if nothing => Listing {
                    problems: vec!["it offers no tools, resources or prompts".to_owned()],
                    ..Listing::default()
                },
                None => Listing::default(),
            };
            Ok::<_, String>((running, link, listening, tools, declared))
        });
        let (running, link, listening, tools, declared) = match attached.await {
            Ok(attached) => attached.map_err(|why| self.secrets.hide(&why))?,
            Err(_) => return Err(format!("it did not speak MCP within {limit:?} (`start`)")),
        };
        self.publish(tools);
        self.list_others(&link.peer, &declared).await;
        self.stats.is_up(self.name(), true);
        tracing::info!(server = self.name(), protocol = link.protocol, "connected");
        self.state.send_replace(State::Up(link.clone()));
        Ok((running, link, listening))
    }

    /// Stays with the connection until it ends; why it did.
    async fn stay(&self, running: Running, link: &Link, stop: &CancellationToken) -> String {
        let quit = running.cancellation_token();
        let mut waiting = Box::pin(running.waiting());
        let why = loop {
            tokio::select! {
                _ = &mut waiting => return "the connection ended".to_owned(),
                () = link.broken.notified() => break "it cannot be reached".to_owned(),
                () = stop.cancelled() => break "stopped".to_owned(),
                kind = link.listener.changed() => self.list_again(&link.peer, kind).await,
            }
        };
        quit.cancel();
        // A program is left a while to end by itself; only the end of everything waits for it.
        let ended = tokio::spawn(waiting);
        if stop.is_cancelled() {
            drop(ended.await);
        }
        why
    }

    /// Takes a list as the one that holds from now on.
    pub(crate) fn publish<T: Listed>(&self, listing: Listing<T>) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = T::place(&mut offers);
        if place.problems != listing.problems {
            for problem in &listing.problems {
                tracing::warn!(server = self.name(), "{problem}");
            }
        }
        let is_new = place.items != listing.items;
        *place = Arc::new(listing);
        drop(offers);
        if is_new {
            self.changed.send_modify(|changes| changes.count(T::KIND));
        }
    }

    /// Keeps in mind what it says that it can do.
    pub(crate) fn declares(&self, declared: Declared) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.declared = Some(declared);
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

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
