//! Listens for Envoy.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use fingerpost_gateway::{Placer, ServeError, listen};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch};

use crate::{Options, service::Services};

/// A running external processor.
pub struct Server {
    address: SocketAddr,
    workers: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// Streams that one connection may have under way: Envoy puts all its requests on a few.
const STREAMS: u32 = 10_000;
/// How long streams under way may take to end when it stops.
const PATIENCE: Duration = Duration::from_secs(5);

// === impl Server ===

impl Server {
    /// Listens, with as many workers; each has a socket of its own (`SO_REUSEPORT`), so that Envoy's connections spread over them.
    ///
    /// # Errors
    /// [`ServeError`] where the address or a thread is not to be had.
    pub fn start(
        placer: Arc<Placer>,
        options: Options,
        address: SocketAddr,
        workers: usize,
    ) -> Result<Self, ServeError> {
        let (address, listeners) = listen(address, workers)?;
        let (stop, stopped) = watch::channel(false);
        let services = Services::new(placer, options);
        let start = |(index, listener): (usize, StdListener)| {
            let (services, stopped) = (services.clone(), stopped.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            std::thread::Builder::new()
                .name(format!("extproc-{index}"))
                .spawn(move || runtime.block_on(work(listener, services, stopped)))
        };
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(start)
            .collect::<io::Result<_>>();
        Ok(Self {
            address,
            workers: workers.map_err(ServeError::Worker)?,
            stop,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nothing new, and waits a while for what is under way.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            // A worker that panicked has nothing under way.
            let _ = worker.join();
        }
    }
}

async fn work(listener: StdListener, services: Services, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: some will be free again.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small messages wait for nobody.
        let _ = stream.set_nodelay(true);
        let (services, mut stopped) = (services.clone(), stopped.clone());
        connections.spawn(async move {
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
            let service = service_fn(|request| services.clone().call(request));
            let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke off");
            }
        });
        // Those that ended leave nothing behind.
        while connections.try_join_next().is_some() {}
    }
    let _ = tokio::time::timeout(PATIENCE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}
