//! What is found, against the truth.

use fingerpost_index::{
    Adaptive, Error, Fusion, Hnsw, Hybrid, Lexical, Metric, Options, Precision, Query, Retrieve,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::data::{build, clustered, exact, glove, ids, recall, shared};

fn options(metric: Metric) -> Options {
    Options {
        metric,
        ..Options::default()
    }
}

/// Recall at 10 and the distances taken a query.
fn measure(
    index: &Hnsw,
    queries: &[f32],
    dim: usize,
    truth: &fingerpost_index::Exact,
    ef: usize,
) -> (f64, f64) {
    let found = index.search_batch(queries, 10, ef, 1).unwrap();
    let truth: Vec<_> = queries
        .chunks(dim)
        .map(|q| truth.search(q, 10, None).unwrap())
        .collect();
    let evaluations: u64 = found.iter().map(|f| f.evaluations).sum();
    (recall(&found, &truth), evaluations as f64 / found.len() as f64)
}

#[test]
fn glove_is_found_as_well_as_by_the_reference() {
    let Some(data) = shared("glove") else { return };
    let data = data.join("vectors");
    let base = glove(&data.join("glove100_base_20000.i16"));
    let queries = glove(&data.join("glove100_query_500.i16"));
    // Reference recall of card 15, less half a point.
    for (metric, truth, bars) in [
        (Metric::L2, "l2", [(64, 0.981), (128, 0.991)]),
        (Metric::Cosine, "cos", [(64, 0.987), (128, 0.994)]),
    ] {
        let index = build(&base, 100, options(metric));
        assert_eq!(index.unreachable(), 0);
        let truth = std::fs::read(data.join(format!("glove100_gt10_{truth}.u32"))).unwrap();
        let truth: Vec<u64> = truth
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| u64::from(u32::from_le_bytes(*b)))
            .collect();
        for (ef, bar) in bars {
            let found = index.search_batch(&queries, 10, ef, 1).unwrap();
            let hits: usize = found
                .iter()
                .zip(truth.chunks(10))
                .map(|(f, t)| ids(f).iter().filter(|id| t.contains(id)).count())
                .sum();
            let recall = hits as f64 / truth.len() as f64;
            assert!(recall >= bar, "{metric:?} ef {ef}: {recall}");
        }
    }
}

#[test]
fn distances_grow_far_slower_than_the_set() {
    let dim = 16;
    let values = clustered(16_200, dim, 40, 1);
    let queries = &values[16_000 * dim..];
    let at = |count: usize| {
        let part = &values[..count * dim];
        let (index, truth) = (
            build(part, dim, options(Metric::L2)),
            exact(part, dim, Metric::L2),
        );
        (10..)
            .step_by(2)
            .map(|ef| measure(&index, queries, dim, &truth, ef))
            .find(|m| m.0 >= 0.95)
            .unwrap()
            .1
    };
    let (small, large) = (at(2_000), at(16_000));
    assert!(large / small < 2.0, "{small} {large}");
    assert!(large < 1_600.0, "a tenth of the set: {large}");
}

#[test]
fn every_option_of_the_graph_finds_what_is_near() {
    let dim = 8;
    let values = clustered(6_000, dim, 300, 2);
    let (base, queries) = values.split_at(5_800 * dim);
    let truth = exact(base, dim, Metric::L2);
    let layered = build(
        base,
        dim,
        Options {
            m: 6,
            ..options(Metric::L2)
        },
    );
    let flat = build(
        base,
        dim,
        Options {
            m: 6,
            hierarchy: false,
            ..options(Metric::L2)
        },
    );
    let (with, _) = measure(&layered, queries, dim, &truth, 32);
    let (without, _) = measure(&flat, queries, dim, &truth, 32);
    assert!(with > 0.93 && without > 0.8, "{with} {without}");
    assert_eq!(flat.stats().layers.len(), 1);
    for changed in [
        Options {
            extend_candidates: true,
            m: 6,
            ..options(Metric::L2)
        },
        Options {
            keep_pruned: true,
            m: 6,
            ..options(Metric::L2)
        },
    ] {
        let (recall, _) = measure(&build(base, dim, changed), queries, dim, &truth, 32);
        assert!(recall > 0.93, "{recall}");
    }
}

#[test]
fn codes_lose_less_than_a_point_after_ranking_again() {
    let dim = 48;
    let values = clustered(4_200, dim, 60, 3);
    let (base, queries) = values.split_at(4_000 * dim);
    for metric in [Metric::L2, Metric::Cosine, Metric::Ip] {
        let truth = exact(base, dim, metric);
        let at = |precision| {
            let index = build(
                base,
                dim,
                Options {
                    precision,
                    ..options(metric)
                },
            );
            (
                measure(&index, queries, dim, &truth, 96).0,
                index.stats().bytes as f64,
            )
        };
        let (plain, coded, ranked) = (at(Precision::F32), at(Precision::Int8), at(Precision::Int8Rerank));
        assert!(plain.0 - ranked.0 < 0.01, "{metric:?} {plain:?} {ranked:?}");
        assert!(plain.0 - coded.0 < 0.05, "{metric:?} {plain:?} {coded:?}");
        assert!(
            coded.1 < 0.5 * plain.1 && ranked.1 == coded.1,
            "{plain:?} {coded:?}"
        );
    }
}

