//! A model's fleet as the requests of all workers share it: what is sent is counted, what is held back waits here until it is its turn.
//!
//! Workers are threads with a runtime each. Who waits leaves the sending half of a channel behind; whatever makes room (a first token, an
//! end, a move, a server that is back), on whichever worker, asks the fleet who is due and wakes them. Nothing is woken by a clock but
//! what only a clock tells: that a server has gone ([`Dispatch::look`]), that hot spots are to be evened out, and that a prompt should have
//! been computed of whose answer nothing is seen yet.
//!
//! After a reload that changes the servers of a model, what waits stays in the old queue and what comes goes into the new one. Both count
//! on the same servers, so each is looked at again when the other makes room.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use fingerpost_core::{CandidateId, Decision, Timestamp};
use fingerpost_fleet::{Call, Due, Fleet, InstanceQuery};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::{snapshot::EndpointSlot, worker::now};

/// How soon those who wait notice that a server has gone.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A model's fleet, and who waits for it.
pub(crate) struct Dispatch {
    fleet: Arc<Fleet>,
    /// The endpoints as the latest configuration has them, by id, each with whether nothing is sent to it.
    doors: ArcSwap<Vec<Door>>,
    waiting: Mutex<FxHashMap<u64, oneshot::Sender<Turn>>>,
    tickets: AtomicU64,
    /// When the endpoints, and when hot spots, were last looked at, in microseconds.
    looked: AtomicU64,
    scanned: AtomicU64,
    /// The one before a reload, and the one after.
    before: Option<Weak<Dispatch>>,
    after: OnceLock<Weak<Dispatch>>,
}

struct Door {
    endpoint: Arc<EndpointSlot>,
    is_closed: AtomicBool,
}

/// What becomes of a request that waits.
pub(crate) enum Turn {
    /// It is sent.
    Due(Due),
    /// Its server has gone: it is to be routed anew.
    Anew,
}

/// A request that waits. Dropping it frees its place.
pub(crate) struct Waiting {
    dispatch: Arc<Dispatch>,
    ticket: u64,
    turn: oneshot::Receiver<Turn>,
}

/// A request that was sent: counted until this is dropped.
pub(crate) struct Sent {
    dispatch: Arc<Dispatch>,
    call: Option<Call>,
}

// === impl Dispatch ===

impl Dispatch {
    /// For a fleet for which nobody waits yet; `before` is what served the same model until now.
    pub(crate) fn new(fleet: Fleet, before: Option<&Arc<Self>>) -> Self {
        Self {
            fleet: Arc::new(fleet),
            doors: ArcSwap::default(),
            waiting: Mutex::default(),
            tickets: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            scanned: AtomicU64::new(0),
            before: before.map(Arc::downgrade),
            after: OnceLock::new(),
        }
    }

    /// The configuration that has these endpoints is in place.
    pub(crate) fn installed(self: &Arc<Self>, endpoints: &[Arc<EndpointSlot>]) {
        let before = self.doors.load();
        let door = |(id, endpoint): (usize, &Arc<EndpointSlot>)| Door {
            endpoint: Arc::clone(endpoint),
            is_closed: AtomicBool::new(before.get(id).is_some_and(Door::is_closed)),
        };
        self.doors
            .store(Arc::new(endpoints.iter().enumerate().map(door).collect()));
        if let Some(before) = self.before.as_ref().and_then(Weak::upgrade) {
            // It has one successor: itself, put in place once more.
            let _ = before.after.set(Arc::downgrade(self));
        }
    }

    /// The policy with what it knows.
    pub(crate) fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// A request is sent to `to`. `None` where the policy follows none.
    pub(crate) fn sent(self: &Arc<Self>, to: CandidateId, query: &InstanceQuery) -> Option<Sent> {
        if !self.fleet.policy().follows_requests() {
            return None;
        }
        let at = now();
        let call = self.fleet.sent(to, query, at, at)?;
        Some(self.counted(call))
    }

    /// A request that came at `since` waits for the first pick of `decision`. `None` where it need not: it is to be sent at once.
    pub(crate) fn hold(
        self: &Arc<Self>,
        query: &InstanceQuery,
        decision: &Decision,
        since: Timestamp,
    ) -> Option<Waiting> {
        if !self.fleet.holds() {
            return None;
        }
        let at = now();
        self.look(at);
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (sender, turn) = oneshot::channel();
        // Known before anybody can find it due.
        self.lock().insert(ticket, sender);
        if !self.fleet.hold_since(ticket, query, decision, since, at) {
            self.lock().remove(&ticket);
            return None;
        }
        self.wake();
        Some(Waiting {
            dispatch: Arc::clone(self),
            ticket,
            turn,
        })
    }

