//! The embedded store over restarts, damage, and pressure; and both back ends under one set of promises.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, sync::Arc, time::Duration};

use fingerpost_core::{
    CandidateId, Catalogue, Decision, Evidence, Ledger, Level, Outcome, Pick, Profile, Quality, Reason,
    Stage, Timestamp, Trace, TraceId,
};
use fingerpost_store::{
    BackEnd, Embedded, ResponseRecord, Retention, Store, StoreConfig, StoreError, TraceRecord, open,
};
use proptest::prelude::*;

fn record(id: u128, ms: u64) -> TraceRecord {
    let catalogue = Catalogue::new([Profile::named("m")]).unwrap();
    let mut trace = Trace::new(TraceId(id), Timestamp::from_millis(ms));
    let pick = Pick::of(catalogue.get(CandidateId(0)).unwrap(), 0.1 + 0.2);
    trace.push(
        None,
        Level::Model,
        Decision::single(pick, Reason::new("why"), Evidence::of("r")),
    );
    let outcome = Outcome {
        quality: Some(Quality::new(0.3).unwrap()),
        ..Outcome::default()
    };
    TraceRecord {
        trace,
        outcome: Some(outcome),
    }
}

fn response(id: &str, owner: Option<&str>, ms: u64) -> ResponseRecord {
    ResponseRecord {
        id: id.into(),
        parent: Some("resp_0".into()),
        owner: owner.map(Into::into),
        at: Timestamp::from_millis(ms),
        body: format!("body of {id}").into_bytes(),
    }
}

fn small() -> Retention {
    Retention {
        traces_for: Duration::from_secs(10),
        traces: 3,
        responses_for: Duration::from_secs(20),
        responses: 2,
    }
}

fn each_back_end(retention: &Retention, test: impl Fn(Arc<dyn Store>)) {
    for back_end in [BackEnd::Memory, BackEnd::Embedded] {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            back_end,
            retention: retention.clone(),
            ..StoreConfig::default()
        };
        test(open(&config, folder.path()).unwrap());
    }
}

#[test]
fn what_was_put_is_read_at_once_and_after_a_flush() {
    each_back_end(&Retention::default(), |store| {
        for flushed in [false, true] {
            assert!(store.put_trace(record(1, 5)));
            store.put_response(response("resp_1", Some("ann"), 5)).unwrap();
            store.save_state("r", vec![1, 2]);
            if flushed {
                store.flush().unwrap();
            }
            assert_eq!(store.trace(TraceId(1)).unwrap(), Some(record(1, 5)));
            assert_eq!(store.trace(TraceId(2)).unwrap(), None);
            let found = store.response("resp_1", Some("ann")).unwrap().unwrap();
            assert_eq!(*found, response("resp_1", Some("ann"), 5));
            assert_eq!(store.state("r").unwrap(), Some(vec![1, 2]));
            assert_eq!(store.state("s").unwrap(), None);
        }
    });
}

#[test]
fn a_response_is_its_owners_alone() {
    each_back_end(&Retention::default(), |store| {
        store.put_response(response("resp_1", Some("ann"), 5)).unwrap();
        store.flush().unwrap();
        for stranger in [None, Some("bob"), Some("")] {
            assert_eq!(store.response("resp_1", stranger).unwrap(), None);
            assert!(!store.delete_response("resp_1", stranger).unwrap());
        }
        assert!(store.delete_response("resp_1", Some("ann")).unwrap());
        assert_eq!(store.response("resp_1", Some("ann")).unwrap(), None);
        store.flush().unwrap();
        assert_eq!(store.response("resp_1", Some("ann")).unwrap(), None);
        assert!(!store.delete_response("resp_1", Some("ann")).unwrap());
    });
}

