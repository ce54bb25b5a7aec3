//! Follows what servers publish of their caches (KV-cache events of vLLM and SGLang), one task a server.
//!
//! A server numbers its batches and, where it has a replay socket, gives the latest again. On every connection those are asked for first:
//! a server that was started anew has other ones under the same numbers, and its cache is empty. A batch that was missed is
//! asked for again; without a replay socket, or where the server has it no more, what was counted is given up and begins anew.
//!
//! A publisher that hangs or vanishes says nothing: what it told last grows old, which the metrics show, and its cache is modelled
//! as that of a server without events. One that sends what cannot be read is told in the log once, until it makes sense again;
//! nothing of what it sends is believed meanwhile.

pub(crate) mod zmtp;

use std::{collections::HashMap, sync::Arc, time::Duration};

use fingerpost_core::Name;
use fingerpost_fleet::{
    Instance,
    kv_events::{Change, Heard, Ledger},
};
use tokio::task::AbortHandle;

use self::zmtp::{Kind, Place, Socket};
use crate::{config::KvEvents, snapshot::Snapshot, worker::now};

/// Longest that a server may take for a handshake, or between two batches that were asked for again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits before a server is connected to again: doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// What ends a replay in place of a number.
const END: u64 = u64::MAX;

/// Where a server publishes its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    publisher: Place,
    replay: Option<Place>,
    topic: String,
}

/// The tasks that follow, by the name of the endpoint.
#[derive(Default)]
pub(crate) struct Followers {
    version: u64,
    all: HashMap<Name, Following>,
}

struct Following {
    source: Source,
    instance: Arc<Instance>,
    task: AbortHandle,
}

/// One server that is followed.
struct Follower {
    endpoint: Name,
    source: Source,
    instance: Arc<Instance>,
    /// Tokens in a block of the model of its cache.
    block_tokens: u64,
    ledger: Ledger,
    /// Whether it was told that it says nothing of use.
    is_told: bool,
    wait: Duration,
}

// === impl Source ===

impl Source {
    /// Reads a configuration; `host` is where the endpoint itself is, which `*` stands for.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub(crate) fn read(config: &KvEvents, host: Option<&str>) -> Result<Self, (&'static str, String)> {
        let place = |key, text: &str| Place::parse(text, host).map_err(|why| (key, why));
        Ok(Self {
            publisher: place("publisher", &config.publisher)?,
            replay: config
                .replay
                .as_deref()
                .map(|text| place("replay", text))
                .transpose()?,
            topic: config.topic.clone(),
        })
    }
}

// === impl Followers ===

impl Followers {
    /// Follows those whom the snapshot has followed, and nobody else. Must be called in a [`tokio::task::LocalSet`].
    pub(crate) fn keep(&mut self, snapshot: &Snapshot) {
        if std::mem::replace(&mut self.version, snapshot.version()) == snapshot.version() {
            return;
        }
        let mut before = std::mem::take(&mut self.all);
        for model in snapshot.models() {
            let instances = model.fleet().instances();
            for slot in model.slots() {
                let instance = model.id_of(slot).and_then(|id| instances.get(id));
                let (Some(source), Some(instance)) = (&slot.kv_events, instance) else {
                    continue;
                };
                let is_same = |f: &Following| f.source == *source && Arc::ptr_eq(&f.instance, instance);
                if before.get(&slot.name).is_some_and(is_same) {
                    self.all.extend(before.remove_entry(&slot.name));
                    continue;
                }
                let following = {
                    let follower = Follower {
                        endpoint: slot.name.clone(),
                        source: source.clone(),
                        instance: Arc::clone(instance),
                        block_tokens: u64::from(instances.config().block_tokens.get()),
                        ledger: Ledger::default(),
                        is_told: false,
                        wait: WAITS.0,
                    };
                    Following {
                        source: source.clone(),
                        instance: Arc::clone(instance),
                        task: tokio::task::spawn_local(follower.follow()).abort_handle(),
                    }
                };
                self.all.insert(slot.name.clone(), following);
            }
        }
        before.values().for_each(|f| f.task.abort());
    }
}

// === impl Follower ===

