//! `fingerpost train model-router` and `fingerpost eval routers` as a user meets them, and a trained router at work.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{fs, path::Path};

use binary::fingerpost;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Sums and poems, each of which one of two models is good at; a third is dear and no better. Every seventh answer is chance.
fn outcomes() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let models = json!([
        {"name": "sums", "input_price_usd_per_m": 1.0, "output_price_usd_per_m": 1.0},
        {"name": "poems", "input_price_usd_per_m": 1.0, "output_price_usd_per_m": 1.0},
        {"name": "dear", "input_price_usd_per_m": 50.0, "output_price_usd_per_m": 50.0},
    ]);
    fs::write(folder.path().join("models.json"), models.to_string()).unwrap();
    let things = [
        "the sea",
        "autumn",
        "a lamp",
        "two rivers",
        "an old dog",
        "the moon",
    ];
    let line = |i: usize| {
        let (task, text) = if i.is_multiple_of(2) {
            ("math", format!("What is {} plus {} times {}?", i, i + 3, i % 7))
        } else {
            (
                "verse",
                format!(
                    "Write a short poem about {} and {}.",
                    things[i % 6],
                    things[(i / 6) % 6]
                ),
            )
        };
        let good = |fits: bool| {
            f64::from(u8::from(if i.is_multiple_of(7) {
                i.is_multiple_of(3)
            } else {
                fits
            }))
        };
        let scores = [good(task == "math"), good(task == "verse"), 0.6];
        let split = if i.is_multiple_of(4) { "val" } else { "train" };
        json!({"id": i.to_string(), "text": text, "task": task, "split": split, "scores": scores}).to_string()
    };
    // Both kinds are in both parts.
    let lines: Vec<String> = (0..400).map(|i| line(i + i / 4)).collect();
    write(folder.path(), &lines);
    folder
}

fn write(folder: &Path, lines: &[String]) {
    fs::write(folder.join("outcomes.jsonl"), lines.join("\n")).unwrap();
}

fn row<'a>(report: &'a Value, algorithm: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    rows.iter().find(|r| r["algorithm"] == algorithm).unwrap()
}