#[test]
fn filters_keep_their_recall_from_one_in_a_hundred_to_all() {
    let dim = 12;
    let values = clustered(8_100, dim, 50, 4);
    let (base, queries) = values.split_at(8_000 * dim);
    let (index, truth) = (
        build(base, dim, options(Metric::L2)),
        exact(base, dim, Metric::L2),
    );
    for share in [100, 20, 2, 1] {
        let filter = move |id: u64| id.is_multiple_of(share);
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for query in queries.chunks(dim) {
            found.push(index.search_filtered(query, 10, 64, &filter).unwrap());
            expected.push(truth.search(query, 10, Some(&filter)).unwrap());
        }
        assert!(found.iter().all(|f| ids(f).iter().all(|&id| filter(id))));
        let recall = recall(&found, &expected);
        assert!(recall > 0.97, "1 in {share}: {recall}");
    }
    // What passes lies on the far side.
    let far = |id: u64| base[id as usize * dim] > 1.0;
    let query = vec![-1.0; dim];
    let found = index.search_filtered(&query, 10, 64, &far).unwrap();
    assert_eq!(ids(&found), ids(&truth.search(&query, 10, Some(&far)).unwrap()));
    assert!(
        index
            .search_filtered(&query, 10, 64, &|_| false)
            .unwrap()
            .neighbours
            .is_empty()
    );
}

#[test]
fn churn_costs_no_recall_and_no_slots() {
    let dim = 12;
    let values = clustered(12_100, dim, 50, 5);
    let (base, queries) = values.split_at(12_000 * dim);
    let fresh = build(&base[..4_000 * dim], dim, options(Metric::L2));
    let truth = exact(&base[..4_000 * dim], dim, Metric::L2);
    let (before, _) = measure(&fresh, queries, dim, &truth, 48);
    // Every vector goes and another comes, twice over, in a random order.
    let index = fresh;
    let mut ids: Vec<u64> = (0..4_000).collect();
    let mut rng = SmallRng::seed_from_u64(6);
    for next in 4_000..12_000_u64 {
        let gone = ids.swap_remove(rng.random_range(0..ids.len()));
        index.remove(gone).unwrap();
        index.insert(next, &base[next as usize * dim..][..dim]).unwrap();
        ids.push(next);
    }
    let mut truth = fingerpost_index::Exact::new(dim, Metric::L2).unwrap();
    for &id in &ids {
        truth.insert(id, &base[id as usize * dim..][..dim]).unwrap();
    }
    let (after, _) = measure(&index, queries, dim, &truth, 48);
    assert!(after > before - 0.01, "{before} {after}");
    let stats = index.stats();
    assert!(stats.vectors == 4_000 && stats.dead < 700, "{stats:?}");
}

#[test]
fn all_removed_and_begun_again() {
    let values = clustered(300, 4, 3, 7);
    let index = build(&values, 4, options(Metric::L2));
    (0..300).for_each(|id| index.remove(id).unwrap());
    assert!(index.is_empty() && index.search(&[0.0; 4], 5, 10).unwrap().neighbours.is_empty());
    assert!(matches!(index.remove(5), Err(Error::UnknownId(5))));
    for id in 0..300_u64 {
        index.insert(id, &values[id as usize * 4..][..4]).unwrap();
    }
    index.update(7, &[9.0; 4]).unwrap();
    assert_eq!(ids(&index.search(&[9.0; 4], 1, 10).unwrap()), [7]);
    assert!(index.stats().dead < 60);
    assert!(matches!(index.update(7, &[9.0; 3]), Err(Error::Dimension { .. })));
    assert_eq!(ids(&index.search(&[9.0; 4], 1, 10).unwrap()), [7]);
}

#[test]
fn ten_thousand_equal_vectors_are_all_within_reach() {
    let values = [1.0, 2.0, 3.0].repeat(10_000);
    let index = build(&values, 3, options(Metric::L2));
    assert_eq!(index.unreachable(), 0);
    let found = index.search(&[1.0, 2.0, 3.0], 50, 50).unwrap();
    assert_eq!(found.neighbours.len(), 50);
    assert!(found.neighbours.iter().all(|n| n.distance == 0.0));
}