#[test]
fn the_oldest_beyond_the_count_are_forgotten() {
    each_back_end(&small(), |store| {
        for i in 1..=5 {
            store.put_trace(record(i, 100 * u64::try_from(i).unwrap()));
            store
                .put_response(response(&format!("resp_{i}"), None, 100))
                .unwrap();
        }
        store.flush().unwrap();
        let kept = |i| store.trace(TraceId(i)).unwrap().is_some();
        assert_eq!([1, 2, 3, 4, 5].map(kept), [false, false, true, true, true]);
        let kept = |i| store.response(&format!("resp_{i}"), None).unwrap().is_some();
        assert_eq!([1, 2, 3, 4, 5].map(kept), [false, false, false, true, true]);
    });
}

#[test]
fn what_is_too_old_is_forgotten_with_its_claims() {
    each_back_end(&small(), |store| {
        store.put_trace(record(1, 1_000));
        store.put_response(response("resp_1", None, 1_000)).unwrap();
        assert!(store.claim(TraceId(1), Stage::Run));
        store.flush().unwrap();
        store.prune(Timestamp::from_millis(11_000));
        store.flush().unwrap();
        assert!(
            store.trace(TraceId(1)).unwrap().is_some(),
            "exactly ten seconds old"
        );
        assert!(!store.claim(TraceId(1), Stage::Run));
        store.put_trace(record(2, 11_001));
        store.flush().unwrap();
        assert!(store.trace(TraceId(1)).unwrap().is_none());
        assert!(store.trace(TraceId(2)).unwrap().is_some());
        assert!(
            store.response("resp_1", None).unwrap().is_some(),
            "responses are kept longer"
        );
        store.prune(Timestamp::from_millis(21_001));
        store.flush().unwrap();
        assert!(store.response("resp_1", None).unwrap().is_none());
        assert!(store.claim(TraceId(1), Stage::Run), "its claim went with it");
    });
}

#[test]
fn a_record_put_again_takes_the_place_and_age_of_the_new_one() {
    each_back_end(&small(), |store| {
        store.put_trace(record(1, 100));
        store.flush().unwrap();
        store.put_trace(record(1, 400));
        store.put_response(response("resp_1", None, 100)).unwrap();
        store.flush().unwrap();
        store.put_response(response("resp_1", Some("ann"), 400)).unwrap();
        for i in 2..=3 {
            store.put_trace(record(i, 200));
        }
        store.put_trace(record(4, 300));
        store.flush().unwrap();
        assert!(store.trace(TraceId(1)).unwrap().is_some(), "it counts as of 400");
        assert!(store.trace(TraceId(2)).unwrap().is_none());
        assert!(store.response("resp_1", None).unwrap().is_none());
        assert!(store.response("resp_1", Some("ann")).unwrap().is_some());
    });
}

#[test]
fn of_many_claimants_one_wins() {
    each_back_end(&Retention::default(), |store| {
        for stage in [Stage::Run, Stage::Feedback] {
            let won = std::thread::scope(|scope| {
                let claim = || store.claim(TraceId(9), stage);
                let all: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
                all.into_iter()
                    .filter(|_| true)
                    .map(|t| t.join().unwrap())
                    .filter(|won| *won)
                    .count()
            });
            assert_eq!(won, 1);
        }
    });
}

#[test]
fn all_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::default();
    let store = Embedded::open(folder.path(), &config).unwrap();
    store.put_trace(record(1, 5));
    store.put_response(response("resp_1", None, 5)).unwrap();
    store.save_state("r", vec![7]);
    assert!(store.claim(TraceId(1), Stage::Run));
    assert!(store.claim(TraceId(1), Stage::Feedback));
    drop(store);
    let store = Embedded::open(folder.path(), &config).unwrap();
    assert_eq!(store.trace(TraceId(1)).unwrap(), Some(record(1, 5)));
    assert_eq!(
        *store.response("resp_1", None).unwrap().unwrap(),
        response("resp_1", None, 5)
    );
    assert_eq!(store.state("r").unwrap(), Some(vec![7]));
    assert!(!store.claim(TraceId(1), Stage::Run));
    assert!(!store.claim(TraceId(1), Stage::Feedback));
    assert!(store.claim(TraceId(2), Stage::Feedback));
}

