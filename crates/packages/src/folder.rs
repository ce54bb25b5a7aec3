//! Where models live: `<root>/<model>/<file>`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use crate::catalogue::{Package, find};
use crate::error::Error;

/// The folder that holds all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    root: PathBuf,
}

/// How much of a model is there, judged by the files' names and sizes ([`ModelFolder::verify`] reads them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing of it.
    Missing,
    /// Some files are missing or have the wrong size.
    Incomplete {
        /// The names of those files.
        which: Vec<&'static str>,
    },
    /// Everything is there.
    Ready {
        /// The model's own folder.
        path: PathBuf,
    },
}

// === impl ModelFolder ===

impl ModelFolder {
    /// The folder at `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder in use: `dir` if given, else the environment variable `FINGERPOST_MODELS` unless it is empty,
    /// else `fingerpost/models` in the user's data directory (`$XDG_DATA_HOME`, by default `~/.local/share`; on
    /// Windows the roaming application data).
    ///
    /// # Errors
    /// [`Error::NoHome`] when there is no home directory to fall back on.
    pub fn locate(dir: Option<&Path>) -> Result<Self, Error> {
        if let Some(dir) = dir {
            return Ok(Self::new(dir));
        }
        if let Some(dir) = std::env::var_os("FINGERPOST_MODELS").filter(|dir| !dir.is_empty()) {
            return Ok(Self::new(dir));
        }
        let base = etcetera::choose_base_strategy().map_err(|_| Error::NoHome)?;
        Ok(Self::new(base.data_dir().join("fingerpost").join("models")))
    }

    /// The folder that holds all models.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the model of that name lives or would live.
    #[must_use]
    pub fn path(&self, package: &Package) -> PathBuf {
        self.root.join(package.name)
    }

    /// Whether the named model is there; costs a look at each file's size.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn status(&self, name: &str) -> Result<Status, Error> {
        Ok(self.status_of(find(name)?))
    }

    /// [`ModelFolder::status`] of an entry of the catalogue.
    #[must_use]
    pub fn status_of(&self, package: &Package) -> Status {
        let path = self.path(package);
        let sizes: Vec<Option<u64>> = package
            .files
            .iter()
            .map(|file| {
                path.join(file.name)
                    .metadata()
                    .ok()
                    .filter(|m| m.is_file())
                    .map(|m| m.len())
            })
            .collect();
        if sizes.iter().all(Option::is_none) {
            return Status::Missing;
        }
        let which: Vec<_> = package
            .files
            .iter()
            .zip(sizes)
            .filter(|(file, size)| *size != Some(file.bytes))
            .map(|(file, _)| file.name)
            .collect();
        if which.is_empty() {
            Status::Ready { path }
        } else {
            Status::Incomplete { which }
        }
    }

    /// Reads every file of the named model and checks its sha256. Returns what [`ModelFolder::status`] would, with
    /// the files of wrong content counted as incomplete.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Io`] when a file that is there cannot be read.
    pub fn verify(&self, name: &str) -> Result<Status, Error> {
        self.verify_of(find(name)?)
    }

    /// [`ModelFolder::verify`] of an entry of the catalogue.
    ///
    /// # Errors
    /// [`Error::Io`] when a file that is there cannot be read.
    pub fn verify_of(&self, package: &Package) -> Result<Status, Error> {
        let path = self.path(package);
        if self.status_of(package) == Status::Missing {
            return Ok(Status::Missing);
        }
        let mut which = Vec::new();
        for file in package.files {
            if !has_content(&path.join(file.name), file.bytes, file.sha256)? {
                which.push(file.name);
            }
        }
        Ok(if which.is_empty() {
            Status::Ready { path }
        } else {
            Status::Incomplete { which }
        })
    }
}

/// Whether a file is there with that size and sha256.
pub(crate) fn has_content(path: &Path, bytes: u64, sha256: &str) -> Result<bool, Error> {
    match path.metadata() {
        Ok(found) if found.is_file() && found.len() == bytes => Ok(sha256_of(path)? == sha256),
        Ok(_) => Ok(false),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io("look at", path, source)),
    }
}

/// The sha256 of a file's content in lower-case hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(hasher)),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::io("read", path, source)),
        }
    }
}

/// The digest in lower-case hexadecimal.
pub(crate) fn hex(hasher: Sha256) -> String {
    format!("{:x}", hasher.finalize())
}
