//! What a command says when it fails: the whole chain of causes, and the way out.

use std::{error::Error, fmt};

/// Why a command failed.
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    way_out: Option<String>,
}

// === impl Failure ===

impl Failure {
    /// The same, with the way out where the error itself does not name it.
    pub(crate) fn with_way_out(mut self, way_out: impl Into<String>) -> Self {
        self.way_out = Some(way_out.into());
        self
    }

    /// The error and its causes, outermost first; causes that an error already quotes are left out.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !chain.iter().any(|said| said.contains(&text)) {
                chain.push(text);
            }
            cause = error.source();
        }
        chain
    }

    /// The way out, where the error itself does not name it.
    pub(crate) fn way_out(&self) -> Option<&str> {
        self.way_out.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, text) in self.chain().iter().enumerate() {
            let lead = if i == 0 { "error: " } else { "\n  because: " };
            write!(f, "{lead}{text}")?;
        }
        if let Some(way_out) = &self.way_out {
            write!(f, "\n  try: {way_out}")?;
        }
        Ok(())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            way_out: None,
        }
    }
}
