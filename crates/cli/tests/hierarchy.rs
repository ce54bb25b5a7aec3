//! `fingerpost hierarchy` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::fs;

use binary::fingerpost;

/// Two cliques of six and a bridge.
fn cliques() -> String {
    let clique = |from: u32| (from..from + 6).flat_map(move |a| (from..a).map(move |b| format!("{a} {b}\n")));
    clique(0).chain(clique(6)).chain(["0 6\n".to_owned()]).collect()
}

#[test]
fn a_graph_is_summarised_and_divided() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (graph, out, svg) = (at("g.txt"), at("s.json"), at("s.svg"));
    fs::write(&graph, cliques()).unwrap();
    let ran = fingerpost(&[
        "hierarchy",
        "summarize",
        &graph,
        "--out",
        &out,
        "--svg",
        &svg,
        "--verify",
        "--json",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(
        (&json["lossless"], &json["stats"]["edges"]),
        (&true.into(), &31.into())
    );
    assert!(json["stats"]["relative_size"].as_f64().unwrap() < 0.7, "{json}");
    let saved: serde_json::Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(saved["nodes"], 12);
    assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg"));

    let ran = fingerpost(&[
        "hierarchy",
        "communities",
        &graph,
        "--communities",
        "2",
        "--svg",
        &svg,
        "--json",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let labels = ran.json()["labels"].as_array().unwrap().clone();
    assert!(
        labels[..6].iter().all(|l| *l == labels[0]) && labels[6..].iter().all(|l| *l != labels[0]),
        "{labels:?}"
    );
}

#[test]
fn a_graph_at_fault_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("g.txt");
    fs::write(&graph, "0 1\n1 two\n").unwrap();
    for command in ["summarize", "communities"] {
        let ran = fingerpost(&["hierarchy", command, graph.to_str().unwrap()]).run();
        assert!(ran.code == 1 && ran.err.contains("line 2"), "{}", ran.err);
    }
}
