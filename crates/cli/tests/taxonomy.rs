//! `fingerpost hierarchy taxonomy` as a user meets it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test that fails panics; support is shared"
)]

mod binary;

use std::{fs, path::Path};

use binary::{KEY, Ran, fingerpost};
use fingerpost_testkit::{Behavior, Garbage, Script, Upstream};
use serde_json::Value;

const TEXTS: &str = r#"{"id": "a", "text": "I lost my credit card"}
{"id": "b", "text": "my credit card was stolen"}
{"id": "c", "text": "block my lost card"}
{"id": "d", "title": "Weather", "text": "will it rain tomorrow"}
{"id": "e", "text": "what is the weather forecast for tomorrow"}
{"id": "f", "text": "is it going to rain today"}
"#;

/// Runs the command on a file with this content.
fn taxonomy(folder: &Path, name: &str, content: &[u8], options: &[&str]) -> Ran {
    let file = folder.join(name);
    fs::write(&file, content).unwrap();
    let mut arguments = vec!["hierarchy", "taxonomy", file.to_str().unwrap()];
    arguments.extend(options);
    fingerpost(&arguments).current_dir(folder).run()
}

#[test]
fn texts_become_named_categories() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--leaves", "2", "--top", "2", "--out", "t.json", "--svg", "t.svg", "--json",
    ];
    let ran = taxonomy(folder.path(), "texts.jsonl", TEXTS.as_bytes(), &options);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    let items: Vec<&Value> = json["taxonomy"]["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["items"])
        .collect();
    assert_eq!(
        items,
        [&serde_json::json!([0, 1, 2]), &serde_json::json!([3, 4, 5])],
        "{json}"
    );
    assert_eq!((&json["ids"][3], &json["coverage"]), (&"d".into(), &1.0.into()));
    let saved: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("t.json")).unwrap()).unwrap();
    assert_eq!(saved, json["taxonomy"]);
    assert!(
        fs::read_to_string(folder.path().join("t.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    // The same seed, the same tree; plain lines do as well, and people get an outline.
    let plain: String = (0..30)
        .map(|n| format!("text number {n} about {}\n", ["cards", "rain"][n % 2]))
        .collect();
    let run = || {
        taxonomy(
            folder.path(),
            "texts.txt",
            plain.as_bytes(),
            &["--correct", "--tidy"],
        )
    };
    let (one, two) = (run(), run());
    assert_eq!(one.code, 0, "{}", one.err);
    let but_time = |ran: &Ran| ran.out.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert!(
        but_time(&one).len() > 1 && one.out.contains("cards"),
        "{}",
        one.out
    );
    assert_eq!(but_time(&one), but_time(&two));
}

#[test]
fn bad_texts_are_named_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], &str); 6] = [
        (b"", "holds 0 documents"),
        (b"one\n", "holds 1 documents"),
        (b"one\n\xff\n", "line 2: it is not UTF-8"),
        (b"{\"text\": \"a\"}\n{\"text\"\n", "line 2: no JSON object"),
        (
            b"{\"text\": \"a\"}\n{\"text\": \" \"}\n",
            "line 2: the field `text`",
        ),
        (
            b"{\"id\": 1, \"text\": \"a\"}\n{\"id\": 1, \"text\": \"b\"}\n",
            "line 2: the id \"1\"",
        ),
    ];
    for (content, expected) in cases {
        let ran = taxonomy(folder.path(), "bad", content, &["--json"]);
        assert!(ran.code == 1 && ran.err.contains(expected), "{}", ran.err);
        assert!(
            ran.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains(expected)
        );
    }
    let ran = taxonomy(folder.path(), "texts", TEXTS.as_bytes(), &["--max-children", "1"]);
    assert!(
        ran.code == 1 && ran.err.contains("max_children is 1; allowed is 2"),
        "{}",
        ran.err
    );
}

