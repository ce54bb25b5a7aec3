use std::num::NonZeroUsize;

use bytes::Bytes;
use fingerpost_encode::ModelId;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::*;

/// Counts the letters a to h.
struct Letters(ModelId);

impl Encoder for Letters {
    fn model(&self) -> &ModelId {
        &self.0
    }
    fn dims(&self) -> usize {
        8
    }
    fn encode_into(&self, text: &str, out: &mut [f32]) {
        out.fill(0.0);
        for letter in text.bytes().filter(|b| (b'a'..=b'h').contains(b)) {
            out[usize::from(letter - b'a')] += 1.0;
        }
        fingerpost_encode::normalize(out);
    }
}

fn encoder() -> Arc<dyn Encoder> {
    Arc::new(Letters(ModelId::new("letters", 1)))
}

fn cache(similarity: f64, entries: usize, threshold: usize) -> Arc<AnswerCache> {
    let config = CacheConfig {
        similarity,
        ttl: Duration::from_secs(60),
        entries: NonZeroUsize::new(entries).unwrap(),
    };
    let models = vec!["m".to_owned()];
    Arc::new(AnswerCache::with_threshold(config, models, &encoder(), threshold))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1000 * (1000 + seconds))
}

fn kept(answer: &str, at: Timestamp) -> Kept {
    Kept {
        body: Bytes::copy_from_slice(answer.as_bytes()),
        model: "m".into(),
        warnings: None,
        at,
    }
}

/// What the cache answers, and how alike the texts are.
fn ask(cache: &AnswerCache, frame: &Frame, text: &str, now: Timestamp) -> Option<(String, f32)> {
    match cache.look(frame, text, now) {
        Looked::Hit(hit) => Some((String::from_utf8(hit.kept.body.to_vec()).unwrap(), hit.similarity)),
        Looked::Miss(_) => None,
    }
}

/// Asks, and where there is no answer keeps one that says `text`.
fn fill(cache: &Arc<AnswerCache>, frame: &Frame, text: &str, now: Timestamp) {
    if let Looked::Miss(place) = cache.look(frame, text, now) {
        cache.keep(place, kept(text, now), now).run();
    }
}

fn frame(cache: &AnswerCache, of: &str) -> Frame {
    let mut frame = cache.frame();
    frame.add_text(of);
    frame
}

#[test]
fn the_same_text_is_answered_and_a_near_one_where_near_is_enough() {
    let near = cache(0.9, 10, 100);
    let exact = cache(1.0, 10, 100);
    for cache in [&near, &exact] {
        let frame = cache.frame();
        fill(cache, &frame, "aaab", at(0));
        assert_eq!(ask(cache, &frame, "aaab", at(1)), Some(("aaab".to_owned(), 1.0)));
        assert_eq!(ask(cache, &frame, "ffff", at(1)), None);
    }
    let (answer, similarity) = ask(&near, &near.frame(), "aaaab", at(1)).unwrap();
    assert_eq!(answer, "aaab");
    assert!(
        (similarity - 13.0 / (10.0_f32 * 17.0).sqrt()).abs() < 1e-5,
        "{similarity}"
    );
    assert_eq!(ask(&exact, &exact.frame(), "aaaab", at(1)), None);
    let told = near.moment("d".into());
    assert_eq!((told.hits, told.misses, told.entries), (2, 2, 1));
}

#[test]
fn the_order_of_words_does_not_make_a_text_the_same() {
    let cache = cache(1.0, 10, 100);
    fill(&cache, &cache.frame(), "ab ba", at(0));
    assert_eq!(ask(&cache, &cache.frame(), "ba ab", at(0)), None);
}

#[test]
fn frames_and_numbers_share_nothing() {
    let cache = cache(0.5, 10, 100);
    let (one, other) = (frame(&cache, "one"), frame(&cache, "other"));
    fill(&cache, &one, "aaab 5", at(0));
    assert!(ask(&cache, &one, "aaabb 5", at(0)).is_some());
    assert_eq!(ask(&cache, &other, "aaab 5", at(0)), None);
    assert_eq!(ask(&cache, &other, "aaabb 5", at(0)), None);
    assert_eq!(ask(&cache, &one, "aaab 6", at(0)), None);
}

