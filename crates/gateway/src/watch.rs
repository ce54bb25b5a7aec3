//! Asks model servers how they are, for the policies that look at reported loads.
//!
//! A thread of its own, so that no request waits. A server that hangs, lies or vanishes is one that said nothing: its last report
//! grows old, and a policy goes by the router's own count once it is too old (`state.max_report_age`). That it says nothing
//! is logged once, and that it does again.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use fingerpost_core::{CandidateId, Name};
use fingerpost_fleet::{Fleet, Report};
use tokio::task::{JoinSet, LocalSet};

use crate::{client, shared::Shared, snapshot::EndpointSlot, worker::now};

/// How exactly the times of asking are kept.
const TICK: Duration = Duration::from_millis(50);
/// Longest that a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest page of metrics, in bytes.
const MOST: usize = 8 << 20;

/// The thread that asks; it ends when this is dropped.
pub(crate) struct Watch {
    _alive: SyncSender<()>,
}

/// A server to be asked.
struct Asked {
    endpoint: Arc<EndpointSlot>,
    id: CandidateId,
    fleet: Arc<Fleet>,
    path: String,
    every: Duration,
}

/// What is kept from tick to tick.
#[derive(Default)]
struct Rounds {
    /// When each server is to be asked next.
    next: HashMap<Name, Instant>,
    /// Those whose silence was told.
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
    let local = LocalSet::new();
    let mut rounds = Rounds::default();
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let Some(shared) = shared.upgrade() else { return };
        let due = rounds.due(&shared, Instant::now());
        drop(shared);
        if !due.is_empty() {
            local.block_on(runtime, rounds.ask(due));
        }
    }
}

// === impl Rounds ===

impl Rounds {
    /// Whose turn it is; notes when it is again.
    fn due(&mut self, shared: &Shared, now: Instant) -> Vec<Asked> {
        let snapshot = shared.snapshot();
        let mut due = Vec::new();
        for model in snapshot.models() {
            let Some(reports) = snapshot
                .config()
                .models
                .get(model.name().as_str())
                .and_then(|m| m.reports.as_ref())
            else {
                continue;
            };
            for endpoint in model.slots().iter().filter(|e| !e.provider.is_engine()) {
                let next = self.next.entry(endpoint.name.clone()).or_insert(now);
                let Some(id) = model.id_of(endpoint).filter(|_| *next <= now) else {
                    continue;
                };
                *next = now + reports.every;
                due.push(Asked {
                    endpoint: Arc::clone(endpoint),
                    id,
                    fleet: Arc::clone(model.fleet()),
                    path: reports.path.clone(),
                    every: reports.every,
                });
            }
        }
        due
    }

    /// Asks all at the same time, so that one that hangs delays nobody by more than its patience.
    async fn ask(&mut self, due: Vec<Asked>) {
        let mut asked = JoinSet::new();
        for server in due {
            asked.spawn_local(async move {
                let told = server.ask().await;
                (server.endpoint.name.clone(), told)
            });
        }
        while let Some(told) = asked.join_next().await {
            // One that panicked said nothing.
            let Ok((name, told)) = told else { continue };
            match told {
                Ok(()) if self.silent.remove(&name) => {
                    tracing::info!(endpoint = %name, "tells how it is again")
                }
                Ok(()) => {}
                Err(why) if self.silent.insert(name.clone()) => {
                    tracing::warn!(endpoint = %name, why, "does not tell how it is; the router's own count is used");
                }
                Err(_) => {}
            }
        }
    }
}

// === impl Asked ===

impl Asked {
    async fn ask(&self) -> Result<(), String> {
        let Some(address) = &self.endpoint.provider.address else {
            return Ok(());
        };
        let at = now();
        let page = client::get(address, &self.path, MOST, PATIENCE.min(self.every.max(TICK))).await;
        let page = page.map_err(|error| error.to_string())?;
        let report = Report::parse(&String::from_utf8_lossy(&page), at);
        if report.is_empty() {
            return Err(format!("{} holds none of the metrics that are read", self.path));
        }
        self.fleet.report(self.id, &report);
        Ok(())
    }
}
