//! What routers have learned, kept and taken up again.

use fingerpost_core::Learners;

use crate::{Store, StoreError};

/// Keeps what every router has learned, each under its own name, and waits until it is kept. Returns how many had something
/// to keep. Called now and then, and when the process ends.
///
/// # Errors
/// [`StoreError`] where it could not be kept.
pub fn save_learned(store: &dyn Store, learners: &Learners) -> Result<usize, StoreError> {
    let mut saved = 0;
    for (name, router) in learners.iter() {
        if let Some(state) = router.save() {
            store.save_state(name, state);
            saved += 1;
        }
    }
    store.flush()?;
    Ok(saved)
}

/// Gives every router what was kept under its name. Returns how many took it up; a router that does not understand its
/// state (it is of another version, or the name is another router's now) begins anew.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub fn restore_learned(store: &dyn Store, learners: &Learners) -> Result<usize, StoreError> {
    let mut restored = 0;
    for (name, router) in learners.iter() {
        if let Some(state) = store.state(name)? {
            restored += usize::from(router.restore(&state));
        }
    }
    Ok(restored)
}
