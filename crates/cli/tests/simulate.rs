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
        (
            "negative.csv",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,1,1\n2023-11-16 18:17:04.97,1,-9\n".to_owned(),
            "line 3: GeneratedTokens is -9",
        ),
        (
            "swapped.csv",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5,1,1\n2023-11-16 18:17:03.0,1,9\n".to_owned(),
            "line 3: its time is 500 ms before",
        ),
        ("cut.jsonl", row(0, 3)[..30].to_owned(), "line 1: "),
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
        (&["--routers", "0"], "no router"),
        (&["--seconds-per-token", "0"], "seconds_per_token must be"),
        (&["--seconds-per-output=-1"], "seconds_per_output must be"),
        (&["--adapter-load", "inf"], "adapter_load_s must be"),
        (&["--skip", "1000"], "holds no requests"),
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

#[test]
fn everything_that_goes_wrong_in_a_fleet_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let base = [
        "--synthetic",
        "1500",
        "--policy",
        "round_robin",
        "--qps",
        "6",
        "--stale",
        "0",
        "--no-capacity",
        "--json",
    ];
    let row = |options: &[&str]| {
        let ran = fleet(&[&base, options].concat(), folder.path());
        assert_eq!(ran.code, 0, "{options:?}: {}", ran.err);
        let found = ran.json();
        assert_eq!(found["complete"], true);
        found["rows"][0].clone()
    };
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
    let plain = row(&[]);
    let p50 = |options: &[&str]| number(&row(options), "ttft_p50");
    // Adapters that are always to be loaded, slower prompts, and answers that slow prompts down.
    assert!(
        p50(&["--adapters", "40", "--adapter-slots", "1", "--adapter-load", "1"])
            > number(&plain, "ttft_p50") + 0.5
    );
    assert!(p50(&["--seconds-per-token", "0.0003"]) > 1.5 * number(&plain, "ttft_p50"));
    let slowed = |output: &str| p50(&["--interference", "0.05", "--seconds-per-output", output]);
    assert!(slowed("0.05") > slowed("0.005"));
    assert!(number(&row(&["--cached-tokens", "0"]), "hit_ratio") == 0.0 && number(&plain, "hit_ratio") > 0.0);
    // An instance that fails takes answers with it; each of several routers places its share.
    assert!(number(&row(&["--outage", "3:100:160"]), "broken") > 0.0);
    assert_eq!(row(&["--routers", "3"])["requests"], plain["requests"]);
    let other = row(&["--first-seed", "7"]);
    assert_eq!((&other["seed"], &plain["seed"]), (&7.into(), &0.into()));
    assert_ne!(other["ttft_p99"], plain["ttft_p99"]);
}

#[cfg(unix)]
#[test]
fn what_was_simulated_until_ctrl_c_is_printed() {
    use std::{process::Stdio, time::Duration};

    let folder = tempfile::tempdir().unwrap();
    let mut line = fingerpost(&[
        "simulate",
        "fleet",
        "--synthetic",
        "3000",
        "--policy",
        "random",
        "--qps",
        "4",
        "--stale",
        "0",
        "--seeds",
        "100",
        "--threads",
        "1",
        "--json",
    ])
    .current_dir(folder.path());
    let running = line
        .command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough for some runs, and far too short for a hundred and their capacities.
    std::thread::sleep(Duration::from_millis(1500));
    let told = std::process::Command::new("kill")
        .args(["-INT", &running.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["complete"], false);
    assert!(!found["rows"].as_array().unwrap().is_empty());
}
