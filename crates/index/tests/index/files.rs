//! Saved, opened, damaged, and written by somebody who is killed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use fingerpost_index::{Error, Hnsw, Metric, Options, Precision};
use proptest::prelude::*;

use crate::data::{build, clustered};

const DIM: usize = 5;

fn options(precision: Precision) -> Options {
    Options {
        metric: Metric::L2,
        precision,
        ..Options::default()
    }
}

#[test]
fn what_is_opened_answers_as_what_was_saved_and_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    let values = clustered(2_000, DIM, 20, 21);
    for precision in [Precision::F32, Precision::Int8, Precision::Int8Rerank] {
        let index = build(&values, DIM, options(precision));
        index.remove(3).unwrap();
        index.insert(70_000, &[0.0; DIM]).unwrap();
        index.save(&path).unwrap();
        let opened = Hnsw::open(&path).unwrap();
        let search = |index: &Hnsw| index.search_batch(&values, 10, 40, 1).unwrap();
        assert!(search(&index) == search(&opened), "{precision:?}");
        assert_eq!(
            (index.stats().layers, opened.unreachable()),
            (opened.stats().layers, 0)
        );
        opened.insert(3, &values[3 * DIM..4 * DIM]).unwrap();
        opened.remove(5).unwrap();
        assert!(matches!(
            opened.insert(70_000, &[1.0; DIM]),
            Err(Error::DuplicateId(70_000))
        ));
        opened.save(&path).unwrap();
        assert_eq!(Hnsw::open(&path).unwrap().len(), 1_999 + 1);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_index_is_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    build(&[], DIM, options(Precision::F32)).save(&path).unwrap();
    let opened = Hnsw::open(&path).unwrap();
    opened.insert(1, &[1.0; DIM]).unwrap();
    assert_eq!(opened.len(), 1);
}

#[test]
fn files_at_fault_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    assert!(matches!(Hnsw::open(&path), Err(Error::Io { what: "read", .. })));
    build(&clustered(50, DIM, 2, 22), DIM, options(Precision::F32))
        .save(&path)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        match Hnsw::open(&path) {
            Err(e @ Error::Corrupt { .. }) => e.to_string(),
            other => format!("not refused: {other:?}"),
        }
    };
    assert!(refused(b"").contains("does not start like an index"));
    assert!(refused(&whole[..whole.len() / 2]).contains("ends inside"));
    assert!(refused(&[&whole[..], b"more"].concat()).contains("follows its end"));
    assert!(refused(&[&whole[..8], &[9], &whole[9..]].concat()).contains("version 9"));
    let missing = folder.path().join("no folder/b.index");
    let error = build(&[], DIM, options(Precision::F32))
        .save(&missing)
        .unwrap_err();
    assert!(matches!(error, Error::Io { what: "write", .. }));
}

#[cfg(unix)]
#[test]
fn a_saved_index_can_be_read_by_whom_other_files_can() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.index"), folder.path().join("other"));
    build(&[0.0; DIM], DIM, options(Precision::F32))
        .save(&path)
        .unwrap();
    fs::write(&other, b"").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A file cut anywhere, or with any byte changed, is refused or answers as before; nothing panics.
    #[test]
    fn damage_is_found(at in 0.0..1.0_f64, flip in 1..=255_u8, cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.index");
        let values = clustered(60, DIM, 2, 23);
        build(&values, DIM, options(Precision::F32)).save(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = (bytes.len() as f64 * at) as usize;
        let before = Hnsw::open(&path).unwrap().search(&values[..DIM], 10, 60).unwrap();
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        fs::write(&path, &bytes).unwrap();
        match Hnsw::open(&path) {
            // Only padding may differ.
            Ok(index) => prop_assert_eq!(index.search(&values[..DIM], 10, 60).unwrap(), before),
            Err(e) => {
                let is_named = matches!(e, Error::Corrupt { .. });
                prop_assert!(is_named, "{e}");
            }
        }
    }
}

/// The child of the next test: saves two indexes in turn for as long as it lives.
#[test]
fn child_that_saves() {
    let Some(path) = std::env::var_os("FINGERPOST_TEST_SAVE_TO") else {
        return;
    };
    let indexes = [2_000, 4_000].map(|n| build(&clustered(n, DIM, 9, 24), DIM, options(Precision::F32)));
    loop {
        indexes
            .iter()
            .for_each(|index| index.save(Path::new(&path)).unwrap());
    }
}

#[test]
fn a_killed_writer_leaves_the_old_file_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.index");
    let mut sizes = Vec::new();
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::child_that_saves"])
            .env("FINGERPOST_TEST_SAVE_TO", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !path.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(3 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        sizes.push(Hnsw::open(&path).unwrap().len());
        if round % 3 == 2 {
            fs::remove_file(&path).unwrap();
        }
    }
    assert!(sizes.iter().all(|n| [2_000, 4_000].contains(n)), "{sizes:?}");
}
