//! What routers have learned, kept and taken up again by a store of one process.

use std::sync::{Mutex, PoisonError};

use fingerpost_core::{Delivered, Learners, Outcome, Stage, Trace};

use crate::{Store, StoreError};

/// Held while routers learn or are replaced, so that nothing is learned by a router that is being replaced.
#[derive(Debug, Default)]
pub(crate) struct Classroom(Mutex<()>);

// === impl Classroom ===

impl Classroom {
    pub(crate) fn teach(
        &self,
        store: &dyn Store,
        (trace, stage, outcome): (&Trace, Stage, &Outcome),
        learners: &Learners,
    ) -> Result<Delivered, StoreError> {
        let one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let delivered = learners.deliver(trace, stage, outcome, store);
        drop(one_at_a_time);
        if stage == Stage::Feedback && matches!(delivered, Delivered::To(_)) {
            save(store, learners)?;
        }
        Ok(delivered)
    }

    pub(crate) fn replace(&self, replace: &mut dyn FnMut() -> Option<Learners>) {
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever teaches says which routers.
        drop(replace());
    }
}

/// Keeps what every router has learned, each under its own name, and waits until it is kept.
pub(crate) fn save(store: &dyn Store, learners: &Learners) -> Result<usize, StoreError> {
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

/// Gives every router what was kept under its name.
pub(crate) fn restore(store: &dyn Store, learners: &Learners) -> Result<usize, StoreError> {
    let mut restored = 0;
    for (name, router) in learners.iter() {
        if let Some(state) = store.state(name)? {
            restored += usize::from(router.restore(&state));
        }
    }
    Ok(restored)
}