#[test]
fn long_texts_are_compared_for_equality_only() {
    let cache = cache(0.5, 10, 100);
    let long = "a".repeat(LONGEST_NEAR + 1);
    fill(&cache, &cache.frame(), &long, at(0));
    assert!(ask(&cache, &cache.frame(), &long, at(0)).is_some());
    assert_eq!(ask(&cache, &cache.frame(), "a", at(0)), None);
    assert_eq!(read(&cache.near).len(), 0);
}

#[test]
fn a_text_that_holds_nothing_to_encode_is_found_by_equality() {
    let cache = cache(0.5, 10, 100);
    fill(&cache, &cache.frame(), "?!", at(0));
    assert!(ask(&cache, &cache.frame(), "?!", at(0)).is_some());
    assert_eq!(ask(&cache, &cache.frame(), "..", at(0)), None);
    assert_eq!(read(&cache.near).len(), 0);
}

#[test]
fn old_answers_are_not_given_and_make_room() {
    let cache = cache(0.9, 10, 100);
    let frame = cache.frame();
    fill(&cache, &frame, "aaab", at(0));
    assert!(ask(&cache, &frame, "aaab", at(59)).is_some());
    for text in ["aaab", "aaaab"] {
        assert_eq!(ask(&cache, &frame, text, at(60)), None, "{text}");
    }
    // A clock that goes back makes nothing older.
    assert!(ask(&cache, &frame, "aaab", Timestamp::from_millis(0)).is_some());
    fill(&cache, &frame, "cc", at(60));
    assert_eq!(cache.moment("d".into()).entries, 1);
    assert_eq!(read(&cache.near).len(), 1);
}

#[test]
fn an_answer_is_renewed_in_its_place() {
    let cache = cache(0.9, 10, 100);
    let frame = cache.frame();
    fill(&cache, &frame, "aaab", at(0));
    let bytes = cache.moment("d".into()).bytes;
    for round in 1..5 {
        fill(&cache, &frame, "aaab", at(100 * round));
    }
    let told = cache.moment("d".into());
    assert_eq!((told.entries, told.bytes), (1, bytes));
    assert!(
        ask(&cache, &frame, "aaaab", at(410)).is_some(),
        "near ones find the new answer"
    );
    assert_eq!(read(&cache.near).len(), 1);
}

#[test]
fn the_oldest_that_nobody_read_goes_first() {
    let cache = cache(0.999, 3, 100);
    let frame = cache.frame();
    for text in ["a", "b", "c"] {
        fill(&cache, &frame, text, at(0));
    }
    assert!(ask(&cache, &frame, "a", at(1)).is_some());
    fill(&cache, &frame, "d", at(2));
    let there: Vec<&str> = ["a", "b", "c", "d"]
        .into_iter()
        .filter(|text| ask(&cache, &frame, text, at(3)).is_some())
        .collect();
    assert_eq!(there, ["a", "c", "d"]);
    // All read: the oldest of them goes, and never the one that just came.
    fill(&cache, &frame, "e", at(4));
    assert!(ask(&cache, &frame, "e", at(5)).is_some());
    assert_eq!(cache.moment("d".into()).entries, 3);
    assert_eq!(read(&cache.near).len(), 3);
}

#[test]
fn memory_is_given_back() {
    let cache = cache(0.9, 1, 100);
    let frame = cache.frame();
    fill(&cache, &frame, &"a".repeat(900), at(0));
    let large = cache.moment("d".into()).bytes;
    fill(&cache, &frame, "b", at(0));
    let small = cache.moment("d".into()).bytes;
    assert_eq!(large - small, 899);
    assert!(small > 200);
}

