//! The loader on a small type of its own: what it finds, where, and how it says so.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sample {
    listen: Option<std::net::SocketAddr>,
    count: u32,
    names: Vec<String>,
    parts: BTreeMap<String, Part>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read for its errors")]
struct Part {
    kind: Kind,
    #[serde(default)]
    size: Option<u32>,
    #[serde(default)]
    api_key_env: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Round,
    Square,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum Step {
    Walk { far: f64 },
    Wait,
}

fn sample(text: &str) -> Reading<Sample> {
    let environment = |name: &str| match name {
        "COUNT" => Some("7".to_owned()),
        "KEY" => Some("sesame-open".to_owned()),
        "VERSION" => Some("1.10".to_owned()),
        _ => None,
    };
    read_text(text, "sample.yaml", &environment)
}

fn sound(text: &str) -> Sample {
    let reading = sample(text);
    assert!(reading.problems.is_empty(), "{}", shown(&reading.problems));
    reading.value.unwrap()
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

/// Line, column, path and message of each problem.
fn brief(text: &str) -> Vec<String> {
    let one = |p: &Problem| {
        let place = p
            .place
            .map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        let found = p
            .what
            .found
            .as_ref()
            .map_or(String::new(), |found| format!(" `{found}`"));
        format!("{place} {} {}{found}", p.what.path, p.what.message)
    };
    sample(text).problems.iter().map(one).collect()
}

#[test]
fn an_unknown_key_prints_like_a_compiler_message() {
    let reading = sample("count: 1\nparts:\n  wheel:\n    knid: round\n");
    assert_eq!(
        shown(&reading.problems),
        "error: unknown key `knid`\n \
          --> sample.yaml:4:5\n  \
           |\n\
         4 |     knid: round\n  \
           |     ^^^^ did you mean `kind`?\n  \
           = at: parts.wheel.knid\n  \
           = allowed: kind, size, api_key_env\n"
    );
}

#[test]
fn every_fault_is_told_at_once() {
    let text = "count: many\nnames: {}\nparts:\n  a: {kind: oval}\n  b: {kind: round, size: -1}\n  c: {}\nlisten: here\nsteps:\n  - do: walk\n    far: wide\n  - do: fly\n  - do: wait\n  - do: walk\n    long: 1\n";
    assert_eq!(
        brief(text),
        [
            "1:8 count value of the wrong kind `many`",
            "2:1 names value of the wrong kind `a mapping`",
            "4:13 parts.a.kind unknown value `oval`",
            "5:26 parts.b.size value that is not allowed `-1`",
            "6:3 parts.c the key `kind` is missing",
            "7:9 listen invalid socket address syntax `here`",
            "10:10 steps[0].far value of the wrong kind `wide`",
            "11:9 steps[1].do unknown value `fly`",
            "13:5 steps[3] the key `far` is missing",
            "14:5 steps[3].long unknown key `long`",
        ]
    );
    // What is sound is read all the same.
    let value = sample(text).value.unwrap();
    assert_eq!((value.count, value.names.len(), value.parts.len()), (0, 0, 1));
    assert_eq!(value.steps, [Step::Wait]);
}

#[test]
fn a_faulty_required_key_is_told_once() {
    assert_eq!(
        brief("parts: {a: {kind: [x]}}"),
        ["1:13 parts.a.kind value of the wrong kind `a list`"]
    );
}

#[test]
fn a_key_that_stands_twice_names_the_first_line() {
    assert_eq!(
        brief("count: 1\ncount: 2\n"),
        ["2:1 count key that already stands in line 1: `count`"]
    );
}

#[test]
fn a_text_that_is_no_yaml_has_a_place() {
    let problems = sample("count: [1\nnames: 2\n").problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].place.map(|place| place.line),
        Some(2),
        "{}",
        shown(&problems)
    );
    assert!(
        problems[0].what.message.starts_with("not readable as YAML: "),
        "{}",
        shown(&problems)
    );
    assert_eq!(
        brief("count: 1\n---\ncount: 2\n"),
        ["3:1  not readable as YAML: one document is expected, a second begins"]
    );
}

