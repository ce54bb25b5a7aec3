//! The one place that prints results: text for people, or one JSON object.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

// === impl Output ===

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the result is for a machine.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the result of a command. A reader that has heard enough (`| head`) is no error.
    pub(crate) fn result(self, text: &str, object: &impl Serialize) {
        let shown = if self.json {
            serde_json::to_string(object).unwrap_or_default()
        } else {
            text.to_owned()
        };
        drop(writeln!(io::stdout(), "{shown}"));
    }

    /// Says something to people while the command goes on.
    pub(crate) fn note(self, text: &str) {
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// Says why the command failed: on standard error for people, and as the one object for machines.
    pub(crate) fn failure(self, failure: &Failure) {
        self.note(&failure.to_string());
        if self.json {
            let chain = failure.chain();
            let object = json!({"error": {"message": chain.first(), "causes": chain.get(1..), "try": failure.way_out()}});
            self.result("", &object);
        }
    }
}
