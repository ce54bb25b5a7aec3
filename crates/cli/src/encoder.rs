//! Which encoder a command reads texts with.

use std::sync::Arc;

use clap::ValueEnum;
use fingerpost_encode::{Encoder, StaticEncoder};

use crate::{configuration, failure::Failure};

/// An encoder by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncoderName {
    /// The one inside this program
    Static,
    /// MiniLM, where it has been fetched
    Minilm,
}

// === impl EncoderName ===

impl EncoderName {
    /// Opens it; unlike the server, a command does not fall back on another.
    pub(crate) fn open(self) -> Result<Arc<dyn Encoder>, Failure> {
        match self {
            Self::Static => Ok(Arc::new(StaticEncoder::bundled())),
            Self::Minilm => match configuration::minilm() {
                Ok(encoder) => Ok(Arc::new(encoder)),
                Err(why) => Err(format!("the encoder minilm cannot be used: {why}").into()),
            },
        }
    }
}