#[test]
fn nothing_is_the_default() {
    for text in ["", "# only a comment\n", "parts:\nnames:\nsteps:\n"] {
        let value = sound(text);
        assert!(value.parts.is_empty() && value.count == 0, "{text:?}");
    }
    assert_eq!(brief("- a\n"), ["1:1  value of the wrong kind `a list`"]);
}

#[test]
fn scalars_keep_their_text_where_a_text_is_expected() {
    assert_eq!(
        sound("names: [no, 4.10, 911, true, 007, '5', 1_000]").names,
        ["no", "4.10", "911", "true", "007", "5", "1_000"]
    );
}

#[test]
fn variables_are_put_in_after_parsing() {
    let text =
        "count: ${COUNT}\nnames: ['${KEY}', 'a ${NOPE:-b} c', '$${KEY}', '${VERSION}', '${EMPTY:-}']\n";
    let value = sound(text);
    assert_eq!(value.count, 7);
    assert_eq!(value.names, ["sesame-open", "a b c", "${KEY}", "1.10", ""]);
    assert_eq!(sound("names:\n  - ${VERSION}\n").names, ["1.10"]);
}

#[test]
fn a_variable_that_is_not_set_names_its_line() {
    assert_eq!(
        brief("names:\n  - x\n  - ${NOPE}\n"),
        ["3:5 names[1] environment variable that is not set: `NOPE`"]
    );
    assert_eq!(
        brief("names: ['${1}', '${KEY']"),
        [
            "1:9 names[0] no name of a variable: `1`",
            "1:17 names[1] no closing brace after `${KEY`"
        ]
    );
}

#[test]
fn no_message_shows_what_a_variable_stands_for() {
    for text in [
        "count: ${KEY}",
        "listen: ${KEY}",
        "parts:\n  a:\n    kind: ${KEY}\n",
        "steps:\n  - do: ${KEY}\n",
        "names: 'x'\nparts: ${KEY}",
    ] {
        let problems = sample(text).problems;
        assert!(!problems.is_empty(), "{text}");
        let (print, json) = (shown(&problems), serde_json::to_string(&problems).unwrap());
        assert!(
            !print.contains("sesame") && !json.contains("sesame"),
            "{print}\n{json}"
        );
        assert!(print.contains("${KEY}"), "{print}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let problems = sample("parts:\n  a:\n    kind: round\n    api_key: hunter2hunter2\n").problems;
    let print = shown(&problems);
    assert_eq!(problems.len(), 1);
    assert!(
        print.contains("a secret does not belong in this file: `api_key`"),
        "{print}"
    );
    assert!(
        print.contains("`api_key_env` with the name of the environment variable"),
        "{print}"
    );
    assert!(!print.contains("hunter2"), "{print}");
    let print = shown(&sample("count: sk-abcdefghijklmnop").problems);
    assert!(
        print.contains("wrong kind") && !print.contains("sk-abc"),
        "{print}"
    );
}

#[test]
fn places_within_a_text() {
    let lines = sample("names: [plain, \"quo ted\", 'it''s']\n").lines;
    let column = |path: &str, from| {
        lines
            .within(path, from, 2)
            .map(|place| (place.column, place.length))
    };
    assert_eq!(column("names[0]", 2), Some((11, 2)));
    assert_eq!(column("names[1]", 4), Some((21, 2)));
    // With an escape the characters cannot be counted: the whole value.
    assert_eq!(column("names[2]", 2), Some((27, 7)));
    // A path that the text lacks: the nearest thing above it.
    assert_eq!(lines.place("names[9].x").map(|place| place.column), Some(1));
    assert_eq!(lines.place("nowhere").map(|place| place.line), Some(1));
}

#[test]
fn the_machine_form_is_flat() {
    let problems = sample("cuont: 1").problems;
    let json = serde_json::to_value(&problems).unwrap();
    let expected = serde_json::json!([{
        "file": "sample.yaml", "line": 1, "column": 1, "severity": "error", "path": "cuont", "message": "unknown key",
        "found": "cuont", "allowed": "listen, count, names, parts, steps", "suggestion": "count"
    }]);
    assert_eq!(json, expected);
}
