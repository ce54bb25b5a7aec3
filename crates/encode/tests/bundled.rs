//! The compiled-in table: whole, small enough, and as good as promised.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod support;

use std::collections::BTreeMap;

use fingerpost_encode::{Encoder, StaticEncoder, Vector, VectorCache};

#[test]
fn the_compiled_bytes_are_whole_and_tell_their_origin() {
    let table = StaticEncoder::bundled_table().expect("checksum holds");
    let bytes = table.to_bytes().unwrap().len();
    assert!(bytes <= 5_000_000, "{bytes} bytes");
    let origin = table.provenance();
    assert_eq!(
        origin.source_sha256,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    );
    assert_eq!(origin.recipe["recipe"], "learned");
    assert!(
        origin.corpus.contains("clinc150 and banking77 held out"),
        "{}",
        origin.corpus
    );
    assert_eq!(StaticEncoder::bundled().dims(), table.dims());
    assert_eq!(StaticEncoder::bundled().name(), "static");
}

#[test]
fn like_texts_are_nearer_than_unlike_ones() {
    let encoder = StaticEncoder::bundled();
    let cosine = |a: &str, b: &str| encoder.encode(a).similarity(&encoder.encode(b)).get();
    let pin = "How do I reset my bank card PIN?";
    assert!(cosine(pin, "I forgot the PIN code of my debit card") > 0.6);
    assert!(cosine(pin, "Stock markets fell sharply on Monday.") < 0.4);
    let code = "Write a Rust function that reverses a linked list.";
    assert!(
        cosine(
            code,
            "Implement a red-black tree in Rust with insertion and deletion"
        ) > cosine(code, pin) + 0.2
    );
}

#[test]
fn nearest_centroids_on_clinc150_reach_the_bar() {
    let Some(data) = support::shared_data() else {
        return;
    };
    let encoder = StaticEncoder::bundled();
    let rows = |split: &str| -> Vec<(String, Vector)> {
        let text = std::fs::read_to_string(data.join("clinc150").join(split)).unwrap();
        let rows = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_string();
        rows.map(|row| (field(&row, "intent"), encoder.encode(&field(&row, "text"))))
            .filter(|(intent, _)| intent != "oos")
            .collect()
    };
    let mut members: BTreeMap<String, Vec<Vector>> = BTreeMap::new();
    for (intent, vector) in rows("train.jsonl") {
        members.entry(intent).or_default().push(vector);
    }
    let centroids: Vec<(&String, Vector)> = members
        .iter()
        .map(|(intent, vectors)| (intent, Vector::centroid(vectors).unwrap()))
        .collect();
    let judged = rows("test.jsonl");
    let right = judged.iter().filter(|(intent, vector)| {
        centroids
            .iter()
            .max_by(|a, b| vector.dot(&a.1).total_cmp(&vector.dot(&b.1)))
            .unwrap()
            .0
            == intent
    });
    let accuracy = right.count() as f64 / judged.len() as f64;
    assert!(accuracy >= 0.86, "{accuracy}");
}

#[test]
fn the_cache_changes_no_vector() {
    let encoder = StaticEncoder::bundled();
    let cache = VectorCache::new(encoder.clone(), std::num::NonZeroUsize::new(1024).unwrap());
    for text in ["a", "b", "a", "route this", "a"] {
        assert_eq!(cache.encode(text), encoder.encode(text));
    }
    assert_eq!(cache.counts().hits, 2);
}

#[test]
fn texts_of_any_script_have_vectors_of_length_one() {
    let Some(data) = support::shared_data() else {
        return;
    };
    let encoder = StaticEncoder::bundled();
    support::for_each_text(&data.join("text/udhr"), &mut |text| {
        let vector = encoder.encode(text);
        let length = vector.dot(&vector);
        assert!(
            (length - 1.0).abs() < 1e-4 || vector.iter().all(|&value| value == 0.0),
            "{length} for {text:?}"
        );
    });
}
