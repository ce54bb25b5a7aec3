use fingerpost_encode::StaticEncoder;

use super::*;
use crate::outcomes::Logged;

fn trained() -> (Trained, Featurizer) {
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let mut table = OutcomeTable::new(["a".into(), "b".into()]).unwrap();
    for (text, scores) in [
        ("prove it", [Some(1.0), None]),
        ("name it", [Some(0.0), Some(1.0)]),
    ] {
        let row = Logged {
            scores: scores.to_vec(),
            ..Logged::query(text, text)
        };
        table.push(row).unwrap();
    }
    let settings = Settings::named("knn").unwrap();
    let trained = Trained::train(&settings, &table, &featurizer, 7, &|_, _, _| true).unwrap();
    (trained, featurizer)
}

#[test]
fn published_cards_go_to_whoever_reads_them_unless_some_were_set() {
    let cards = |task: &str| Cards {
        tasks: [(task.into(), "Sums.".to_owned())].into(),
        ..Cards::default()
    };
    let cards_of = |settings: Settings| match settings {
        Settings::RouteProfile(profile) => profile.cards,
        _ => Cards::default(),
    };
    let bare = Settings::named("route_profile").unwrap();
    let told = bare.with_cards(&cards("a"));
    assert_eq!(cards_of(told.clone()), cards("a"));
    assert_eq!(cards_of(told.with_cards(&cards("b"))), cards("a"));
    let knn = Settings::named("knn").unwrap();
    assert_eq!(knn.clone().with_cards(&cards("a")), knn);
}

#[test]
fn what_is_kept_estimates_as_what_was_trained() {
    let (trained, featurizer) = trained();
    let again = Trained::from_bytes(&trained.to_bytes()).unwrap();
    assert_eq!(again.about, trained.about);
    let query = featurizer.features("name him");
    let estimates = |t: &Trained| {
        let mut out = Vec::new();
        let models: Vec<&Name> = t.about.models.iter().collect();
        t.predictor().unwrap().estimate(&query, &models, &mut out);
        out
    };
    assert_eq!(estimates(&again), estimates(&trained));
}

#[test]
fn the_names_are_those_that_can_be_read() {
    let read = |name: &str| serde_json::from_value::<Settings>(serde_json::json!({ "algorithm": name }));
    let error = read("knm").unwrap_err().to_string();
    let mut listed: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    let mut named = Settings::ALGORITHMS.to_vec();
    listed.sort_unstable();
    named.sort_unstable();
    assert_eq!(listed, named);
    for name in Settings::ALGORITHMS {
        assert_eq!(Settings::named(name).unwrap().algorithm(), name);
    }
    assert!(Settings::SELECTORS.iter().all(|name| named.contains(name)));
}

#[test]
fn damage_is_named() {
    let bytes = trained().0.to_bytes();
    let read = |bytes: &[u8]| Trained::from_bytes(bytes).unwrap_err();
    assert_eq!(read(b"%PDF"), TrainedError::Foreign);
    assert_eq!(read(&bytes[..10]), TrainedError::Damaged("cut short"));
    for cut in [13, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(read(&bytes[..cut]), TrainedError::Damaged(_)), "{cut}");
    }
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    assert!(matches!(read(&changed), TrainedError::Damaged(_)));
    let mut newer = bytes;
    newer[8] = 9;
    assert_eq!(read(&newer), TrainedError::Version { found: 9 });
}

#[test]
fn a_training_can_be_stopped_and_needs_rows() {
    let featurizer = Featurizer::new(Arc::new(StaticEncoder::bundled()));
    let mut table = OutcomeTable::new(["a".into()]).unwrap();
    let settings = Settings::named("knn").unwrap();
    let train =
        |table: &OutcomeTable, go: bool| Trained::train(&settings, table, &featurizer, 7, &|_, _, _| go);
    assert!(matches!(train(&table, true), Err(TrainError::TooLittle { .. })));
    table
        .push(Logged {
            scores: vec![None],
            ..Logged::default()
        })
        .unwrap();
    assert!(matches!(train(&table, false), Err(TrainError::Stopped(_))));
    assert!(train(&table, true).is_ok());
}
