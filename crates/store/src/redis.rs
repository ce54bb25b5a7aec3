//! A store on a server that speaks Redis' protocol, shared by several replicas.
//!
//! ## What replicas learn from each other
//! Every outcome goes into one **log**, a stream on the server, and every replica reads it to its end:
//! - **Runs.** The replica that ran a request learns from it at once, gives it the next number of its own (its *origin*, drawn
//!   anew at each start) and sends it to the log. A reader learns from an entry if its number is above the last one heard of
//!   that origin. So a batch may be sent again after a time-out, and a replica meets its own entries, without anything being
//!   counted twice.
//! - **Feedback.** Claim and entry are one step on the server ([`scripts::CLAIM`]): both happen, or neither. Every replica, the
//!   one that took the feedback too, learns from it when it reads it in the log, unless the trace's feedback is among those it
//!   remembers. Where the server cannot be asked, or its answer is lost, the caller gets [`StoreError::Unavailable`] and tries
//!   again: if the claim had reached the server, it is known then, and learned from all the same.
//! - **Snapshots.** Every few seconds a replica keeps what its routers know together with its place in the log and the last
//!   number heard of each origin, taken down under the lock under which routers learn. A replica that starts takes the
//!   snapshot up and reads on from its place; what it holds beyond that place (runs of the replica that kept it) is skipped
//!   by its number. Any replica's snapshot will do, so the last one kept wins, never one of an earlier place.
//! - A replica that has not reached the server since it started routes with what its configuration says and learns nothing
//!   yet; its runs wait, and are learned from when they come back through the log.
//!
//! ## When the server fails
//! Nothing on the way of a request waits for it. Records gather in a bounded buffer and are sent when it is back; those
//! beyond are dropped and counted, and other replicas count them as missed. A question to a server that has just failed is
//! refused at once, until a pause that doubles from 100 ms to 5 s is over. Every exchange has a time-out.
//!
//! A server that comes back with less than it had (it keeps nothing on disk, or was cut off before it did) has lost claims. So
//! on every connection to a server process that it has not met, a replica first claims again, for what it remembers to have
//! learned. Feedback that only a replica has heard of that has ended since can then be given again; its effect went with it.
//!
//! The server's scripts name keys that are not declared, so a cluster of several shards will not do.

mod address;
mod keys;
mod link;
mod pending;
mod progress;
mod scripts;
mod server;

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use fingerpost_core::{Delivered, Learners, Ledger, Outcome, Stage, Timestamp, Trace, TraceId};

pub(crate) use self::address::Variable;
use self::{
    address::Address,
    keys::Keys,
    link::Link,
    pending::{Pending, Run},
    progress::{Place, Progress, Told},
    server::Server,
};
use crate::{ResponseRecord, Retention, Sharing, Stats, Store, StoreConfig, StoreError, TraceRecord};

