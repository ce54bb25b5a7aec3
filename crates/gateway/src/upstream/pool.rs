//! Keeps connections for the next request.
//!
//! Last in, first out: under light load few connections stay warm and the rest age out. A connection that the other side
//! closed meanwhile is noticed before it is used where that can be known, and a request that it never took is given back
//! by hyper and sent on a fresh one.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;
use rustc_hash::FxHashMap;

use super::{Address, ConnectError, Connector, RequestBody};

/// Idle connections of one worker.
pub(crate) struct Pool {
    connector: Connector,
    idle: RefCell<FxHashMap<u64, Vec<Idle>>>,
    keep: Duration,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection taken for one request. Dropped, it is closed; [`Lease::give_back`] keeps it.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<RequestBody>,
    /// Whether it has served a request before: then a failure without a byte of answer says nothing of the server.
    pub(crate) reused: bool,
    key: u64,
    pool: Rc<Pool>,
}

/// Idle connections kept to one upstream.
const MOST_IDLE: usize = 256;

// === impl Pool ===

impl Pool {
    /// Keeps an idle connection for `keep`.
    pub(crate) fn new(connector: Connector, keep: Duration) -> Self {
        Self {
            connector,
            idle: RefCell::default(),
            keep,
        }
    }

    /// An idle connection to this upstream, if there is a live one. `key` names the upstream.
    pub(crate) async fn reuse(self: &Rc<Self>, key: u64) -> Option<Lease> {
        loop {
            let Idle { mut sender, since } = self.idle.borrow_mut().get_mut(&key)?.pop()?;
            if sender.is_closed() || since.elapsed() > self.keep {
                continue;
            }
            // The answer before this was read to its end, so this waits at most for the connection's own task to notice.
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Some(Lease {
                    sender,
                    reused: true,
                    key,
                    pool: Rc::clone(self),
                });
            }
        }
    }

    /// A fresh connection.
    pub(crate) async fn open(self: &Rc<Self>, key: u64, to: &Address) -> Result<Lease, ConnectError> {
        let sender = self.connector.open(to).await?;
        Ok(Lease {
            sender,
            reused: false,
            key,
            pool: Rc::clone(self),
        })
    }

    /// Lets connections go that have been idle for too long, and those to upstreams that no longer exist.
    pub(crate) fn tidy(&self) {
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|i| !i.sender.is_closed() && i.since.elapsed() <= self.keep);
            !idle.is_empty()
        });
    }
}

// === impl Lease ===

impl Lease {
    /// Keeps the connection for the next request. Call it when the answer was read to its end.
    pub(crate) fn give_back(self) {
        let Self {
            sender, key, pool, ..
        } = self;
        if sender.is_closed() {
            return;
        }
        let mut idle = pool.idle.borrow_mut();
        let idle = idle.entry(key).or_default();
        if idle.len() < MOST_IDLE {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}
