use super::*;
use crate::{catalogue::problem::Address, entry::Kind};

fn read_at(file: &str, root: &str, bytes: impl AsRef<[u8]>) -> Reading {
    let place = Place {
        file: Path::new(file),
        root: Path::new(root),
    };
    Reading::of_file(place, bytes.as_ref())
}

/// A file that was named itself.
fn read(file: &str, bytes: impl AsRef<[u8]>) -> Reading {
    read_at(file, file, bytes)
}

fn ids(reading: &Reading) -> Vec<&str> {
    reading.entries.iter().map(|e| e.id.as_str()).collect()
}

fn faults(reading: &Reading) -> Vec<(&Fault, bool)> {
    reading
        .problems
        .iter()
        .map(|p| (&p.fault, p.is_left_out))
        .collect()
}

#[test]
fn a_skill_is_named_after_where_it_lies() {
    let text = "\u{feff}---\r\nname: pdf\r\ndescription: Reads PDF files\r\nmetadata:\r\n  tags: [files, text]\r\ncategory: docs\r\n---\r\n\r\n# PDF\r\nOpen it.\r\n";
    let reading = read_at("/srv/library/office/pdf/SKILL.md", "/srv/library", text);
    assert_eq!(reading.problems, []);
    let entry = &reading.entries[0];
    assert_eq!(
        (entry.id.as_str(), entry.kind),
        ("library/office/pdf", Kind::Skill)
    );
    assert_eq!(
        (entry.name.as_str(), entry.description.as_str()),
        ("pdf", "Reads PDF files")
    );
    assert_eq!(entry.body, "# PDF\r\nOpen it.");
    assert_eq!(entry.tags, ["files", "text", "docs"]);
    assert_eq!(entry.group.as_deref(), Some("library"));
    assert_eq!(ids(&read("/x/pdf/SKILL.md", text)), ["pdf"]);
}

#[test]
fn a_skill_with_a_fault_is_saved_as_far_as_it_goes() {
    let missing = read("a/SKILL.md", "# Only a body\n");
    assert_eq!(
        (ids(&missing).len(), faults(&missing)),
        (0, vec![(&Fault::NoFrontMatter, true)])
    );
    let open = read("a/SKILL.md", "---\nname: x\n");
    assert_eq!(faults(&open), [(&Fault::NoFrontMatter, true)]);
    // No YAML for its second colon, and common.
    let colon = read(
        "a/SKILL.md",
        "---\nname: x\ndescription: Use when: always\n---\nbody",
    );
    assert_eq!(colon.entries[0].description, "Use when: always");
    assert!(
        matches!(faults(&colon)[..], [(Fault::NotYaml(_), false)]),
        "{colon:?}"
    );
    let nameless = read("a/SKILL.md", "---\ndescription: text\n---\n");
    assert_eq!(
        (nameless.entries[0].name.as_str(), faults(&nameless)),
        ("a", vec![(&Fault::NoName, false)])
    );
    let latin = read("a/SKILL.md", b"---\nname: caf\xe9\ndescription: text\n---\n");
    assert_eq!(faults(&latin), [(&Fault::NotUtf8, false)]);
    assert_eq!(latin.entries[0].name, "caf\u{fffd}");
    let number = read("a/SKILL.md", "---\nname: 7\ndescription: [no, text]\n---\n");
    assert_eq!(number.entries[0].name, "7");
    assert!(faults(&number).contains(&(&Fault::NoDescription, false)));
}

#[test]
fn a_megabyte_of_description_is_cut_and_told() {
    let long = "x".repeat(1 << 20);
    let reading = read("a/SKILL.md", format!("---\nname: x\ndescription: {long}\n---\n"));
    assert_eq!(reading.entries[0].description.len(), limits::DESCRIPTION);
    let cut = Fault::Cut {
        field: "description",
        found: 1 << 20,
        limit: limits::DESCRIPTION,
    };
    assert_eq!(faults(&reading), [(&cut, false)]);
    assert!(
        reading.problems[0]
            .to_string()
            .ends_with("cut from 1048576 to 8192 (kept; shorten it)")
    );
    let tags: Vec<String> = (0..100).map(|t| t.to_string()).collect();
    let reading = read(
        "a.jsonl",
        serde_json::json!({"id": "a", "kind": "tool", "name": "a", "body": "b", "tags": tags}).to_string(),
    );
    assert_eq!(
        (reading.entries[0].tags.len(), reading.problems.len()),
        (limits::TAGS, 1)
    );
}