    /// Looks which servers have gone or are back, and every now and then for hot spots. Cheap, and done by whoever waits.
    pub(crate) fn look(&self, now: Timestamp) {
        if !is_time(&self.looked, LOOK_EVERY / 2, now) {
            return;
        }
        for (id, door) in (0..).map(CandidateId).zip(&**self.doors.load()) {
            let endpoint = &door.endpoint;
            let is_up = endpoint.service.is_up();
            let is_closed = endpoint.drain || !is_up || !endpoint.breaker.admits(now);
            if door.is_closed.swap(is_closed, Ordering::AcqRel) == is_closed {
                continue;
            }
            if !is_closed {
                self.fleet.back(id);
                continue;
            }
            // One that does not answer has lost what it held; one that is spared may hold it still.
            let stranded = if is_up {
                self.fleet.close(id)
            } else {
                self.fleet.lost(id)
            };
            for ticket in stranded {
                if let Some(waiter) = self.lock().remove(&ticket) {
                    // Who has left meanwhile need not be told.
                    let _ = waiter.send(Turn::Anew);
                }
            }
        }
        if let Some(every) = self.fleet.scan_every()
            && is_time(&self.scanned, every, now)
        {
            self.fleet.rebalance(now);
        }
        self.wake();
    }

    fn counted(self: &Arc<Self>, call: Call) -> Sent {
        Sent {
            dispatch: Arc::clone(self),
            call: Some(call),
        }
    }

    /// A call is over before it was made.
    fn give_up(&self, due: Due) {
        self.fleet.ended(due.call);
        self.wake();
    }

    /// There is room somewhere.
    fn made_room(&self) {
        if !self.fleet.holds() {
            return;
        }
        self.wake();
        let others = [self.before.as_ref(), self.after.get()];
        for other in others.into_iter().flatten().filter_map(Weak::upgrade) {
            other.fleet.look_again();
            other.wake();
        }
    }

    /// Wakes whoever is due.
    fn wake(&self) {
        while let Some(due) = self.fleet.next(now()) {
            let unwanted = match self.lock().remove(&due.ticket) {
                Some(waiter) => waiter.send(Turn::Due(due)).err(),
                None => Some(Turn::Due(due)),
            };
            if let Some(Turn::Due(due)) = unwanted {
                self.fleet.ended(due.call);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<u64, oneshot::Sender<Turn>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `every` has passed since `last`; then that is now, and nobody else finds so.
fn is_time(last: &AtomicU64, every: Duration, now: Timestamp) -> bool {
    let before = last.load(Ordering::Relaxed);
    now.since(Timestamp::from_micros(before)) >= every
        && last
            .compare_exchange(before, now.micros(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
}

// === impl Door ===

impl Door {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

// === impl Waiting ===

impl Waiting {
    /// Its turn, if it has come.
    pub(crate) fn now(&mut self) -> Option<Turn> {
        self.turn.try_recv().ok()
    }

    /// Waits for its turn, at most until the servers are to be looked at again.
    pub(crate) async fn turn(&mut self) -> Option<Turn> {
        match tokio::time::timeout(LOOK_EVERY, &mut self.turn).await {
            Ok(turn) => Some(turn.unwrap_or(Turn::Anew)),
            Err(_) => {
                self.dispatch.look(now());
                self.now()
            }
        }
    }

    /// The request, sent.
    pub(crate) fn take(self, due: Due) -> Sent {
        self.dispatch.counted(due.call)
    }

    /// It cannot be sent although it is due.
    pub(crate) fn decline(self, due: Due) {
        self.dispatch.give_up(due);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let was_known = self.dispatch.lock().remove(&self.ticket).is_some();
        if was_known {
            self.dispatch.fleet.cancel(self.ticket);
        }
        // Its turn may have come in this very moment.
        if let Some(Turn::Due(due)) = self.now() {
            self.dispatch.give_up(due);
        }
    }
}

// === impl Sent ===

impl Sent {
    /// Its answer has begun.
    pub(crate) fn first_token(&mut self) {
        if let Some(call) = &mut self.call {
            self.dispatch.fleet.first_token(call, now());
            self.dispatch.made_room();
        }
    }

    /// Its answer shows only when it is whole: from the time on at which its prompt should have been computed it holds nobody back.
    /// Must be called in a [`tokio::task::LocalSet`].
    pub(crate) fn is_seen_whole(&self) {
        let Some(call) = &self.call else { return };
        let Some(takes) = self.dispatch.fleet.expected_in(call) else {
            return;
        };
        let (dispatch, prefill) = (Arc::clone(&self.dispatch), Arc::clone(call.prefill()));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(takes).await;
            dispatch.fleet.expected(&prefill, now());
            dispatch.made_room();
        });
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.dispatch.fleet.ended(call);
            self.dispatch.made_room();
        }
    }
}
