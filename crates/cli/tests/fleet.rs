//! `fingerpost fleet` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{fmt::Write, fs};

use binary::fingerpost;

#[test]
fn sequences_are_planned_and_written_for_a_training_job() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (lengths, out, svg) = (at("lengths"), at("plan.json"), at("plan.svg"));
    fs::write(&lengths, "120000\n9000 800\n700, 600\n").unwrap();
    let line = [
        "fleet",
        "plan-sequences",
        "--lengths",
        &lengths,
        "--out",
        &out,
        "--svg",
        &svg,
        "--json",
    ];
    let ran = fingerpost(&line).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let plan = ran.json();
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(plan, written);
    assert_eq!(plan["placement"]["kind"], "hierarchical");
    let step = plan["times"]["step_ms"].as_f64().unwrap();
    for baseline in plan["baselines"].as_array().unwrap() {
        assert!(
            baseline["fits"] == false || baseline["step_ms"].as_f64().unwrap() >= step,
            "{baseline}"
        );
    }
    assert!(fs::read_to_string(&svg).unwrap().contains("</svg>"));
    let shown = fingerpost(&line[..4]).run();
    assert!(
        shown.out.contains("the plan against") && shown.out.contains("ring_all"),
        "{}",
        shown.out
    );
}

#[test]
fn pools_are_planned_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (trace, svg) = (at("trace.csv"), at("pools.svg"));
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for i in 0..400 {
        let input = if i % 10 == 0 { 20_000 } else { 500 + i };
        writeln!(text, "{},{input},{}", f64::from(i) / 5.0, 50 + i % 100).unwrap();
    }
    fs::write(&trace, text).unwrap();
    let line = [
        "fleet",
        "plan-pools",
        "--trace",
        &trace,
        "--rate",
        "500",
        "--check",
        "--svg",
        &svg,
        "--json",
    ];
    let ran = fingerpost(&line).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = ran.json();
    let plans = found["plans"].as_array().unwrap();
    let best = &plans[found["best"].as_u64().unwrap() as usize];
    assert!(
        best["gpus"].as_u64().unwrap() < plans[0]["gpus"].as_u64().unwrap(),
        "{found}"
    );
    assert_eq!(
        found["checks"].as_array().unwrap().len(),
        best["pools"].as_array().unwrap().len()
    );
    assert!(fs::read_to_string(&svg).unwrap().contains("</svg>"));
}

#[test]
fn bad_input_is_named_with_its_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let refused = |line: &[&str]| {
        let ran = fingerpost(line).run();
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        ran.err
    };
    let sequences = |lengths: &str, cluster: &str| {
        let (lengths, cluster) = (at("l", lengths), at("c", cluster));
        refused(&[
            "fleet",
            "plan-sequences",
            "--lengths",
            &lengths,
            "--cluster",
            &cluster,
        ])
    };
    assert!(sequences("5\n-2\n", "{}").contains("line 2: -2 is no length"));
    assert!(sequences("5", r#"{"costs":{"ring_step_us":1}}"#).contains("missing field"));
    let pools = |trace: &str| refused(&["fleet", "plan-pools", "--trace", &at("t", trace)]);
    assert!(pools("").contains("no request"));
    assert!(pools("TIMESTAMP,ContextTokens,GeneratedTokens\n1,-7,3\n").contains("ContextTokens is -7"));
}