/// A [`Store`] on a server.
pub struct Redis {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

struct Inner {
    server: Server,
    /// For questions, for what is sent, and for the log: one that fails does not close the others.
    questions: Link,
    sending: Link,
    reading: Link,
    pending: Pending,
    learning: Arc<Learning>,
    retention: Retention,
    /// Names this start of this replica.
    origin: Arc<str>,
    claims: AtomicU64,
    timeout: Duration,
    closed: AtomicBool,
}

/// The progress, and a bell that rings when it moves on.
#[derive(Default)]
struct Learning {
    progress: Mutex<Progress>,
    moved: Condvar,
}

/// How long the server may wait for a new entry before it says that there is none.
const PONDER: Duration = Duration::from_millis(200);
/// Entries that are read at once.
const AT_ONCE: usize = 256;
/// How often what was learned is kept.
const KEEP_EVERY: Duration = Duration::from_secs(5);

// === impl Redis ===

impl Redis {
    /// Opens the store on the server that `config` names; `variable` looks up the environment. A server that cannot be reached
    /// is no error: it is tried again by itself.
    ///
    /// # Errors
    /// [`StoreError::Address`] where the configuration names no server, [`StoreError::Denied`] where the server does not let
    /// this process in.
    pub(crate) fn open(config: &StoreConfig, variable: Variable<'_>) -> Result<Self, StoreError> {
        if config.timeout.is_zero() {
            let detail = "a time-out of nothing lets no exchange through; more than 0 is allowed".to_owned();
            return Err(StoreError::Address {
                key: "timeout",
                detail,
            });
        }
        let address = Arc::new(Address::of(config, variable)?);
        let server = Server {
            keys: Arc::new(Keys::under(&config.prefix)),
            log: config.outcomes.max(1),
            claim_for: config.retention.traces_for,
        };
        let learning = Arc::<Learning>::default();
        let origin: Arc<str> = format!("{:016x}{:016x}", chance(), chance()).into();
        let met = Arc::<Mutex<Option<String>>>::default();
        let link = |ponder| {
            let (learning, met, server, origin) = (
                Arc::clone(&learning),
                Arc::clone(&met),
                server.clone(),
                Arc::clone(&origin),
            );
            let greet = move |connection: &mut redis::Connection| {
                let name = server::process(connection)?;
                if *lock(&met) != name || name.is_none() {
                    let heard: Vec<TraceId> = lock(&learning.progress).feedback.iter().collect();
                    server.claim_again(connection, &heard, &origin)?;
                    *lock(&met) = name;
                }
                Ok(())
            };
            Link::new(Arc::clone(&address), config.timeout, ponder, Box::new(greet))
        };
        let inner = Arc::new(Inner {
            questions: link(Duration::ZERO),
            sending: link(Duration::ZERO),
            reading: link(PONDER),
            server: server.clone(),
            pending: Pending::new(config.queue as usize),
            learning: Arc::clone(&learning),
            retention: config.retention.clone(),
            origin: Arc::clone(&origin),
            claims: AtomicU64::new(0),
            timeout: config.timeout,
            closed: AtomicBool::new(false),
        });
        let ping = |connection: &mut redis::Connection| redis::cmd("PING").query::<()>(connection);
        // Any other failure has been logged, and is tried again.
        if let Err(error @ StoreError::Denied { .. }) = inner.questions.ask(ping) {
            return Err(error);
        }
        let mut threads = Vec::new();
        let mut start = |name: &str, run: fn(&Inner)| {
            let inner = Arc::clone(&inner);
            let thread = thread::Builder::new().name(name.to_owned());
            threads.push(thread.spawn(move || run(&inner)).map_err(|e| inner_thread(&e))?);
            Ok::<_, StoreError>(())
        };
        start("store-sending", Inner::send)?;
        start("store-reading", Inner::read)?;
        Ok(Self { inner, threads })
    }
}

fn inner_thread(error: &std::io::Error) -> StoreError {
    StoreError::Stopped(format!("no thread: {error}"))
}

impl Drop for Redis {
    /// Sends what waits, if the server takes it.
    fn drop(&mut self) {
        self.inner.keep();
        self.inner.closed.store(true, Ordering::Release);
        self.inner.pending.close();
        self.inner.learning.moved.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has nothing left to send.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("server", self.inner.questions.address())
            .finish_non_exhaustive()
    }
}

impl Ledger for Redis {
    fn claim(&self, trace: TraceId, stage: Stage) -> bool {
        matches!(self.inner.claim(trace, stage, &[]), Ok(Some(_)))
    }
}

impl Store for Redis {
    fn put_trace(&self, record: TraceRecord) -> bool {
        self.inner.pending.put(|batch| {
            batch.newest = batch.newest.max(record.trace.at);
            batch.traces.insert(record.trace.id, Arc::new(record));
        })
    }

    fn trace(&self, id: TraceId) -> Result<Option<TraceRecord>, StoreError> {
        if let Some(record) = self.inner.pending.find(|batch| batch.traces.get(&id).cloned()) {
            return Ok(Some(TraceRecord::clone(&record)));
        }
        self.inner
            .questions
            .ask(|connection| self.inner.server.trace(connection, id))
    }

    fn put_response(&self, record: ResponseRecord) -> Result<(), StoreError> {
        let accepted = self.inner.pending.put(|batch| {
            batch.newest = batch.newest.max(record.at);
            batch.responses.insert(record.id.clone(), Some(Arc::new(record)));
        });
        if accepted { Ok(()) } else { Err(StoreError::Full) }
    }

