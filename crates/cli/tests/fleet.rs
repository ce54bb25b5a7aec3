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

/// A log of chats and, in its second half, of agents; lines of JSON.
fn shifting_log() -> String {
    let mut text = String::new();
    for i in 0..1_200_u32 {
        let (input, output, tools) = if i < 600 {
            (300 + 7 * (i % 90), 120, 0)
        } else {
            (9_000 + 31 * (i % 90), 40, 1)
        };
        let blocks: Vec<u32> = (0..input / 512 + 1)
            .map(|b| {
                if b < 1 + 10 * tools {
                    tools * 10_000 + b
                } else {
                    100_000 + 100 * i + b
                }
            })
            .collect();
        writeln!(
            text,
            r#"{{"timestamp":{},"input_length":{input},"output_length":{output},"hash_ids":{blocks:?},"tools":{tools},"tool_results":{tools}}}"#,
            i * 100
        )
        .unwrap();
    }
    text
}

#[test]
fn policies_in_the_loop_give_a_configuration_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("log.jsonl"), shifting_log()).unwrap();
    let (log, out, svg) = (at("log.jsonl"), at("out"), at("p.svg"));
    let line = [
        "fleet",
        "plan-pools",
        "--trace",
        &log,
        "--rate",
        "200",
        "--policies",
        "least_load,bounded_hash",
        "--boundaries",
        "2048",
        "--requests",
        "3000",
        "--ttft-ms",
        "1500",
        "--emit",
        &out,
        "--svg",
        &svg,
        "--json",
    ];
    let ran = fingerpost(&line).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = ran.json();
    let policies = &found["policies"];
    let best = &policies["verified"][policies["best"].as_u64().unwrap() as usize];
    assert!(
        best["corrected"]["ttft_p99_ms"].as_f64().unwrap() <= 1_500.0,
        "{best}"
    );
    assert!(best["as_planned"]["ttft_p99_ms"].is_number());
    assert!(fs::read_to_string(&svg).unwrap().contains("</svg>"));
    let checked = fingerpost(&["check", &at("out/gateway.yaml"), "--json"]).run();
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    assert_eq!(checked.json()["warnings"], 0, "{}", checked.out);
    let pools: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at("out/pools.json")).unwrap()).unwrap();
    assert_eq!(pools["wrp"]["slo"]["ttft_p99_ms"], 1_500.0);
    // What was asked for can be asked for again.
    fs::write(at("wrp.json"), pools["wrp"].to_string()).unwrap();
    let again = fingerpost(&[
        "fleet",
        "plan-pools",
        "--trace",
        &log,
        "--rate",
        "200",
        "--wrp",
        &at("wrp.json"),
    ])
    .run();
    assert!(
        again.code == 0 && again.out.contains("up to 2048 tokens"),
        "{}{}",
        again.out,
        again.err
    );
}

#[test]
fn a_log_that_changes_is_planned_anew_where_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    fs::write(&log, shifting_log()).unwrap();
    let log = log.to_str().unwrap();
    let line = [
        "fleet",
        "plan-pools",
        "--trace",
        log,
        "--windows",
        "--window",
        "30",
        "--min-interval",
        "20",
        "--rate",
        "100",
    ];
    let ran = fingerpost(&[&line[..], &["--json"]].concat()).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = ran.json();
    let planned = |w: &&serde_json::Value| !w["plan"].is_null();
    let at: Vec<f64> = found["windows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(planned)
        .map(|w| w["from_s"].as_f64().unwrap())
        .collect();
    assert_eq!(at, [0.0, 60.0], "{found}");
    let text = fingerpost(&line).run();
    assert!(
        text.out.contains("planned anew: ") && text.out.contains(" -> "),
        "{}",
        text.out
    );
    let refused = fingerpost(&[&line[..], &["--reopt-distance", "2"]].concat()).run();
    assert!(
        refused.code == 1 && refused.err.contains("wrp.reopt_distance is 2"),
        "{}",
        refused.err
    );
}

#[test]
fn the_matrix_is_measured_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("log.jsonl"), shifting_log()).unwrap();
    let (log, html) = (at("log.jsonl"), at("m.html"));
    let line = [
        "fleet",
        "matrix",
        "--trace",
        &log,
        "--rate",
        "100",
        "--policies",
        "power_of_two,bounded_hash",
        "--boundaries",
        "2048",
        "--requests",
        "1200",
        "--html",
        &html,
        "--json",
    ];
    let ran = fingerpost(&line).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found = ran.json();
    assert_eq!(found["cells"].as_array().unwrap().len(), 9);
    assert_eq!(fs::read_to_string(&html).unwrap().matches("<td").count(), 9);
    let wrong = fingerpost(&[&line[..4], &["--coupling", "1,2"]].concat()).run();
    assert!(
        wrong.code == 1 && wrong.err.contains("three rates"),
        "{}",
        wrong.err
    );
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