#[test]
fn routers_are_judged_beside_the_baselines() {
    let data = outcomes();
    let page = data.path().join("report.html");
    let ran = fingerpost(&[
        "eval",
        "routers",
        "--data",
        data.path().to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
        "--json",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = ran.json();
    assert_eq!(
        (&report["train"], &report["test"]),
        (&json!("train"), &json!("val"))
    );
    let quality = |algorithm: &str| row(&report, algorithm)["quality"].as_f64().unwrap();
    for name in [
        "random",
        "cheapest",
        "best_single",
        "knn_40",
        "clusters_64",
        "task_oracle",
        "oracle",
    ] {
        assert!(quality(name) > 0.0, "{name}");
    }
    // Each kind has a model that is right in six of seven answers; one model alone in half of them.
    for name in ["auto", "linear", "task_mix", "kmeans", "knn"] {
        assert!(quality(name) >= quality("best_single") + 10.0, "{name}: {report}");
        assert!(quality(name) <= quality("oracle"));
    }
    // As good as being told the task, but for a row or so.
    assert!(
        (quality("auto") - quality("task_oracle")).abs() <= 1.0,
        "{report}"
    );
    let auto = row(&report, "auto");
    assert!(auto["ci95"][0].as_f64() < auto["ci95"][1].as_f64());
    // What it lacks of the oracle, and what the best single model's quality costs by it.
    let regret = auto["regret"].as_f64().unwrap();
    assert!((regret - (quality("oracle") - quality("auto"))).abs() < 1e-9);
    assert!(row(&report, "oracle")["regret"].as_f64().unwrap().abs() < 1e-9);
    let single = row(&report, "best_single")["cost_usd"].as_f64().unwrap();
    assert!(
        auto["cost_at_equal_quality"].as_f64().unwrap() <= single,
        "{auto}"
    );
    let (aiq, interval) = (auto["aiq"].as_f64().unwrap(), &auto["aiq_ci95"]);
    assert!(
        interval[0].as_f64().unwrap() <= aiq && aiq <= interval[1].as_f64().unwrap(),
        "{auto}"
    );
    assert!(auto["cost_usd"].as_f64().unwrap() < row(&report, "random")["cost_usd"].as_f64().unwrap());
    assert!(fs::read_to_string(page).unwrap().contains("<td>auto</td>"));
}

#[test]
fn a_learning_curve_is_told_and_drawn() {
    let data = outcomes();
    let picture = data.path().join("gain.svg");
    let ran = fingerpost(&[
        "eval",
        "routers",
        "--data",
        data.path().to_str().unwrap(),
        "--algorithm",
        "linear",
        "--learning-curve",
        picture.to_str().unwrap(),
        "--json",
    ])
    .run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = ran.json();
    let learnt = row(&report, "linear")["learning"].as_array().unwrap();
    let rows: Vec<u64> = learnt.iter().map(|l| l["rows"].as_u64().unwrap()).collect();
    assert!(rows.len() == 4 && rows.is_sorted(), "{rows:?}");
    assert_eq!(rows[3], report["trained_on"].as_u64().unwrap() / 2);
    assert!(fs::read_to_string(picture).unwrap().contains("linear"));
}

#[test]
fn a_trained_router_routes_by_its_file() {
    let data = outcomes();
    let file = data.path().join("auto.router");
    let train = |algorithm: &str| {
        let arguments = [
            "train",
            "model-router",
            "--algorithm",
            algorithm,
            "--data",
            data.path().to_str().unwrap(),
            "--out",
            file.to_str().unwrap(),
            "--json",
        ];
        fingerpost(&arguments).run()
    };
    let ran = train("auto");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["about"]["algorithm"], "auto");
    let config = data.path().join("fingerpost.yaml");
    fs::write(
        &config,
        "providers: {d: {type: demo}}\n\
         models:\n  sums: {endpoints: [{provider: d, model: demo}]}\n  poems: {endpoints: [{provider: d, model: demo}]}\n\
         decisions:\n  - {name: all, models: [poems, sums], select: {algorithm: auto, trained: auto.router}}\n",
    )
    .unwrap();
    let routed = |text: &str| {
        let ran = fingerpost(&["route", text, "--config", config.to_str().unwrap(), "--json"]).run();
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let first = |out: &str| {
        if out.find("sums").unwrap() < out.find("poems").unwrap() {
            "sums"
        } else {
            "poems"
        }
    };
    let models = |out: &str| serde_json::from_str::<Value>(out).unwrap()["models"].to_string();
    assert_eq!(first(&models(&routed("What is 31 plus 12 times 4?"))), "sums");
    assert_eq!(
        first(&models(&routed("Write a short poem about a lamp and the sea."))),
        "poems"
    );

    // A model that the outcomes do not know is no error, and is told.
    let text = fs::read_to_string(&config).unwrap();
    let with_more = text
        .replace(
            "decisions:",
            "  new: {endpoints: [{provider: d, model: demo}]}\ndecisions:",
        )
        .replace("[poems, sums]", "[poems, new, sums]");
    fs::write(&config, with_more).unwrap();
    let ran = fingerpost(&["check", config.to_str().unwrap(), "--json"]).run();
    assert_eq!((ran.code, &ran.json()["warnings"]), (0, &json!(1)), "{}", ran.out);
    assert!(ran.out.contains("nothing was logged of it"), "{}", ran.out);
    assert!(routed("What is 31 plus 12 times 4?").contains("new"));
    fs::write(&config, text).unwrap();

    // Trained for another algorithm, damaged, gone: each is said by its place in the file.
    assert_eq!(train("knn").code, 0);
    let refused = || {
        let ran = fingerpost(&["route", "x", "--config", config.to_str().unwrap()]).run();
        assert_ne!(ran.code, 0);
        ran.err
    };
    assert!(
        refused().contains("a file trained for this algorithm, found one of `knn`"),
        "{}",
        refused()
    );
    fs::write(&file, b"FPROUTER").unwrap();
    assert!(refused().contains("it is damaged (cut short)"), "{}", refused());
    fs::remove_file(&file).unwrap();
    assert!(refused().contains("auto.router cannot be used"), "{}", refused());
}

#[test]
fn what_cannot_be_judged_is_said_by_name() {
    let data = outcomes();
    let refused = |arguments: &[&str]| {
        let mut all = vec!["eval", "routers", "--data", data.path().to_str().unwrap()];
        all.extend(arguments);
        let ran = fingerpost(&all).run();
        assert_ne!(ran.code, 0, "{}", ran.out);
        ran.err
    };
    let unknown = refused(&["--algorithm", "knm"]);
    assert!(unknown.contains("`knm`; did you mean `knn`?"), "{unknown}");
    assert!(!unknown.contains("error: error:"), "{unknown}");
    let missing = refused(&["--test", "holdout"]);
    assert!(
        missing.contains("no row of the split `holdout`; there are: train, val"),
        "{missing}"
    );
    let ragged = json!({"id": "q", "text": "x", "split": "train", "scores": [1.0]}).to_string();
    let not_a_number = r#"{"id":"q","text":"x","split":"train","scores":[1.0,NaN,0]}"#.to_owned();
    let too_good = json!({"id": "q", "text": "x", "split": "train", "scores": [1.0, 7.0, 0.0]}).to_string();
    let owing =
        json!({"id": "q", "text": "x", "split": "train", "scores": [1, 1, 1], "cost_usd": [0, -1, 0]})
            .to_string();
    for (line, expected) in [
        (ragged, "line 1: row `q` has 1 scores for 3 models"),
        (not_a_number, "line 1: expected value"),
        (
            too_good,
            "the score of `poems` must be a number from 0 to 1, found 7",
        ),
        (
            owing,
            "the cost of `poems` must be a finite number of at least 0, found -1",
        ),
    ] {
        write(data.path(), &[line]);
        let said = refused(&[]);
        assert!(
            said.contains(expected) && said.contains("outcomes.jsonl"),
            "{said}"
        );
    }
}