#[test]
fn small_and_bad_input() {
    let index = Hnsw::new(2, options(Metric::Cosine)).unwrap();
    assert!(index.search(&[1.0, 0.0], 3, 10).unwrap().neighbours.is_empty());
    index.build(&[], None, 2, &|_| true).unwrap();
    index.insert(5, &[1.0, 0.0]).unwrap();
    assert_eq!(ids(&index.search(&[1.0, 0.1], 9, 1).unwrap()), [5]);
    assert_eq!(
        ids(&index.search(&[1.0, 0.1], usize::MAX, usize::MAX).unwrap()),
        [5]
    );
    assert_eq!(
        index
            .retrieve(
                Query {
                    vector: Some(&[1.0, 0.1]),
                    text: None
                },
                usize::MAX,
                None
            )
            .unwrap()
            .len(),
        1
    );
    let few = exact(&[1.0, 0.0, 0.0, 1.0], 2, Metric::L2);
    assert_eq!(
        few.search(&[1.0, 0.1], usize::MAX, None)
            .unwrap()
            .neighbours
            .len(),
        2
    );
    assert!(index.search(&[1.0, 0.1], 0, 1).unwrap().neighbours.is_empty());
    assert!(matches!(index.insert(5, &[0.0, 1.0]), Err(Error::DuplicateId(5))));
    assert!(matches!(
        index.insert(6, &[0.0, f32::NAN]),
        Err(Error::NotFinite { at: 1, .. })
    ));
    assert!(matches!(index.insert(6, &[0.0, 0.0]), Err(Error::Zero { .. })));
    assert!(matches!(
        index.build(&[1.0, 2.0, 3.0], None, 1, &|_| true),
        Err(Error::Dimension { found: 1, .. })
    ));
    assert!(matches!(
        index.build(&[1.0; 4], Some(&[8, 8]), 1, &|_| true),
        Err(Error::DuplicateId(8))
    ));
    assert!(matches!(
        index.build(&[1.0; 4], Some(&[8]), 1, &|_| true),
        Err(Error::Parameter { .. })
    ));
    assert!(matches!(
        index.search(&[f32::INFINITY, 0.0], 1, 1),
        Err(Error::NotFinite { .. })
    ));
    assert_eq!(index.len(), 1);
    assert!(Hnsw::new(0, Options::default()).is_err());
    assert!(
        Hnsw::new(
            2,
            Options {
                m: 1,
                ..Options::default()
            }
        )
        .is_err()
    );
}

#[test]
fn an_adaptive_index_changes_its_form_and_not_its_answers() {
    let values = clustered(1_000, 8, 10, 8);
    let mut adaptive = Adaptive::new(8, options(Metric::Cosine), 500).unwrap();
    let truth = exact(&values, 8, Metric::Cosine);
    for (id, vector) in (0..).zip(values.chunks(8)) {
        adaptive.insert(id, vector).unwrap();
        assert_eq!(adaptive.is_graph(), id >= 500);
    }
    for query in values.chunks(8).take(50) {
        let (found, expected) = (
            adaptive.search(query, 5, None).unwrap(),
            truth.search(query, 5, None).unwrap(),
        );
        assert_eq!(ids(&found), ids(&expected));
    }
    adaptive.remove(0).unwrap();
    assert_eq!(adaptive.len(), 999);
}

#[test]
fn words_and_vectors_are_found_by_one_trait() {
    let mut vectors = fingerpost_index::Exact::new(2, Metric::Cosine).unwrap();
    vectors.insert(1, &[1.0, 0.0]).unwrap();
    vectors.insert(2, &[0.0, 1.0]).unwrap();
    let words = Lexical::new([(1, "refund policy"), (2, "weather report"), (3, "refund form")]);
    let hybrid = Hybrid::new(
        vec![(Box::new(vectors), 1.0), (Box::new(words), 1.0)],
        Fusion::ReciprocalRank { k: 60.0 },
        10,
    );
    let query = Query {
        text: Some("refund"),
        vector: Some(&[0.9, 0.1]),
    };
    let hits = hybrid.retrieve(query, 3, None).unwrap();
    assert_eq!(hits[0].id, 1);
    let only_words = Query {
        vector: None,
        ..query
    };
    assert_eq!(
        hybrid.retrieve(only_words, 9, Some(&|id| id > 1)).unwrap()[0].id,
        3
    );
    assert!(matches!(
        hybrid.retrieve(Query::default(), 3, None),
        Err(Error::Query(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With ef as large as the set the graph finds what looking at everything finds, after any history.
    #[test]
    fn any_history_ends_in_the_truth(
        steps in prop::collection::vec((0..30_u64, prop::collection::vec(-4_i8..4, 3), any::<bool>()), 1..120)
    ) {
        let index = Hnsw::new(3, Options { m: 4, ef_construction: 20, ..options(Metric::L2) }).unwrap();
        let mut kept = std::collections::BTreeMap::new();
        for (id, vector, add) in steps {
            let vector: Vec<f32> = vector.into_iter().map(f32::from).collect();
            if add {
                prop_assert_eq!(index.insert(id, &vector).is_ok(), !kept.contains_key(&id));
                kept.entry(id).or_insert(vector);
            } else {
                prop_assert_eq!(index.remove(id).is_ok(), kept.remove(&id).is_some());
            }
        }
        let found = index.search(&[0.5, 0.5, 0.5], 200, 200).unwrap();
        let mut expected: Vec<f32> = kept.values().map(|v| v.iter().map(|x| (x - 0.5).powi(2)).sum()).collect();
        expected.sort_by(f32::total_cmp);
        let distances: Vec<f32> = found.neighbours.iter().map(|n| n.distance).collect();
        prop_assert_eq!(distances, expected);
    }
}