#[test]
fn the_tools_of_servers_keep_apart() {
    let list = r#"{"tools": [{"name": "read", "title": "Reader", "description": "Reads", "inputSchema": {"type": "object",
        "properties": {"path": {"description": "Which file"}}}}]}"#;
    let files = read("files.json", list);
    assert_eq!(ids(&files), ["files::read"]);
    let tool = &files.entries[0];
    assert_eq!(
        (tool.description.as_str(), tool.body.as_str()),
        ("Reader. Reads", "path: Which file")
    );
    assert_eq!((tool.kind, tool.group.as_deref()), (Kind::Tool, Some("files")));
    assert_eq!(ids(&read("servers/mail/tools.json", list)), ["mail::read"]);
    let answer = format!(r#"{{"jsonrpc": "2.0", "id": 1, "result": {list}}}"#);
    assert_eq!(ids(&read("disk.json", &answer)), ["disk::read"]);
    let named = list.replacen(
        '{',
        r#"{"serverInfo": {"name": "web", "description": "Fetches pages"}, "#,
        1,
    );
    let web = read("x.json", &named);
    assert_eq!(
        (ids(&web), web.entries[0].body.as_str()),
        (vec!["web::read"], "path: Which file\nFetches pages")
    );
    let many = read(
        "x.json",
        format!(r#"{{"mcpServers": {{"a": {list}, "b": {list}}}}}"#),
    );
    assert_eq!(ids(&many), ["a::read", "b::read"]);
    let several = read("x.json", format!("[{named}, {}]", named.replace("web", "net")));
    assert_eq!(ids(&several), ["web::read", "net::read"]);
}

#[test]
fn a_schema_that_is_none_costs_the_arguments_only() {
    let list = r#"{"tools": [{"name": "a", "description": "d", "inputSchema": "text"}, 7, {"description": "no name"},
        {"name": "b", "description": "d", "inputSchema": {"type": "object", "properties": [1]}}, {"name": "c", "description": "d"}]}"#;
    let reading = read("s.json", list);
    assert_eq!(ids(&reading), ["s::a", "s::b", "s::c"]);
    assert!(
        matches!(
            faults(&reading)[..],
            [
                (Fault::Schema(_), false),
                (Fault::NoName, true),
                (Fault::NoName, true),
                (Fault::Schema(_), false)
            ]
        ),
        "{reading:?}"
    );
    assert_eq!(reading.problems[0].place.as_deref(), Some("s::a"));
}

#[test]
fn both_forms_of_openai_tools_are_read() {
    let nested = r#"[{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object",
        "properties": {"a": {"type": "number", "description": "First"}}}}}]"#;
    let flat = r#"{"model": "m", "tools": [{"type": "function", "name": "add", "description": "Adds", "parameters": {"type": "object",
        "properties": {"a": {"type": "number", "description": "First"}}}}]}"#;
    for text in [nested, flat] {
        let reading = read("x.json", text);
        assert_eq!(
            (ids(&reading), reading.entries[0].body.as_str()),
            (vec!["add"], "a: First")
        );
    }
}

const CARD: &str = r#"{"name": "Planner", "description": "Plans trips", "url": "https://agents.example.com/a2a?token=hunter2",
    "protocolVersion": "0.3.0", "skills": [{"id": "p", "name": "Plan", "description": "A route", "tags": ["travel"],
    "examples": ["Two days in Rome"]}]}"#;

#[test]
fn a_card_is_read_and_its_address_kept_apart() {
    let reading = read("planner.json", CARD);
    let entry = &reading.entries[0];
    assert_eq!(
        (entry.id.as_str(), entry.kind, entry.body.as_str()),
        ("Planner", Kind::Agent, "Plan\nA route")
    );
    assert_eq!(
        (&entry.tags[..], &entry.examples[..]),
        (&["travel".to_owned()][..], &["Two days in Rome".to_owned()][..])
    );
    assert_eq!(entry.group.as_deref(), Some("agents.example.com"));
    assert_eq!(reading.endpoints["Planner"].uri().query(), Some("token=hunter2"));
    assert!(!format!("{reading:?}").contains("hunter2"));
    // From where its address says.
    let right = read_at(
        "cards/Agents.Example.com/.well-known/agent-card.json",
        "cards",
        CARD,
    );
    assert_eq!((ids(&right).len(), right.problems.len()), (1, 0));
}