    fn response(&self, id: &str, owner: Option<&str>) -> Result<Option<Arc<ResponseRecord>>, StoreError> {
        let found = match self.inner.pending.find(|batch| batch.responses.get(id).cloned()) {
            Some(waiting) => waiting,
            None => {
                let ask = |connection: &mut redis::Connection| self.inner.server.response(connection, id);
                self.inner.questions.ask(ask)?.map(Arc::new)
            }
        };
        Ok(found.filter(|r| r.is_of(owner)))
    }

    fn delete_response(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let found = self.response(id, owner)?.is_some();
        if found {
            self.inner.pending.must_put(|batch| {
                batch.responses.insert(id.into(), None);
            });
        }
        Ok(found)
    }

    fn save_state(&self, name: &str, state: Vec<u8>) {
        self.inner.pending.must_put(|batch| {
            batch.states.insert(name.into(), state.into());
        });
    }

    fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.inner.pending.find(|batch| batch.states.get(name).cloned()) {
            Some(state) => Ok(Some(state.to_vec())),
            None => self
                .inner
                .questions
                .ask(|connection| self.inner.server.state(connection, name)),
        }
    }

    fn prune(&self, now: Timestamp) {
        self.inner
            .pending
            .must_put(|batch| batch.newest = batch.newest.max(now));
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.pending.wait().map_err(|error| match &*error {
            StoreError::Denied { server, detail } => StoreError::Denied {
                server: server.clone(),
                detail: detail.clone(),
            },
            other => self.inner.questions.address().unavailable(match other {
                StoreError::Unavailable { detail, .. } => detail.clone(),
                other => other.to_string(),
            }),
        })
    }

    fn stats(&self) -> Stats {
        let (waiting, commits, dropped) = self.inner.pending.counts();
        let links = [&self.inner.sending, &self.inner.reading, &self.inner.questions];
        let progress = self.inner.progress();
        Stats {
            dropped,
            waiting,
            commits,
            failure: links.into_iter().find_map(Link::failure),
            shared: Some(Sharing {
                behind: progress.behind(),
                learned: progress.learned,
                missed: progress.missed,
            }),
        }
    }

    fn teach(
        &self,
        trace: &Trace,
        stage: Stage,
        outcome: &Outcome,
        learners: &Learners,
    ) -> Result<Delivered, StoreError> {
        let told = Told {
            trace: Cow::Borrowed(trace),
            stage,
            outcome: Cow::Borrowed(outcome),
        };
        // Traces and outcomes are made of what JSON can say.
        let told = serde_json::to_vec(&told).unwrap_or_default();
        match stage {
            Stage::Run => Ok(self.inner.ran(trace, outcome, told)),
            Stage::Feedback => {
                let delivered = self.inner.heard(trace.id, &told)?;
                Ok(delivered.unwrap_or_else(|| Delivered::To(learners.audience(trace, stage, outcome))))
            }
        }
    }

    fn follow(&self, replace: &mut dyn FnMut() -> Option<Learners>) {
        let mut progress = self.inner.progress();
        if let Some(learners) = replace() {
            progress.learners = Some(learners);
        }
        drop(progress);
        self.inner.learning.moved.notify_all();
    }

    fn save_learned(&self, _: &Learners) -> Result<usize, StoreError> {
        Ok(self.inner.keep())
    }

    fn restore_learned(&self, learners: &Learners) -> Result<usize, StoreError> {
        self.inner.restore(learners)
    }
}

// === impl Inner ===

