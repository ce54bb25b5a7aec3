//! Listens, and hands each connection to a worker.
//!
//! One worker a core, each a thread with a runtime, a listening socket (`SO_REUSEPORT`) and connection pools of its own: a
//! request stays on the core that accepted it, and workers share nothing but snapshots.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::LocalSet};

use crate::{handler, shared::Shared, watch::Watch, worker::Worker};

/// A running server.
pub struct Server {
    address: SocketAddr,
    workers: Vec<JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    shared: Arc<Shared>,
    _watch: Watch,
}

/// What connections should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Finish what is under way, take nothing new.
    Draining,
}

/// Why a server cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {error} (choose another with --listen)")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The system gives no thread or no event queue.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// How long the headers of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a worker lets old idle connections go.
const TIDY_EVERY: Duration = Duration::from_secs(10);
const BACKLOG: i32 = 4096;

// === impl Server ===

impl Server {
    /// Binds `address` and starts the workers. Port 0 takes a free one, see [`Server::address`].
    ///
    /// # Errors
    /// [`ServeError`] where the address cannot be bound or a thread cannot be started.
    pub fn start(shared: Arc<Shared>, address: SocketAddr, workers: usize) -> Result<Self, ServeError> {
        let (address, listeners) = listen(address, workers)?;
        let (phase, watched) = watch::channel(Phase::Serving);
        let start = |(index, listener): (usize, StdListener)| {
            let (shared, phase) = (Arc::clone(&shared), watched.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let local = LocalSet::new();
                    local.block_on(&runtime, work(shared, index, listener, phase));
                })
        };
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(start)
            .collect::<io::Result<_>>();
        Ok(Self {
            address,
            workers: workers.map_err(ServeError::Worker)?,
            phase,
            _watch: Watch::start(&shared).map_err(ServeError::Worker)?,
            shared,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, lets what is under way finish for up to `patience`, and returns. `readyz` answers 503 from
    /// the first moment. Returns how many requests were cut off.
    pub fn drain(self, patience: Duration) -> u64 {
        self.shared.begin_drain(patience);
        self.phase.send_replace(Phase::Draining);
        for worker in self.workers {
            // A worker that panicked has nothing left to drain.
            drop(worker.join());
        }
        self.shared.flush();
        self.shared.were_cut_off()
    }
}

/// As many sockets as there are workers, all at one address (`SO_REUSEPORT`), which the system gives connections to in turn. Port 0 takes a
/// free one.
///
/// # Errors
/// [`ServeError::Listen`] where the address is not to be had.
pub fn listen(address: SocketAddr, workers: usize) -> Result<(SocketAddr, Vec<StdListener>), ServeError> {
    let fail = |error| ServeError::Listen { address, error };
    let first = listen_once(address).map_err(fail)?;
    let address = first.local_addr().map_err(fail)?;
    let mut listeners = vec![first];
    for _ in 1..workers.max(1) {
        listeners.push(listen_once(address).map_err(fail)?);
    }
    Ok((address, listeners))
}

fn listen_once(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The default address: this machine only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

async fn work(shared: Arc<Shared>, index: usize, listener: StdListener, mut phase: watch::Receiver<Phase>) {
    let worker = Rc::new(Worker::new(shared, index));
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot use its listening socket");
            return;
        }
    };
    let tidy = tokio::task::spawn_local(Rc::clone(&worker).housekeeping(TIDY_EVERY));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    drop(stream.set_nodelay(true));
                    connections.spawn_local(converse(Rc::clone(&worker), stream, peer, phase.clone()));
                }
                // Out of file descriptors, say: the accept queue keeps the others until some are free.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            _ = phase.changed() => break,
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(worker.shared.drain_patience(), all_done).await);
    tidy.abort();
    worker.shared.cut_off(index);
    // Those cut off leave their records as they go.
    drop(connections);
    worker.flush();
}

/// Serves one connection until it closes or, while draining, until its answer under way is out.
async fn converse(
    worker: Rc<Worker>,
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    mut phase: watch::Receiver<Phase>,
) {
    let service = service_fn(|request| {
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(handler::handle(worker, peer, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .pipeline_flush(true);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            // A client that breaks off is its own business; the request it had under way is dropped, which cancels upstream.
            _ = connection.as_mut() => return,
            changed = phase.changed() => {
                connection.as_mut().graceful_shutdown();
                if changed.is_err() {
                    drop(connection.as_mut().await);
                    return;
                }
            }
        }
    }
}