#[test]
fn a_job_that_comes_late_leaves_no_vector_behind() {
    let cache = cache(0.9, 1, 100);
    let frame = cache.frame();
    let keep = |text: &str| match cache.look(&frame, text, at(0)) {
        Looked::Miss(place) => cache.keep(place, kept(text, at(0)), at(0)),
        Looked::Hit(_) => panic!("{text} was not there yet"),
    };
    let (first, second) = (keep("aa"), keep("bb"));
    second.run();
    first.run();
    assert_eq!(read(&cache.near).len(), 1);
    assert!(ask(&cache, &frame, "bbb", at(0)).is_some());
    assert_eq!(ask(&cache, &frame, "aaa", at(0)), None);
}

#[test]
fn a_frame_that_grows_becomes_a_graph_and_finds_as_before() {
    const THRESHOLD: usize = 50;
    let mut rng = SmallRng::seed_from_u64(5);
    let mut text = || -> String {
        (0..30)
            .map(|_| char::from(b'a' + rng.random_range(0..8u8)))
            .collect()
    };
    let cache = cache(0.999_999, 400, THRESHOLD);
    let (busy, quiet) = (frame(&cache, "busy"), frame(&cache, "quiet"));
    fill(&cache, &quiet, "abcd", at(0));
    let texts: Vec<String> = (0..300).map(|_| text()).collect();
    for (i, text) in texts.iter().enumerate() {
        fill(&cache, &busy, text, at(0));
        assert_eq!(
            read(&cache.near).graphs(),
            usize::from(read(&cache.near).len() > THRESHOLD + 1),
            "{i}"
        );
    }
    // The same letters in another order: the same vector, another text.
    let found = texts.iter().filter(|text| {
        let turned: String = text.chars().rev().collect();
        ask(&cache, &busy, &turned, at(1)).is_some()
    });
    assert!(found.count() >= 297, "the graph loses few if any");
    assert!(ask(&cache, &quiet, "dcba", at(1)).is_some());
    // Past the bound the old ones leave the graph too.
    for _ in 0..500 {
        fill(&cache, &busy, &text(), at(2));
    }
    assert_eq!(cache.moment("d".into()).entries, 400);
    assert_eq!(read(&cache.near).len(), 400);
}

#[test]
fn a_look_up_does_not_wait_for_a_long_insert() {
    let cache = cache(0.9, 10, 100);
    let frame = cache.frame();
    fill(&cache, &frame, "aaab", at(0));
    let held = write(&cache.near);
    let looking = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            (
                ask(&cache, &frame, "aaab", at(0)).is_some(),
                ask(&cache, &frame, "aaaab", at(0)).is_some(),
            )
        });
        looking.join().unwrap()
    });
    drop(held);
    assert_eq!(looking, (true, false), "the same text needs no vectors");
}

#[test]
fn many_threads_do_no_harm() {
    let cache = cache(0.95, 20, 10);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                let mut rng = SmallRng::seed_from_u64(seed);
                let frame = cache.frame();
                for _ in 0..300 {
                    let letter = || "abcdefgh";
                    let from = rng.random_range(0..7);
                    let text = letter()[from..].repeat(rng.random_range(1..4));
                    fill(cache, &frame, &text, at(0));
                }
            });
        }
    });
    let told = cache.moment("d".into());
    assert!(told.entries <= 20, "{told:?}");
    assert_eq!(told.entries, read(&cache.near).len() as u64);
}

#[test]
fn it_serves_on_only_where_nothing_that_matters_changed() {
    let cache = cache(0.9, 10, 100);
    let decision = |models: &str, similarity: f64| -> Decision {
        let text = format!(
            "{{name: d, models: [{models}], cache: {{similarity: {similarity}, ttl: 1m, entries: 10}}}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    };
    assert!(cache.serves(&decision("m", 0.9), &encoder()));
    assert!(!cache.serves(&decision("m", 0.8), &encoder()));
    assert!(!cache.serves(&decision("n", 0.9), &encoder()));
    let other: Arc<dyn Encoder> = Arc::new(Letters(ModelId::new("letters", 2)));
    assert!(!cache.serves(&decision("m", 0.9), &other));
}
