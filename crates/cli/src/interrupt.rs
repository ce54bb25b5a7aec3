//! Ctrl-C in a long computation: the first ends it early, with what there is so far; the second ends it at once.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The exit code of what was interrupted.
pub(crate) const CODE: u8 = 130;

/// A flag that becomes true at Ctrl-C. Where the system lets nobody watch for that, Ctrl-C ends the process as ever.
pub(crate) fn watched() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                seen.store(true, Ordering::Relaxed);
                if tokio::signal::ctrl_c().await.is_ok() {
                    exit(CODE.into());
                }
            }
        });
    });
    flag
}
