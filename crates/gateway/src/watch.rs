//! Asks model servers whether they are there, and how they are for the policies that look at reported loads; listens to those that publish what
//! their caches hold; and has adapters loaded that are to be kept.
//!
//! A thread of its own, so that no request waits. A server that hangs or vanishes misses a health check; after some of them it is out
//! of service until it answers again. One that tells nothing of its load, or lies, is one that said nothing: its last report
//! grows old, and a policy goes by the router's own count once it is too old (`state.max_report_age`). That a server falls silent is
//! logged once, and that it is back.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use fingerpost_core::{CandidateId, Name};
use fingerpost_fleet::{Fleet, Report};
use tokio::task::{JoinSet, LocalSet};

use crate::{
    client,
    kv_events::Followers,
    shared::Shared,
    snapshot::{EndpointSlot, Snapshot},
    worker::now,
};

/// How exactly the times of asking are kept.
const TICK: Duration = Duration::from_millis(50);
/// How soon a process that asks nobody notices that a new configuration has somebody asked.
const IDLE: Duration = Duration::from_millis(500);
/// Longest that a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest page of metrics, in bytes.
const MOST: usize = 8 << 20;

/// The thread that asks; it ends when this is dropped.
pub(crate) struct Watch {
    _alive: SyncSender<()>,
}

/// A server to be asked something.
struct Asked {
    endpoint: Arc<EndpointSlot>,
    path: String,
    every: Duration,
    question: Question,
}

enum Question {
    /// Whether it is there; after so many misses it is not.
    Health(u32),
    /// How it is, and who wants to know.
    Reports(CandidateId, Arc<Fleet>),
}

/// What is kept from tick to tick.
#[derive(Default)]
struct Rounds {
    /// When each server is to be asked next, by its name and the path.
    next: HashMap<(Name, String), Instant>,
    /// Those of whom it was told that they do not say how they are.
    silent: HashSet<Name>,
}

// === impl Watch ===

impl Watch {
    /// Begins to ask the servers that `shared` has.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = sync_channel(0);
        let shared = Arc::downgrade(shared);
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch(&runtime, &shared, &ended))?;
        Ok(Self { _alive: alive })
    }
}

fn watch(runtime: &tokio::runtime::Runtime, shared: &Weak<Shared>, ended: &Receiver<()>) {
    LocalSet::new().block_on(runtime, async {
        let (mut rounds, mut followers) = (Rounds::default(), Followers::default());
        while ended.try_recv() == Err(TryRecvError::Empty) {
            let Some(shared) = shared.upgrade() else { return };
            let snapshot = shared.snapshot();
            drop(shared);
            let has_adapters = rebalance(&snapshot);
            followers.keep(&snapshot);
            let due = rounds.due(&snapshot, Instant::now());
            drop(snapshot);
            rounds.ask(due).await;
            tokio::time::sleep(if has_adapters { TICK } else { rounds.tick() }).await;
        }
    });
}

/// Has loaded what decisions want kept loaded, without waiting for it. Whether there are adapters at all.
fn rebalance(snapshot: &Arc<Snapshot>) -> bool {
    let mut any = false;
    for adapters in snapshot.decisions().iter().filter_map(|d| d.adapters.as_ref()) {
        any = true;
        adapters.rebalance(snapshot, now());
    }
    any
}

// === impl Rounds ===

impl Rounds {
    fn tick(&self) -> Duration {
        if self.next.is_empty() { IDLE } else { TICK }
    }

    /// Whose turn it is; notes when it is again.
    fn due(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<Asked> {
        let mut due = Vec::new();
        for model in snapshot.models() {
            let Some(config) = snapshot.config().models.get(model.name().as_str()) else {
                continue;
            };
            for endpoint in model.slots().iter().filter(|e| !e.provider.is_engine()) {
                let mut ask = |path: &str, every: Duration, question: Question| {
                    let next = self
                        .next
                        .entry((endpoint.name.clone(), path.to_owned()))
                        .or_insert(now);
                    if *next <= now {
                        *next = now + every;
                        due.push(Asked {
                            endpoint: Arc::clone(endpoint),
                            path: path.to_owned(),
                            every,
                            question,
                        });
                    }
                };
                if let Some(health) = &config.health {
                    ask(&health.path, health.every, Question::Health(health.misses));
                }
                if let (Some(reports), Some(id)) = (&config.reports, model.id_of(endpoint)) {
                    let question = Question::Reports(id, Arc::clone(model.fleet()));
                    ask(&reports.path, reports.every, question);
                }
            }
        }
        due
    }

    /// Asks all at the same time, so that one that hangs delays nobody by more than its patience.
    async fn ask(&mut self, due: Vec<Asked>) {
        let mut asked = JoinSet::new();
        for server in due {
            asked.spawn_local(async move {
                let page = server.ask().await;
                (server, page)
            });
        }
        while let Some(told) = asked.join_next().await {
            // One that panicked said nothing.
            let Ok((server, page)) = told else { continue };
            let name = &server.endpoint.name;
            match &server.question {
                Question::Health(misses) => server.is_there(page.map(drop), *misses),
                Question::Reports(id, fleet) => match page.and_then(|page| server.told(&page)) {
                    Ok(report) => {
                        fleet.report(*id, &report);
                        if self.silent.remove(name) {
                            tracing::info!(endpoint = %name, "tells how it is again");
                        }
                    }
                    Err(why) if self.silent.insert(name.clone()) => {
                        tracing::warn!(endpoint = %name, why, "does not tell how it is; the router's own count is used");
                    }
                    Err(_) => {}
                },
            }
        }
    }
}

// === impl Asked ===

impl Asked {
    async fn ask(&self) -> Result<Bytes, String> {
        let address = self
            .endpoint
            .provider
            .address
            .as_ref()
            .ok_or("it has no address")?;
        let limit = PATIENCE.min(self.every);
        client::get(address, &self.path, MOST, limit)
            .await
            .map_err(|error| error.to_string())
    }

    fn is_there(&self, answer: Result<(), String>, misses: u32) {
        let (service, name) = (&self.endpoint.service, &self.endpoint.name);
        match answer {
            Ok(()) if service.answered(now()) => {
                tracing::info!(endpoint = %name, "answers again and is back in service");
            }
            Err(why) if service.missed(misses) => {
                tracing::warn!(endpoint = %name, why, "missed {misses} health checks and is out of service");
            }
            _ => {}
        }
    }

    fn told(&self, page: &Bytes) -> Result<Report, String> {
        let report = Report::parse(&String::from_utf8_lossy(page), now());
        if report.is_empty() {
            return Err(format!("{} holds none of the metrics that are read", self.path));
        }
        Ok(report)
    }
}
