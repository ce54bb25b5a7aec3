//! The models inside this process, and what answers until they are here.

#[cfg(feature = "local")]
mod conversation;
#[cfg(feature = "local")]
mod local;
#[cfg(not(feature = "local"))]
mod without;

use std::sync::Arc;

use fingerpost_packages::{ModelFolder, Status};

#[cfg(feature = "local")]
use self::local::{Engine, Weights};
#[cfg(not(feature = "local"))]
use self::without::{Engine, Weights};

/// The name under which the package of the local model is known.
pub(crate) const SMOLLM2: &str = "smollm2";
/// The same weights, told to be brief.
const BRIEF: &str = "smollm2-brief";
/// The stand-in.
const DEMO: &str = "demo";

/// How an engine is told to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As asked.
    Full,
    /// In a sentence or two.
    Brief,
    /// By the stand-in, always.
    Demo,
}

/// All models inside this process. Nothing is loaded before it is asked for.
pub(crate) struct Engines {
    weights: Arc<Weights>,
}

// === impl Engines ===

impl Engines {
    /// Those that this binary knows, with weights from the user's model folder.
    pub(crate) fn new() -> Self {
        Self {
            weights: Arc::new(Weights::of(SMOLLM2)),
        }
    }

    /// As the gateway knows them.
    pub(crate) fn gateway(&self) -> fingerpost_gateway::Engines {
        let all = [
            (SMOLLM2, Manner::Full),
            (BRIEF, Manner::Brief),
            (DEMO, Manner::Demo),
        ];
        all.into_iter().fold(
            fingerpost_gateway::Engines::default(),
            |engines, (name, manner)| {
                engines.with(name, Arc::new(Engine::new(Arc::clone(&self.weights), manner)))
            },
        )
    }

    /// Whether the weights are in the model folder.
    pub(crate) fn are_here() -> bool {
        let status = ModelFolder::locate(None).and_then(|folder| folder.status(SMOLLM2));
        matches!(status, Ok(Status::Ready { .. }))
    }
}
