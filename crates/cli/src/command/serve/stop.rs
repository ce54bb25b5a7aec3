//! Signals, and the graceful end.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use fingerpost_gateway::{Server, Shared};

use crate::output::Output;

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals as they come.
pub(super) struct Signals(Receiver<Signal>);

// === impl Signals ===

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (sender, receiver) = channel();
        // The handlers must stand before this returns, or an early signal would end the process.
        let (ready, is_ready) = channel();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(pass_on(sender, ready)))?;
        is_ready.recv().unwrap_or(Ok(()))?;
        Ok(Self(receiver))
    }

    /// The next signal, if one comes within `patience`.
    pub(super) fn next(&mut self, patience: Duration) -> Option<Signal> {
        match self.0.recv_timeout(patience) {
            Ok(signal) => Some(signal),
            Err(RecvTimeoutError::Timeout) => None,
            // Without the thread that listens there will be no signals any more; the caller's rounds keep their pace.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(patience);
                None
            }
        }
    }
}

#[cfg(unix)]
async fn pass_on(sender: Sender<Signal>, ready: Sender<io::Result<()>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let all = || {
        Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ))
    };
    let (mut terminate, mut interrupt, mut hangup) = match all() {
        Ok(all) => {
            let _ = ready.send(Ok(()));
            all
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    loop {
        let came = tokio::select! {
            _ = terminate.recv() => Signal::Stop,
            _ = interrupt.recv() => Signal::Stop,
            _ = hangup.recv() => Signal::Reload,
        };
        if sender.send(came).is_err() {
            return;
        }
    }
}

#[cfg(not(unix))]
async fn pass_on(sender: Sender<Signal>, ready: Sender<io::Result<()>>) {
    let _ = ready.send(Ok(()));
    while tokio::signal::ctrl_c().await.is_ok() && sender.send(Signal::Stop).is_ok() {}
}

/// Lets requests under way finish; a second signal ends the process at once. Returns how many were cut off.
pub(super) fn drain(
    server: Server,
    shared: &Arc<Shared>,
    patience: Duration,
    signals: &mut Signals,
    output: Output,
) -> u64 {
    let under_way = shared.in_flight();
    if under_way > 0 {
        output.note(&format!(
            "finishing {under_way} requests under way, at most {} s; again to stop at once",
            patience.as_secs()
        ));
    }
    let draining = std::thread::spawn(move || server.drain(patience));
    while !draining.is_finished() {
        if signals.next(Duration::from_millis(20)) == Some(Signal::Stop) {
            output.note("stopped at once");
            std::process::exit(1);
        }
    }
    let cut_off = draining.join().unwrap_or_default();
    if cut_off > 0 {
        output.note(&format!(
            "{cut_off} requests were cut off after {} s",
            patience.as_secs()
        ));
    }
    cut_off
}
