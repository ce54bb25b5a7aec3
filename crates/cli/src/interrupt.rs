//! Work that can be stopped from the keyboard without losing what is done.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
};

/// The exit code of what was interrupted.
pub(crate) const CODE: u8 = 130;

/// Whether the user asked to stop. The second time the process ends at once.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

// === impl Interrupt ===

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let asked = Arc::new(AtomicBool::new(false));
        // The handler must stand before this returns, or an early signal would end the process.
        let (ready, is_ready) = channel();
        let flag = asked.clone();
        std::thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        match stop(&ready).await {
                            Ok(()) if !flag.swap(true, Ordering::Relaxed) => {}
                            Ok(()) => std::process::exit(CODE.into()),
                            Err(_) => return,
                        }
                    }
                });
            })?;
        is_ready.recv().unwrap_or(Ok(()))?;
        Ok(Self(asked))
    }

    /// Whether to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits for the next request to stop; tells once it listens.
#[cfg(unix)]
async fn stop(ready: &std::sync::mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let both = || Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let (mut interrupt, mut terminate) = match both() {
        Ok(both) => both,
        Err(error) => {
            let told = io::Error::new(io::Error::kind(&error), "signals cannot be heard");
            // Nobody waits for the second time.
            drop(ready.send(Err(error)));
            return Err(told);
        }
    };
    drop(ready.send(Ok(())));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop(ready: &std::sync::mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    drop(ready.send(Ok(())));
    tokio::signal::ctrl_c().await
}
