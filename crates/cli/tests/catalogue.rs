//! `fingerpost skills index`, `search` and `duplicates` as a user meets them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use binary::fingerpost;
use serde_json::json;

fn put(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn skill(name: &str, description: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\nDo it.\n")
}

fn library(folder: &Path) {
    put(
        folder,
        "weather/SKILL.md",
        &skill("weather", "The weather forecast of a city"),
    );
    put(
        folder,
        "bank/transfer/SKILL.md",
        &skill("transfer", "Send money from one account to another"),
    );
    put(folder, "broken/SKILL.md", "no front matter");
    put(
        folder,
        "files.json",
        r#"{"tools": [{"name": "read", "description": "Reads a file \u001b[31m\u202e", "inputSchema": {"type": "object"}}]}"#,
    );
    put(
        folder,
        "cards/honest.org/.well-known/agent-card.json",
        r#"{"name": "Liar", "description": "x", "url": "https://me:hunter2@evil.org/", "capabilities": {}, "skills": []}"#,
    );
}

#[test]
fn a_library_is_indexed_searched_and_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let (sources, index) = (folder.path().join("lib"), folder.path().join("index"));
    library(&sources);
    let (sources_text, index_text) = (sources.to_str().unwrap(), index.to_str().unwrap());
    let build = || fingerpost(&["skills", "index", sources_text, "--to", index_text, "--json"]).run();
    let built = build();
    assert_eq!(built.code, 0, "{}", built.err);
    let told = built.json();
    assert_eq!(
        (&told["entries"], &told["changes"]["added"]),
        (&json!(3), &json!(3))
    );
    let problems = told["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|p| p["try"].is_string() && p["left_out"] == true)
    );
    assert!(!built.out.contains("hunter2") && !built.err.contains("hunter2"));
    assert!(built.err.contains("it has no front matter"), "{}", built.err);
    let found = fingerpost(&[
        "skills",
        "search",
        "--index",
        index_text,
        "weather in Oslo",
        "-k",
        "2",
        "--json",
    ])
    .run();
    assert_eq!(found.code, 0, "{}", found.err);
    let first = &found.json()["found"][0];
    assert_eq!(
        (&first["id"], &first["kind"]),
        (&json!("lib/weather"), &json!("skill"))
    );
    assert!(first["fields"]["name"].as_f64().unwrap() > 0.0 && first["dense"]["rank"] == 1);
    let tools = fingerpost(&[
        "skills", "search", "--index", index_text, "weather", "--kind", "tool",
    ])
    .run();
    assert!(tools.out.contains("files::read (tool)"), "{}", tools.out);
    assert!(
        !tools.out.contains('\u{1b}') && !tools.out.contains('\u{202e}'),
        "{:?}",
        tools.out
    );
    fs::remove_dir_all(sources.join("weather")).unwrap();
    put(
        &sources,
        "bank/transfer/SKILL.md",
        &skill("transfer", "Pay a bill"),
    );
    let changes = build().json()["changes"].clone();
    assert_eq!(
        (&changes["removed"], &changes["updated"], &changes["same"]),
        (&json!(1), &json!(1), &json!(1))
    );
}

#[test]
fn a_mistake_costs_nothing_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    library(&folder.path().join("lib"));
    let run = |arguments: &[&str]| fingerpost(&[&["skills"][..], arguments].concat()).run();
    let missing = run(&["search", "--index", &at("index"), "x"]);
    assert!(
        missing.code == 1 && missing.err.contains("fingerpost skills index"),
        "{}",
        missing.err
    );
    assert_eq!(run(&["index", &at("lib"), "--to", &at("index")]).code, 0);
    let gone = run(&["index", &at("nowhere"), "--to", &at("index")]);
    assert!(gone.code == 1 && gone.err.contains("nowhere"), "{}", gone.err);
    let found = run(&["search", "--index", &at("index"), "weather"]);
    assert!(found.out.contains("lib/weather"), "{}", found.out);
    // A damaged file is told, mended, and no reason to fail.
    let words = fs::read_dir(at("index"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .find(|p| p.to_str().unwrap().contains("words"))
        .unwrap();
    fs::write(words, "torn").unwrap();
    let found = run(&["search", "--index", &at("index"), "weather"]);
    assert!(
        found.code == 0 && found.err.contains("not whole") && found.out.contains("lib/weather"),
        "{}",
        found.err
    );
}

#[test]
fn duplicates_are_shown_as_families() {
    let folder = tempfile::tempdir().unwrap();
    library(&folder.path().join("lib"));
    put(
        folder.path(),
        "lib/fork/weather/SKILL.md",
        &skill("Weather", "Tells how warm it will be"),
    );
    let lib = folder.path().join("lib");
    let ran = fingerpost(&["skills", "duplicates", lib.to_str().unwrap(), "--json"]).run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let family = &ran.json()["families"][0];
    assert_eq!(family["members"].as_array().unwrap().len(), 2);
    assert_eq!(family["joins"][0]["by"], "name");
    let text = fingerpost(&["skills", "duplicates", lib.to_str().unwrap()]).run();
    assert!(
        text.out.contains("same name") && text.out.contains("1 of 4 entries could go"),
        "{}",
        text.out
    );
    let none = fingerpost(&["skills", "duplicates", lib.to_str().unwrap(), "--words", "7"]).run();
    assert!(none.code == 1 && none.err.contains("from 0 to 1"), "{}", none.err);
}

#[cfg(unix)]
#[test]
fn changes_reach_the_index_while_it_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let (lib, index) = (folder.path().join("lib"), folder.path().join("index"));
    library(&lib);
    let at = index.to_str().unwrap();
    let mut line = fingerpost(&[
        "skills",
        "index",
        lib.to_str().unwrap(),
        "--to",
        at,
        "--watch",
        "--json",
    ]);
    line.command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = line.command.spawn().unwrap();
    let wait = |what: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let found = fingerpost(&["skills", "search", "--index", at, what, "-k", "1"]).run();
            if found.out.contains(&format!("lib/{what}")) {
                return;
            }
            assert!(
                Instant::now() < end,
                "{what} never came: {}{}",
                found.out,
                found.err
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    wait("weather");
    put(&lib, "paint/SKILL.md", &skill("paint", "Makes a picture"));
    wait("paint");
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let end = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it does not stop");
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["entries"], &told["changes"]["added"]),
        (&json!(4), &json!(4))
    );
}