#[test]
fn a_card_that_lies_about_its_address_is_left_out_and_shows_no_secret() {
    let elsewhere = read_at("cards/honest.org/.well-known/agent-card.json", "cards", CARD);
    let lie = Fault::Address(Address::Host {
        claimed: "agents.example.com".to_owned(),
        fetched: "honest.org".to_owned(),
    });
    assert_eq!(
        (elsewhere.entries.len(), faults(&elsewhere)),
        (0, vec![(&lie, true)])
    );
    for (url, expected) in [
        ("https://me:hunter2@agents.example.com/", Address::Credentials),
        ("file:///etc/passwd?hunter2", Address::Malformed),
        ("ws://agents.example.com/hunter2", Address::Scheme),
        ("", Address::Missing),
    ] {
        let card = CARD.replace("https://agents.example.com/a2a?token=hunter2", url);
        let reading = read("x.json", &card);
        assert_eq!(
            (reading.entries.len(), faults(&reading)),
            (0, vec![(&Fault::Address(expected), true)]),
            "{url}"
        );
        let shown = reading.problems[0].to_string() + &serde_json::to_string(&reading.problems).unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    // Behind a good address, another that is not.
    let second = CARD.replacen(
        '{',
        r#"{"additionalInterfaces": [{"url": "https://a:b@evil.org/"}], "#,
        1,
    );
    assert_eq!(read("x.json", second).entries, []);
}

#[test]
fn agents_of_a_list_are_read() {
    let yaml = "agents:\n- name: coder\n  url: http://localhost:8000/v1\n  model: big\n  description: Writes code\n  tags: [code]\n- name: thief\n  url: https://x:y@z/\n- url: http://a/\n";
    let reading = read("agents.yaml", yaml);
    assert_eq!(ids(&reading), ["coder"]);
    assert_eq!(reading.endpoints["coder"].model(), Some("big"));
    assert_eq!(
        faults(&reading),
        [
            (&Fault::Address(Address::Credentials), true),
            (&Fault::NoName, true)
        ]
    );
    let json = r#"{"agents": [{"name": "coder", "url": "http://localhost:8000/v1"}]}"#;
    assert_eq!(ids(&read("agents.json", json)), ["coder"]);
}

#[test]
fn a_bad_line_stops_no_other() {
    let lines = [
        r#"{"id": "own", "kind": "skill", "name": "own", "description": "d", "examples": ["e"]}"#,
        r#"{"id":"s::t","server":"s","server_description":"about","category":"Finance","name":"t","description":"d","inputSchema":{}}"#,
        r#"{"id":"bfcl:f:1","source":"bfcl","group":"","name":"f","description":"d","params":{"x":"the x"}}"#,
        r#"{"id":"r/s","name":"s","description":"d","body":"b","repo":"r"}"#,
        r#"{"name":"n","description":"d","category":"data","repo":"o/r","stars":7}"#,
        r#"{"id":"plug","description":"d","description_long":"long"}"#,
        "{broken",
        r#"{"query": "q", "gold": []}"#,
        r#"{"id": "bad", "kind": "spaceship", "name": "x"}"#,
    ]
    .join("\n");
    let mut bytes = lines.into_bytes();
    bytes.extend(b"\n\n\"\xff\"\n");
    let reading = read("x.jsonl", bytes);
    assert_eq!(ids(&reading), ["own", "s::t", "bfcl:f:1", "r/s", "o/r/n", "plug"]);
    let [_, server, function, skill, meta, plugin] = &reading.entries[..] else {
        panic!("six entries");
    };
    assert_eq!(
        (server.group.as_deref(), server.body.as_str(), &server.tags[0][..]),
        (Some("s"), "about", "Finance")
    );
    assert_eq!(
        (function.group.as_deref(), function.body.as_str()),
        (Some("bfcl"), "x: the x")
    );
    assert_eq!(
        (skill.kind, meta.kind, plugin.body.as_str()),
        (Kind::Skill, Kind::Skill, "long")
    );
    let places: Vec<&str> = reading
        .problems
        .iter()
        .filter_map(|p| p.place.as_deref())
        .collect();
    assert_eq!(places, ["line 9", "line 7", "line 8", "line 11"]);
    // Other people's lines are none of ours, unless somebody points at them.
    let other = "{\"query\": \"q\"}\n";
    assert_eq!(read_at("d/x.jsonl", "d", other), Reading::default());
    assert_eq!(faults(&read("x.jsonl", other)), [(&Fault::UnknownForm, true)]);
}

#[test]
fn what_is_none_of_ours_is_passed_over_in_a_folder() {
    for (file, text) in [
        (
            "d/package.json",
            r#"{"name": "x", "version": "1", "description": "d"}"#,
        ),
        ("d/list.json", "[1, 2]"),
        ("d/ci.yaml", "on: push\njobs: {}\n"),
        ("d/bad.yaml", "{{{{"),
    ] {
        assert_eq!(read_at(file, "d", text), Reading::default(), "{file}");
        assert_eq!(read(file, text).problems.len(), 1, "{file}");
    }
    assert!(matches!(
        faults(&read_at("d/x.json", "d", "{"))[..],
        [(Fault::NotJson(_), true)]
    ));
}
