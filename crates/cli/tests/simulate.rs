//! `fingerpost simulate` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{fs, path::Path};

use binary::{Ran, fingerpost};

fn fleet(options: &[&str], folder: &Path) -> Ran {
    let arguments = [&["simulate", "fleet"], options].concat();
    fingerpost(&arguments).current_dir(folder).run()
}

#[test]
fn policies_are_compared_on_made_up_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--synthetic",
        "1500",
        "--policy",
        "random,dualmap",
        "--qps",
        "8",
        "--stale",
        "0,3",
        "--seeds",
        "2",
        "--svg",
        "f.svg",
        "--json",
    ];
    let ran = fleet(&options, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = ran.json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 8);
    assert_eq!(found["capacity"].as_array().unwrap().len(), 8);
    let row = &found["rows"][4];
    assert_eq!((&row["policy"], &row["seed"]), (&"dualmap".into(), &0.into()));
    for key in [
        "qps",
        "stale_s",
        "within_slo",
        "hit_ratio",
        "ttft_p50",
        "ttft_p99",
    ] {
        assert!(row[key].is_number(), "{key}: {row}");
    }
    assert!(row["within_slo"].as_f64() > found["rows"][0]["within_slo"].as_f64());
    assert!(
        fs::read_to_string(folder.path().join("f.svg"))
            .unwrap()
            .contains("<svg")
    );
    let text = fleet(&options[..8], folder.path());
    assert!(
        text.out.contains("capacity") && text.out.contains("dualmap"),
        "{}",
        text.out
    );
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let row = |time: i32, tokens: i32| {
        format!(r#"{{"timestamp": {time}, "input_length": {tokens}, "output_length": 1, "hash_ids": [0]}}"#)
    };
    for (name, content, said) in [
        (
            "swapped.jsonl",
            format!("{}\n{}", row(5000, 1), row(0, 1)),
            "line 2: its time is 5000 ms before",
        ),
        ("negative.jsonl", row(0, -3), "line 1: input_length is -3"),
        ("short.jsonl", row(0, 3), "the first 500 are not counted"),
        ("prose.txt", "once upon a time".to_owned(), "is no trace"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
        let ran = fleet(&["--trace", name], folder.path());
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
    }
    for (options, said) in [
        (
            &["--policy", "dual_map"][..],
            "unknown policy `dual_map`; allowed: all, ablations",
        ),
        (&["--instances", "0"], "a fleet of no instances"),
        (&["--outage", "9:0:1"], "names instance 9, but the fleet has 8"),
        (&["--qps", "0"], "qps must be"),
    ] {
        let options = [&["--synthetic", "1000"], options].concat();
        let ran = fleet(&options, folder.path());
        assert_eq!(ran.code, 1, "{options:?}");
        assert!(ran.err.contains(said), "{options:?}: {}", ran.err);
    }
    assert_eq!(
        fleet(&["--synthetic", "10", "--outage", "soon"], folder.path()).code,
        2
    );
}

/// Two ways of paying, the second dearer; one edge leads nowhere.
const TOOLS: &str = "name: refund
tools: [{name: find, effect: none}, {name: bank}, {name: wallet}]
edges: [[start, find], [find, bank], [find, wallet, 2], [bank, goal], [wallet, goal], [bank, moon]]
";

#[test]
fn a_walk_goes_around_tools_that_are_down() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("g.yaml"), TOOLS).unwrap();
    let tools = |options: &[&str]| {
        let arguments = [&["simulate", "tools", "--graph", "g.yaml"], options].concat();
        fingerpost(&arguments).current_dir(folder.path()).run()
    };
    let ran = tools(&["--down", "bank", "--svg", "g.svg", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("names `moon`"), "{}", ran.err);
    let found = ran.json();
    assert_eq!(found["run"], serde_json::json!(["find", "wallet"]));
    assert_eq!(
        (&found["ending"], &found["llm_calls"]),
        (&"completed".into(), &0.into())
    );
    assert_eq!(
        (&found["log"][1]["kind"], &found["log"][1]["failed"]),
        (&"reroute".into(), &"bank".into())
    );
    let picture = fs::read_to_string(folder.path().join("g.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("wallet"));

    // The second task knows, and goes straight.
    let found = tools(&["--down", "bank", "--tasks", "2", "--json"]).json();
    assert_eq!((&found["failures"], &found["calls"]), (&0.into(), &2.into()));

    let ran = tools(&["--down", "bank,wallet"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("escalate bank") || ran.out.contains("escalate wallet"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("handed over"), "{}", ran.out);

    let ran = tools(&["--down", "bnak"]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("no tool `bnak`") && ran.err.contains("wallet"),
        "{}",
        ran.err
    );
    fs::write(folder.path().join("g.yaml"), "tools: [{name: a}]").unwrap();
    let ran = tools(&[]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("g.yaml") && ran.err.contains("lead from `start` to `goal`"),
        "{}",
        ran.err
    );
}
