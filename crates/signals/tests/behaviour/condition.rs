//! Printing a condition and reading it again gives the same tree, in both spellings.

use fingerpost_signals::{Comparison, Condition, Family, Kind, Leaf, Number, OnError, Test};
use proptest::prelude::*;

fn leaf() -> impl Strategy<Value = Condition> {
    let kind = prop_oneof![
        (0..Family::ALL.len()).prop_map(|i| Kind::Signal(Family::ALL[i])),
        Just(Kind::Projection),
    ];
    let name = prop_oneof![
        "[a-z][a-z0-9_.-]{0,8}",
        "\\PC{0,6}",
        Just("computer science".to_owned()),
        Just("and".to_owned())
    ];
    let comparison = prop_oneof![
        Just(Comparison::Gt),
        Just(Comparison::Gte),
        Just(Comparison::Lt),
        Just(Comparison::Lte)
    ];
    let bound = prop_oneof![
        any::<f64>(),
        (-1000..1000_i32).prop_map(|n| f64::from(n) * 1e3),
        (0..100_i32).prop_map(|n| f64::from(n) / 100.0)
    ]
    .prop_filter_map("finite", |v| Number::new(v).ok());
    let test =
        proptest::option::of((comparison, bound).prop_map(|(comparison, bound)| Test { comparison, bound }));
    let on_error = prop_oneof![Just(OnError::NoMatch), Just(OnError::Match)];
    (
        kind,
        proptest::option::weighted(0.9, name),
        proptest::option::weighted(0.2, "[a-z ]{1,6}"),
        test,
        on_error,
    )
        .prop_filter_map("names a signal", |(kind, name, label, test, on_error)| {
            let label = label.filter(|_| name.is_some());
            (name.is_some() || test.is_some()).then_some(Condition::Leaf(Leaf {
                kind,
                name,
                label,
                test,
                on_error,
            }))
        })
}

fn condition() -> impl Strategy<Value = Condition> {
    let end = prop_oneof![8 => leaf(), 1 => Just(Condition::ALWAYS), 1 => Just(Condition::NEVER)];
    end.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::all),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::any),
            inner.prop_map(Condition::negate),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_printed_tree_reads_back_the_same(tree in condition()) {
        let line = tree.to_string();
        let read: Condition = line.parse().map_err(|e| TestCaseError::fail(format!("{e}")))?;
        prop_assert_eq!(&read, &tree, "{}", line);
        let json = serde_json::to_string(&tree).unwrap();
        prop_assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), tree);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[a-z():<>= \"\\\\]|and |or |not |domain:a ){0,30}") {
        match text.parse::<Condition>() {
            Ok(tree) => prop_assert_eq!(tree.to_string().parse::<Condition>().unwrap(), tree),
            Err(error) => prop_assert!(error.line == 1 && error.column >= 1 && !error.message.is_empty()),
        }
    }
}