impl Inner {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.learning.progress)
    }

    /// Most ids of traces that are remembered, of each stage.
    fn most(&self) -> usize {
        self.retention.traces as usize
    }

    /// Claims a delivery and puts it into the log. Returns its place there, if known, and nothing where it was claimed before.
    fn claim(&self, id: TraceId, stage: Stage, told: &[u8]) -> Result<Option<Option<Place>>, StoreError> {
        let claimant = format!("{}:{}", self.origin, self.claims.fetch_add(1, Ordering::Relaxed));
        self.questions
            .ask(|connection| self.server.claim(connection, (id, stage), &claimant, told))
    }

    /// Learns from a run of this replica and sends it to the others.
    fn ran(&self, trace: &Trace, outcome: &Outcome, told: Vec<u8>) -> Delivered {
        let most = self.most();
        let mut progress = self.progress();
        if !progress.runs.add(trace.id, most) {
            return Delivered::Before;
        }
        progress.number += 1;
        let number = progress.number;
        let mut routers = 0;
        if let Some(learners) = progress.learners.as_ref().filter(|_| progress.restored) {
            routers = learners.tell(trace, Stage::Run, outcome);
            let place = progress.place;
            let heard = progress::Heard { number, place };
            progress.origins.insert(Arc::clone(&self.origin), heard);
            progress.changed = true;
        }
        // Under the lock, so that numbers go out in their order.
        self.pending.put(|batch| {
            batch.runs.push(Run {
                origin: Arc::clone(&self.origin),
                number,
                told,
            });
        });
        Delivered::To(routers)
    }

    /// Claims feedback and waits until this replica has learned from it too; nothing where it is the first.
    fn heard(&self, id: TraceId, told: &[u8]) -> Result<Option<Delivered>, StoreError> {
        let progress = self.progress();
        if progress.feedback.has(id) {
            return Ok(Some(Delivered::Before));
        }
        drop(progress);
        let Some(place) = self.claim(id, Stage::Feedback, told)? else {
            return Ok(Some(Delivered::Before));
        };
        if let Some(place) = place {
            // Where it takes longer, it is learned all the same.
            let not_yet = |progress: &mut Progress| progress.place < place;
            drop(
                self.learning
                    .moved
                    .wait_timeout_while(self.progress(), self.timeout, not_yet),
            );
        }
        Ok(None)
    }

    /// Hands what was learned over to be kept. Returns how many routers had something.
    fn keep(&self) -> usize {
        let mut progress = self.progress();
        let Some(learned) = progress.take_down() else {
            return 0;
        };
        drop(progress);
        let routers = learned.states.len();
        self.pending.must_put(|batch| batch.learned = Some(learned));
        routers
    }

    /// Takes up what was learned before, once.
    fn restore(&self, learners: &Learners) -> Result<usize, StoreError> {
        let group = progress::group(learners);
        let learned = self
            .reading
            .ask(|connection| self.server.learned(connection, &group))?;
        let mut progress = self.progress();
        if progress.restored {
            return Ok(0);
        }
        Ok(progress.take_up(learners, learned))
    }

    /// The thread that sends.
    fn send(&self) {
        let send = |batch: &pending::Batch| {
            self.sending
                .ask(|connection| self.server.send(connection, batch, &self.retention))
        };
        self.pending.send_with(send, || self.sending.pause());
    }

    /// The thread that reads the log.
    fn read(&self) {
        let mut kept = Instant::now();
        while !self.closed.load(Ordering::Acquire) {
            let progress = self.progress();
            let (learners, restored) = (progress.learners.clone(), progress.restored);
            let place = progress.place;
            let Some(learners) = learners else {
                drop(self.learning.moved.wait_timeout(progress, PONDER));
                continue;
            };
            drop(progress);
            let done = if restored {
                self.read_on(place)
            } else {
                self.restore(&learners).map(drop)
            };
            if done.is_err() {
                let pause = self.reading.pause().unwrap_or(PONDER);
                // Not the whole pause at once: the store may be closed in the meantime.
                thread::sleep(pause.min(PONDER));
                continue;
            }
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep();
            }
        }
    }

    fn read_on(&self, place: Place) -> Result<(), StoreError> {
        let ask = |connection: &mut redis::Connection| self.server.read(connection, place, AT_ONCE, PONDER);
        let entries = self.reading.ask(ask)?;
        let most = self.most();
        let mut progress = self.progress();
        for entry in &entries {
            progress.read(entry, &self.origin, most);
        }
        if entries.len() < AT_ONCE {
            progress.caught_up = Some(Instant::now());
        }
        drop(progress);
        if !entries.is_empty() {
            self.learning.moved.notify_all();
        }
        Ok(())
    }
}

/// The guarded value, also after a panic elsewhere: every writer leaves the state whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that nobody else draws: the keys of a fresh `RandomState` come from the system.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}
