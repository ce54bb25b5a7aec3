//! Several at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fingerpost_index::{Error, Hnsw, Metric, Options};

use crate::data::{build, clustered, exact, ids, recall};

fn options() -> Options {
    Options {
        metric: Metric::L2,
        ..Options::default()
    }
}

#[test]
fn one_thread_builds_the_same_index_and_two_build_as_good_a_one() {
    let dim = 10;
    let values = clustered(5_200, dim, 40, 11);
    let (base, queries) = values.split_at(5_000 * dim);
    let truth = exact(base, dim, Metric::L2);
    let truth: Vec<_> = queries
        .chunks(dim)
        .map(|q| truth.search(q, 10, None).unwrap())
        .collect();
    let search = |index: &Hnsw| index.search_batch(queries, 10, 32, 2).unwrap();
    let one = search(&build(base, dim, options()));
    assert_eq!(one, search(&build(base, dim, options())));
    let both = Hnsw::new(dim, options()).unwrap();
    both.build(base, None, 2, &|_| true).unwrap();
    assert_eq!(both.unreachable(), 0);
    let (one, two) = (recall(&one, &truth), recall(&search(&both), &truth));
    assert!((one - two).abs() < 0.01, "{one} {two}");
}

#[test]
fn searches_go_on_while_vectors_come_and_go() {
    let dim = 6;
    let values = clustered(3_000, dim, 20, 12);
    let index = build(&values[..1_000 * dim], dim, options());
    let done = AtomicBool::new(false);
    let searches = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let search = || {
            while !done.load(Ordering::Relaxed) {
                for query in values.chunks(dim).step_by(97) {
                    let found = index.search(query, 5, 20).unwrap();
                    assert!(found.neighbours.len() == 5 && found.neighbours.is_sorted_by_key(|n| n.distance));
                    // The first 500 are never removed.
                    assert!(ids(&found).iter().all(|&id| id < 3_000));
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        scope.spawn(search);
        let change = |from: u64| {
            let (index, values) = (&index, &values);
            move || {
                for id in (from..3_000).step_by(2) {
                    index.insert(id, &values[id as usize * dim..][..dim]).unwrap();
                    if id % 4 < 2 {
                        index.remove(id - 500).unwrap();
                    }
                }
            }
        };
        let workers = [scope.spawn(change(1_000)), scope.spawn(change(1_001))];
        workers.into_iter().for_each(|w| w.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert!(searches.into_inner() > 0);
    assert_eq!(index.len(), 2_000);
    let first = index.search(&values[..dim], 1, 50).unwrap();
    assert_eq!(ids(&first), [0]);
}

#[test]
fn a_build_can_be_stopped() {
    let values = clustered(2_000, 4, 5, 13);
    let index = Hnsw::new(4, options()).unwrap();
    let error = index.build(&values, None, 2, &|done| done < 512).unwrap_err();
    assert!(matches!(error, Error::Stopped { total: 2_000, .. }), "{error}");
    assert!(index.is_empty());
    index.build(&values, None, 1, &|_| true).unwrap();
    assert_eq!(index.len(), 2_000);
}

#[test]
fn an_update_leaves_no_moment_for_the_id_to_be_taken() {
    let values = clustered(200, 4, 3, 14);
    let index = build(&values, 4, options());
    std::thread::scope(|scope| {
        let update = || (0..300).for_each(|i| index.update(7, &[i as f32; 4]).unwrap());
        scope.spawn(update);
        for _ in 0..300 {
            assert!(matches!(index.insert(7, &[0.0; 4]), Err(Error::DuplicateId(7))));
        }
    });
    assert_eq!(index.len(), 200);
    assert_eq!(ids(&index.search(&[299.0; 4], 1, 50).unwrap()), [7]);
}

#[test]
fn a_build_stopped_beside_inserts_harms_nobody() {
    let values = clustered(2_000, 4, 5, 31);
    for _ in 0..5 {
        let index = Hnsw::new(4, options()).unwrap();
        std::thread::scope(|scope| {
            let inserts = scope.spawn(|| {
                for (id, vector) in (1_000_000..).zip(values.chunks(4)) {
                    index.insert(id, vector).unwrap();
                }
            });
            let stopped = index.build(&values, None, 2, &|done| done < 512);
            assert!(stopped.is_err());
            inserts.join().unwrap();
        });
        let all = index.search(&values[..4], usize::MAX, 1).unwrap();
        assert_eq!(all.neighbours.len(), index.len());
    }
}