impl Follower {
    async fn follow(mut self) {
        loop {
            let Err(why) = self.session().await;
            self.complain(&why);
            tokio::time::sleep(self.wait).await;
            self.wait = (2 * self.wait).min(WAITS.1);
        }
    }

    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            let endpoint = &self.endpoint;
            tracing::warn!(%endpoint, why, "does not tell what its cache holds; it is modelled without");
        }
    }

    /// One connection, until it ends.
    async fn session(&mut self) -> Result<std::convert::Infallible, String> {
        let publisher = &self.source.publisher;
        let mut events = timely(Socket::open(publisher, Kind::Subscriber)).await?;
        timely(events.subscribe(self.source.topic.as_bytes())).await?;
        let replay = self.source.replay.clone();
        if let Some(replay) = &replay {
            self.catch_up(replay).await?;
        }
        let mut is_known = replay.is_some();
        loop {
            let parts = events.receive().await.map_err(|e| e.to_string())?;
            let [_, number, payload] = parts.as_slice() else {
                return Err(format!("an event of {} parts in place of three", parts.len()));
            };
            let number = numbered(number)?;
            // Without a replay, the first number tells whether the publisher is another than before.
            let is_first = !std::mem::replace(&mut is_known, true);
            if is_first && self.ledger.next().is_some_and(|next| number < next) {
                self.began_anew(Ledger::default());
            }
            if let Some(Heard::Gap(from)) = self.hear(number, payload) {
                if let Some(replay) = &replay {
                    self.again(replay, from).await?;
                }
                if self.ledger.next().is_some_and(|next| next < number) {
                    self.ledger.forget();
                }
                self.hear(number, payload);
            }
        }
    }

    /// Hears a batch and passes on what it changed. `None` where it is of no use.
    fn hear(&mut self, number: u64, payload: &[u8]) -> Option<Heard> {
        let believed = self.instance.cache.len() as u64 * self.block_tokens;
        match self.ledger.hear(number, payload, believed) {
            Ok(heard) => {
                if let Heard::Change(change) = &heard {
                    self.instance.cache_changed(change, self.ledger.tokens(), now());
                    self.wait = WAITS.0;
                    if std::mem::take(&mut self.is_told) {
                        tracing::info!(endpoint = %self.endpoint, "tells what its cache holds again");
                    }
                }
                Some(heard)
            }
            Err(error) => {
                self.ledger.forget();
                self.complain(&error.to_string());
                None
            }
        }
    }

    /// The server has been started anew: what it held is gone, and this is what it has told since.
    fn began_anew(&mut self, ledger: Ledger) {
        self.ledger = ledger;
        let change = Change {
            cleared: true,
            kept: 1.0,
        };
        self.instance.cache_changed(&change, self.ledger.tokens(), now());
    }

    /// Asks for everything that the server can give again. Where the last batch heard is among it, hears those after it; else the
    /// server is another than before.
    async fn catch_up(&mut self, replay: &Place) -> Result<(), String> {
        let mut asked = Asked::from(replay, 0).await?;
        let mut fresh = Ledger::default();
        let mut is_same = false;
        while let Some((number, payload)) = asked.next().await? {
            if is_same {
                self.hear(number, &payload);
            } else if self.ledger.is_last(number, &payload) {
                is_same = true;
            } else if fresh.hear(number, &payload, 0).is_err() {
                fresh.forget();
            }
        }
        if is_same {
            return Ok(());
        }
        if self.ledger.next().is_some() {
            self.began_anew(fresh);
        } else {
            // What happened before anybody listened changes nothing of what is believed.
            self.ledger = fresh;
            let nothing = Change {
                cleared: false,
                kept: 1.0,
            };
            self.instance.cache_changed(&nothing, self.ledger.tokens(), now());
        }
        Ok(())
    }

    /// Hears the batches from this number on once more, as far as the server still has them.
    async fn again(&mut self, replay: &Place, from: u64) -> Result<(), String> {
        let mut asked = Asked::from(replay, from).await?;
        while let Some((number, payload)) = asked.next().await? {
            self.hear(number, &payload);
        }
        Ok(())
    }
}

/// Batches that were asked for again.
struct Asked(Socket);

// === impl Asked ===

impl Asked {
    async fn from(replay: &Place, number: u64) -> Result<Self, String> {
        let mut socket = timely(Socket::open(replay, Kind::Dealer)).await?;
        // The empty part is what a server that answers requests expects before them.
        timely(socket.send(&[b"", &number.to_be_bytes()])).await?;
        Ok(Self(socket))
    }

    async fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, String> {
        let mut parts = timely(self.0.receive()).await?;
        let payload = parts.pop().unwrap_or_default();
        let number = numbered(&parts.pop().unwrap_or_default())?;
        Ok((number != END).then_some((number, payload)))
    }
}

fn numbered(part: &[u8]) -> Result<u64, String> {
    let bytes = part
        .try_into()
        .map_err(|_| format!("a batch's number of {} bytes in place of eight", part.len()))?;
    Ok(u64::from_be_bytes(bytes))
}

async fn timely<T>(io: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, io).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}
