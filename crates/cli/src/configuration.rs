//! Which configuration is used, and what is said of its problems.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use etcetera::BaseStrategy;
use fingerpost_encode::{Encoder, MiniLm, StaticEncoder};
use fingerpost_gateway::{
    Shared, StartError,
    config::{EncoderConfig, Loaded, Problem, builtin, load_file},
};
use fingerpost_packages::{ModelFolder, Status, find};
use fingerpost_store::BackEnd;

use crate::{engines::Engines, failure::Failure, output::Output};

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    /// The configuration file; the built-in one where absent.
    #[arg(long = "config", value_name = "FILE", env = "FINGERPOST_CONFIG")]
    pub(crate) file: Option<PathBuf>,
}

// === impl Source ===

impl Source {
    /// Reads and checks it.
    pub(crate) fn load(&self) -> Result<Loaded, Vec<Problem>> {
        self.file.as_deref().map_or_else(builtin, load_file)
    }
}

/// How many of each there are, in words.
pub(crate) fn tally(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
}

/// Says every problem to people.
pub(crate) fn say(problems: &[Problem], output: Output) {
    for problem in problems {
        output.note(&format!("{problem}\n"));
    }
}

/// The failure that stands for problems which have been said.
pub(crate) fn unusable(name: &str, problems: &[Problem]) -> Failure {
    Failure::from(format!("{name} cannot be used: {}", tally(problems)))
}

/// What is wrong when the whole is put together, each problem in its place.
pub(crate) fn located(loaded: &Loaded, found: Vec<fingerpost_signals::Problem>) -> Vec<Problem> {
    found.into_iter().map(|what| loaded.lines.locate(what)).collect()
}

/// Puts a configuration in place without anything that outlives the process: to explain and to check it.
pub(crate) fn rehearse(
    loaded: &Loaded,
    engines: &Engines,
    output: Output,
) -> Result<Arc<Shared>, Vec<Problem>> {
    let mut config = loaded.config.clone();
    config.store.back_end = BackEnd::Memory;
    config.telemetry = Default::default();
    let encoder = encoder(config.encoder, output);
    Shared::new(config, Path::new(""), engines.gateway(), encoder, 1).map_err(|error| match error {
        StartError::Config(found) => located(loaded, found),
        other => vec![
            loaded
                .lines
                .locate(fingerpost_signals::Problem::error("", other.to_string())),
        ],
    })
}

/// The encoder that the configuration asks for; the bundled one, with a word about it, where that is not here.
pub(crate) fn encoder(asked: EncoderConfig, output: Output) -> Arc<dyn Encoder> {
    if asked == EncoderConfig::Minilm {
        match minilm() {
            Ok(encoder) => return Arc::new(encoder),
            Err(why) => output.note(&format!(
                "warning: the configuration asks for the encoder minilm, but {why}; the bundled static one is used instead"
            )),
        }
    }
    Arc::new(StaticEncoder::bundled())
}

pub(crate) fn minilm() -> Result<MiniLm, String> {
    let folder = ModelFolder::locate(None).map_err(|error| error.to_string())?;
    let package = find("minilm").map_err(|error| error.to_string())?;
    match folder.status_of(package) {
        Status::Ready { path } => MiniLm::open(&path).map_err(|error| error.to_string()),
        _ => Err("it is not in the model folder (fetch it with `fingerpost models pull minilm`)".to_owned()),
    }
}

/// The folder of the embedded store: FINGERPOST_DATA, else `fingerpost` in the user's data folder.
pub(crate) fn data_folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os("FINGERPOST_DATA").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let base = etcetera::choose_base_strategy()
        .map_err(|error| Failure::from(error).with_way_out("set FINGERPOST_DATA to a folder"))?;
    Ok(base.data_dir().join("fingerpost"))
}
