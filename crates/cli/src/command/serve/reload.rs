//! Puts a changed configuration in place, or says why the last good one stays.

use std::{fs, path::PathBuf, sync::Arc, time::SystemTime};

use fingerpost_gateway::{
    Shared,
    config::{Config, Loaded, Problem, load_file},
};

use crate::{
    configuration::{located, say, tally},
    output::Output,
};

/// The file that is watched, and what is in place of it.
pub(super) struct Reload {
    file: PathBuf,
    seen: Option<Stamp>,
    hash: u64,
    /// The configuration that the process was started with.
    started: Config,
    shared: Arc<Shared>,
    output: Output,
}

/// What changes when a file is written.
type Stamp = (SystemTime, u64);

// === impl Reload ===

impl Reload {
    pub(super) fn new(file: PathBuf, loaded: &Loaded, shared: Arc<Shared>, output: Output) -> Self {
        let seen = stamp(&file);
        Self {
            file,
            seen,
            hash: loaded.hash,
            started: loaded.config.clone(),
            shared,
            output,
        }
    }

    /// Reads the file again if it was written since it was last read. A file that is gone for a moment, as while an editor
    /// replaces it, is no change.
    pub(super) fn if_changed(&mut self) {
        let stamp = stamp(&self.file);
        if stamp.is_none() || stamp == self.seen {
            return;
        }
        self.seen = stamp;
        self.read(false);
    }

    /// Reads the file again.
    pub(super) fn now(&mut self) {
        self.seen = stamp(&self.file);
        self.read(true);
    }

    fn read(&mut self, even_if_equal: bool) {
        let loaded = match load_file(&self.file) {
            Ok(loaded) if loaded.hash == self.hash && !even_if_equal => return,
            Ok(loaded) => loaded,
            Err(problems) => {
                self.shared.reload_failed();
                self.refuse(&problems);
                return;
            }
        };
        say(&loaded.warnings, self.output);
        match self.shared.reload(loaded.config.clone()) {
            Ok(()) => {
                self.hash = loaded.hash;
                let version = self.shared.snapshot().version();
                self.output.note(&format!(
                    "{} is in place (configuration {version})",
                    self.file.display()
                ));
                self.say_what_waits(&loaded.config);
            }
            Err(found) => self.refuse(&located(&loaded, found)),
        }
    }

    fn refuse(&self, problems: &[Problem]) {
        say(problems, self.output);
        let file = self.file.display();
        self.output.note(&format!(
            "{file} was not put in place ({}); the last good configuration stays",
            tally(problems)
        ));
    }

    /// What is fixed when the process starts.
    fn say_what_waits(&self, config: &Config) {
        let differ = [
            (
                "server.listen",
                self.started.server.listen != config.server.listen,
            ),
            (
                "server.workers",
                self.started.server.workers != config.server.workers,
            ),
            ("server.drain", self.started.server.drain != config.server.drain),
            ("server.seed", self.started.server.seed != config.server.seed),
            ("encoder", self.started.encoder != config.encoder),
            ("store", self.started.store != config.store),
        ];
        let waiting: Vec<&str> = differ
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| key)
            .collect();
        if !waiting.is_empty() {
            self.output.note(&format!(
                "only a restart brings into effect: {}",
                waiting.join(", ")
            ));
        }
    }
}

fn stamp(file: &std::path::Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
