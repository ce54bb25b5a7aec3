use super::*;
use proptest::prelude::*;

fn two() -> Fielded {
    let fields = [Field { weight: 2.0, b: 0.75 }, Field { weight: 1.0, b: 0.5 }];
    Fielded::new(&fields, 1.2).unwrap()
}

fn ids(hits: &[Hit]) -> Vec<u64> {
    hits.iter().map(|h| h.id).collect()
}

#[test]
fn by_hand() {
    let mut index = two();
    index.insert(0, &[&["alpha"], &["alpha beta"]]);
    index.insert(1, &[&["beta gamma"], &[]]);
    // alpha: in one of two texts, ln(1 + 1.5 / 1.5). Mean lengths 1.5 and 1.
    // Name: 2 * 1 / (.25 + .75 / 1.5) = 2.6667; body: 1 / (.5 + .5 * 2) = .6667; together 3.3333.
    let rare = 2.0_f32.ln();
    let expected = rare * 2.2 * 3.333_333_3 / (1.2 + 3.333_333_3);
    let hits = index.search("alpha", 5, None);
    assert_eq!(ids(&hits), [0]);
    assert!((hits[0].score - expected).abs() < 1e-5, "{hits:?}");
    let by_field = index.by_field("alpha", 0);
    let alone = |w: f32| rare * 2.2 * w / (1.2 + w);
    assert!((by_field[0] - alone(1.0 / 0.75)).abs() < 1e-5, "{by_field:?}");
    assert!((by_field[1] - alone(1.0 / 1.5)).abs() < 1e-5, "{by_field:?}");
    assert_eq!(index.by_field("alpha", 1), [0.0, 0.0]);
    assert_eq!(index.by_field("alpha", 9), [0.0, 0.0]);
    // Said twice, counts twice.
    let twice = index.search("alpha alpha", 5, None)[0].score;
    assert!((twice - 2.0 * expected).abs() < 1e-5);
    // Both hold beta; the one with it in its heavier field comes first.
    assert_eq!(ids(&index.search("beta", 5, None)), [1, 0]);
    assert_eq!(ids(&index.search("beta", 1, None)), [1]);
    assert_eq!(ids(&index.search("beta", 5, Some(&|id| id == 0))), [0]);
    assert!(index.search("delta", 5, None).is_empty() && index.search("beta", 0, None).is_empty());
}

#[test]
fn ten_thousand_copies_of_a_word_count_little_more_than_a_few() {
    let mut index = two();
    index.insert(0, &[&["weather"], &["the weather of a city"]]);
    index.insert(1, &[&["other"], &[&"weather city ".repeat(5_000)]]);
    for id in 2..50 {
        index.insert(id, &[&["thing"], &["does something else entirely"]]);
    }
    assert_eq!(index.search("weather", 2, None)[0].id, 0);
}

#[test]
fn parameters_out_of_range_are_named() {
    let one = Field::default();
    for (fields, k1) in [
        (vec![], 1.2),
        (vec![one; 17], 1.2),
        (vec![one], f32::NAN),
        (vec![Field { weight: 0.0, b: 0.5 }], 1.2),
        (vec![Field { weight: 1.0, b: 1.5 }], 1.2),
    ] {
        assert!(matches!(Fielded::new(&fields, k1), Err(Error::Parameter { .. })));
    }
}

#[test]
fn a_saved_one_finds_the_same_and_a_torn_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("words");
    let mut index = two();
    index.insert(0, &[&["alpha"], &["alpha beta"]]);
    index.insert(3, &[&["beta gamma"], &[]]);
    index.insert(4, &[&["gone"], &[]]);
    index.insert(5, &[]);
    index.remove(4);
    index.save(&path).unwrap();
    let mut opened = Fielded::open(&path).unwrap();
    assert_eq!(opened.len(), 3);
    assert_eq!(
        opened.search("alpha gamma gone", 9, None),
        index.search("alpha gamma gone", 9, None)
    );
    assert!(opened.remove(3) && opened.search("gamma", 9, None).is_empty());
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 10, 70, bytes.len() / 2, bytes.len() - 65] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(
            matches!(Fielded::open(&path), Err(Error::Corrupt { .. })),
            "cut at {cut}"
        );
    }
    assert!(matches!(
        Fielded::open(&folder.path().join("none")),
        Err(Error::Io { .. })
    ));
}

proptest! {
    #[test]
    fn after_any_changes_it_scores_as_one_built_anew(
        changes in proptest::collection::vec((0_u32..6, proptest::option::of(("[a-d ]{0,8}", "[a-d ]{0,12}"))), 1..30)
    ) {
        let mut changed = two();
        let mut left = std::collections::BTreeMap::new();
        for (id, texts) in &changes {
            match texts {
                Some((a, b)) => {
                    changed.insert(*id, &[&[a], &[b]]);
                    left.insert(*id, (a, b));
                }
                None => {
                    prop_assert_eq!(changed.remove(*id), left.remove(id).is_some());
                }
            }
        }
        let mut anew = two();
        for (id, (a, b)) in &left {
            anew.insert(*id, &[&[a], &[b]]);
        }
        prop_assert_eq!(changed.len(), anew.len());
        let query = "a b ab cd d";
        let (one, other) = (changed.search(query, 9, None), anew.search(query, 9, None));
        prop_assert_eq!(ids(&one), ids(&other));
        for (one, other) in one.iter().zip(&other) {
            prop_assert!((one.score - other.score).abs() <= 1e-5 * other.score.abs());
        }
    }
}
