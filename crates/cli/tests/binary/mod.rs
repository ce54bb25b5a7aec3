//! Runs the built binary in a clean environment.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A command line.
pub(crate) struct Line {
    pub command: Command,
    /// Home of everything that the command may write.
    home: TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The key that no output may ever show.
pub(crate) const KEY: &str = "sk-secret-1234567890";

/// `fingerpost` with these arguments, in an environment that holds keys but no settings of the person who runs the test.
pub(crate) fn fingerpost(arguments: &[&str]) -> Line {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fingerpost"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("FINGERPOST_DATA", home.path())
        .env("OPENAI_API_KEY", KEY);
    command.env("FINGERPOST_MODELS", home.path().join("models"));
    for variable in [
        "FINGERPOST_CONFIG",
        "FINGERPOST_LOG",
        "FINGERPOST_PYTHON",
        "ANTHROPIC_API_KEY",
    ] {
        command.env_remove(variable);
    }
    Line { command, home }
}

/// A folder with a configuration file named `bad.yaml`.
pub(crate) fn config(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

impl Line {
    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ran {
        let output = self.command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(
            !ran.out.contains(KEY) && !ran.err.contains(KEY),
            "a key was shown:\n{}{}",
            ran.out,
            ran.err
        );
        drop(self.home);
        ran
    }
}

impl Ran {
    /// Standard output as the one JSON object that it is.
    pub(crate) fn json(&self) -> serde_json::Value {
        let value: serde_json::Value =
            serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out));
        assert!(value.is_object(), "{value}");
        value
    }
}
