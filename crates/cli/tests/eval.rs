//! `fingerpost eval` and `fingerpost routers` as a user meets them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::fs;

use binary::fingerpost;

/// Twelve runs of two steps: in every third one the second step says `forge` and needs the highest tier.
fn bank() -> String {
    let mut lines = Vec::new();
    for run in 0..12 {
        let forges = run % 3 == 0;
        for step in 1..=2 {
            let (said, tier, id) = if step == 2 && forges {
                ("forge it", "high", 3)
            } else {
                ("peek at it", "low", 0)
            };
            let first = r#"{"role":"user","content":"peek at it"}"#;
            let messages = if step == 1 {
                first.to_owned()
            } else {
                format!(
                    r#"{first},{{"role":"assistant","content":"ok"}},{{"role":"tool","content":"{said}"}}"#
                )
            };
            lines.push(format!(
                r#"{{"id":"{run}-{step}","benchmark":"swebench","instance_id":"run-{run}","step_index":{step},"total_steps":2,"messages":[{messages}],"target_tier":"{tier}","target_tier_id":{id}}}"#
            ));
        }
    }
    lines.join("\n")
}

#[test]
fn routers_of_tiers_are_scored_also_on_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.jsonl");
    fs::write(&file, bank()).unwrap();
    let data = folder.path().to_str().unwrap();
    let high = fingerpost(&[
        "eval",
        "twin",
        "--data",
        data,
        "--router",
        "always_high",
        "--json",
    ])
    .run();
    assert_eq!(high.code, 0, "{}", high.err);
    let scores = &high.json()["scores_v2"];
    assert_eq!(scores["trajectory_pass_rate_percent"], 100.0);
    assert_eq!(scores["cost_savings_score_percent"], 0.0);
    let folded = fingerpost(&["eval", "twin", "--data", data, "--json"]).run();
    assert_eq!(folded.code, 0, "{}", folded.err);
    assert_eq!(
        (
            folded.json()["cross_fitted"].clone(),
            folded.json()["rows"].clone()
        ),
        (true.into(), 24.into())
    );
    let test = fingerpost(&["eval", "twin", "--data", data, "--test", file.to_str().unwrap()]).run();
    assert!(
        test.code == 0 && test.out.contains("swebench_high_else_low"),
        "{}",
        test.err
    );
}

#[test]
fn a_policy_is_trained_on_a_bank_and_routes_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("bank.jsonl"), bank()).unwrap();
    let train = |more: &[&str]| {
        let (data, out) = (path("bank.jsonl"), path("steps.router"));
        let mut arguments = vec![
            "train",
            "model-router",
            "--algorithm",
            "budget_aware",
            "--data",
            &data,
        ];
        arguments.extend(["--out", &out, "--set", "rounds=20", "--json"]);
        arguments.extend(more);
        fingerpost(&arguments).run()
    };
    let ran = train(&["--split", "all", "--set", "small=flash", "--set", "large=opus"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let about = ran.json()["about"].clone();
    assert_eq!(about["algorithm"], "budget_aware");
    assert_eq!(about["models"], serde_json::json!(["flash", "opus"]));
    assert_eq!(about["rows"], 12);
    let config = path("fingerpost.yaml");
    fs::write(
        &config,
        "providers: {d: {type: demo}}\n\
         models:\n  opus: {endpoints: [{provider: d, model: demo}]}\n  flash: {endpoints: [{provider: d, model: demo}]}\n\
         decisions:\n  - {name: all, models: [opus, flash], select: {algorithm: budget_aware, trained: steps.router}}\n",
    )
    .unwrap();
    let ran = fingerpost(&["route", "peek at it", "--config", &config, "--json"]).run();
    assert!(
        ran.code == 0 && ran.out.contains("flash"),
        "{}{}",
        ran.out,
        ran.err
    );

    for (more, said) in [
        (["--set", "tier=middle"], "unknown variant `middle`"),
        (["--set", "round=3"], "unknown field `round`"),
        (["--split", "val"], "--split val: a bank has no such part"),
    ] {
        let ran = train(&more);
        assert!(ran.code != 0 && ran.err.contains(said), "{}", ran.err);
    }
}

#[test]
fn bad_input_of_banks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.jsonl");
    let data = file.to_str().unwrap();
    fs::write(&file, format!("{}\n{{\"id\":1}}", bank())).unwrap();
    let ran = fingerpost(&["eval", "twin", "--data", data]).run();
    assert!(
        ran.code == 1 && ran.err.contains("bank.jsonl, line 25"),
        "{}",
        ran.err
    );
    let ran = fingerpost(&["eval", "twin", "--data", data, "--router", "alway_low"]).run();
    assert!(
        ran.code == 1 && ran.err.contains("did you mean `always_low`?"),
        "{}",
        ran.err
    );
    let ran = fingerpost(&["eval", "twin", "--data", "nowhere.jsonl"]).run();
    assert!(
        ran.code == 1 && ran.err.contains("cannot read nowhere.jsonl"),
        "{}",
        ran.err
    );
}

#[test]
fn a_log_of_decisions_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    let line = |name: &str, propensity: f64, quality: f64| {
        format!(
            r#"{{"decision":{{"picks":[{{"name":"{name}","score":1.0,"weight":1.0}}],"reason":{{"text":"why"}},"evidence":{{"router":"r","version":1,"propensity":{propensity}}}}},"outcome":{{"quality":{quality}}}}}"#
        )
    };
    let good = [line("small", 0.5, 0.0), line("large", 0.5, 1.0)].join("\n");
    fs::write(&file, &good).unwrap();
    let ran = fingerpost(&["eval", "replay", file.to_str().unwrap(), "--json"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(json["actions"], serde_json::json!(["large", "small"]));
    assert_eq!(json["policies"][0]["policy"], "uniform");
    assert_eq!(json["policies"][0]["ips"]["value"], 0.5);
    assert_eq!(json["policies"][1]["snips"]["value"], 1.0);
    fs::write(&file, format!("{good}\n{}", line("large", 0.0, 1.0))).unwrap();
    let ran = fingerpost(&["eval", "replay", file.to_str().unwrap()]).run();
    assert!(
        ran.code == 1 && ran.err.contains("log.jsonl, line 3"),
        "{}",
        ran.err
    );
}

#[test]
fn strategies_are_listed_with_what_offers_them() {
    let ran = fingerpost(&["routers", "list", "--json"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    let rows = json["strategies"].as_array().unwrap();
    assert_eq!(json["all"], 80);
    assert_eq!(rows.len(), 80);
    let cascade = rows.iter().find(|row| row["id"] == "18.K1").unwrap();
    assert_eq!(
        (cascade["offered"].clone(), cascade["by"].clone()),
        (true.into(), "cascade".into())
    );
    let text = fingerpost(&["routers", "list"]).run();
    assert!(text.out.contains("Which to take:") && text.out.contains("not offered: "));
}