#[test]
fn answers_of_models_are_read_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let answer = "[Response 1]\n- A\n- B\n[Response 2]\n- A (Claim 0, 1, 2, 3)\n    - A1 (Claim 0, 1)\n    - A2 (Claim 2, 9)\n\
                  - B (Claim 4, 5)\nThat is all.";
    let ran = taxonomy(
        folder.path(),
        "one.txt",
        answer.as_bytes(),
        &["--raw", "--tidy", "--json"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(
        json["taxonomy"]["categories"][0]["items"],
        serde_json::json!([0, 1, 2, 3, 9])
    );
    assert_eq!(json["edits"][0]["edit"], "added");
    assert_eq!(json["skipped_lines"], serde_json::json!([[9, "That is all."]]));
    // A table: the second answer is at fault, on line 11 of the file.
    let table = format!("n,review,answer\n0,CD1,\"{answer}\"\n1,CD2,I am sorry.\n2,CD3,\"{answer}\"\n");
    let ran = taxonomy(
        folder.path(),
        "many.csv",
        table.as_bytes(),
        &["--raw", "--correct", "--json"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!(
        (&json["answers"], json["taxonomies"].as_array().unwrap().len()),
        (&3.into(), 2)
    );
    assert!(
        json["faults"][0]
            .as_str()
            .unwrap()
            .contains("review CD2, line 11"),
        "{json}"
    );
    let ran = taxonomy(folder.path(), "none.txt", b"I am\nsorry.", &["--raw"]);
    assert!(
        ran.code == 1 && ran.err.contains("line 2") && ran.err.contains("sorry."),
        "{}",
        ran.err
    );
}

fn asked(folder: &Path, url: &str, more: &[&str]) -> Ran {
    let mut options = vec!["--endpoint", url, "--model", "m", "--json"];
    options.extend(more);
    taxonomy(folder, "texts.jsonl", TEXTS.as_bytes(), &options)
}

const ASPECTS: &str = "- Aspect 1: Cards (card)\n- Aspect 2: Weather (rain)";
const TREE: &str =
    "- Aspect 1: Cards (Claim 0, 1, 2)\n    - 1.1: Loss (Claim 0, 2)\n- Aspect 2: Weather (Claim 3, 4)";

#[test]
fn a_language_model_is_asked_twice_and_once_more_where_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new()
        .then(Behavior::status(500))
        .then(Behavior::text(ASPECTS))
        .then(Behavior::text("I would rather not."))
        .then(Behavior::text(TREE));
    let upstream = Upstream::start(script).unwrap();
    let url = format!("{}/v1", upstream.url());
    let ran = asked(folder.path(), &url, &["--api-key-env", "OPENAI_API_KEY"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("asking a second time"), "{}", ran.err);
    let json = ran.json();
    let names: Vec<&str> = json["taxonomy"]["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Cards", "Weather", "Uncategorised"]);
    assert_eq!(json["left_out"], 1);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[0].json(), requests[1].json());
    let last = requests[3].json();
    assert_eq!(last["model"], "m");
    assert!(
        last["messages"][1]["content"]
            .as_str()
            .unwrap()
            .contains("Claim 3: Weather. will it rain tomorrow")
    );
    assert_eq!(
        requests[3].headers.get("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
}

#[test]
fn a_model_that_fails_twice_fails_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new()
        .then(Behavior::text(ASPECTS))
        .always(Behavior::text("Sorry,\nno list."));
    let upstream = Upstream::start(script).unwrap();
    let url = format!("{}/v1", upstream.url());
    let ran = asked(folder.path(), &url, &["--out", "t.json"]);
    assert!(
        ran.code == 1 && ran.err.contains("line 2") && ran.err.contains("t.reply.txt"),
        "{}",
        ran.err
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("t.reply.txt")).unwrap(),
        "Sorry,\nno list."
    );
    assert!(!folder.path().join("t.json").exists() && upstream.requests().len() == 3);

    upstream.script(Script::new().always(Behavior::garbage(Garbage::NotJson)));
    let ran = asked(folder.path(), &url, &[]);
    assert!(
        ran.code == 1 && ran.err.contains("no chat completion"),
        "{}",
        ran.err
    );
    assert!(folder.path().join("taxonomy.reply.txt").exists());

    upstream.script(Script::new().always(Behavior::status(401)));
    let ran = asked(folder.path(), &url, &[]);
    assert!(
        ran.code == 1 && ran.err.contains("answered 401") && ran.err.contains("API key"),
        "{}",
        ran.err
    );

    drop(upstream);
    let ran = asked(folder.path(), &url, &[]);
    assert!(
        ran.code == 1 && ran.err.contains("no answer from 127.0.0.1"),
        "{}",
        ran.err
    );
    let ran = asked(folder.path(), &url, &["--api-key-env", "NO_SUCH_VARIABLE"]);
    assert!(
        ran.code == 1 && ran.err.contains("NO_SUCH_VARIABLE"),
        "{}",
        ran.err
    );
    let ran = asked(folder.path(), "nowhere", &[]);
    assert!(
        ran.code == 1 && ran.err.contains("`nowhere` is no base URL"),
        "{}",
        ran.err
    );
}
