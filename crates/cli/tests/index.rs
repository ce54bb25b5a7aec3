//! `fingerpost index` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::fs;

use binary::fingerpost;

#[test]
fn vectors_are_built_searched_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (vectors, queries, index) = (at("v.jsonl"), at("q.jsonl"), at("v.index"));
    let lines: Vec<String> = (0..200)
        .map(|i| format!("{{\"id\":{},\"vector\":[{},{}]}}", 1000 + i, i, i * i % 17))
        .collect();
    fs::write(&vectors, lines.join("\n")).unwrap();
    fs::write(&queries, "[0.2,0]\n[99,9]\n").unwrap();
    let built = fingerpost(&["index", "build", &vectors, "--out", &index, "--json"]).run();
    assert_eq!(built.code, 0, "{}", built.err);
    assert_eq!(built.json()["stats"]["vectors"], 200);
    let found = fingerpost(&[
        "index",
        "search",
        &index,
        "--queries",
        &queries,
        "--k",
        "2",
        "--ef",
        "200",
        "--json",
    ])
    .run();
    assert_eq!(found.code, 0, "{}", found.err);
    assert_eq!(
        found.json()["neighbours"],
        serde_json::json!([[1000, 1001], [1099, 1097]])
    );
    assert!(found.json()["seconds"].as_f64().is_some());
    let stats = fingerpost(&["index", "stats", &index]).run();
    assert!(stats.out.contains("vectors        200"), "{}", stats.out);
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (vectors, index) = (at("v.jsonl"), at("v.index"));
    let refused = |text: &str| {
        fs::write(&vectors, text).unwrap();
        let ran = fingerpost(&["index", "build", &vectors, "--out", &index, "--json"]).run();
        assert_eq!(ran.code, 1);
        ran.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(refused("[1,2]\n[3]").contains("line 2"));
    assert!(refused("[1,2]\nNaN").contains("line 2"));
    assert!(refused("").contains("no vectors"));
    assert!(refused("{\"id\":4,\"vector\":[1]}\n{\"id\":4,\"vector\":[2]}").contains("id 4"));
    assert!(!fs::exists(&index).unwrap());
    fs::write(&index, "no index").unwrap();
    let ran = fingerpost(&["index", "stats", &index]).run();
    assert!(
        ran.code == 1 && ran.err.contains("not a whole index file"),
        "{}",
        ran.err
    );
}
