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
    let (graph, lists, svg) = (at("g.txt"), at("s.json"), at("s.svg"));
    fs::write(&graph, cliques()).unwrap();
    let ran = fingerpost(&[
        "hierarchy",
        "summarize",
        &graph,
        "--lists",
        &lists,
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
    let lists: serde_json::Value = serde_json::from_str(&fs::read_to_string(&lists).unwrap()).unwrap();
    assert_eq!(lists["ids"].as_array().unwrap().len(), 12);
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
    for (name, text, why) in [
        ("g.txt", "0 1\n1 two\n", "line 2: \"two\" is no node number"),
        ("g.txt", "0 1\n\n3\n", "line 3: a line needs two node numbers"),
        ("g.txt", "0 1\n1 -2\n", "line 2: \"-2\" is no node number"),
        (
            "g.txt",
            "0 1 0.5\n1 2\n",
            "line 2: weights are on all lines or on none",
        ),
        ("g.graph", "2 1\n2\n9\n", "line 3: neighbour 9 is no node"),
        ("g.graph", "2 1\n2\n", "line 2: the file ends after 1 of 2 nodes"),
    ] {
        let graph = folder.path().join(name);
        fs::write(&graph, text).unwrap();
        for command in ["summarize", "communities"] {
            let ran = fingerpost(&["hierarchy", command, graph.to_str().unwrap()]).run();
            assert!(ran.code == 1 && ran.err.contains(why), "{}", ran.err);
        }
    }
}

#[test]
fn a_saved_summary_answers_by_the_ids_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (graph, saved) = (at("g.txt"), at("g.summary"));
    // Ids with gaps, some beyond 32 bits; a loop, a node that has nothing but a loop, an edge twice and once turned around.
    let id = |node: u64| 1000 * node + if node > 8 { 1 << 40 } else { 0 };
    let mut text = "# a comment\n\n".to_owned();
    for line in cliques().lines() {
        let ends: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        text += &format!("{}\t{}\n", id(ends[0]), id(ends[1]));
    }
    text += &format!("{0} {0}\n77 77\n{1} {2}\n{2} {1}\n", id(3), id(0), id(1));
    fs::write(&graph, text).unwrap();
    let ran = fingerpost(&["hierarchy", "summarize", &graph, "--out", &saved, "--verify"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("left out: 2 loops, 2 doubles"), "{}", ran.out);

    let nodes = [id(0), id(9), 77].map(|id| id.to_string());
    let ask = ["hierarchy", "neighbours", &saved, &nodes[0], &nodes[1], &nodes[2]];
    let ran = fingerpost(&[&ask[..], &["--json"]].concat()).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let others = |of: &[u64]| of.iter().map(|&node| id(node)).collect::<Vec<_>>();
    assert_eq!(
        ran.json()["nodes"],
        serde_json::json!([
            {"node": id(0), "neighbours": others(&[1, 2, 3, 4, 5, 6])},
            {"node": id(9), "neighbours": others(&[6, 7, 8, 10, 11])},
            {"node": 77, "neighbours": []},
        ])
    );
    let ran = fingerpost(&ask[..5]).run();
    assert!(
        ran.out.starts_with("0: 1000 2000 3000 4000 5000 6000\n"),
        "{}",
        ran.out
    );
    let ran = fingerpost(&["hierarchy", "neighbours", &saved, "78"]).run();
    assert!(
        ran.code == 1 && ran.err.contains("no node 78") && ran.err.contains("0 to 1099511638776"),
        "{}",
        ran.err
    );

    // What METIS lists first is node 1.
    let metis = at("g.graph");
    fs::write(&metis, "3 2\n2 3\n1\n1\n").unwrap();
    assert_eq!(
        fingerpost(&["hierarchy", "summarize", &metis, "--out", &saved])
            .run()
            .code,
        0
    );
    let ran = fingerpost(&["hierarchy", "neighbours", &saved, "1", "3"]).run();
    assert_eq!(ran.out, "1: 2 3\n3: 1\n", "{}", ran.err);
}

#[test]
fn a_damaged_summary_is_refused_by_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (graph, saved) = (at("g.txt"), at("g.summary"));
    fs::write(&graph, cliques()).unwrap();
    assert_eq!(
        fingerpost(&["hierarchy", "summarize", &graph, "--out", &saved])
            .run()
            .code,
        0
    );
    let whole = fs::read(&saved).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (bytes, why) in [
        (&whole[..whole.len() / 2], "it ends inside its"),
        (&flipped, "the checksum of its edges is wrong"),
        (b"0 1\n1 2\n", "it does not start like one"),
    ] {
        fs::write(&saved, bytes).unwrap();
        let ran = fingerpost(&["hierarchy", "neighbours", &saved, "0", "--json"]).run();
        let message = ran.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            ran.code == 1 && message.contains(why) && message.contains("g.summary"),
            "{message}"
        );
    }
    // What cannot be written leaves nothing behind.
    let ran = fingerpost(&["hierarchy", "summarize", &graph, "--out", &at("no/folder/s")]).run();
    assert!(ran.code == 1 && ran.err.contains("cannot write"), "{}", ran.err);
}