/// What a killed process leaves behind is what the file holds at that moment.
#[test]
fn a_feedback_claim_is_on_disk_when_it_returns() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Embedded::open(folder.path(), &StoreConfig::default()).unwrap();
    assert!(store.claim(TraceId(1), Stage::Feedback));
    fs::copy(
        folder.path().join("fingerpost.redb"),
        killed.path().join("fingerpost.redb"),
    )
    .unwrap();
    let after = Embedded::open(killed.path(), &StoreConfig::default()).unwrap();
    assert!(!after.claim(TraceId(1), Stage::Feedback));
    assert!(after.claim(TraceId(1), Stage::Run));
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        queue: 2,
        ..StoreConfig::default()
    };
    let store = Embedded::open(folder.path(), &config).unwrap();
    let accepted = (1..=2000).filter(|i| store.put_trace(record(*i, 1))).count();
    let refused = store.put_response(response("resp_1", None, 1));
    store.flush().unwrap();
    let kept = (1..=2000)
        .filter(|i| store.trace(TraceId(*i)).unwrap().is_some())
        .count();
    assert_eq!(kept, accepted);
    let refused_responses = usize::from(matches!(refused, Err(StoreError::Full)));
    assert_eq!(
        store.stats().dropped as usize,
        2000 - accepted + refused_responses
    );
    assert!(
        accepted < 2000,
        "two thousand puts cannot all have found room among two"
    );
}

#[test]
fn a_second_process_is_told_that_the_file_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Embedded::open(folder.path(), &StoreConfig::default()).unwrap();
    let error = Embedded::open(folder.path(), &StoreConfig::default()).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert!(error.to_string().contains("`store.path`"), "{error}");
}

#[test]
fn a_later_format_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(Embedded::open(folder.path(), &StoreConfig::default()).unwrap());
    let path = folder.path().join("fingerpost.redb");
    let database = redb::Database::open(&path).unwrap();
    let tx = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    tx.open_table(meta).unwrap().insert("format", 7).unwrap();
    tx.commit().unwrap();
    drop(database);
    let error = Embedded::open(folder.path(), &StoreConfig::default()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 7,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_file_of_something_else_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fingerpost.redb");
    for content in [&b"not a database"[..], &[0; 9000], &[0xff; 100_000]] {
        fs::write(&path, content).unwrap();
        let error = Embedded::open(folder.path(), &StoreConfig::default()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), content, "it is left as it was");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Embedded::open(&file.join("store"), &StoreConfig::default()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
}

/// A file with a few hundred records, made once.
fn sound_file() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path(), &StoreConfig::default()).unwrap();
    for i in 1..=200 {
        store.put_trace(record(i, 1));
        store
            .put_response(response(&format!("resp_{i}"), None, 1))
            .unwrap();
        store.claim(TraceId(i), Stage::Run);
    }
    drop(store);
    fs::read(folder.path().join("fingerpost.redb")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage is an error or harmless, but never a panic that reaches the caller, and never another record than was put.
    #[test]
    fn damage_is_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..20),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        static SOUND: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = SOUND.get_or_init(sound_file).clone();
        for (at, flip) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(1));
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("fingerpost.redb"), bytes).unwrap();
        if let Ok(store) = Embedded::open(folder.path(), &StoreConfig::default()) {
            for i in 1..=200 {
                if let Ok(Some(found)) = store.trace(TraceId(i)) {
                    prop_assert_eq!(found, record(i, 1));
                }
            }
            store.put_trace(record(999, 2));
            if store.flush().is_ok() {
                prop_assert_eq!(store.trace(TraceId(999)).unwrap(), Some(record(999, 2)));
            }
        }
    }
}
