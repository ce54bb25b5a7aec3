//! Models inside this process, behind one trait, so that the gateway knows no tensor.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use fingerpost_protocol::{Conversation, Event};

/// A model that answers inside this process.
pub trait Engine: Send + Sync {
    /// Answers, handing each piece to `sink` as it comes, until the answer is over or `sink` says [`ControlFlow::Break`] (the
    /// client went away). Runs on a thread of its own and may block it.
    ///
    /// The events are those of a complete answer: a start, its pieces, usage, a finish; or an error.
    fn run(&self, conversation: &Conversation<'_>, sink: &mut dyn FnMut(Event<'static>) -> ControlFlow<()>);
}

/// The models inside this process, by the name that an endpoint of a `local` or `demo` provider gives.
#[derive(Clone, Default)]
pub struct Engines {
    by_name: BTreeMap<String, Arc<dyn Engine>>,
}

// === impl Engines ===

impl Engines {
    /// Adds a model.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, engine: Arc<dyn Engine>) -> Self {
        self.by_name.insert(name.into(), engine);
        self
    }

    /// The model of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Engine>> {
        self.by_name.get(name)
    }

    /// The names of all models.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
