//! A binary that was built without language models: one sentence in place of every answer.

use std::{ops::ControlFlow, sync::Arc};

use fingerpost_protocol::{Conversation, Event, Finish, Usage};

use super::Manner;

/// No weights.
pub(crate) struct Weights;

/// Answers every request with one sentence.
pub(crate) struct Engine;

const ANSWER: &str = "This is the built-in demo of Fingerpost, not a language model, and this binary was built without \
                      local models: build it with the feature `local`, or configure a provider.";

// === impl Weights ===

impl Weights {
    pub(super) fn of(_: &str) -> Self {
        Self
    }
}

// === impl Engine ===

impl Engine {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the same shape as with local models"
    )]
    pub(super) fn new(_: Arc<Weights>, _: Manner) -> Self {
        Self
    }
}

impl fingerpost_gateway::Engine for Engine {
    fn run(&self, _: &Conversation<'_>, sink: &mut dyn FnMut(Event<'static>) -> ControlFlow<()>) {
        let steps = [
            Event::Start,
            Event::text(ANSWER),
            Event::Usage(Usage::default()),
            Event::Finish(Finish::Stop),
        ];
        for step in steps {
            if sink(step).is_break() {
                return;
            }
        }
    }
}
